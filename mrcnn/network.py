"""The network put together, for training and for inference, and what one step of training does.

Loops, callbacks and schedules are in training; reading and writing weights in weights.
"""

import logging
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mrcnn import boxes, losses
from mrcnn.anchors import Anchors
from mrcnn.backbones import backbone
from mrcnn.config import Config
from mrcnn.detections import Detections, SpreadMasks
from mrcnn.fpn import feature_pyramid
from mrcnn.heads import RegionProposalHead, WithoutGradient, class_head, mask_head
from mrcnn.proposals import Proposals
from mrcnn.roi import ChosenRegions, FlatRegions, PyramidPooling
from mrcnn.targets import AnchorOfPosition, DetectionTargets, SampledAnchors

log = logging.getLogger(__name__)

FIRST_ACTIVE_CLASS = 12
COARSEST_STRIDE = 32


class Network(keras.Model):
    """A functional model that takes uint8 images too, and then takes the mean pixel off by itself."""

    def __init__(self, *args: Any, config: Config, **kwargs: Any):
        """Wrap inputs and outputs; `config` gives MEAN_PIXEL."""
        super().__init__(*args, **kwargs)
        self.config = config

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """The outputs for inputs whose first is images [B, H, W, 3]: uint8 RGB, or float32 already molded."""
        images, *rest = inputs
        if images.dtype in (tf.uint8, "uint8"):
            images = tf.cast(images, tf.float32) - np.asarray(self.config.MEAN_PIXEL, np.float32)
        return super().call([images, *rest], training=training, mask=mask)


class TrainingNetwork(Network):
    """The network with its losses: `fit`, `train_on_batch` and `test_on_batch` take batches of inputs alone."""

    def __init__(self, *args: Any, **kwargs: Any):
        """Add a running mean for the total and each part of the loss."""
        super().__init__(*args, **kwargs)
        names = ("loss", *losses.LOSSES, "l2_loss")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means: loss, its five parts, and the L2 term; the first is the sum of the others."""
        return list(self._means.values())

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """One step of the optimizer on a batch; returns the running means."""
        inputs = batch_inputs(data)
        self.get_layer("proposal_targets").step.assign(tf.cast(self.optimizer.iterations, tf.int64))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self.trainable_variables])
            parts = self.losses_of(inputs, training=True)
            total = tf.add_n(list(parts.values()))
            scaled = self.optimizer.scale_loss(total)
        gradients = tape.gradient(scaled, [variable.value for variable in self.trainable_variables])
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._report(total, parts)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """The losses of a batch; returns the running means."""
        parts = self.losses_of(batch_inputs(data), training=False)
        return self._report(tf.add_n(list(parts.values())), parts)

    def losses_of(self, inputs: Sequence[tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        """The weighted losses by name, and l2_loss, of a batch: float32 scalars, each checked to be finite.

        Raises:
            tf.errors.InvalidArgumentError: a loss is not a finite number; the message names it.
        """
        outputs = self(inputs, training=training)
        parts = network_losses(inputs, outputs, self.config)
        for name, value in parts.items():
            message = f"{name} is not finite: the learning rate may be too high, or the batch's boxes may be wrong"
            parts[name] = tf.debugging.check_numerics(value * self.config.LOSS_WEIGHTS.get(name, 1.0), message)
        return {**parts, "l2_loss": self._l2()}

    def _l2(self) -> tf.Tensor:
        if self.config.OPTIMIZER != "sgd":
            return tf.constant(0.0)
        decayed = [w.value for w in self.trainable_variables if w.name not in ("gamma", "beta")]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return losses.l2_loss(decayed, self.config.WEIGHT_DECAY) / replicas

    def _report(self, total: tf.Tensor, parts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in {"loss": total, **parts}.items():
            self._means[name].update_state(value * replicas)
        return {name: mean.result() for name, mean in self._means.items()}


def batch_inputs(data: Any) -> Sequence[tf.Tensor]:
    """The inputs of a batch, given alone, or with empty targets as the original's generator gave them."""
    if isinstance(data, (tuple, list)) and len(data) and isinstance(data[0], (tuple, list)):
        return data[0]
    return data


def network_losses(inputs: Sequence[tf.Tensor], outputs: dict[str, tf.Tensor], config: Config) -> dict[str, tf.Tensor]:
    """The five losses by name, unweighted, from a training network's inputs and outputs."""
    meta, rpn_deltas = inputs[1], tf.cast(inputs[3], tf.float32)
    class_ids, shape = outputs["class_ids"], tf.shape(outputs["class_ids"])
    counts = tf.ones(shape) if config.PADDED_ROIS_ARE_BACKGROUND else tf.reduce_any(outputs["rois"] != 0.0, axis=2)
    logits = tf.reshape(outputs["class_logits"], (shape[0], shape[1], config.NUM_CLASSES))
    deltas = tf.reshape(outputs["deltas"], (shape[0], shape[1], config.NUM_CLASSES, 4))
    labels = outputs["anchor_labels"]
    return {
        "rpn_class_loss": losses.rpn_class_loss(labels, outputs["anchor_logits"]),
        "rpn_bbox_loss": losses.rpn_bbox_loss(labels, rpn_deltas, outputs["anchor_deltas"]),
        "mrcnn_class_loss": losses.mrcnn_class_loss(class_ids, logits, meta[:, FIRST_ACTIVE_CLASS:], counts),
        "mrcnn_bbox_loss": losses.mrcnn_bbox_loss(class_ids, outputs["target_deltas"], deltas),
        "mrcnn_mask_loss": losses.mrcnn_mask_loss(
            outputs["target_masks"], outputs["mask_logits"], outputs["mask_counts"], config.MASK_LOSS_SATURATES
        ),
    }


class ImageShape(keras.layers.Layer):
    """Height and width of a batch's images in pixels."""

    def call(self, images: tf.Tensor) -> tf.Tensor:
        """[2] int32 of images [B, H, W, C].

        Raises:
            tf.errors.InvalidArgumentError: a side is not a multiple of 32, so that the pyramid's levels would not meet.
        """
        shape = tf.shape(images)[1:3]
        message = "the height and width of the network's input must be multiples of 32"
        check = tf.debugging.assert_equal(shape % COARSEST_STRIDE, 0, message)
        with tf.control_dependencies([check] if check is not None else []):
            return tf.identity(shape)

    def compute_output_spec(self, images):
        """[2] int32."""
        return keras.KerasTensor((2,), "int32")


class Gather(keras.layers.Layer):
    """Entries of a batch by (image, slot)."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """[K, …] of values [B, N, …] at where [K, 2]."""
        return tf.gather_nd(inputs[0], inputs[1])

    def compute_output_spec(self, inputs):
        """As many as there are places."""
        return keras.KerasTensor((None, *inputs[0].shape[2:]), inputs[0].dtype)


def training_network(config: Config) -> TrainingNetwork:
    """The network for training, with fresh weights.

    Inputs, as the original's generator gives them: images [B, H, W, 3] uint8 or molded float32, image_meta [B, M],
    rpn_match [B, A, 1], rpn_bbox [B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4], gt_class_ids [B, G], gt_boxes [B, G, 4] in pixels,
    gt_masks [B, h, w, G], and with USE_RPN_ROIS False input_roi [B, POST_NMS_ROIS_TRAINING, 4] in pixels.
    """
    inputs = _training_inputs(config)
    image, _, rpn_match, _, gt_class_ids, gt_boxes, gt_masks, *given = inputs
    shape = ImageShape(name="image_shape")(image)
    pyramid = feature_pyramid(backbone(image, config), config)
    rpn = RegionProposalHead(config, name="rpn_model")
    outputs = _anchor_outputs(rpn, rpn_match, pyramid, config)
    if given:
        proposals = Fractions(name="input_roi_fractions")([given[0], shape])
    else:
        proposals = _proposals(image, rpn, pyramid, config)
    rois, class_ids, deltas, masks = DetectionTargets(config, name="proposal_targets")(
        [proposals, gt_class_ids, gt_boxes, gt_masks, shape]
    )
    outputs |= {"rois": rois, "class_ids": class_ids, "target_deltas": deltas}
    regions, images = FlatRegions(name="roi_flat", dtype="float32")(rois)
    pooled = PyramidPooling(config.POOL_SIZE, config, name="roi_align_classifier")([regions, images, shape, *pyramid[:4]])
    outputs["class_logits"], _, outputs["deltas"] = class_head(pooled, config)
    outputs |= _mask_outputs(rois, class_ids, masks, shape, pyramid, config)
    return TrainingNetwork(inputs, outputs, config=config, name="mask_rcnn")


def _training_inputs(config: Config) -> list[keras.KerasTensor]:
    mask_shape = tuple(config.MINI_MASK_SHAPE) if config.USE_MINI_MASK else (None, None)
    inputs = [
        keras.Input((None, None, config.IMAGE_CHANNEL_COUNT), name="input_image"),
        keras.Input((config.IMAGE_META_SIZE,), name="input_image_meta"),
        keras.Input((None, 1), name="input_rpn_match", dtype="int32"),
        keras.Input((None, 4), name="input_rpn_bbox"),
        keras.Input((None,), name="input_gt_class_ids", dtype="int32"),
        keras.Input((None, 4), name="input_gt_boxes"),
        keras.Input((*mask_shape, None), name="input_gt_masks", dtype="bool"),
    ]
    if not config.USE_RPN_ROIS:
        inputs.append(keras.Input((config.POST_NMS_ROIS_TRAINING, 4), name="input_roi"))
    return inputs


class Fractions(keras.layers.Layer):
    """Boxes in pixels as fractions of the image."""

    def call(self, inputs: list[tf.Tensor]) -> tf.Tensor:
        """Boxes [B, N, 4] in fractions from boxes in pixels and the image's shape [2]; zeros stay zeros."""
        pixels, shape = inputs
        real = tf.cast(tf.reduce_any(pixels != 0, axis=-1, keepdims=True), tf.float32)
        return boxes.to_fractions(pixels, shape) * real

    def compute_output_shape(self, input_shape):
        """Unchanged."""
        return input_shape[0]


def _anchor_outputs(rpn, rpn_match, pyramid, config: Config) -> dict[str, keras.KerasTensor]:
    """Logits, deltas and labels of the sampled anchors: the part of the RPN that learns."""
    patches, anchor, labels = SampledAnchors(config, name="rpn_sample")([rpn_match, *pyramid])
    logits, deltas = rpn(patches, padding="valid")
    logits, deltas = AnchorOfPosition(name="rpn_sample_values")([logits, deltas, anchor, labels])
    return {"anchor_logits": logits, "anchor_deltas": deltas, "anchor_labels": labels}


def _proposals(image, rpn, pyramid, config: Config) -> keras.KerasTensor:
    """Proposals for training; whole maps are scored without gradient, since nothing is learned through proposals."""
    still = [
        WithoutGradient(name=f"rpn_still_p{number}", dtype=level.dtype)(level)
        for number, level in enumerate(pyramid, start=2)
    ]
    probabilities, deltas = score_anchors(rpn, still)
    anchors = Anchors(config, name="anchors")([image, *still])
    return Proposals(config.POST_NMS_ROIS_TRAINING, config, name="ROI")([probabilities, deltas, anchors])


def score_anchors(rpn, pyramid) -> tuple[keras.KerasTensor, keras.KerasTensor]:
    """Probabilities [B, A, 2] and deltas [B, A, 4], float32, of all anchors of all levels, the finest level first."""
    logits, deltas = zip(*(rpn(level) for level in pyramid), strict=True)
    logits = keras.layers.Concatenate(axis=1, name="rpn_class_logits", dtype="float32")(list(logits))
    deltas = keras.layers.Concatenate(axis=1, name="rpn_bbox", dtype="float32")(list(deltas))
    return keras.layers.Activation("softmax", name="rpn_class", dtype="float32")(logits), deltas


def _mask_outputs(rois, class_ids, masks, shape, pyramid, config: Config) -> dict[str, keras.KerasTensor]:
    """Mask logits and targets of the positive regions."""
    first = Front(config.positive_rois_per_image, name="positive_slots")
    rois, class_ids = first(rois), first(class_ids)
    regions, images, where, counts = ChosenRegions(name="positive_rois", dtype="float32", autocast=False)(
        [rois, class_ids]
    )
    pooled = PyramidPooling(config.MASK_POOL_SIZE, config, name="roi_align_mask")([regions, images, shape, *pyramid[:4]])
    classes = Gather(name="positive_class_ids")([class_ids, where])
    return {
        "mask_logits": mask_head(pooled, config, classes),
        "target_masks": Gather(name="positive_masks")([masks, where]),
        "mask_counts": counts,
    }


class Front(keras.layers.Layer):
    """The first slots of each image."""

    def __init__(self, count: int, **kwargs):
        """Keep `count` slots."""
        super().__init__(autocast=False, **kwargs)
        self._count = count

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """[B, count, …] of values [B, N, …]."""
        return values[:, : self._count]

    def compute_output_spec(self, values):
        """The dtype is kept."""
        return keras.KerasTensor((values.shape[0], self._count, *values.shape[2:]), values.dtype)


class ByImage(keras.layers.Layer):
    """Values of regions, in one list, by image again."""

    def __init__(self, count: int, **kwargs):
        """Each image has `count` regions."""
        super().__init__(autocast=False, **kwargs)
        self._count = count

    def call(self, values: tf.Tensor) -> tf.Tensor:
        """[B, count, …] of values [B·count, …]."""
        return tf.reshape(values, (-1, self._count, *values.shape[1:]))

    def compute_output_shape(self, input_shape):
        """[B, count, …]."""
        return (None, self._count, *input_shape[1:])


def inference_network(config: Config) -> Network:
    """The network for detection, with fresh weights.

    Inputs: images [B, H, W, 3] uint8 or molded float32, image_meta [B, M], anchors [B, A, 4] in fractions. Outputs, as
    the original's: detections [B, D, 6], class probabilities [B, N, C], deltas [B, N, C, 4], masks [B, D, h, w, C],
    proposals [B, N, 4], anchor probabilities [B, A, 2], anchor deltas [B, A, 4].
    """
    image = keras.Input((None, None, config.IMAGE_CHANNEL_COUNT), name="input_image")
    meta = keras.Input((config.IMAGE_META_SIZE,), name="input_image_meta")
    anchors = keras.Input((None, 4), name="input_anchors")
    shape = ImageShape(name="image_shape")(image)
    pyramid = feature_pyramid(backbone(image, config), config)
    rpn_class, rpn_bbox = score_anchors(RegionProposalHead(config, name="rpn_model"), pyramid)
    count = config.POST_NMS_ROIS_INFERENCE
    rois = Proposals(count, config, name="ROI")([rpn_class, rpn_bbox, anchors])
    regions, images = FlatRegions(name="roi_flat", dtype="float32")(rois)
    pooled = PyramidPooling(config.POOL_SIZE, config, name="roi_align_classifier")([regions, images, shape, *pyramid[:4]])
    _, probabilities, deltas = class_head(pooled, config)
    probabilities = ByImage(count, name="mrcnn_class_by_image")(probabilities)
    deltas = ByImage(count, name="mrcnn_bbox_by_image")(deltas)
    detections = Detections(config, name="mrcnn_detection")([rois, probabilities, deltas, meta])
    masks = _detected_masks(detections, shape, pyramid, config)
    outputs = [detections, probabilities, deltas, masks, rois, rpn_class, rpn_bbox]
    return Network([image, meta, anchors], outputs, config=config, name="mask_rcnn")


def _detected_masks(detections, shape, pyramid, config: Config) -> keras.KerasTensor:
    detected, class_ids = DetectedRegions(name="detected_rois", dtype="float32")(detections)
    regions, images, where, counts = ChosenRegions(name="real_detections", dtype="float32", autocast=False)(
        [detected, class_ids]
    )
    pooled = PyramidPooling(config.MASK_POOL_SIZE, config, name="roi_align_mask")([regions, images, shape, *pyramid[:4]])
    masks = keras.layers.Activation("sigmoid", name="mrcnn_mask_sigmoid", dtype="float32")(mask_head(pooled, config))
    return SpreadMasks(config, name="mrcnn_mask_slots")([masks, where, counts, detections])


class DetectedRegions(keras.layers.Layer):
    """Boxes and classes of detections."""

    def call(self, detections: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Regions [B, D, 4] and class_ids [B, D] of detections [B, D, 6]."""
        return detections[..., :4], detections[..., 4]

    def compute_output_shape(self, input_shape):
        """Regions and class ids."""
        return (*input_shape[:2], 4), tuple(input_shape[:2])
