"""Writes a model as ONNX or SavedModel, with what one must know of it in the file."""

import json
import shutil
from dataclasses import replace
from importlib import metadata, util
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, cast

from pipeline.errors import ExportError
from pipeline.files.atomic import write_json

if TYPE_CHECKING:
    from mrcnn.model import MaskRCNN
    from pipeline.prediction.model import Model

PACKAGES = ("onnx", "tf2onnx", "onnxruntime")
EXTRA = "assets.extra"
"""Folder of a SavedModel for files of others."""
DESCRIPTION = "model.json"


def check(form: str, out: Path) -> None:
    """Raise ExportError where a package for ONNX isn't installed, or something is in the way at `out`."""
    if out.is_dir() or (form == "savedmodel" and out.exists()):
        raise ExportError(f"{out}: is there already; remove it, or name another with --out")
    missing = [name for name in PACKAGES if form == "onnx" and not util.find_spec(name)]
    if missing:
        raise ExportError(f"--to onnx needs {', '.join(missing)}: .venv/bin/python -m pip install {' '.join(missing)}")


def in_float32(model: "Model") -> "Model":
    """Return a model that computes in float32, as exported ones do: few runtimes support 16 bits."""
    from mrcnn import export

    return replace(model, detector=export.in_float32(cast("MaskRCNN", model.detector)))


def write(model: "Model", form: str, out: Path) -> None:
    """Write the model to the file (onnx) or folder (savedmodel) `out`, whole or not at all.

    Raises ExportError where the model has a backbone that can't be exported.
    """
    out.absolute().parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=f".{out.name}-", dir=out.absolute().parent) as folder:
        partial = Path(folder) / out.name
        try:
            _write(model, form, partial)
        except ValueError as error:
            raise ExportError(f"{out}: {error}") from None
        shutil.move(partial, out)


def _write(model: "Model", form: str, path: Path) -> None:
    from mrcnn import export

    network = cast("MaskRCNN", model.detector)
    least = [model.thresholds.get(name, 1.0) for name in model.class_names]
    described = description(model)
    if form == "savedmodel":
        export.export_picture_saved_model(network, path, least)
        (path / EXTRA).mkdir()
        write_json(path / EXTRA / DESCRIPTION, described)
        return
    texts = {name: value if isinstance(value, str) else json.dumps(value) for name, value in described.items()}
    export.export_picture_onnx(network, path, least, texts)


def description(model: "Model") -> dict[str, Any]:
    """Return what the file says of itself: classes (background first), thresholds, sizes, and what it was made of."""
    config = cast("MaskRCNN", model.detector).config
    return {
        "class_names": list(model.class_names),
        "thresholds": dict(model.thresholds),
        "max_detections": model.max_detections,
        "resize": {
            "mode": config.IMAGE_RESIZE_MODE,
            "min_dim": config.IMAGE_MIN_DIM,
            "max_dim": config.IMAGE_MAX_DIM,
        },
        "image": "uint8 RGB [height, width, 3], of any size, upright",
        "boxes": "float32 [N, 4]: x1, y1, x2, y2 in pixels of the image, x2 and y2 exclusive",
        "class_ids": "int32 [N]: positions in class_names",
        "scores": "float32 [N], highest first, from the thresholds on",
        "masks": "bool [N, height, width]",
        "model": f"{config.NAME} {model.fingerprint}",
        "made_by": f"bdd-mask-rcnn {metadata.version('bdd-mask-rcnn')}",
    }
