"""The five losses and the L2 term: pure functions from tensors to a float32 scalar.

Each is a weighted mean, so that every element has a fixed place; what counts is said by weights. Under a
distribution strategy the divisor is that of the whole batch, and the sum over replicas is the loss.
"""

import numpy as np
import tensorflow as tf

LOSSES = ("rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss")

CERTAINTY = 1e-7

_ODD = (4.37031012579801e-11, 1.15627324459942e-07, 6.08574864600143e-05, 8.51377133304701e-03, 2.48287947061529e-01)
_EVEN = (
    6.10247389755681e-13,
    5.76102136993427e-09,
    6.29106785017040e-06,
    1.70198817374094e-03,
    1.16817656904453e-01,
    9.93151921023180e-01,
)
"""Coefficients, highest power of x² first, of the minimax fraction for the logistic function in Eigen of 2019."""


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Mean, a scalar, of values [...] by weights of the same shape; 0 where all weights are 0."""
    weights = tf.cast(weights, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), over_replicas(tf.reduce_sum(weights)))


def over_replicas(value: tf.Tensor) -> tf.Tensor:
    """The sum of value [...] over all replicas; value itself where there is one."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, value))


def smooth_l1(wanted: tf.Tensor, found: tf.Tensor) -> tf.Tensor:
    """Elementwise, [...], 0.5 d² where the difference d is below 1, else d − 0.5 (Girshick 2015, equation 3)."""
    difference = tf.abs(wanted - found)
    return tf.where(difference < 1.0, 0.5 * difference**2, difference - 0.5)


def rpn_class_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Cross entropy of anchors: labels [B, S] int32 (1 object, −1 background, 0 neither), logits [B, S, 2]."""
    wanted = tf.cast(labels == 1, tf.int32)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=wanted, logits=logits)
    return weighted_mean(entropy, labels != 0)


def rpn_bbox_loss(labels: tf.Tensor, wanted: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Smooth L1 of anchors labelled 1: labels [B, S], wanted and found deltas [B, S, 4]."""
    return weighted_mean(tf.reduce_mean(smooth_l1(wanted, deltas), axis=-1), labels == 1)


def mrcnn_class_loss(class_ids: tf.Tensor, logits: tf.Tensor, active: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Cross entropy of regions whose likeliest class is one that their image's source labels.

    Args:
        class_ids: [B, T] int32 wanted classes.
        logits: [B, T, C].
        active: [B, C], 1 for the classes that the image's source labels.
        counts: [B, T], 1 for the regions that count.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=class_ids, logits=logits)
    likeliest = tf.argmax(logits, axis=2, output_type=tf.int32)
    is_active = tf.gather(tf.cast(active, tf.float32), likeliest, batch_dims=1)
    return weighted_mean(entropy, is_active * tf.cast(counts, tf.float32))


def mrcnn_bbox_loss(class_ids: tf.Tensor, wanted: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Smooth L1 of positive regions: class_ids [B, T] int32, wanted [B, T, 4], found deltas [B, T, C, 4]."""
    of_class = tf.gather(deltas, class_ids, batch_dims=2)
    return weighted_mean(tf.reduce_mean(smooth_l1(wanted, of_class), axis=-1), class_ids > 0)


def mrcnn_mask_loss(wanted: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, saturates: bool = False) -> tf.Tensor:
    """Binary cross entropy, the mean over pixels: wanted and logits [K, h, w] of each region's class, counts [K].

    With `saturates` it is computed from float32 probabilities kept CERTAINTY away from 0 and 1, as the original did;
    the sigmoid is the approximation that its TensorFlow evaluated, off by up to 6e-8 where it is nearly certain.
    """
    if saturates:
        probability = tf.clip_by_value(_rational_sigmoid(logits), CERTAINTY, 1.0 - CERTAINTY)
        logits = tf.math.log(probability / (1.0 - probability))
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=wanted, logits=logits)
    return weighted_mean(tf.reduce_mean(entropy, axis=(1, 2)), counts)


@tf.custom_gradient
def _rational_sigmoid(logits: tf.Tensor):
    x = tf.clip_by_value(logits, -18.0, 18.0)
    sigmoid = x * tf.math.polyval(list(_ODD), x * x) / tf.math.polyval(list(_EVEN), x * x) + 0.5
    return sigmoid, lambda upstream: upstream * sigmoid * (1.0 - sigmoid)


def l2_loss(weights: list[tf.Tensor], decay: float) -> tf.Tensor:
    """Decay times the mean square of each weight [...], summed over them: a scalar (the original's: mean, not sum)."""
    if not weights or not decay:
        return tf.constant(0.0)
    return decay * total([tf.reduce_mean(tf.square(weight)) for weight in weights])


def total(values: list[tf.Tensor]) -> tf.Tensor:
    """The sum [] of scalars [], always in the same order, which `tf.add_n` leaves to chance."""
    return tf.reduce_sum(tf.stack(values))


def l2_gradient(weight: tf.Tensor, decay: tf.Tensor) -> tf.Tensor:
    """The gradient [...] of `l2_loss` with respect to one of its weights, of that weight's shape; decay is []."""
    return weight * (2.0 * decay / float(np.prod(weight.shape)))
