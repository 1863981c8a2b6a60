"""`python -m pipeline.recipe check|show|schema FILE`: a recipe's faults, its full content, or the recipe's schema."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.errors import RecipeError
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
    from pipeline.training.absent import absent

    faults = [*absent(recipe, look_into=True), *hints.contradictions(recipe)]
    for hint in (*hints.of_categories(recipe), *hints.of_training(recipe)):
        print(f"hint: {hint}")
    print("\n".join(faults) or f"fine: {hints.headline(recipe)}")
    return 2 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
