"""What `--select` means: Dagster's own selections, also several with commas between; and what is wrong with one."""

import re

import dagster as dg
from dagster._core.definitions.asset_selection import DagsterInvalidAssetSelectionError
from dagster._core.definitions.assets.graph.base_asset_graph import BaseAssetGraph
from dagster._core.errors import DagsterInvalidSubsetError

from pipeline.errors import PipelineError
from pipeline.recipe.spelling import did_you_mean
from pipeline.stages import STAGES


class SelectionError(PipelineError):
    """A selection that names no asset of the chain."""


def selected(select: str, graph: BaseAssetGraph) -> list[dg.AssetKey]:
    """Return the keys of the assets that `select` names; raises SelectionError, which lists the assets."""
    keys: set[dg.AssetKey] = set()
    for part in map(str.strip, select.split(",")):
        try:
            found = dg.AssetSelection.from_string(part).resolve(graph)
        except (DagsterInvalidAssetSelectionError, DagsterInvalidSubsetError):
            found = set()
        if not found:
            raise SelectionError(_sentence(part))
        keys |= found
    return sorted(keys)


def _sentence(part: str) -> str:
    """Return what is wrong with a part that selects nothing."""
    names = re.findall(r"\w+", part)
    unknown = [name for name in names if name not in STAGES]
    if names and not unknown:
        return f"--select {part}: put commas between assets: --select {','.join(names)}"
    meant = next((near for name in unknown if (near := did_you_mean(name, STAGES))), "")
    return f"--select {part}: there is no such asset; the assets are {', '.join(STAGES)}{meant}"
