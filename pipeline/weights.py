"""Where training starts from: nothing, ImageNet, COCO, or a weights file of one's own."""

from pathlib import Path
from typing import Any

from pipeline.errors import SourceError
from pipeline.hashes import digest

NAMED = ("none", "imagenet", "coco")


def identify(weights: str) -> Any:
    """Return what the recipe's `training.weights` stands for now: its name, or its file's SHA-256.

    Raises SourceError where it is neither a known name nor a file.
    """
    if weights in NAMED:
        return weights
    path = Path(weights)
    if not path.is_file():
        raise SourceError(f"training.weights: {weights} is neither {', '.join(NAMED)} nor a file")
    return {"sha256": digest(path)}
