"""`python -m pipeline.recipe check|show|schema FILE`: a recipe's faults, its full content, or the recipe's schema."""

import argparse
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from pipeline.errors import PipelineError, RecipeError
from pipeline.recipe import Recipe, hints, load
from pipeline.recipe.commented import commented


def main(argv: Sequence[str] | None = None) -> int:
    """Check, show or describe a recipe; return 0, or 2 where it has faults."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.recipe", description="Look at a recipe.")
    actions = {"check": _check, "show": _show}
    parser.add_argument("action", choices=(*actions, "schema"), help="its faults, all its keys, or their JSON schema")
    parser.add_argument("file", type=Path, nargs="?", help="recipe file (default: $BDD_RECIPE, else the sample's)")
    arguments = parser.parse_args(argv)
    if arguments.action == "schema":
        print(schema(), end="")
        return 0
    try:
        return actions[arguments.action](load(arguments.file))
    except RecipeError as error:
        print("\n".join(error.faults))
        return 2


def schema() -> str:
    """Return the JSON schema of recipes, which `recipes/recipe.schema.json` holds for editors."""
    return json.dumps(Recipe.model_json_schema(), indent=2, ensure_ascii=False) + "\n"


def _show(recipe: Recipe) -> int:
    print("\n".join(commented(recipe)))
    return 0


def _check(recipe: Recipe) -> int:
    """Print what is absent or contradicts itself, else that the recipe is fine, after hints."""
    faults = [*_absent(recipe), *hints.contradictions(recipe)]
    for hint in (*hints.of_categories(recipe), *hints.of_training(recipe)):
        print(f"hint: {hint}")
    print("\n".join(faults) or f"fine: {hints.headline(recipe)}")
    return 2 if faults else 0


def _absent(recipe: Recipe) -> Iterator[str]:
    """Yield the fault of each local source that holds nothing to read, and of weights that are no file.

    Addresses are not asked.
    """
    from pipeline.recipe.source_entry import parse
    from pipeline.sources import label_files, raw_images, resolve
    from pipeline.training.weights import identify

    finders: dict[str, Callable[[resolve.Container], Any]] = {"images": raw_images.find, "labels": label_files.find}
    for role, find in finders.items():
        for source in (parse(entry, f"source.{role}") for entry in getattr(recipe.source, role)):
            try:
                if source.kind == "path":
                    find(resolve.local(source))
            except PipelineError as fault:
                yield str(fault)
    try:
        identify(recipe.training.weights)
    except PipelineError as fault:
        yield str(fault)


if __name__ == "__main__":
    sys.exit(main())
