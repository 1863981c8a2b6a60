"""Losses, compared with values computed by hand."""

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.network import losses

LOG_TWO = float(np.log(2))


def test_smooth_l1_is_quadratic_below_one_and_linear_above():
    assert losses.smooth_l1(tf.constant([0.0, 0.0, 0.0]), tf.constant([0.5, 1.0, -3.0])).numpy().tolist() == [
        0.125,
        0.5,
        2.5,
    ]


def test_anchors_without_label_are_excluded():
    logits = tf.constant([[[0.0, 0.0], [50.0, 0.0]]])
    assert losses.rpn_class_loss(tf.constant([[1, 0]]), logits).numpy() == pytest.approx(LOG_TWO)


def test_a_batch_without_labels_has_loss_zero_rather_than_nan():
    nothing = tf.constant([[0, 0]])
    assert losses.rpn_class_loss(nothing, tf.zeros((1, 2, 2))).numpy() == 0
    assert losses.rpn_bbox_loss(nothing, tf.zeros((1, 2, 4)), tf.ones((1, 2, 4))).numpy() == 0
    assert losses.mrcnn_mask_loss(tf.zeros((1, 2, 2)), tf.zeros((1, 2, 2)), tf.zeros(1)).numpy() == 0


def test_box_loss_of_anchors_is_the_mean_over_objects_and_coordinates():
    found = tf.constant([[[2.0, 0, 0, 0], [9.0, 9, 9, 9]]])
    assert losses.rpn_bbox_loss(tf.constant([[1, -1]]), tf.zeros((1, 2, 4)), found).numpy() == pytest.approx(1.5 / 4)


def test_each_image_has_its_own_active_classes():
    """Matterport's code used those of the first image for the whole batch."""
    logits = tf.constant([[[0.0, 1.0]], [[0.0, 1.0]]])
    active = tf.constant([[1, 0], [1, 1]])
    class_ids = tf.constant([[1], [0]])
    loss = losses.mrcnn_class_loss(class_ids, logits, active, tf.ones((2, 1)))
    assert loss.numpy() == pytest.approx(float(np.log(1 + np.e)))


def test_regions_that_do_not_count_are_excluded():
    logits = tf.constant([[[0.0, 0.0], [-50.0, 50.0]]])
    class_ids, active = tf.constant([[0, 0]]), tf.ones((1, 2))
    assert losses.mrcnn_class_loss(class_ids, logits, active, tf.constant([[1, 0]])).numpy() == pytest.approx(LOG_TWO)
    assert losses.mrcnn_class_loss(class_ids, logits, active, tf.ones((1, 2))).numpy() > 40


def test_box_loss_of_regions_uses_the_deltas_of_their_class_only():
    deltas = np.zeros((1, 2, 3, 4), np.float32)
    deltas[0, 0, 1], deltas[0, 0, 2], deltas[0, 1] = 7, 1, 5
    loss = losses.mrcnn_bbox_loss(tf.constant([[2, 0]]), tf.zeros((1, 2, 4)), tf.constant(deltas))
    assert loss.numpy() == pytest.approx(0.5)


def test_outputs_for_other_classes_have_no_gradient():
    class_ids, deltas = tf.constant([[2, 0, 1]]), tf.random.stateless_normal((1, 3, 4, 4), (1, 2))
    with tf.GradientTape() as tape:
        tape.watch(deltas)
        loss = losses.mrcnn_bbox_loss(class_ids, tf.fill((1, 3, 4), 9.0), deltas)
    gradient = tf.convert_to_tensor(tape.gradient(loss, deltas)).numpy()
    assert {(region, kind) for _, region, kind, _ in np.argwhere(gradient)} == {(0, 2), (2, 1)}
    assert gradient[gradient != 0] == pytest.approx(np.full(8, -1 / 8))


def tensor(*shape, dtype=tf.float32):
    return tf.TensorSpec(shape, dtype)


@pytest.mark.parametrize(
    ("loss", "inputs"),
    [
        (losses.rpn_class_loss, [tensor(2, 9, dtype=tf.int32), tensor(2, 9, 2)]),
        (losses.rpn_bbox_loss, [tensor(2, 9, dtype=tf.int32), tensor(2, 9, 4), tensor(2, 9, 4)]),
        (losses.mrcnn_class_loss, [tensor(2, 5, dtype=tf.int32), tensor(2, 5, 3), tensor(2, 3), tensor(2, 5)]),
        (losses.mrcnn_bbox_loss, [tensor(2, 5, dtype=tf.int32), tensor(2, 5, 4), tensor(2, 5, 3, 4)]),
        (losses.mrcnn_mask_loss, [tensor(5, 8, 8), tensor(5, 8, 8), tensor(5)]),
    ],
    ids=lambda part: getattr(part, "__name__", ""),
)
def test_losses_have_static_shapes_because_elements_are_weighted_and_not_gathered(loss, inputs):
    """Matterport's code gathered elements, so that shapes depended on values, and empty results needed a branch."""
    operations = tf.function(loss).get_concrete_function(*inputs).graph.get_operations()
    assert all(output.shape.is_fully_defined() for operation in operations for output in operation.outputs)
    assert {"Where", "If", "StatelessIf", "Switch"}.isdisjoint(operation.type for operation in operations)


def test_mask_loss_from_logits_has_a_gradient_for_certain_and_wrong_predictions():
    logits = tf.Variable(tf.fill((1, 1, 1), -40.0))
    for saturates, slope in ((False, -1.0), (True, 0.0)):
        with tf.GradientTape() as tape:
            loss = losses.mrcnn_mask_loss(tf.ones((1, 1, 1)), logits, tf.ones(1), saturates)
        assert tape.gradient(loss, logits).numpy().item() == pytest.approx(slope)
    assert losses.mrcnn_mask_loss(tf.ones((1, 1, 1)), logits, tf.ones(1)).numpy() == pytest.approx(40)


def test_l2_is_the_decay_of_mean_squares():
    weights = [tf.constant([1.0, 3.0]), tf.constant([[2.0]])]
    assert losses.l2_loss(weights, 0.1).numpy() == pytest.approx(0.1 * (5 + 4))
    assert losses.l2_loss([], 0.1).numpy() == 0
