"""Training agrees with matterport's: targets, losses, gradients, steps."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn import network, weights
from tests.mrcnn.original.golden import Golden, needs_golden

pytestmark = needs_golden

INPUTS = ("images", "image_meta", "rpn_match", "rpn_bbox", "gt_class_ids", "gt_boxes", "gt_masks", "rois")
ROUNDINGS = 7
"""Copies of the weights, each changed by 1e-7 of itself, over which medians are taken.

Such a change moves the original's own mask loss by up to 1.3e-4 of itself (measured), since some of 6272 pixels stand
at the edge of saturation, where a probability has few bits left; which of them fall to which side is chance.
"""
STEPS = 7
"""Steps of SGD from such copies: what one leads to is more a matter of chance than the losses it starts from."""


class GoldenTraining(Golden):
    TRAIN_ROIS_PER_IMAGE = 32
    USE_RPN_ROIS = False
    POST_NMS_ROIS_TRAINING = 24


@pytest.fixture(scope="module")
def trained(golden_weights):
    model = network.training_network(GoldenTraining())
    weights.load(model, weights.read_file(golden_weights), str(golden_weights))
    model.compile(optimizer=keras.optimizers.SGD(0.001, momentum=0.9, global_clipnorm=5.0), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def batch(golden):
    inputs = {name: golden[f"train_{name}"] for name in INPUTS}
    inputs["image_meta"] = inputs["image_meta"].astype(np.float32)
    return [tf.constant(value) for value in inputs.values()]


def test_targets_equal_matterport_s_in_any_order(trained, batch, golden):
    found = {name: value.numpy() for name, value in trained(batch).items()}
    assert (found["class_ids"][0] > 0).sum() == 8
    for slot in range(24):
        same = np.abs(golden["target_rois"][0] - found["rois"][0, slot]).sum(axis=1).argmin()
        assert found["rois"][0, slot] == pytest.approx(golden["target_rois"][0, same], abs=1e-6)
        assert found["class_ids"][0, slot] == golden["target_class_ids"][0, same]
        if found["class_ids"][0, slot] > 0:
            assert found["target_deltas"][0, slot] == pytest.approx(golden["target_deltas"][0, same], abs=1e-5)
            masks = [mask for mask in found["target_masks"] if (mask == golden["target_masks"][0, same]).all()]
            assert masks


@pytest.fixture(scope="module")
def roundings(trained, batch):
    """Losses by name, and norms of the gradients by weight, for weights that differ by rounding."""

    @tf.function
    def run(*inputs):
        with tf.GradientTape() as tape:
            parts = trained.losses_of(list(inputs), training=True)
            total = tf.add_n(list(parts.values()))
        gradients = tape.gradient(total, [v.value for v in trained.trainable_variables])
        return {"loss": total, **parts}, [tf.norm(gradient) for gradient in gradients]

    rng, before, rows = np.random.default_rng(0), trained.get_weights(), []
    for number in range(ROUNDINGS):
        noise = 1e-7 if number else 0.0
        trained.set_weights([_rounded(weight, noise, rng) for weight in before])
        losses, norms = run(*batch)
        rows.append(
            ({k: float(v) for k, v in losses.items()}, dict(zip(names(trained), map(float, norms), strict=True)))
        )
    trained.set_weights(before)
    return rows


def _rounded(weight, noise, rng):
    if not noise or weight.dtype != np.float32:
        return weight
    return weight * (1 + np.float32(noise) * rng.standard_normal(weight.shape, np.float32))


def names(trained):
    """Names in files of the trainable variables, in order."""
    of = {id(w): f"{leaf.name}/{w.name}:0" for _, leaf in weights.named_layers(trained) for w in leaf.weights}
    return [of[id(variable)] for variable in trained.trainable_variables]


def gradient_norms(golden):
    pairs = zip(golden["grad_names"], golden["grad_norms"], strict=True)
    return {str(name).replace("_1/", "/"): norm for name, norm in pairs}


def test_losses_equal_matterport_s(roundings, golden):
    """Some rounding gives each to 1e-4, and so does the median one, but for the mask loss.

    Of that one, the copies have a spread (standard deviation) of 9e-5 with any of oneDNN's instructions, and a median
    of 31 is 3e-5 to 8e-5 below the golden figure, itself one of such a spread: a median of 7 can't be held to 1e-4.
    """
    for name, expected in zip(golden["loss_names"], golden["loss_values"], strict=True):
        off = np.array([losses[str(name)] for losses, _ in roundings]) / expected - 1
        assert np.abs(off).min() < 1e-4, name
        assert abs(np.median(off)) < (2e-4 if name == "mrcnn_mask_loss" else 1e-4), name


def test_norms_of_gradients_equal_matterport_s(roundings, golden):
    """One is a sum over the mask pixels that nearly cancels: mrcnn_mask's bias, where a saturated pixel weighs 0.8 %.

    The original's own is 0.5 to 2.5 %, in the median 1.05 %, below the golden one when its weights change by 1e-7.
    """
    expected = gradient_norms(golden)
    assert roundings[0][1].keys() == expected.keys()
    for name, norm in expected.items():
        tolerance = 2.5e-2 if name == "mrcnn_mask/bias:0" else 1e-2
        found = np.median([norms[name] for _, norms in roundings])
        assert found == pytest.approx(norm, rel=tolerance, abs=1e-9), name


@pytest.fixture(scope="module")
def steps(trained, batch):
    """Steps of SGD from weights that differ by rounding: what the first changed, by name; losses after and before."""
    trained.optimizer.build(trained.trainable_variables)
    rng, start, losses, reported = np.random.default_rng(0), trained.get_weights(), [], []
    for number in range(STEPS):
        trained.set_weights([_rounded(weight, 1e-7 if number else 0.0, rng) for weight in start])
        for variable in trained.optimizer.momentums:
            variable.assign(tf.zeros_like(variable.value))
        before = [] if number else [variable.numpy() for variable in trained.trainable_variables]
        trained.reset_metrics()
        reported.append({name: float(value) for name, value in trained.train_step((batch,)).items()})
        if before:
            pairs = zip(before, trained.trainable_variables, strict=True)
            changes = [(old, variable.numpy() - old) for old, variable in pairs]
        after = {name: float(value) for name, value in trained.losses_of(batch, training=True).items()}
        losses.append({"loss": sum(after.values()), **after})
    trained.set_weights(start)
    return dict(zip(names(trained), changes, strict=True)), losses, reported


def test_the_losses_of_a_step_equal_matterport_s(steps, golden):
    """As exactly as above; the total with the L2 term, which alone is known to 1e-6 of the total."""
    total, *parts = golden["sgd_loss_before"]
    assert steps[2][0]["l2_loss"] == pytest.approx(total - sum(parts), abs=2e-6 * total)
    for name, expected in zip(golden["loss_names"], golden["sgd_loss_before"], strict=True):
        off = np.array([reported[str(name)] for reported in steps[2]]) / expected - 1
        assert np.abs(off).min() < 1e-4, name
        assert abs(np.median(off)) < (2e-4 if name == "mrcnn_mask_loss" else 1e-4), name


def test_the_change_by_one_step_of_sgd_equals_matterport_s(steps, golden):
    """Rate 0.001, the gradient clipped to 5 as one vector: what remains of the norms of the golden gradients."""
    norms = gradient_norms(golden)
    whole = np.sqrt(sum(norm**2 for norm in norms.values()))
    for name, (weight, change) in steps[0].items():
        rounding = float(2**-24 * np.linalg.norm(weight))
        assert np.linalg.norm(change) == pytest.approx(0.001 * 5 / whole * norms[name], rel=2e-2, abs=rounding), name


def test_weights_after_one_step_of_sgd_equal_matterport_s(steps, golden):
    """The step falls in a steep place: a gradient of 10 400, clipped to 5, of which ReLUs at their edge decide 1 %.

    The original itself (mrcnn 2.1, TF 1.15.5), run anew on a Xeon: with these weights its losses after the step are up
    to 0.3 % from the golden ones, on one thread up to 0.7 %, and with weights changed by 1e-7 of themselves up to
    2.8 % (box and mask loss; total 0.5 %). Ours are up to 5 % off in a single step, whichever instructions oneDNN
    takes, and in the median of 15 to 21 up to 1.9 %. No tolerance near the original's own says anything.
    """
    for name, expected in zip(golden["loss_names"], golden["sgd_loss_after"], strict=True):
        found = np.median([losses[str(name)] for losses in steps[1]])
        assert found == pytest.approx(expected, rel=4e-2), name
