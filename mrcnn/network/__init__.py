"""The network put together, for training and for inference.

What one step of training does is in step; reading and writing weights in weights.
"""

import keras

from mrcnn.config import Config
from mrcnn.network.anchors import AnchorOfPosition, Anchors, SampledAnchors
from mrcnn.network.backbones import backbone
from mrcnn.network.detection_targets import DetectionTargets
from mrcnn.network.detections import Detections, SpreadMasks
from mrcnn.network.fpn import feature_pyramid
from mrcnn.network.heads import RegionProposalHead, class_head, mask_head
from mrcnn.network.proposals import Proposals
from mrcnn.network.roi_pooling import ChosenRegions, FlatRegions, PyramidPooling
from mrcnn.network.shape_layers import ByImage, DetectedRegions, Fractions, Front, Gather, ImageShape, WithoutGradient
from mrcnn.network.training_step import Network, TrainingNetwork
from mrcnn.ops.gradient_order import Fork, InTurn


def training_network(config: Config) -> TrainingNetwork:
    """The network for training, with fresh weights.

    Inputs, as the original's generator gives them: images [B, H, W, 3] uint8 or molded float32, image_meta [B, M],
    rpn_match [B, A, 1], rpn_bbox [B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4], gt_class_ids [B, G], gt_boxes [B, G, 4] in
    pixels, gt_masks [B, h, w, G] bool, or uint8 to polygons.FULL, and with USE_RPN_ROIS False input_roi
    [B, POST_NMS_ROIS_TRAINING, 4] in pixels.
    """
    inputs = _training_inputs(config)
    image, _, rpn_match, _, gt_class_ids, gt_boxes, gt_masks, *given = inputs
    shape = ImageShape(name="image_shape")(image)
    pyramid, for_anchors = _forked(feature_pyramid(backbone(image, config), config), "anchors")
    pyramid, for_masks = _forked(pyramid, "masks")
    rpn = RegionProposalHead(config, name="rpn_model")
    outputs = _anchor_outputs(rpn, rpn_match, for_anchors, config)
    if given:
        proposals = Fractions(name="input_roi_fractions")([given[0], shape])
    else:
        proposals = _proposals(image, rpn, pyramid, config)
    rois, class_ids, deltas, masks = DetectionTargets(config, name="proposal_targets")(
        [proposals, gt_class_ids, gt_boxes, gt_masks, shape]
    )
    outputs |= {"rois": rois, "class_ids": class_ids, "target_deltas": deltas}
    regions, images = FlatRegions(name="roi_flat", dtype="float32")(rois)
    pooled = _pooled("roi_align_classifier", config.POOL_SIZE, regions, images, shape, pyramid, config)
    logits, _, class_deltas = class_head(pooled, config)
    first = Front(config.positive_rois_per_image, name="positive_slots")
    positives = [first(rois), first(class_ids)]
    regions, images, where, counts = ChosenRegions(name="positive_rois", dtype="float32", autocast=False)(positives)
    pooled = _pooled("roi_align_mask", config.MASK_POOL_SIZE, regions, images, shape, for_masks, config)
    logits, class_deltas, pooled = InTurn(name="mask_first")([logits, class_deltas, pooled])
    classes = Gather(name="positive_class_ids")([positives[1], where])
    outputs |= {"class_logits": logits, "deltas": class_deltas, "mask_logits": mask_head(pooled, config, classes)}
    outputs |= {"target_masks": Gather(name="positive_masks")([masks, where]), "mask_counts": counts}
    return TrainingNetwork(inputs, outputs, config=config, name="mask_rcnn")


def _forked(pyramid: list[keras.KerasTensor], purpose: str) -> tuple[list[keras.KerasTensor], list[keras.KerasTensor]]:
    """The levels [B, H, W, C] twice: for all else, and for a purpose."""
    pairs = [
        Fork(name=f"{purpose}_fork_p{number}", dtype=level.dtype)(level)
        for number, level in enumerate(pyramid, start=2)
    ]
    return [pair[0] for pair in pairs], [pair[1] for pair in pairs]


def _training_inputs(config: Config) -> list[keras.KerasTensor]:
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


def _anchor_outputs(rpn, rpn_match, pyramid, config: Config) -> dict[str, keras.KerasTensor]:
    """Logits [B, S, 2], deltas [B, S, 4], labels [B, S] of the sampled anchors: the part of the RPN that learns."""
    patches, anchor, labels = SampledAnchors(config, name="rpn_sample")([rpn_match, *pyramid])
    logits, deltas = rpn(patches, padding="valid")
    logits, deltas = AnchorOfPosition(name="rpn_sample_values")([logits, deltas, anchor, labels])
    return {"anchor_logits": logits, "anchor_deltas": deltas, "anchor_labels": labels}


def _proposals(image, rpn, pyramid, config: Config) -> keras.KerasTensor:
    """Proposals [B, N, 4] for training; whole maps are scored without gradient: nothing is learned by them."""
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


def _pooled(name: str, size: int, regions, images, shape, pyramid, config: Config) -> keras.KerasTensor:
    """Features [R, size, size, F] of regions [R, 4] in fractions, of images [R], from levels P2 … P5 [B, H, W, F]."""
    return PyramidPooling(size, config, name=name)([regions, images, shape, *pyramid[:4]])


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
    pooled = _pooled("roi_align_classifier", config.POOL_SIZE, regions, images, shape, pyramid, config)
    _, probabilities, deltas = class_head(pooled, config)
    probabilities = ByImage(count, name="mrcnn_class_by_image")(probabilities)
    deltas = ByImage(count, name="mrcnn_bbox_by_image")(deltas)
    detections = Detections(config, name="mrcnn_detection")([rois, probabilities, deltas, meta])
    masks = _detected_masks(detections, shape, pyramid, config)
    outputs = [detections, probabilities, deltas, masks, rois, rpn_class, rpn_bbox]
    return Network([image, meta, anchors], outputs, config=config, name="mask_rcnn")


def _detected_masks(detections, shape, pyramid, config: Config) -> keras.KerasTensor:
    """Probabilities [B, D, h, w, C] of detections [B, D, 6], in images of shape [2] pixels, zeros for empty slots."""
    detected, class_ids = DetectedRegions(name="detected_rois", dtype="float32")(detections)
    regions, images, where, counts = ChosenRegions(name="real_detections", dtype="float32", autocast=False)(
        [detected, class_ids]
    )
    pooled = _pooled("roi_align_mask", config.MASK_POOL_SIZE, regions, images, shape, pyramid, config)
    masks = keras.layers.Activation("sigmoid", name="mrcnn_mask_sigmoid", dtype="float32")(mask_head(pooled, config))
    return SpreadMasks(config, name="mrcnn_mask_slots")([masks, where, counts, detections])
