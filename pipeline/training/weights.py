"""Where training starts from: nothing, ImageNet, COCO, or a weights file of one's own."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.errors import SourceError, TrainingError
from pipeline.files import downloads_folder
from pipeline.files.digests import digest
from pipeline.recipe.sections import NAMED_WEIGHTS, Training
from pipeline.recipe.spelling import did_you_mean

if TYPE_CHECKING:
    from mrcnn.model import MaskRCNN

CLASS_LAYERS = ("mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask")
"""Layers whose shapes follow from the number of classes."""


def identify(weights: str) -> Any:
    """Return what the recipe's `training.weights` stands for now: its name, or its file's SHA-256.

    Raises SourceError where it is neither a known name nor a file.
    """
    if weights in NAMED_WEIGHTS:
        return weights
    path = Path(weights)
    if not path.is_file():
        meant = did_you_mean(path.name, NAMED_WEIGHTS)
        raise SourceError(f"training.weights: {weights} is neither {', '.join(NAMED_WEIGHTS)} nor a file{meant}")
    return {"sha256": digest(path)}


def load_into(model: "MaskRCNN", training: Training) -> None:
    """Load what `training.weights` names into a fresh model; `none` loads nothing.

    Layers that depend on the classes are left out of `coco`. Raises TrainingError, listing every tensor that is
    missing or misshapen, and SourceError where a file can't be had.
    """
    from mrcnn.weights.coco import download_trained_weights

    if training.weights == "none":
        return
    exclude = [*training.exclude, *(CLASS_LAYERS if training.weights == "coco" else ())]
    try:
        if training.weights == "imagenet":
            path = model.get_imagenet_weights()
        elif training.weights == "coco":
            path = str(downloads_folder() / "mask_rcnn_coco.h5")
            downloads_folder().mkdir(parents=True, exist_ok=True)
            download_trained_weights(path)
        else:
            path = training.weights
        model.load_weights(path, by_name=True, exclude=exclude)
    except OSError as error:
        raise SourceError(f"training.weights: {error}") from None
    except ValueError as error:
        raise TrainingError(f"training.weights: {error}") from None
