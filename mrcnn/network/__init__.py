"""Mask R-CNN assembled from its parts, for training and for inference."""

import keras
from keras import KerasTensor

from mrcnn.config import Config
from mrcnn.network.anchors import AnchorOfPosition, Anchors, SampledAnchors
from mrcnn.network.backbones import backbone
from mrcnn.network.detection_targets import DetectionTargets
from mrcnn.network.detections import Detections, ScatteredMasks
from mrcnn.network.fpn import feature_pyramid
from mrcnn.network.heads import RegionProposalHead, class_head, mask_head
from mrcnn.network.proposals import Proposals
from mrcnn.network.roi_pooling import FlattenedRegions, PyramidPooling, SelectedRegions
from mrcnn.network.shape_layers import Fractions, Gather, ImageShape
from mrcnn.network.training_step import Network, TrainingNetwork
from mrcnn.ops.gradients import Duplicate, SequentialGradients

Pyramid = list[KerasTensor]
"""Levels P2 … P6 [B, H / stride, W / stride, F] with strides 4 … 64."""


def training_network(config: Config) -> TrainingNetwork:
    """Return the network for training, with newly initialised weights.

    Inputs, in the order of matterport's generator: images [B, H, W, 3] uint8 or molded float32, image_meta [B, M],
    rpn_match [B, A, 1], rpn_bbox [B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4], gt_class_ids [B, G], gt_boxes [B, G, 4] in
    pixels, gt_masks [B, h, w, G] bool, or uint8 from 0 to polygons.FULL, and with USE_RPN_ROIS False input_roi
    [B, POST_NMS_ROIS_TRAINING, 4] in pixels.
    """
    inputs = _training_inputs(config)
    image, meta, rpn_match, rpn_bbox, gt_class_ids, gt_boxes, gt_masks, *input_rois = inputs
    for unused in (meta, rpn_bbox):  # Keras 3.13 and older refuse an input that no layer takes
        keras.layers.Identity(name=f"{unused.name}_unused")(unused)
    shape = ImageShape(name="image_shape")(image)
    pyramid, anchor_pyramid = _duplicated(feature_pyramid(backbone(image, config), config), "anchors")
    pyramid, mask_pyramid = _duplicated(pyramid, "masks")
    rpn = RegionProposalHead(config, name="rpn_model")
    outputs = _anchor_outputs(rpn, rpn_match, anchor_pyramid, config)
    if input_rois:
        proposals = Fractions(name="input_roi_fractions")([input_rois[0], shape])
    else:
        proposals = _proposals(image, rpn, pyramid, config)
    rois, class_ids, deltas, masks = DetectionTargets(config, name="proposal_targets")(
        [proposals, gt_class_ids, gt_boxes, gt_masks, shape]
    )
    outputs |= {"rois": rois, "class_ids": class_ids, "target_deltas": deltas}
    regions, images = FlattenedRegions(name="roi_flat", dtype="float32")(rois)
    pooled = _pooled("roi_align_classifier", config.POOL_SIZE, regions, images, shape, pyramid, config)
    logits, _, class_deltas = class_head(pooled, config)
    slots = config.positive_rois_per_image
    positives = [rois[:, :slots], class_ids[:, :slots]]
    regions, images, where, counts = SelectedRegions(name="positive_rois", dtype="float32", autocast=False)(positives)
    pooled = _pooled("roi_align_mask", config.MASK_POOL_SIZE, regions, images, shape, mask_pyramid, config)
    logits, class_deltas, pooled = SequentialGradients(name="mask_first")([logits, class_deltas, pooled])
    classes = Gather(name="positive_class_ids")([positives[1], where])
    outputs |= {"class_logits": logits, "deltas": class_deltas, "mask_logits": mask_head(pooled, config, classes)}
    outputs |= {"target_masks": Gather(name="positive_masks")([masks, where]), "mask_counts": counts}
    return TrainingNetwork(inputs, outputs, config=config, name="mask_rcnn")


def _duplicated(pyramid: Pyramid, purpose: str) -> tuple[Pyramid, Pyramid]:
    """Return the levels twice, each level through a `Duplicate` named by the purpose of the second copy."""
    pairs = [
        Duplicate(name=f"{purpose}_duplicate_p{number}", dtype=level.dtype)(level)
        for number, level in enumerate(pyramid, start=2)
    ]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _training_inputs(config: Config) -> list[KerasTensor]:
    mask_shape = tuple(config.MINI_MASK_SHAPE) if config.USE_MINI_MASK else (None, None)
    inputs = [
        keras.Input((None, None, config.IMAGE_CHANNEL_COUNT), name="input_image"),
        keras.Input((config.IMAGE_META_SIZE,), name="input_image_meta"),
        keras.Input((None, 1), name="input_rpn_match", dtype="int32"),
        keras.Input((None, 4), name="input_rpn_bbox"),
        keras.Input((None,), name="input_gt_class_ids", dtype="int32"),
        keras.Input((None, 4), name="input_gt_boxes"),
        keras.Input((*mask_shape, None), name="input_gt_masks", dtype="float32" if config.USE_MINI_MASK else "bool"),
    ]
    if not config.USE_RPN_ROIS:
        inputs.append(keras.Input((config.POST_NMS_ROIS_TRAINING, 4), name="input_roi"))
    return inputs


def _anchor_outputs(
    rpn: RegionProposalHead, rpn_match: KerasTensor, pyramid: Pyramid, config: Config
) -> dict[str, KerasTensor]:
    """Return logits [B, S, 2], deltas [B, S, 4] and labels [B, S] of the sampled anchors, which train the RPN."""
    patches, anchor, labels = SampledAnchors(config, name="rpn_sample")([rpn_match, *pyramid])
    logits, deltas = rpn(patches, padding="valid")
    logits, deltas = AnchorOfPosition(name="rpn_sample_values")([logits, deltas, anchor, labels])
    return {"anchor_logits": logits, "anchor_deltas": deltas, "anchor_labels": labels}


def _proposals(image: KerasTensor, rpn: RegionProposalHead, pyramid: Pyramid, config: Config) -> KerasTensor:
    """Return proposals [B, N, 4] for training, computed without gradient."""
    levels = [keras.ops.stop_gradient(level) for level in pyramid]
    probabilities, deltas = score_anchors(rpn, levels)
    anchors = Anchors(config, name="anchors")([image, *levels])
    return Proposals(config.POST_NMS_ROIS_TRAINING, config, name="ROI")([probabilities, deltas, anchors])


def score_anchors(rpn: RegionProposalHead, pyramid: Pyramid) -> tuple[KerasTensor, KerasTensor]:
    """Return probabilities [B, A, 2] and deltas [B, A, 4], float32, of all anchors, finest level first."""
    logits, deltas = zip(*(rpn(level) for level in pyramid), strict=True)
    logits = keras.layers.Concatenate(axis=1, name="rpn_class_logits", dtype="float32")(list(logits))
    deltas = keras.layers.Concatenate(axis=1, name="rpn_bbox", dtype="float32")(list(deltas))
    return keras.layers.Activation("softmax", name="rpn_class", dtype="float32")(logits), deltas


def _pooled(
    name: str,
    size: int,
    regions: KerasTensor,
    images: KerasTensor,
    shape: KerasTensor,
    pyramid: Pyramid,
    config: Config,
) -> KerasTensor:
    """Return features [R, size, size, F] of regions [R, 4] in fractions, of images [R], from levels P2 … P5."""
    return PyramidPooling(size, config, name=name)([regions, images, shape, *pyramid[:4]])


def inference_network(config: Config) -> Network:
    """Return the network for detection, with newly initialised weights.

    Inputs: images [B, H, W, 3] uint8 or molded float32, image_meta [B, M], anchors [B, A, 4] in fractions. Outputs, in
    the order of matterport's: detections [B, D, 6], class probabilities [B, N, C], deltas [B, N, C, 4], masks
    [B, D, h, w, C], proposals [B, N, 4], anchor probabilities [B, A, 2], anchor deltas [B, A, 4].
    """
    image = keras.Input((None, None, config.IMAGE_CHANNEL_COUNT), name="input_image")
    meta = keras.Input((config.IMAGE_META_SIZE,), name="input_image_meta")
    anchors = keras.Input((None, 4), name="input_anchors")
    shape = ImageShape(name="image_shape")(image)
    pyramid = feature_pyramid(backbone(image, config), config)
    rpn_class, rpn_bbox = score_anchors(RegionProposalHead(config, name="rpn_model"), pyramid)
    count = config.POST_NMS_ROIS_INFERENCE
    rois = Proposals(count, config, name="ROI")([rpn_class, rpn_bbox, anchors])
    regions, images = FlattenedRegions(name="roi_flat", dtype="float32")(rois)
    pooled = _pooled("roi_align_classifier", config.POOL_SIZE, regions, images, shape, pyramid, config)
    _, probabilities, deltas = class_head(pooled, config)
    probabilities = keras.ops.reshape(probabilities, (-1, count, config.NUM_CLASSES))
    deltas = keras.ops.reshape(deltas, (-1, count, config.NUM_CLASSES, 4))
    detections = Detections(config, name="mrcnn_detection")([rois, probabilities, deltas, meta])
    masks = _detected_masks(detections, shape, pyramid, config)
    outputs = [detections, probabilities, deltas, masks, rois, rpn_class, rpn_bbox]
    return Network([image, meta, anchors], outputs, config=config, name="mask_rcnn")


def _detected_masks(detections: KerasTensor, shape: KerasTensor, pyramid: Pyramid, config: Config) -> KerasTensor:
    """Return probabilities [B, D, h, w, C] of detections [B, D, 6] in images of shape [2] pixels, zeros for padding."""
    regions, images, where, counts = SelectedRegions(name="real_detections", dtype="float32", autocast=False)(
        [detections[..., :4], detections[..., 4]]
    )
    pooled = _pooled("roi_align_mask", config.MASK_POOL_SIZE, regions, images, shape, pyramid, config)
    masks = keras.layers.Activation("sigmoid", name="mrcnn_mask_sigmoid", dtype="float32")(mask_head(pooled, config))
    return ScatteredMasks(config, name="mrcnn_mask_slots")([masks, where, counts, detections])
