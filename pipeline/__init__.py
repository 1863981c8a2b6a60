"""From raw BDD100K or VIA labels to a trained Mask R-CNN and its report: plain functions from files to files.

Nothing here knows of Dagster, but for `dagster_pipes` in `program.py`. In the order in which data flows: sources,
raw images and labels, filtered labels, VIA, dataset, training, evaluation, prediction.

`from pipeline import load_model` opens a trained model: `load_model("data/trained_model/latest").predict("folder/")`.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.prediction.opening import load_model

__all__ = ["load_model"]


def __getattr__(name: str) -> Any:
    if name == "load_model":  # not before it is asked for: it imports the network's libraries
        from pipeline.prediction.opening import load_model

        return load_model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
