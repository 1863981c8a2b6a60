"""Gradients computed one after the other are unchanged."""

import numpy as np
import tensorflow as tf

from mrcnn.ops.gradients import SequentialGradients


def test_the_first_two_gradients_are_computed_after_the_third():
    values = [tf.constant([1.0, 2.0]), tf.constant([3.0]), tf.constant([[4.0]])]

    @tf.function
    def gradients(*values):
        with tf.GradientTape() as tape:
            tape.watch(values)
            one, two, three = SequentialGradients()(list(values))
            total = tf.reduce_sum(one**2) + 5.0 * tf.reduce_sum(two) + tf.reduce_sum(tf.exp(three))
        return tape.gradient(total, values)

    found = gradients(*values)
    for gradient, expected in zip(found, ([2.0, 4.0], [5.0], [[np.exp(4.0)]]), strict=True):
        assert np.allclose(gradient, expected)
    graph = gradients.get_concrete_function(*values).graph
    for waiting in graph.outputs[:2]:
        assert waits_for(waiting.op, "Exp")  # which only the third's gradient is computed of
    assert not waits_for(graph.outputs[2].op, "Pow")


def waits_for(operation, kind):
    """Whether an operation of this kind is among those that must come before."""
    before = [*operation.control_inputs, *(each.op for each in operation.inputs)]
    return operation.type == kind or any(waits_for(each, kind) for each in before)
