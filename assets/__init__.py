"""The Dagster side: which assets exist, what feeds what, and when they run. The work itself lives in `pipeline`."""

from assets.definitions import defs

__all__ = ["defs"]
