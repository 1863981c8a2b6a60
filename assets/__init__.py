"""The Dagster side: which assets exist, what feeds what, and when they run."""

from assets.definitions import defs

__all__ = ["defs"]
