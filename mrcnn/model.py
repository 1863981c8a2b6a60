"""The façade that old code imports: `MaskRCNN` and the functions that stood beside it in the original's model.py.

Nothing is computed here; each method names the module that does the work.
"""

import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrcnn import network, weights
from mrcnn.config import Config
from mrcnn.data.image_meta import compose_image_meta, mold_image, parse_image_meta, unmold_image
from mrcnn.data.resizing import resize_for
from mrcnn.data.rpn_targets import build_rpn_targets
from mrcnn.data.samples import load_image_gt
from mrcnn.network.detections import ImageDetections, unmold, unmold_in_window
from mrcnn.ops.gradient_order import enable_determinism
from mrcnn.original import names
from mrcnn.original.data_generator import build_detection_targets, data_generator, generate_random_rois
from mrcnn.original.inspection import Inspection, log
from mrcnn.shapes.anchors import compute_backbone_shapes, image_anchors, normalised_anchors
from mrcnn.shapes.masks import unmold_masks
from mrcnn.shapes.rle import encode_masks
from mrcnn.training import devices
from mrcnn.training.optimizers import FusedSGD
from mrcnn.training.run_folders import checkpoint_of, last_checkpoint, new_run_folder, reserved_run_folder
from mrcnn.weights import imagenet


def detection_function(model: keras.Model) -> Any:
    """The network's detections and masks alone, as one function for all shapes, so that none is traced twice."""

    @tf.function(reduce_retracing=True, jit_compile=False)
    def run(images, metas, boxes):
        outputs = model([images, metas, boxes], training=False)
        return outputs[0], outputs[3]

    def of_arrays(images, metas, boxes):
        return run(tf.convert_to_tensor(images), tf.convert_to_tensor(metas), tf.convert_to_tensor(boxes))

    return of_arrays


def batches_of_one_shape(shapes: list[tuple[int, ...]], size: int) -> list[list[int]]:
    """Indices in groups of at most `size`, each of one shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    return [group[i : i + size] for group in by_shape.values() for i in range(0, len(group), size)]


def result(found: ImageDetections, shape: tuple[int, ...], masks: str) -> dict[str, Any]:
    """What `detect` returns of an image of `shape`, with masks as arrays or as rle."""
    result: dict[str, Any] = {"rois": found.rois, "class_ids": found.class_ids, "scores": found.scores}
    if masks == "rle":
        return result | {"rles": encode_masks(found.masks, found.rois, shape)}
    return result | {"masks": unmold_masks(found.masks, found.rois, shape)}


__all__ = [
    "MaskRCNN", "build_detection_targets", "build_rpn_targets", "compose_image_meta", "compute_backbone_shapes",
    "data_generator", "generate_random_rois", "load_image_gt", "log", "mold_image", "parse_image_meta", "unmold_image",
]  # fmt: skip

logger = logging.getLogger(__name__)

MODES = ("training", "inference")
MASK_FORMS = ("arrays", "rle")


def __getattr__(name: str) -> Any:
    return names.found(__name__, name)


class MaskRCNN(Inspection):
    """Mask R-CNN for training or for inference; the network itself is `keras_model`."""

    def __init__(self, mode: str, config: Config, model_dir: str | Path):
        """Build the network with fresh weights.

        Args:
            mode: training or inference.
            config: settings; it needs a NAME for training.
            model_dir: where run folders with checkpoints are kept.

        Raises:
            ValueError: the mode is neither of the two.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be training or inference")
        self.mode, self.config, self.model_dir = mode, config, str(model_dir)
        if config.DETERMINISTIC:
            enable_determinism()
            keras.utils.set_random_seed(config.SEED)
        self.set_log_dir()
        self.keras_model = self.build(mode, config)
        self._run: Any = None

    def build(self, mode: str, config: Config) -> keras.Model:
        """The network for a mode, with fresh weights; one for training is built for GPU_COUNT devices."""
        if mode == "inference":
            return network.inference_network(config)
        with devices.scope(config):
            return network.training_network(config)

    # Weights

    def find_last(self) -> str:
        """Path of the last checkpoint of the newest run with this configuration's NAME.

        Raises:
            FileNotFoundError: there is none.
        """
        return str(last_checkpoint(Path(self.model_dir), self._name).path)

    def load_weights(self, filepath: str | Path, by_name: bool = False, exclude: Sequence[str] | None = None) -> None:
        """Load a weights file, all of it or, on any difference, nothing.

        Files: of the original or of this package, of a whole network or of a backbone alone, with or without a
        `model_weights` root, and keras.applications' ResNets. If it is a checkpoint of a run of this NAME, training
        goes on in its folder with its next epoch.

        Args:
            filepath: the .h5 file.
            by_name: accepted as in the original; tensors are always matched by name.
            exclude: names of layers to leave as they are, such as those whose shape the number of classes decides.

        Raises:
            FileNotFoundError: there is no such file.
            mrcnn.weights.WeightsError: file and network differ; the message lists every tensor.
            ValueError: `exclude` names a layer that is in neither.
        """
        with weights.opened(filepath) as stored:
            applications = imagenet.is_applications_file(stored)
            named = imagenet.renamed(stored) if applications else stored
            wanted = weights.fitting(self.keras_model, named, str(filepath), list(exclude or ()))
            tensors = weights.read({key: named[key] for key in wanted})  # only what fits: a file may claim anything
        weights.assign(wanted, imagenet.backbone_tensors(tensors) if applications else tensors)
        self.set_log_dir(filepath)

    def save_weights(self, filepath: str | Path) -> None:
        """Write the weights in the original's layout."""
        weights.save(self.keras_model, filepath)

    def get_imagenet_weights(self) -> str:
        """Path of keras.applications' ImageNet weights of the backbone, downloaded once.

        Raises:
            ValueError: the backbone has none.
            OSError: they could not be downloaded; the message says which file to put where.
        """
        return str(imagenet.download(self.config.BACKBONE))

    # Training

    def train(
        self, train_dataset, val_dataset, learning_rate, epochs, layers,
        augmentation=None, custom_callbacks=None, no_augmentation_sources=None, **ours,
    ):  # fmt: skip
        """Train to epoch `epochs`; see `mrcnn.training.train`, which it calls, for all arguments."""
        from mrcnn.training import train

        arguments = (learning_rate, epochs, layers, augmentation, custom_callbacks, no_augmentation_sources)
        return train(self, train_dataset, val_dataset, *arguments, **ours)

    def compile(self, learning_rate: float, momentum: float) -> None:
        """Make the network ready for its own `fit` with momentum SGD, as the original's `train` did."""
        optimizer = FusedSGD(learning_rate, momentum=momentum, global_clipnorm=self.config.GRADIENT_CLIP_NORM)
        self.keras_model.compile(optimizer=optimizer, jit_compile=False)

    def set_trainable(self, layer_regex: str, keras_model: Any = None, indent: int = 0, verbose: int = 1) -> None:
        """Train the layers whose whole name matches; those of `rpn_model` by their own names.

        Args:
            layer_regex: a regular expression over layer names.
            keras_model: other than the whole network.
            indent: of the printed names.
            verbose: above 0 the names are printed.

        Raises:
            ValueError: no layer with weights matches.
        """
        layers = list(weights.named_layers(keras_model or self.keras_model))
        found = [leaf for _, leaf in layers if re.fullmatch(layer_regex, leaf.name)]
        if not found:
            raise ValueError(f"no layer with weights has a name that matches {layer_regex!r}")
        for _, leaf in layers:
            leaf.trainable = leaf in found
        if verbose > 0:
            for leaf in found:
                print(f"{' ' * indent}{leaf.name:20}   ({type(leaf).__name__})")

    def set_log_dir(self, model_path: str | Path | None = None) -> None:
        """Choose the run's folder: that of the checkpoint `model_path`, if it is one of this NAME, or a new one.

        Sets `log_dir`, `epoch` (finished before) and `checkpoint_path` (a format with `{epoch:04d}`).
        """
        checkpoint = checkpoint_of(Path(model_path).absolute(), self._name) if model_path else None
        folder = checkpoint.path.parent if checkpoint else new_run_folder(Path(self.model_dir), self._name)
        self.epoch = checkpoint.epoch if checkpoint else 0
        self._new_log_dir = None if checkpoint else str(folder)
        self._use_log_dir(folder)

    def reserve_log_dir(self) -> None:
        """Create a new run's folder, under another name where another process took it since it was chosen."""
        if self.log_dir == self._new_log_dir:
            self._use_log_dir(reserved_run_folder(Path(self.log_dir)))
            self._new_log_dir = None

    def _use_log_dir(self, folder: Path) -> None:
        self.log_dir = str(folder)
        self.checkpoint_path = str(folder / f"mask_rcnn_{self._name.lower()}_{{epoch:04d}}.h5")

    @property
    def _name(self) -> str:
        return self.config.NAME or "mask_rcnn"

    # Detection

    def detect(
        self, images: Sequence[NDArray[np.uint8]], verbose: int = 0, masks: str = "arrays"
    ) -> list[dict[str, Any]]:
        """Find instances in images, BATCH_SIZE at a time.

        Args:
            images: any number of [H, W, 3] uint8 RGB, of any sizes.
            verbose: print what goes in above 0.
            masks: arrays, or rle for COCO's compressed run lengths.

        Returns:
            For each image a dict of rois [N, 4] int32 (y1, x1, y2, x2) in its pixels, class_ids [N], scores [N], best
            first, and masks [H, W, N] bool or rles, a list of {"size": [H, W], "counts": bytes}.

        Raises:
            ValueError: the mode or `masks` is wrong.
        """
        self._check_detection(masks)
        placed = [resize_for(image, self.config) for image in images]
        metas = [self._meta(image, resized, frame) for image, (resized, frame) in zip(images, placed, strict=True)]
        if verbose > 0:
            log(f"Processing {len(images)} images")
        results: list[dict[str, Any]] = [{} for _ in images]
        for batch in batches_of_one_shape([resized.shape for resized, _ in placed], self.config.BATCH_SIZE):
            pixels, rows = np.stack([placed[i][0] for i in batch]), np.stack([metas[i] for i in batch])
            for i, found in zip(batch, self._found(pixels, rows), strict=True):
                results[i] = result(found, images[i].shape, masks)
        return results

    def detect_molded(
        self, molded_images: NDArray[Any], image_metas: NDArray[Any], verbose: int = 0, masks: str = "arrays"
    ) -> list[dict[str, Any]]:
        """As `detect`, for images that are molded already; results are in the pixels of the molded images.

        Args:
            molded_images: [B, H, W, 3] float32 with the mean pixel off, or uint8.
            image_metas: [B, M].
            verbose: print what goes in above 0.
            masks: arrays or rle.
        """
        self._check_detection(masks)
        if verbose > 0:
            log("molded_images", molded_images)
            log("image_metas", image_metas)
        metas = np.array(image_metas)
        metas[:, 1:4] = molded_images.shape[1:]
        metas[:, 7:11] = (0, 0, *molded_images.shape[1:3])
        found = self._found(molded_images, np.asarray(image_metas), metas)
        return [result(one, molded_images.shape[1:], masks) for one in found]

    def mold_inputs(
        self, images: Sequence[NDArray[np.uint8]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
        """Images of one size after resizing as (molded [B, H, W, 3] float32, metas [B, M], windows [B, 4])."""
        placed = [resize_for(image, self.config) for image in images]
        metas = [self._meta(image, resized, frame) for image, (resized, frame) in zip(images, placed, strict=True)]
        molded = np.stack([mold_image(resized, self.config) for resized, _ in placed])
        return molded, np.stack(metas), np.stack([frame.window for _, frame in placed])

    def unmold_detections(self, detections, mrcnn_mask, original_image_shape, image_shape, window):
        """Boxes [N, 4], class ids [N], scores [N], masks [H, W, N] of one image, in pixels of the original image.

        The arguments are one row of the network's detections [D, 6] and masks [D, h, w, C], the shapes before and after
        resizing, and the window (y1, x1, y2, x2) in pixels.
        """
        found = unmold_in_window(detections, mrcnn_mask, original_image_shape, image_shape, window)
        full = unmold_masks(found.masks, found.rois, tuple(original_image_shape))
        return found.rois, found.class_ids, found.scores, full

    def get_anchors(self, image_shape: Sequence[int]) -> NDArray[np.float32]:
        """Anchors [A, 4] float32 (y1, x1, y2, x2) as fractions of images of shape (height, width, …).

        `anchors` is then the same in pixels, float64.
        """
        self.anchors = image_anchors(self.config, image_shape)
        return normalised_anchors(self.config, image_shape)

    def _meta(self, image, resized, frame) -> NDArray[np.float64]:
        active = np.zeros(self.config.NUM_CLASSES, np.int32)
        return compose_image_meta(0, image.shape, resized.shape, frame.window, frame.scale, active)

    def _check_detection(self, masks: str) -> None:
        if self.mode != "inference":
            raise ValueError(
                "a model of mode 'training' can't detect: create one with mode='inference' and load weights"
            )
        if masks not in MASK_FORMS:
            raise ValueError(f"masks={masks!r} is not one of {', '.join(MASK_FORMS)}")

    def _found(
        self, images: NDArray[Any], metas: NDArray[Any], places: NDArray[Any] | None = None
    ) -> list[ImageDetections]:
        """Detections in images with `metas`, in the pixels that `places` (other meta rows; else metas) speak of."""
        if self._run is None:
            self._run = detection_function(self.keras_model)
        anchors_ = self.get_anchors(images.shape[1:])
        boxes = np.broadcast_to(anchors_, (len(images), *anchors_.shape))
        rows, masks = self._run(images, metas.astype(np.float32), boxes)
        found = zip(rows.numpy(), masks.numpy(), metas if places is None else places, strict=True)
        return [unmold(row, mask, meta) for row, mask, meta in found]
