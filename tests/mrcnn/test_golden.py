"""Agreement with figures that the original computed on TensorFlow 1.15 (../shared/golden/README.md)."""

import os
import runpy
import subprocess
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn import model as modellib
from mrcnn import network, weights
from mrcnn.config import Config

FOLDER = Path("../shared/golden").resolve()
ORIGINAL = os.environ.get("ORIGINAL_PYTHON")
"""A Python 3.7 with mrcnn 2.1, see ../shared/baselines/README.md; without it that program does not read our file."""

pytestmark = pytest.mark.skipif(not FOLDER.exists(), reason="../shared/golden is absent")

OUTPUTS = ("detections", "mrcnn_class", "mrcnn_bbox", "mrcnn_mask", "rpn_rois", "rpn_class", "rpn_bbox")
INPUTS = ("images", "image_meta", "rpn_match", "rpn_bbox", "gt_class_ids", "gt_boxes", "gt_masks", "rois")
ROUNDINGS = 7
"""Copies of the weights, each changed by 1e-7 of itself, over which medians are taken.

Such a change moves the original's own mask loss by up to 1.3e-4 of itself (measured), since some of 6272 pixels stand
at the edge of saturation, where a probability has few bits left; which of them fall to which side is chance.
"""
STEPS = 7
"""Steps of SGD from such copies: what one leads to is more a matter of chance than the losses it starts from."""


class Golden(Config):
    NAME = "golden"
    BACKBONE = "resnet50"
    IMAGE_MIN_DIM = 128
    IMAGE_MAX_DIM = 128
    NUM_CLASSES = 5
    IMAGES_PER_GPU = 1
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    DETECTION_MIN_CONFIDENCE = 0.0
    DETECTION_MAX_INSTANCES = 20
    POST_NMS_ROIS_INFERENCE = 200


class GoldenTraining(Golden):
    TRAIN_ROIS_PER_IMAGE = 32
    USE_RPN_ROIS = False
    POST_NMS_ROIS_TRAINING = 24


@pytest.fixture(scope="module")
def golden():
    with np.load(FOLDER / "golden_resnet50_128.npz") as stored:
        return {key.removeprefix("golden:"): stored[key] for key in stored if key.startswith("golden:")}


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("golden") / "weights.h5"
    runpy.run_path(str(FOLDER / "weights.py"))["write"](path)
    return path


@pytest.fixture(scope="module")
def detector(file, tmp_path_factory):
    model = modellib.MaskRCNN("inference", Golden(), tmp_path_factory.mktemp("logs"))
    model.load_weights(file, by_name=True)
    return model


@pytest.fixture(scope="module")
def outputs(detector, golden):
    inputs = [golden["molded_images"], golden["image_metas"], golden["anchors"]]
    return dict(zip(OUTPUTS, detector.keras_model.predict_on_batch(inputs), strict=True))


def test_the_anchors_are_the_original_s(detector, golden):
    assert detector.get_anchors((128, 128, 3)) == pytest.approx(golden["anchors"][0], abs=1e-6)


@pytest.mark.parametrize("name", ["detections", "mrcnn_mask", "rpn_class", "rpn_bbox"])
def test_an_output_is_the_original_s(outputs, golden, name):
    assert np.abs(outputs[name] - golden[name]).max() < 1e-3
    assert np.abs(outputs["detections"] - golden["detections"])[..., :4].max() < 1e-4


def test_proposals_and_what_is_made_of_them_are_the_original_s_in_any_order(outputs, golden):
    distance = np.abs(outputs["rpn_rois"][0][:, None] - golden["rpn_rois"][0][None]).max(axis=2)
    same = distance.argmin(axis=1)
    assert sorted(same) == list(range(200))
    assert distance.min(axis=1).max() < 1e-4
    for name in ("mrcnn_class", "mrcnn_bbox"):
        assert np.abs(outputs[name][0] - golden[name][0][same]).max() < 1e-3


def test_activations_are_the_original_s(detector, golden):
    names = ("fpn_p2", "fpn_p3", "fpn_p4", "fpn_p5", "res2c_out", "res4a_out", "res5c_out")
    model = detector.keras_model
    inner = keras.Model(model.inputs, [model.get_layer(name).output for name in names])
    found = inner([golden["molded_images"], golden["image_metas"], golden["anchors"]])
    for name, activation in zip(names, found, strict=True):
        expected = golden[f"layer_{name}"]
        values = activation.numpy() if expected.ndim > 1 else activation.numpy().ravel()[::17]
        assert values == pytest.approx(expected, rel=1e-3, abs=1e-3 * float(np.abs(expected).max())), name


def test_class_logits_are_the_original_s(detector, golden):
    model = detector.keras_model
    inner = keras.Model(model.inputs, [model.get_layer(name).output for name in ("ROI", "mrcnn_class_logits")])
    rois, logits = inner([golden["molded_images"], golden["image_metas"], golden["anchors"]])
    same = np.abs(rois.numpy()[0][:, None] - golden["rpn_rois"][0][None]).max(axis=2).argmin(axis=1)
    expected = golden["layer_mrcnn_class_logits"][0][same]
    assert logits.numpy() == pytest.approx(expected, rel=1e-3, abs=1e-3 * float(np.abs(expected).max()))


def test_an_image_is_placed_where_the_original_placed_it(detector, golden):
    """Its grey levels are the original's but for one, where rounding noise lay below whole numbers (see below)."""
    molded, metas, windows = detector.mold_inputs([golden["image"]])
    assert metas == pytest.approx(golden["image_metas"], abs=1e-6)
    assert (windows == golden["windows"]).all()
    assert molded.dtype == golden["molded_images"].dtype
    off = np.abs(molded - golden["molded_images"])
    (y1, x1, y2, x2) = windows[0]
    assert off.max() < 1.001
    assert (off[:, y1:y2, x1:x2] > 0.5).mean() < 0.15
    assert np.delete(off[0], np.s_[y1:y2], axis=0).max() < 1e-4


def test_detect_finds_the_original_s_instances(detector, golden, monkeypatch):
    """With the original's pixels: its resizing cut off values that rounding noise had put below whole numbers.

    Where depends on the machine: scikit-image 0.16.2 gives 1060 of these 27 648 values another grey level on a Xeon,
    and mrcnn 2.1 then finds none of the golden instances with these random weights.
    """
    pixels = np.rint(golden["molded_images"][0] + Golden.MEAN_PIXEL).astype(np.uint8)
    resize = modellib.resize_for
    monkeypatch.setattr(modellib, "resize_for", lambda image, config: (pixels, resize(image, config)[1]))
    found = detector.detect([golden["image"]])[0]
    masks = np.unpackbits(golden["detect_masks_packed"])[: golden["detect_masks_shape"].prod()]
    masks = masks.reshape(golden["detect_masks_shape"]).astype(bool)
    assert (found["rois"] == golden["detect_rois"]).all()
    assert (found["class_ids"] == golden["detect_class_ids"]).all()
    assert np.abs(found["scores"] - golden["detect_scores"]).max() < 1e-3
    shared, either = (found["masks"] & masks).sum(axis=(0, 1)), (found["masks"] | masks).sum(axis=(0, 1))
    assert (shared / np.maximum(either, 1)).min() >= 0.99


def content(path):
    """What Keras 2 reads of a file, in its order: groups, the names of their weights, and the values."""
    with h5py.File(path) as stored:
        attributes = {name: stored.attrs[name] for name in ("backend", "keras_version")}
        groups = {name.decode(): stored[name].attrs["weight_names"] for name in stored.attrs["layer_names"]}
        return attributes, [
            (group, name.decode(), stored[group][name][()]) for group, names in groups.items() for name in names
        ]


def test_a_file_that_we_wrote_is_the_original_s(detector, file, tmp_path):
    """In the same order too: without by_name, Keras 2 goes by it. mrcnn 2.1 loads such a file either way."""
    weights.save(detector.keras_model, tmp_path / "ours.h5")
    (our_attributes, ours), (their_attributes, theirs) = content(tmp_path / "ours.h5"), content(file)
    assert our_attributes == their_attributes
    assert [(group, name, values.shape, values.dtype) for group, name, values in ours] == [
        (group, name, values.shape, values.dtype) for group, name, values in theirs
    ]
    assert all((our == their).all() for (*_, our), (*_, their) in zip(ours, theirs, strict=True))
    if ORIGINAL:
        command = [ORIGINAL, Path(__file__).parent / "load_in_the_original.py", tmp_path / "ours.h5", FOLDER]
        # the new TensorFlow, imported here, has told its children to behave as version 2
        subprocess.run(command, check=True, cwd=tmp_path, env=os.environ | {"TF2_BEHAVIOR": "0"})


@pytest.fixture(scope="module")
def trained(file):
    model = network.training_network(GoldenTraining())
    weights.load(model, weights.read_file(file), str(file))
    model.compile(optimizer=keras.optimizers.SGD(0.001, momentum=0.9, global_clipnorm=5.0), jit_compile=False)
    return model


@pytest.fixture(scope="module")
def batch(golden):
    inputs = {name: golden[f"train_{name}"] for name in INPUTS}
    inputs["image_meta"] = inputs["image_meta"].astype(np.float32)
    return [tf.constant(value) for value in inputs.values()]


def test_targets_are_the_original_s_in_any_order(trained, batch, golden):
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


def test_losses_are_the_original_s(roundings, golden):
    """Some rounding gives each to 1e-4, and so does the median one, but for the mask loss.

    Of that one, the copies have a spread (standard deviation) of 9e-5 with any of oneDNN's instructions, and a median
    of 31 is 3e-5 to 8e-5 below the golden figure, itself one of such a spread: a median of 7 can't be held to 1e-4.
    """
    for name, expected in zip(golden["loss_names"], golden["loss_values"], strict=True):
        off = np.array([losses[str(name)] for losses, _ in roundings]) / expected - 1
        assert np.abs(off).min() < 1e-4, name
        assert abs(np.median(off)) < (2e-4 if name == "mrcnn_mask_loss" else 1e-4), name


def test_gradients_are_as_long_as_the_original_s(roundings, golden):
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
    rng, start, losses, told = np.random.default_rng(0), trained.get_weights(), [], []
    for number in range(STEPS):
        trained.set_weights([_rounded(weight, 1e-7 if number else 0.0, rng) for weight in start])
        for variable in trained.optimizer.momentums:
            variable.assign(tf.zeros_like(variable.value))
        before = [] if number else [variable.numpy() for variable in trained.trainable_variables]
        trained.reset_metrics()
        told.append({name: float(value) for name, value in trained.train_step((batch,)).items()})
        if before:
            pairs = zip(before, trained.trainable_variables, strict=True)
            changes = [(old, variable.numpy() - old) for old, variable in pairs]
        after = {name: float(value) for name, value in trained.losses_of(batch, training=True).items()}
        losses.append({"loss": sum(after.values()), **after})
    trained.set_weights(start)
    return dict(zip(names(trained), changes, strict=True)), losses, told


def test_a_step_tells_the_losses_that_the_original_s_told(steps, golden):
    """As exactly as above; the total with the L2 term, which alone is known to 1e-6 of the total."""
    total, *parts = golden["sgd_loss_before"]
    assert steps[2][0]["l2_loss"] == pytest.approx(total - sum(parts), abs=2e-6 * total)
    for name, expected in zip(golden["loss_names"], golden["sgd_loss_before"], strict=True):
        off = np.array([told[str(name)] for told in steps[2]]) / expected - 1
        assert np.abs(off).min() < 1e-4, name
        assert abs(np.median(off)) < (2e-4 if name == "mrcnn_mask_loss" else 1e-4), name


def test_one_step_of_sgd_goes_as_far_as_the_original_s(steps, golden):
    """Rate 0.001, the gradient clipped to 5 as one vector: what remains of the norms of the golden gradients."""
    norms = gradient_norms(golden)
    whole = np.sqrt(sum(norm**2 for norm in norms.values()))
    for name, (weight, change) in steps[0].items():
        rounding = float(2**-24 * np.linalg.norm(weight))
        assert np.linalg.norm(change) == pytest.approx(0.001 * 5 / whole * norms[name], rel=2e-2, abs=rounding), name


def test_one_step_of_sgd_leads_where_it_led_the_original(steps, golden):
    """The step falls in a steep place: a gradient of 10 400, clipped to 5, of which ReLUs at their edge decide 1 %.

    The original itself (mrcnn 2.1, TF 1.15.5), run anew on a Xeon: with these weights its losses after the step are up
    to 0.3 % from the golden ones, on one thread up to 0.7 %, and with weights changed by 1e-7 of themselves up to
    2.8 % (box and mask loss; total 0.5 %). Ours are up to 5 % off in a single step, whichever instructions oneDNN
    takes, and in the median of 15 to 21 up to 1.9 %. No tolerance near the original's own says anything.
    """
    for name, expected in zip(golden["loss_names"], golden["sgd_loss_after"], strict=True):
        found = np.median([losses[str(name)] for losses in steps[1]])
        assert found == pytest.approx(expected, rel=4e-2), name
