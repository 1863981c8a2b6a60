"""The Dagster side: which assets exist, what feeds what, and when they run."""

import importlib.util
import sys

if importlib.util.find_spec("dagster") is None:
    sys.exit(
        "Dagster is not installed: pip install 'bdd-mask-rcnn[dagster]', or use python -m pipeline.chain without it"
    )

from assets.definitions import defs

__all__ = ["defs"]
