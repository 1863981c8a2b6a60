"""Has pyarrow do without pandas: it would load it at the first list it sees, a fifth of a second for nothing.

For processes of our own that have no use for pandas; it can't be taken back.
"""

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType


class _NoPandas(MetaPathFinder):
    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None, /
    ) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("this process does without pandas", name=fullname)
        return None


def do_without_pandas() -> None:
    """Have every import of pandas fail from now on, as it does where pandas isn't installed."""
    sys.meta_path.insert(0, _NoPandas())
