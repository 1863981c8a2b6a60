"""Settings of the network, its training and its detections, as upper-case attributes of a class to be subclassed.

This module imports nothing but NumPy.
"""

import math
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

IMAGE_META_FIELDS = 12
"""Columns of image_meta before the active classes: id, original shape, shape, window, scale."""

RESIZE_MODES = ("square", "pad64", "pad32", "crop", "none")
NORMALISATIONS = (None, "frozen", "trained", "group")
PRECISIONS = ("float32", "bfloat16", "float16")


class Config:
    """Base settings: subclass it, override attributes, and set NAME.

    All attributes of matterport's class have the same name, meaning and default. Attributes after "New" are additional,
    and their defaults preserve its behaviour, except IMAGE_PAD_BOUNDED: with pad64 and IMAGE_MIN_DIM 768, a picture of
    720 × 1280 is resized to 576 × 1024, where matterport's code resized it to 768 × 1408.
    """

    NAME: str | None = None

    # Devices and epochs
    GPU_COUNT = 1
    IMAGES_PER_GPU = 2
    STEPS_PER_EPOCH = 1000
    VALIDATION_STEPS = 50

    # Backbone and feature pyramid
    BACKBONE: Any = "resnet101"  # resnet50, resnet101, narrow, or a callable (image, stage5=…, train_bn=…) → C1 … C5
    COMPUTE_BACKBONE_SHAPE: Callable[..., Any] | None = None
    BACKBONE_STRIDES = (4, 8, 16, 32, 64)
    FPN_CLASSIF_FC_LAYERS_SIZE = 1024
    TOP_DOWN_PYRAMID_SIZE = 256
    NUM_CLASSES = 1  # background included

    # Region proposals
    RPN_ANCHOR_SCALES: tuple[float, ...] = (32, 64, 128, 256, 512)  # side of a square anchor in pixels, a level each
    RPN_ANCHOR_RATIOS: tuple[float, ...] = (0.5, 1, 2)  # width / height
    RPN_ANCHOR_STRIDE = 1
    RPN_NMS_THRESHOLD = 0.7
    RPN_TRAIN_ANCHORS_PER_IMAGE = 256
    PRE_NMS_LIMIT = 6000
    POST_NMS_ROIS_TRAINING = 2000
    POST_NMS_ROIS_INFERENCE = 1000

    # Masks and images
    USE_MINI_MASK = True
    MINI_MASK_SHAPE: tuple[int, int] = (56, 56)
    IMAGE_RESIZE_MODE = "square"
    IMAGE_MIN_DIM = 800
    IMAGE_MAX_DIM = 1024
    IMAGE_MIN_SCALE: float = 0
    IMAGE_CHANNEL_COUNT = 3
    MEAN_PIXEL = np.array([123.7, 116.8, 103.9])

    # Regions of interest in training
    TRAIN_ROIS_PER_IMAGE = 200
    ROI_POSITIVE_RATIO = 0.33
    POOL_SIZE = 7
    MASK_POOL_SIZE = 14
    MASK_SHAPE: tuple[int, int] = (28, 28)
    MAX_GT_INSTANCES = 100
    RPN_BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])
    BBOX_STD_DEV = np.array([0.1, 0.1, 0.2, 0.2])

    # Detections
    DETECTION_MAX_INSTANCES = 100
    DETECTION_MIN_CONFIDENCE = 0.7
    DETECTION_NMS_THRESHOLD = 0.3

    # Optimisation
    LEARNING_RATE = 0.001
    LEARNING_MOMENTUM = 0.9
    WEIGHT_DECAY = 0.0001
    LOSS_WEIGHTS: ClassVar[dict[str, float]] = {
        "rpn_class_loss": 1.0,
        "rpn_bbox_loss": 1.0,
        "mrcnn_class_loss": 1.0,
        "mrcnn_bbox_loss": 1.0,
        "mrcnn_mask_loss": 1.0,
    }
    USE_RPN_ROIS = True
    TRAIN_BN: bool | None = False
    GRADIENT_CLIP_NORM: float | None = 5.0  # of all gradients together

    # New: input (mrcnn.data.resizing, mrcnn.data.batches)
    IMAGE_PAD_BOUNDED = True  # pad64, pad32: scale down to IMAGE_MAX_DIM too; False, as matterport's: never scale down
    FAST_DECODE = False  # images scaled to half or less are averaged first, JPEG files while decoding
    LOADER_THREADS: int | None = None  # threads of the input pipeline; None: one per core

    # New: the shape of the network
    BACKBONE_WIDTH = 32  # channels of the first stage of `narrow`; each stage doubles them
    BACKBONE_BLOCKS: tuple[int, int, int, int] = (1, 1, 1, 1)  # blocks a stage of `narrow`
    NORMALISATION: str | None = None  # backbone: None follows TRAIN_BN; frozen, trained, group
    FPN_NORMALISATION: str | None = None  # after each convolution of the pyramid; None: no such layer
    CLASS_HEAD_NORMALISATION: str | None = "same"  # as the backbone; None: no such layer
    MASK_HEAD_NORMALISATION: str | None = "same"
    BATCH_NORM_MOMENTUM = 0.99
    RPN_CHANNELS = 512
    MASK_CONVOLUTIONS = 4
    MASK_CHANNELS = 256
    ROI_POOLING = "crop_and_resize"  # or "roi_align", for networks trained with it
    ROI_CANONICAL_SIZE = 224.0  # side in pixels of a region that is pooled from P4

    # New: sampling
    RPN_POSITIVE_IOU = 0.7
    RPN_NEGATIVE_IOU = 0.3
    ROI_POSITIVE_IOU = 0.5
    ROI_FILL_WITH_NEGATIVES = False  # False keeps negatives in proportion to the positives of the image
    ROI_GROUND_TRUTH_COPIES = 0  # copies of the ground truth among the proposals; all but the first are jittered
    ROI_GROUND_TRUTH_JITTER = 0.15  # largest shift, and change of size, of a copy relative to its size
    MASK_LOSS_SATURATES = True  # clip mask probabilities to 1e-7 from 0 and 1 (no gradient there), as matterport's
    PADDED_ROIS_ARE_BACKGROUND = True  # class loss includes zero-padded regions, as matterport's

    # New: optimisation (mrcnn.training builds the optimizer)
    OPTIMIZER = "sgd"  # sgd: momentum, L2 in the loss; adamw: decoupled decay, no L2 in the loss
    LEARNING_RATE_SCHEDULE = "constant"  # or cosine
    WARMUP_STEPS = 0
    PRECISION = "float32"  # of convolutions, if it is faster on this processor; boxes, softmax, losses: float32
    DETERMINISTIC = False  # bit-identical losses for the same seed; on CPUs, steps take 1 to 2 percent longer
    SEED = 0

    def __init__(self) -> None:
        """Derive BATCH_SIZE, IMAGE_SHAPE and IMAGE_META_SIZE, and check values.

        Raises:
            ValueError: an attribute has an invalid value; the message names it.
        """
        self.BATCH_SIZE = self.IMAGES_PER_GPU * self.GPU_COUNT
        self.IMAGE_SHAPE = np.array(self._image_shape())
        self.IMAGE_META_SIZE = IMAGE_META_FIELDS + self.NUM_CLASSES
        self.check()

    def _image_shape(self) -> list[int]:
        if self.IMAGE_RESIZE_MODE == "crop":
            return [self.IMAGE_MIN_DIM, self.IMAGE_MIN_DIM, self.IMAGE_CHANNEL_COUNT]
        return [self.IMAGE_MAX_DIM, self.IMAGE_MAX_DIM, self.IMAGE_CHANNEL_COUNT]

    def check(self) -> None:
        """Raise ValueError if an attribute has an invalid value; training calls it again, for what was set since."""
        channels = self.IMAGE_CHANNEL_COUNT
        requirements = [
            ("IMAGE_RESIZE_MODE", self.IMAGE_RESIZE_MODE in RESIZE_MODES, f"one of {RESIZE_MODES}"),
            ("PRECISION", self.PRECISION in PRECISIONS, f"one of {PRECISIONS}"),
            ("NORMALISATION", self.NORMALISATION in NORMALISATIONS, f"one of {NORMALISATIONS}"),
            ("FPN_NORMALISATION", self.FPN_NORMALISATION in NORMALISATIONS, f"one of {NORMALISATIONS}"),
            ("ROI_POOLING", self.ROI_POOLING in ("crop_and_resize", "roi_align"), "crop_and_resize or roi_align"),
            ("OPTIMIZER", self.OPTIMIZER in ("sgd", "adamw"), "sgd or adamw"),
            ("ROI_POSITIVE_RATIO", 0 < self.ROI_POSITIVE_RATIO <= 1, "above 0 and at most 1"),
            ("RPN_ANCHOR_SCALES", len(self.RPN_ANCHOR_SCALES) == len(self.BACKBONE_STRIDES), "one for each stride"),
            ("NUM_CLASSES", self.NUM_CLASSES >= 1, "at least 1 (the background)"),
            ("STEPS_PER_EPOCH", _is_whole(self.STEPS_PER_EPOCH, 1), "a whole number from 1: divide by //, not by /"),
            ("VALIDATION_STEPS", _is_whole(self.VALIDATION_STEPS, 0), "a whole number from 0: divide by //, not by /"),
            ("MEAN_PIXEL", np.size(self.MEAN_PIXEL) == channels, f"a value for each of {channels} IMAGE_CHANNEL_COUNT"),
        ]
        for name, is_met, requirement in requirements:
            if not is_met:
                raise ValueError(f"Config.{name} is {getattr(self, name)!r}; it must be {requirement}")

    @property
    def normalisation(self) -> str:
        """Normalisation of the backbone: frozen, trained, always_trained (TRAIN_BN=True) or group."""
        if self.NORMALISATION is not None:
            return self.NORMALISATION
        if self.TRAIN_BN is None:
            return "trained"
        return "always_trained" if self.TRAIN_BN else "frozen"

    @property
    def positive_rois_per_image(self) -> int:
        """Largest number of positive regions of interest that are sampled from an image."""
        return int(self.TRAIN_ROIS_PER_IMAGE * self.ROI_POSITIVE_RATIO)

    def to_dict(self) -> dict[str, Any]:
        """Return all upper-case attributes with their values, sorted by name."""
        names = sorted(name for name in dir(self) if name.isupper())
        return {name: getattr(self, name) for name in names}

    def display(self) -> None:
        """Print all settings, one per line."""
        print("\nConfigurations:")
        for name, value in self.to_dict().items():
            print(f"{name:30} {value}")
        print("\n")


def _is_whole(value: Any, least: int) -> bool:
    return isinstance(value, (int, np.integer)) and bool(value >= least)


class NarrowConfig(Config):
    """A network of about two million weights for training from scratch on a CPU, with 16:9 images at 384×224.

    The values come from the trial on street scenes in docs/benchmarks.md.
    """

    NAME = "narrow"
    BACKBONE = "narrow"
    NORMALISATION = "trained"
    FPN_NORMALISATION = "trained"
    BATCH_NORM_MOMENTUM = 0.95
    IMAGES_PER_GPU = 4
    IMAGE_RESIZE_MODE = "pad64"
    IMAGE_MIN_DIM = 216
    IMAGE_MAX_DIM = 384
    TOP_DOWN_PYRAMID_SIZE = 64
    RPN_CHANNELS = 64
    FPN_CLASSIF_FC_LAYERS_SIZE = 256
    CLASS_HEAD_NORMALISATION = None
    MASK_CONVOLUTIONS = 2
    MASK_CHANNELS = 64
    RPN_ANCHOR_SCALES = (12, 24, 48, 96, 192)
    RPN_POSITIVE_IOU = 0.55
    RPN_TRAIN_ANCHORS_PER_IMAGE = 128
    PRE_NMS_LIMIT = 400
    POST_NMS_ROIS_TRAINING = 96
    POST_NMS_ROIS_INFERENCE = 200
    ROI_GROUND_TRUTH_COPIES = 3
    ROI_CANONICAL_SIZE = 56 * math.sqrt(2)
    TRAIN_ROIS_PER_IMAGE = 64
    ROI_POSITIVE_RATIO = 0.25
    ROI_FILL_WITH_NEGATIVES = True
    PADDED_ROIS_ARE_BACKGROUND = False
    MASK_LOSS_SATURATES = False
    MINI_MASK_SHAPE = (56, 56)
    DETECTION_MIN_CONFIDENCE = 0.05
    DETECTION_NMS_THRESHOLD = 0.5
    OPTIMIZER = "adamw"
    LEARNING_RATE = 0.001
    LEARNING_RATE_SCHEDULE = "cosine"
    WARMUP_STEPS = 60
    STEPS_PER_EPOCH = 100
    VALIDATION_STEPS = 10
