"""A tiny network learns, accepts any shape of image, and reports its losses."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn import network, weights
from mrcnn.data.image_meta import mold_image
from mrcnn.shapes.polygons import FULL
from tests.mrcnn.conftest import TinyConfig, make_batch

PARTS = ("rpn_class_loss", "rpn_bbox_loss", "mrcnn_class_loss", "mrcnn_bbox_loss", "mrcnn_mask_loss", "l2_loss")


def trainable(config, rate=1e-3):
    model = network.training_network(config)
    model.compile(optimizer=keras.optimizers.Adam(rate, global_clipnorm=5.0), jit_compile=False)
    return model


def dataset(batch):
    return tf.data.Dataset.from_tensors((tuple(batch),)).repeat()


@pytest.fixture(scope="module")
def model():
    return trainable(TinyConfig(), 3e-3)


def test_the_network_learns_a_batch_and_the_loss_is_the_sum_of_its_parts(model):
    batches = dataset(make_batch(TinyConfig(), 64, 96))
    first = model.fit(batches, steps_per_epoch=2, verbose=0).history
    last = model.fit(batches, steps_per_epoch=30, epochs=1, verbose=0).history
    assert last["loss"][-1] < first["loss"][0]
    values = model.evaluate(batches, steps=1, verbose=0, return_dict=True)
    for history in ({name: value[-1] for name, value in last.items()}, values):
        assert history["loss"] == pytest.approx(sum(history[name] for name in PARTS), rel=1e-5)


def test_each_input_is_taken_by_a_layer_as_keras_before_3_14_demands(model):
    assert all(each._keras_history.operation._outbound_nodes for each in model.inputs)


def test_a_network_accepts_images_of_different_shapes(model):
    values = model.evaluate(dataset(make_batch(TinyConfig(), 96, 64)), steps=1, verbose=0, return_dict=True)
    assert np.isfinite(values["loss"])


def test_sides_that_are_no_multiple_of_32_are_rejected(model):
    with pytest.raises(tf.errors.InvalidArgumentError, match="multiples of 32"):
        model(make_batch(TinyConfig(), 48, 96))


def test_uint8_and_molded_images_have_the_same_losses(model):
    batch = make_batch(TinyConfig(), 64, 96)
    molded = [mold_image(batch[0], TinyConfig()), *batch[1:]]
    for name, found in model.losses_of([tf.constant(part) for part in batch], training=False).items():
        expected = model.losses_of([tf.constant(part) for part in molded], training=False)[name]
        assert found.numpy() == pytest.approx(expected.numpy(), rel=1e-4), name


def test_uint8_and_bool_masks_have_the_same_losses():
    keras.utils.set_random_seed(1)
    model, batch = trainable(TinyConfig()), make_batch(TinyConfig(), 64, 96)
    assert batch[-1].dtype == bool
    as_bytes = [*batch[:-1], batch[-1] * np.uint8(FULL)]
    ours, expected = (
        model.losses_of([tf.constant(part) for part in parts], training=False)["mrcnn_mask_loss"].numpy()
        for parts in (as_bytes, batch)
    )
    assert ours == pytest.approx(expected, rel=1e-5)
    assert expected > 0


def test_images_without_objects_train_the_network():
    keras.utils.set_random_seed(1)  # a network that has learned a little may propose nothing
    model = trainable(TinyConfig())
    values = model.evaluate(dataset(make_batch(TinyConfig(), 64, 96, objects=0)), steps=1, verbose=0, return_dict=True)
    assert values["mrcnn_class_loss"] > 0
    assert values["mrcnn_mask_loss"] == values["mrcnn_bbox_loss"] == 0


def test_the_mask_head_computes_masks_of_positive_regions_only(model):
    """Padded to a multiple of eight; matterport's head computed all regions, including padding."""
    outputs = model(make_batch(TinyConfig(), 64, 96), training=True)
    positives = int((outputs["class_ids"].numpy() > 0).sum())
    assert outputs["class_ids"].shape == (2, 16)
    assert outputs["mask_counts"].numpy().sum() == positives
    assert len(outputs["mask_logits"]) == max(1, -(-positives // 8)) * 8 < 2 * 16


def test_a_loss_that_is_not_finite_stops_training_and_is_named():
    model = trainable(TinyConfig())
    batch = make_batch(TinyConfig(), 64, 96)
    batch[3][0, 0] = np.nan
    with pytest.raises(tf.errors.InvalidArgumentError, match="rpn_bbox_loss is not finite"):
        model.train_step((tuple(tf.constant(part) for part in batch),))


def test_only_trainable_layers_change():
    model = trainable(TinyConfig())
    model.get_layer("conv1").trainable = False
    before = model.get_layer("conv1").kernel.numpy(), model.get_layer("fpn_p2").kernel.numpy()
    model.fit(dataset(make_batch(TinyConfig(), 64, 96)), steps_per_epoch=1, verbose=0)
    assert (model.get_layer("conv1").kernel.numpy() == before[0]).all()
    assert (model.get_layer("fpn_p2").kernel.numpy() != before[1]).any()


class GroupNormalised(TinyConfig):
    NORMALISATION = "group"
    FPN_NORMALISATION = "group"
    CLASS_HEAD_NORMALISATION = "same"


class Frozen(TinyConfig):
    NORMALISATION = "frozen"
    FPN_NORMALISATION = None


class OldTrainBatchNorm(TinyConfig):
    NORMALISATION = None
    TRAIN_BN = True


class Aligned(TinyConfig):
    ROI_POOLING = "roi_align"


class FullMasks(TinyConfig):
    USE_MINI_MASK = False
    MINI_MASK_SHAPE = (64, 96)


class LowPrecision(TinyConfig):
    PRECISION = "bfloat16"


class HalfPrecision(TinyConfig):
    PRECISION = "float16"


class AsTheOriginal(TinyConfig):
    ROI_GROUND_TRUTH_COPIES = 0
    ROI_FILL_WITH_NEGATIVES = False
    PADDED_ROIS_ARE_BACKGROUND = True
    MASK_LOSS_SATURATES = True
    OPTIMIZER = "sgd"


CHOICES = [GroupNormalised, Frozen, OldTrainBatchNorm, Aligned, FullMasks, LowPrecision, HalfPrecision, AsTheOriginal]


@pytest.mark.usefixtures("sixteen_bits")
@pytest.mark.parametrize("choice", CHOICES, ids=lambda choice: choice.__name__)
def test_all_weights_have_gradients_in_every_configuration(choice):
    config = choice()
    model = network.training_network(config)
    batch = [tf.constant(part) for part in make_batch(config, 64, 96)]
    with tf.GradientTape() as tape:
        total = tf.add_n(list(model.losses_of(batch, training=True).values()))
    gradients = tape.gradient(total, [variable.value for variable in model.trainable_variables])
    assert total.dtype == tf.float32
    assert all(np.isfinite(gradient.numpy()).all() for gradient in gradients)


def own_backbone(image, stage5, train_bn):
    """Layers of several kinds, two of them in a nested model."""
    options = {"strides": 2, "padding": "same", "activation": "relu"}
    first = keras.layers.Conv2D(8, 3, name="own1", **options)(image)
    inner = keras.Sequential(
        [keras.layers.Conv2D(8, 3, name=f"inner{n}", padding="same") for n in (1, 2)], name="inner"
    )
    maps = [inner(first)]
    for number in (2, 3):
        maps.append(keras.layers.Conv2D(8, 3, name=f"own{number}", **options)(maps[-1]))
    for number in (4, 5):
        maps.append(keras.layers.SeparableConv2D(8, 3, name=f"own{number}", **options)(maps[-1]))
    return maps


def test_a_callable_backbone_is_used_and_its_weights_are_saved(tmp_path):
    class Own(TinyConfig):
        BACKBONE = staticmethod(own_backbone)
        COMPUTE_BACKBONE_SHAPE = staticmethod(
            lambda shape: np.array([[-(-side // stride) for side in shape[:2]] for stride in (4, 8, 16, 32, 64)])
        )

    model = trainable(Own())
    values = model.evaluate(dataset(make_batch(Own(), 64, 96)), steps=1, verbose=0, return_dict=True)
    assert np.isfinite(values["loss"])
    weights.save(model, tmp_path / "own.h5")
    kernels = ("depthwise_kernel", "pointwise_kernel")
    before = [getattr(model.get_layer("own4"), name).numpy() for name in kernels]
    for variable in model.get_layer("own4").weights + model.get_layer("inner").weights:
        variable.assign(variable + 1.0)
    weights.load(model, weights.read_file(tmp_path / "own.h5"), "own.h5")
    for name, kernel in zip(kernels, before, strict=True):
        assert (getattr(model.get_layer("own4"), name).numpy() == kernel).all(), name
    detecting = network.inference_network(Own())
    weights.load(detecting, weights.read_file(tmp_path / "own.h5"), "own.h5")
    for ours, theirs in zip(detecting.get_layer("inner").weights, model.get_layer("inner").weights, strict=True):
        assert (ours.numpy() == theirs.numpy()).all()


def test_gradients_of_the_class_head_follow_those_of_the_mask_head(model):
    """`SequentialGradients` computes the gradients of its first two inputs after that of the third."""
    turn = model.get_layer("mask_first")
    before = [each._keras_history.operation.name for each in turn.input]
    assert before == ["mrcnn_class_logits", "mrcnn_bbox", "roi_align_mask"]
    (pooled,) = model.get_layer("mrcnn_mask_conv1")._inbound_nodes[0].input_tensors
    assert pooled is turn.output[2]


def test_input_rois_replace_proposals():
    class Given(TinyConfig):
        USE_RPN_ROIS = False
        POST_NMS_ROIS_TRAINING = 4

    batch = [*make_batch(Given(), 64, 96), np.int32([[[0, 0, 20, 20], [5, 5, 40, 40], [0, 0, 0, 0], [1, 2, 3, 9]]] * 2)]
    outputs = network.training_network(Given())(batch)
    assert outputs["rois"].shape == (2, 16, 4)
