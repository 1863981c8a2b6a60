"""`python -m pipeline.recipe check|show|schema FILE`: the faults of a recipe, its full content, or its JSON schema."""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml

from pipeline.errors import RecipeError
from pipeline.recipe import Recipe, load


def main(argv: Sequence[str] | None = None) -> int:
    """Check, show or describe a recipe; return 0, or 2 where it has faults."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.recipe", description="Look at a recipe.")
    parser.add_argument("action", choices=("check", "show", "schema"), help="its faults, all its keys, or its schema")
    parser.add_argument("file", type=Path, nargs="?", help="recipe file (default: $BDD_RECIPE, else the sample's)")
    arguments = parser.parse_args(argv)
    if arguments.action == "schema":
        print(json.dumps(Recipe.model_json_schema(), indent=2))
        return 0
    try:
        recipe = load(arguments.file)
    except RecipeError as error:
        print("\n".join(error.faults))
        return 2
    if arguments.action == "show":
        print(yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True), end="")
    return 0


if __name__ == "__main__":
    sys.exit(main())
