"""What a recipe names and isn't there: sources on this machine, and weights. Addresses are not asked."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from pipeline.errors import PipelineError
from pipeline.recipe import Recipe
from pipeline.recipe.source_entry import parse
from pipeline.sources import label_files, raw_images
from pipeline.sources.resolve import Container, existing, local
from pipeline.stages import STAGES
from pipeline.training.weights import identify

FINDERS: dict[str, Callable[[Container], Any]] = {"images": raw_images.find, "labels": label_files.find}


def absent(recipe: Recipe, stages: Collection[str] = STAGES, look_into: bool = False) -> Iterator[str]:
    """Yield a sentence for each source or weights file that these stages need and that is not there.

    With `look_into`, also for each source that holds nothing to read.
    """
    for role, find in FINDERS.items():
        entries = getattr(recipe.source, role) if f"raw_{role}" in stages else ()
        for source in (parse(entry, f"source.{role}") for entry in entries):
            try:
                if source.kind == "path":
                    find(local(source)) if look_into else existing(source)
            except PipelineError as fault:
                yield str(fault)
    try:
        if "trained_model" in stages:
            identify(recipe.training.weights)
    except PipelineError as fault:
        yield str(fault)
