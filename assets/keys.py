"""The keys of the assets: the stages' names, behind BDD_PREFIX where that is set."""

import os
import re
import sys

import dagster as dg


def prefix() -> list[str]:
    """Return what stands before the name of each asset, of BDD_PREFIX; exits with one sentence where it can't be."""
    given = os.environ.get("BDD_PREFIX", "")
    if given and (not re.fullmatch(r"[A-Za-z]\w*", given, re.ASCII) or "__" in given):
        sys.exit(f"BDD_PREFIX={given!r} is no name of letters, digits and single underscores")
    return [given] if given else []


PREFIX = prefix()


def key_of(name: str) -> dg.AssetKey:
    """Return the key of the asset that a stage makes."""
    return dg.AssetKey([*PREFIX, name])


def stage_of(step: str | None) -> str:
    """Return the name of the stage that a step of a run makes."""
    return (step or "").rpartition("__")[2]
