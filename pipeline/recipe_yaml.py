"""YAML as a recipe is written in it: PyYAML's safe loading, with every fault as one sentence, a key given twice too.

What the keys mean is not known here.
"""

import reprlib
from typing import Any

import yaml


def read(text: str) -> Any:
    """Return what YAML text holds; raises ValueError with one sentence, and the line where there is one."""
    try:
        return yaml.load(text, _Loader)  # noqa: S506  (a SafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise ValueError(f"{error.problem or error.context}{f' (line {mark.line + 1})' if mark else ''}") from None
    except yaml.YAMLError as error:
        raise ValueError(" ".join(str(error).split())) from None
    except RecursionError:
        raise ValueError("its lists and mappings are nested too deeply") from None


class _Loader(yaml.SafeLoader):
    def compose_mapping_node(self, anchor: Any) -> yaml.MappingNode:
        """Refuse a key that is given twice, which YAML forbids and PyYAML lets the last one win."""
        node = super().compose_mapping_node(anchor)
        first: set[tuple[str, str]] = set()
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                if (key.tag, key.value) in first:
                    raise yaml.MarkedYAMLError(
                        problem=f"the key {key.value} is given twice", problem_mark=key.start_mark
                    )
                first.add((key.tag, key.value))
        return node

    def construct_object(self, node: yaml.Node, deep: bool = False) -> Any:
        """Say where a value stands that only looks like a date or a number: PyYAML's own converters just break."""
        try:
            return super().construct_object(node, deep)
        except (ArithmeticError, AttributeError, LookupError, ValueError) as error:
            what = f"{reprlib.repr(node.value)} can't be read ({error}); in quotes it is text"
            raise yaml.MarkedYAMLError(problem=what, problem_mark=node.start_mark) from None
