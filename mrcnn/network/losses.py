"""The five losses and the L2 term: pure functions from tensors to a float32 scalar.

Each is a weighted mean over all elements; weights of 0 exclude elements. Under a distribution strategy the divisor is
that of the whole batch, and the sum over replicas is the loss.
"""

from collections.abc import Callable

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
"""Coefficients, highest power of x² first, of the rational minimax approximation of the sigmoid in Eigen of 2019."""


def weighted_mean(values: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
    """Return the mean [] of values [...] with weights of the same shape; 0 if all weights are 0."""
    weights = tf.cast(weights, tf.float32)
    return tf.math.divide_no_nan(tf.reduce_sum(values * weights), over_replicas(tf.reduce_sum(weights)))


def over_replicas(value: tf.Tensor) -> tf.Tensor:
    """Return the sum of value [...] over all replicas, without gradient; value itself with one replica."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return value
    return tf.stop_gradient(context.all_reduce(tf.distribute.ReduceOp.SUM, value))


def smooth_l1(target: tf.Tensor, prediction: tf.Tensor) -> tf.Tensor:
    """Return, elementwise, 0.5 d² for absolute differences d < 1, else d − 0.5 (Girshick 2015, equation 3)."""
    difference = tf.abs(target - prediction)
    return tf.where(difference < 1.0, 0.5 * difference**2, difference - 0.5)


def rpn_class_loss(labels: tf.Tensor, logits: tf.Tensor) -> tf.Tensor:
    """Return the cross entropy of anchors: labels [B, S] (1 object, −1 background, 0 neither), logits [B, S, 2]."""
    classes = tf.cast(labels == 1, tf.int32)
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=classes, logits=logits)
    return weighted_mean(entropy, labels != 0)


def rpn_bbox_loss(labels: tf.Tensor, targets: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Return the smooth L1 loss of anchors with label 1: labels [B, S], targets and predicted deltas [B, S, 4]."""
    return weighted_mean(tf.reduce_mean(smooth_l1(targets, deltas), axis=-1), labels == 1)


def mrcnn_class_loss(class_ids: tf.Tensor, logits: tf.Tensor, active: tf.Tensor, counts: tf.Tensor) -> tf.Tensor:
    """Return the cross entropy of regions whose most probable class is labelled in the source of their image.

    Args:
        class_ids: [B, T] int32 target classes.
        logits: [B, T, C].
        active: [B, C], 1 for the classes that are labelled in the source of the image.
        counts: [B, T], 1 for the regions that contribute.
    """
    entropy = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=class_ids, logits=logits)
    predicted = tf.argmax(logits, axis=2, output_type=tf.int32)
    is_active = tf.gather(tf.cast(active, tf.float32), predicted, batch_dims=1)
    return weighted_mean(entropy, is_active * tf.cast(counts, tf.float32))


def mrcnn_bbox_loss(class_ids: tf.Tensor, targets: tf.Tensor, deltas: tf.Tensor) -> tf.Tensor:
    """Return the smooth L1 loss of positive regions: class_ids [B, T] int32, targets [B, T, 4], deltas [B, T, C, 4]."""
    of_class = tf.gather(deltas, class_ids, batch_dims=2)
    return weighted_mean(tf.reduce_mean(smooth_l1(targets, of_class), axis=-1), class_ids > 0)


def mrcnn_mask_loss(targets: tf.Tensor, logits: tf.Tensor, counts: tf.Tensor, saturates: bool = False) -> tf.Tensor:
    """Return the mean binary cross entropy of pixels: targets and logits [K, h, w] of the target class, counts [K].

    With `saturates`, probabilities are clipped to CERTAINTY … 1 − CERTAINTY in float32, as matterport's code did; the
    sigmoid is then the approximation of its TensorFlow, which has an error of up to 6e-8 close to 0 and 1.
    """
    if saturates:
        probability = tf.clip_by_value(_rational_sigmoid(logits), CERTAINTY, 1.0 - CERTAINTY)
        logits = tf.math.log(probability / (1.0 - probability))
    entropy = tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits)
    return weighted_mean(tf.reduce_mean(entropy, axis=(1, 2)), counts)


@tf.custom_gradient
def _rational_sigmoid(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
    x = tf.clip_by_value(logits, -18.0, 18.0)
    sigmoid = x * tf.math.polyval(list(_ODD), x * x) / tf.math.polyval(list(_EVEN), x * x) + 0.5
    return sigmoid, lambda upstream: upstream * sigmoid * (1.0 - sigmoid)


def l2_loss(weights: list[tf.Tensor], decay: float) -> tf.Tensor:
    """Return decay times the sum [] of the mean squares of the weights [...], as matterport's code (not sums)."""
    if not weights or not decay:
        return tf.constant(0.0)
    return decay * total([tf.reduce_mean(tf.square(weight)) for weight in weights])


def total(values: list[tf.Tensor]) -> tf.Tensor:
    """Return the sum [] of scalars [], in a fixed order, unlike `tf.add_n`."""
    return tf.reduce_sum(tf.stack(values))


def l2_gradient(weight: tf.Tensor, decay: tf.Tensor) -> tf.Tensor:
    """Return the gradient [...] of `l2_loss` with respect to one of its weights; decay is []."""
    return weight * (2.0 * decay / float(np.prod(weight.shape)))
