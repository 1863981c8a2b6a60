"""The API of matterport's `mrcnn.model`: `MaskRCNN`, and the functions of that module, imported from elsewhere."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from numpy.typing import NDArray

from mrcnn import network, weights
from mrcnn.config import Config
from mrcnn.data.dataset import Dataset
from mrcnn.data.image_meta import compose_image_meta, mold_image, parse_image_meta, unmold_image
from mrcnn.data.pixels import images_to_detect
from mrcnn.data.resizing import Frame, resize_for
from mrcnn.data.rpn_targets import build_rpn_targets
from mrcnn.data.samples import load_image_gt
from mrcnn.network.detections import ImageDetections, unmold, unmold_in_window
from mrcnn.ops.gradients import enable_determinism
from mrcnn.original import names
from mrcnn.original.data_generator import build_detection_targets, data_generator, generate_random_rois
from mrcnn.original.inspection import Inspection, log
from mrcnn.shapes.anchors import compute_backbone_shapes, image_anchors, normalised_anchors
from mrcnn.shapes.masks import unmold_masks
from mrcnn.shapes.rle import encode_masks
from mrcnn.training import LearningRateSchedule, TrainingResult, devices, train
from mrcnn.training.optimizers import FusedSGD
from mrcnn.training.run_folders import checkpoint_of, last_checkpoint, new_run_folder, reserved_run_folder
from mrcnn.weights import imagenet

__all__ = [
    "MaskRCNN", "build_detection_targets", "build_rpn_targets", "compose_image_meta", "compute_backbone_shapes",
    "data_generator", "generate_random_rois", "load_image_gt", "log", "mold_image", "parse_image_meta", "unmold_image",
]  # fmt: skip

Arrays = NDArray[Any]

MODES = ("training", "inference")
MASK_FORMATS = ("arrays", "rle")


def __getattr__(name: str) -> Any:
    return names.lookup(__name__, name)


def detection_function(model: keras.Model) -> Callable[[Arrays, Arrays, Arrays], tuple[tf.Tensor, tf.Tensor]]:
    """Return a function from images, metas and anchors to detections and masks, traced once for all shapes."""

    @tf.function(reduce_retracing=True, jit_compile=False)
    def run(images: tf.Tensor, metas: tf.Tensor, anchors: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        outputs = model([images, metas, anchors], training=False)
        return outputs[0], outputs[3]

    return lambda *arrays: run(*(tf.convert_to_tensor(array) for array in arrays))


def groups_of_one_shape(shapes: list[tuple[int, ...]], size: int) -> list[list[int]]:
    """Return the indices of `shapes` in groups of at most `size` with the same shape."""
    by_shape: dict[tuple[int, ...], list[int]] = {}
    for index, shape in enumerate(shapes):
        by_shape.setdefault(shape, []).append(index)
    return [group[i : i + size] for group in by_shape.values() for i in range(0, len(group), size)]


def detection_result(detections: ImageDetections, shape: tuple[int, ...], masks: str) -> dict[str, Any]:
    """Return the dict that `detect` returns for an image of `shape`, with masks as arrays or as rle."""
    boxes = detections.rois
    result: dict[str, Any] = {"rois": boxes, "class_ids": detections.class_ids, "scores": detections.scores}
    if masks == "rle":
        return result | {"rles": encode_masks(detections.masks, boxes, shape)}
    return result | {"masks": unmold_masks(detections.masks, boxes, shape)}


class MaskRCNN(Inspection):
    """Mask R-CNN for training or inference; the network is `keras_model`."""

    def __init__(self, mode: str, config: Config, model_dir: str | Path):
        """Build the network with newly initialised weights.

        Args:
            mode: training or inference.
            config: the settings; training needs a NAME.
            model_dir: folder of run folders with checkpoints.

        Raises:
            ValueError: the mode is neither.
        """
        if mode not in MODES:
            raise ValueError(f"mode is {mode!r}; it must be training or inference")
        self.mode, self.config, self.model_dir = mode, config, str(model_dir)
        if config.DETERMINISTIC:
            enable_determinism()
            keras.utils.set_random_seed(config.SEED)
        self.set_log_dir()
        self.keras_model = self.build(mode, config)
        self._detect: Callable[[Arrays, Arrays, Arrays], tuple[tf.Tensor, tf.Tensor]] | None = None

    def build(self, mode: str, config: Config) -> keras.Model:
        """Return a new network for a mode; a training network is built for GPU_COUNT devices."""
        if mode == "inference":
            return network.inference_network(config)
        with devices.scope(config):
            return network.training_network(config)

    # Weights

    def find_last(self) -> names.CheckpointPath:
        """Return the path of the last checkpoint of the newest run with this configuration's NAME.

        It is a str; scripts of before mid 2018 may take it as (folder, path).

        Raises:
            FileNotFoundError: there is none.
        """
        return names.CheckpointPath(last_checkpoint(Path(self.model_dir), self._name).path)

    def load_weights(self, filepath: str | Path, by_name: bool = False, exclude: Sequence[str] | None = None) -> None:
        """Load a weights file, all of it or, on any mismatch, nothing.

        Files of matterport's package or of this one, of a whole network or only a backbone, with or without a root
        group `model_weights`, and keras.applications' ResNets. After loading a checkpoint of a run of this NAME,
        training continues in its folder with the next epoch.

        Args:
            filepath: the .h5 file.
            by_name: for compatibility; tensors are always matched by name.
            exclude: names of layers that are not changed, such as those whose shape depends on the number of classes.

        Raises:
            FileNotFoundError: there is no such file.
            mrcnn.weights.WeightsError: file and network differ; the message lists every tensor.
            ValueError: `exclude` names an unknown layer.
        """
        with weights.opened_file(filepath) as stored:
            is_applications = imagenet.is_applications_file(stored)
            datasets = imagenet.renamed(stored) if is_applications else stored
            variables = weights.matching_variables(self.keras_model, datasets, str(filepath), list(exclude or ()))
            tensors = weights.read({key: datasets[key] for key in variables})  # no others: a file may claim any size
        weights.assign(variables, imagenet.backbone_tensors(tensors) if is_applications else tensors)
        self.set_log_dir(filepath)

    def save_weights(self, filepath: str | Path) -> None:
        """Write the weights in matterport's layout."""
        weights.save(self.keras_model, filepath)

    def get_imagenet_weights(self) -> str:
        """Return the path of keras.applications' ImageNet weights of the backbone, downloaded once.

        Raises:
            ValueError: there are none for the backbone.
            OSError: the download failed; the message says which file to put where.
        """
        return str(imagenet.download(self.config.BACKBONE))

    # Training

    def train(
        self, train_dataset: Dataset, val_dataset: Dataset | None, learning_rate: float | LearningRateSchedule,
        epochs: int, layers: str, augmentation: Any = None, custom_callbacks: Sequence[Any] | None = None,
        no_augmentation_sources: list[str] | None = None, **options: Any,
    ) -> TrainingResult:  # fmt: skip
        """Train to epoch `epochs`; see `mrcnn.training.train` for all arguments."""
        arguments = (learning_rate, epochs, layers, augmentation, custom_callbacks, no_augmentation_sources)
        return train(self, train_dataset, val_dataset, *arguments, **options)

    def compile(self, learning_rate: float, momentum: float) -> None:
        """Compile the network for its own `fit` with momentum SGD, as matterport's `train` did."""
        optimizer = FusedSGD(learning_rate, momentum=momentum, global_clipnorm=self.config.GRADIENT_CLIP_NORM)
        self.keras_model.compile(optimizer=optimizer, jit_compile=False)

    def set_trainable(self, layer_regex: str, keras_model: Any = None, indent: int = 0, verbose: int = 1) -> None:
        """Make trainable the layers whose full names match, and only these; those of `rpn_model` by their own names.

        Args:
            layer_regex: a regular expression over layer names, of RE2: Python's may take years for some.
            keras_model: a model other than the whole network.
            indent: indentation of the printed names.
            verbose: above 0: print the names.

        Raises:
            ValueError: no layer with weights matches, or RE2 has no such expression.
        """
        layers = list(weights.named_layers(keras_model or self.keras_model))
        try:
            matches = tf.strings.regex_full_match([layer.name for _, layer in layers], layer_regex).numpy()
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(f"{layer_regex!r} is no regular expression of RE2: {error.message}") from None
        matching = [layer for (_, layer), is_wanted in zip(layers, matches, strict=True) if is_wanted]
        if not matching:
            raise ValueError(f"no layer with weights has a name that matches {layer_regex!r}")
        for _, layer in layers:
            layer.trainable = layer in matching
        if verbose > 0:
            for layer in matching:
                print(f"{' ' * indent}{layer.name:20}   ({type(layer).__name__})")

    def set_log_dir(self, model_path: str | Path | None = None) -> None:
        """Set the run's folder to that of `model_path`, if it is a checkpoint of this NAME, or to a new one.

        Sets `log_dir`, `epoch` (finished epochs) and `checkpoint_path` (a format string with `{epoch:04d}`).
        """
        checkpoint = checkpoint_of(Path(model_path).absolute(), self._name) if model_path else None
        folder = checkpoint.path.parent if checkpoint else new_run_folder(Path(self.model_dir), self._name)
        self.epoch = checkpoint.epoch if checkpoint else 0
        self._new_log_dir = None if checkpoint else str(folder)
        self._use_log_dir(folder)

    def reserve_log_dir(self) -> None:
        """Create the folder of a new run, under another name if another process has taken it."""
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

    def detect(self, images: Sequence[NDArray[Any]], verbose: int = 0, masks: str = "arrays") -> list[dict[str, Any]]:
        """Detect instances in images, in batches of BATCH_SIZE.

        Args:
            images: any number of [H, W, C] uint8, of any sizes, RGB for three channels; floats of 0 … 255 or 0 … 1, and
                uint16, mean the same as uint8 of the same values.
            verbose: above 0: print the number of images.
            masks: arrays, or rle for COCO's compressed run lengths.

        Returns:
            For each image a dict with rois [N, 4] int32 (y1, x1, y2, x2) in its pixels, class_ids [N], scores [N], best
            first, and masks [H, W, N] bool or rles, a list of {"size": [H, W], "counts": bytes}.

        Raises:
            ValueError: the mode, an image or `masks` is invalid.
        """
        self._check_detection(masks)
        images = images_to_detect(images, self.config)
        placed = [resize_for(image, self.config) for image in images]
        metas = [self._meta(image, resized, frame) for image, (resized, frame) in zip(images, placed, strict=True)]
        if verbose > 0:
            log(f"Processing {len(images)} images")
        results: list[dict[str, Any]] = [{} for _ in images]
        for batch in groups_of_one_shape([resized.shape for resized, _ in placed], self.config.BATCH_SIZE):
            pixels, rows = np.stack([placed[i][0] for i in batch]), np.stack([metas[i] for i in batch])
            for i, detections in zip(batch, self._detections(pixels, rows), strict=True):
                results[i] = detection_result(detections, images[i].shape, masks)
        return results

    def detect_molded(
        self, molded_images: NDArray[Any], image_metas: NDArray[Any], verbose: int = 0, masks: str = "arrays"
    ) -> list[dict[str, Any]]:
        """Detect instances in molded images; results are as those of `detect`, in pixels of the molded images.

        Args:
            molded_images: [B, H, W, 3] float32 minus the mean pixel, or uint8.
            image_metas: [B, M].
            verbose: above 0: print the arguments.
            masks: arrays or rle.
        """
        self._check_detection(masks)
        if verbose > 0:
            log("molded_images", molded_images)
            log("image_metas", image_metas)
        metas = np.array(image_metas)
        metas[:, 1:4] = molded_images.shape[1:]
        metas[:, 7:11] = (0, 0, *molded_images.shape[1:3])
        detections = self._detections(molded_images, np.asarray(image_metas), metas)
        return [detection_result(of_image, molded_images.shape[1:], masks) for of_image in detections]

    def mold_inputs(
        self, images: Sequence[NDArray[Any]]
    ) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.int64]]:
        """Return molded images [B, H, W, C] float32, metas [B, M] and windows [B, 4] of images resized to one size."""
        images = images_to_detect(images, self.config)
        placed = [resize_for(image, self.config) for image in images]
        metas = [self._meta(image, resized, frame) for image, (resized, frame) in zip(images, placed, strict=True)]
        molded = np.stack([mold_image(resized, self.config) for resized, _ in placed])
        return molded, np.stack(metas), np.stack([frame.window for _, frame in placed])

    def unmold_detections(
        self, detections: Arrays, mrcnn_mask: Arrays, original_image_shape: Any, image_shape: Any, window: Any
    ) -> tuple[Arrays, Arrays, Arrays, Arrays]:
        """Return boxes [N, 4], class ids [N], scores [N], masks [H, W, N] of one image, in pixels of the original.

        The arguments are the network's detections [D, 6] and masks [D, h, w, C] of the image, the shapes before and
        after resizing, and the window (y1, x1, y2, x2) in pixels.
        """
        kept = unmold_in_window(detections, mrcnn_mask, original_image_shape, image_shape, window)
        full = unmold_masks(kept.masks, kept.rois, tuple(original_image_shape))
        return kept.rois, kept.class_ids, kept.scores, full

    def get_anchors(self, image_shape: Sequence[int]) -> NDArray[np.float32]:
        """Return anchors [A, 4] float32 (y1, x1, y2, x2) in fractions of images of shape (height, width, …).

        Sets the attribute `anchors` to the same in pixels, float64.
        """
        self.anchors = image_anchors(self.config, image_shape)
        return normalised_anchors(self.config, image_shape)

    def _meta(self, image: Arrays, resized: Arrays, frame: Frame) -> NDArray[np.float64]:
        active = np.zeros(self.config.NUM_CLASSES, np.int32)
        return compose_image_meta(0, image.shape, resized.shape, frame.window, frame.scale, active)

    def _check_detection(self, masks: str) -> None:
        if self.mode != "inference":
            raise ValueError(
                "a model of mode 'training' can't detect: create one with mode='inference' and load weights"
            )
        if masks not in MASK_FORMATS:
            raise ValueError(f"masks={masks!r} is not one of {', '.join(MASK_FORMATS)}")

    def _detections(self, images: Arrays, metas: Arrays, result_metas: Arrays | None = None) -> list[ImageDetections]:
        """Return the detections in images with `metas`, in the pixels described by `result_metas` (default: metas)."""
        if self._detect is None:
            self._detect = detection_function(self.keras_model)
        anchors = self.get_anchors(images.shape[1:])
        anchors = np.broadcast_to(anchors, (len(images), *anchors.shape))
        rows, masks = self._detect(images, metas.astype(np.float32), anchors)
        per_image = zip(rows.numpy(), masks.numpy(), metas if result_metas is None else result_metas, strict=True)
        return [unmold(*of_image) for of_image in per_image]
