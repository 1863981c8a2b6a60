"""Single training steps: weight decay, loss weights, optimizers, learning rates, errors."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from mrcnn import network
from mrcnn.model import MaskRCNN
from mrcnn.network.losses import LOSSES
from mrcnn.network.training_step import network_losses
from mrcnn.training import train
from mrcnn.training.optimizers import build_optimizer
from mrcnn.training.schedule import LearningRateSchedule
from tests.mrcnn.conftest import TinyConfig as TinyNetwork
from tests.mrcnn.conftest import make_batch
from tests.mrcnn.street import Squares, TinyConfig


class PlainDescent(TinyNetwork):
    """An optimizer that subtracts the gradient."""

    OPTIMIZER = "sgd"
    LEARNING_MOMENTUM = 0.0
    GRADIENT_CLIP_NORM = 0.0
    WEIGHT_DECAY = 0.0
    NORMALISATION = "frozen"


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(1)
    built = network.training_network(PlainDescent())
    built.compile(optimizer=build_optimizer(built.config, 1.0), jit_compile=False)
    built.optimizer.build(built.trainable_variables)
    for variable in built.trainable_variables:
        if variable.name == "bias":  # zero at first, where decay would not show
            variable.assign(np.full(variable.shape, 0.01, np.float32))
    return built


@pytest.fixture(scope="module")
def batch():
    return tuple(tf.constant(part) for part in make_batch(PlainDescent(), 64, 96))


def step_of(model, batch, **settings):
    """Return the change of weights and the losses of one step with other settings; restore the model."""
    before, config = model.get_weights(), model.config
    model.config = PlainDescent()
    vars(model.config).update(settings)
    model.reset_metrics()
    model.optimizer.iterations.assign(0)  # what is sampled depends on it
    old = [variable.numpy() for variable in model.trainable_variables]
    logs = {name: float(value) for name, value in model.train_step((batch,)).items()}
    changes = [variable.numpy() - was for variable, was in zip(model.trainable_variables, old, strict=True)]
    model.set_weights(before)
    model.config = config
    return changes, logs


def weighing(**weights):
    return dict.fromkeys(LOSSES, 0.0) | weights


def test_weight_decay_changes_kernels_and_biases_and_not_normalisation(model, batch):
    """2 · WEIGHT_DECAY · w / size, from matterport's l2(w) / size, which includes biases."""
    decay = 50.0
    changes, logs = step_of(model, batch, WEIGHT_DECAY=decay, LOSS_WEIGHTS=weighing())
    squares, kinds = 0.0, set()
    for variable, change in zip(model.trainable_variables, changes, strict=True):
        kinds.add(variable.name)
        weight = variable.numpy()
        decays = variable.name not in ("gamma", "beta")
        expected = -2 * decay * weight / weight.size if decays else np.zeros_like(weight)
        assert change == pytest.approx(expected, rel=1e-3, abs=1e-6), variable.path
        squares += decays * np.mean(weight.astype(float) ** 2)
    assert kinds == {"kernel", "bias", "gamma", "beta"}
    assert logs["loss"] == pytest.approx(logs["l2_loss"])
    assert logs["l2_loss"] == pytest.approx(decay * squares, rel=1e-4)


def test_adamw_leaves_decay_to_the_optimizer(model, batch):
    changes, logs = step_of(model, batch, OPTIMIZER="adamw", WEIGHT_DECAY=50.0, LOSS_WEIGHTS=weighing())
    assert logs["loss"] == logs["l2_loss"] == 0
    assert not any(change.any() for change in changes)


def test_the_total_is_the_sum_of_the_losses_by_their_weights(model, batch):
    weights = dict(zip(LOSSES, (0.5, 2.0, 3.0, 0.0, 5.0), strict=True))
    _, logs = step_of(model, batch, LOSS_WEIGHTS=weights)
    _, plain = step_of(model, batch)
    assert all(plain[name] > 0 for name in LOSSES)
    for name, weight in weights.items():
        assert logs[name] == pytest.approx(weight * plain[name], rel=1e-4), name
    assert logs["loss"] == pytest.approx(sum(weight * plain[name] for name, weight in weights.items()), rel=1e-4)
    model.get_layer("proposal_targets").step.assign(0)
    unweighted = network_losses(batch, model(batch, training=True), model.config)
    assert {name: float(value) for name, value in unweighted.items()} == pytest.approx(
        {name: plain[name] for name in LOSSES}, rel=1e-4
    )


@pytest.mark.parametrize("name", ["rpn_class_loss", "mrcnn_mask_loss"])
def test_the_gradient_is_proportional_to_the_loss_weight(model, batch, name):
    once, _ = step_of(model, batch, LOSS_WEIGHTS=weighing(**{name: 1.0}))
    thrice, _ = step_of(model, batch, LOSS_WEIGHTS=weighing(**{name: 3.0}))
    assert any(change.any() for change in once)
    whole = np.concatenate([change.ravel() for change in once])
    assert np.concatenate([change.ravel() for change in thrice]) == pytest.approx(
        3 * whole, rel=1e-2, abs=1e-4 * float(np.abs(whole).max())
    )


def taken(optimizer, rates):
    """Return two weights after steps with these rates; every other gradient exceeds the clipping limit."""
    rng = np.random.default_rng(0)
    shapes = {"kernel": (3, 4), "bias": (4,)}
    variables = [keras.Variable(np.full(shape, 0.5, np.float32), name=name) for name, shape in shapes.items()]
    path = []
    for number, rate in enumerate(rates):
        optimizer.learning_rate.assign(rate)
        length = 4.0 if number % 2 else 0.1
        gradients = [(length * rng.normal(size=variable.shape)).astype(np.float32) for variable in variables]
        optimizer.apply(gradients, variables)
        path.append(np.concatenate([variable.numpy().ravel() for variable in variables]))
    return np.stack(path)


class Momentum(TinyConfig):
    OPTIMIZER = "sgd"
    LEARNING_MOMENTUM = 0.9
    GRADIENT_CLIP_NORM = 2.0


class Decoupled(Momentum):
    OPTIMIZER = "adamw"
    WEIGHT_DECAY = 0.1


def keras_own(config):
    if config.OPTIMIZER == "sgd":
        return keras.optimizers.SGD(1.0, momentum=0.9, global_clipnorm=2.0)
    optimizer = keras.optimizers.AdamW(1.0, weight_decay=0.1, global_clipnorm=2.0)
    optimizer.exclude_from_weight_decay(var_names=["bias"])
    return optimizer


@pytest.mark.parametrize("config", [Momentum(), Decoupled()], ids=["sgd", "adamw"])
@pytest.mark.parametrize("kind", ["constant", "cosine"])
def test_the_fused_optimizers_equal_keras_own(config, kind):
    """Over twelve steps with changing rates, in which every other gradient is clipped."""
    rates = [LearningRateSchedule(0.05, kind, 3 * (kind == "cosine"), 0, 12)(step) for step in range(12)]
    ours, expected = taken(build_optimizer(config, 1.0), rates), taken(keras_own(config), rates)
    assert ours == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert np.abs(np.diff(ours, axis=0)).max(axis=1).min() > 1e-4


class Rates(keras.callbacks.Callback):
    """Records the learning rate of each step."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def on_train_batch_end(self, batch, logs=None):
        self.seen.append(float(self.model.optimizer.learning_rate))


def statistics(model, layer):
    normalisation = model.keras_model.get_layer(layer)
    return np.stack([normalisation.moving_mean.numpy(), normalisation.moving_variance.numpy()])


class WithCosine(TinyConfig):
    STEPS_PER_EPOCH = 2
    LEARNING_RATE_SCHEDULE = "cosine"
    WARMUP_STEPS = 2


def test_heads_follow_warmup_and_cosine_and_only_their_statistics_change(tmp_path):
    model, rates = MaskRCNN("training", WithCosine(), tmp_path), Rates()
    backbone, pyramid = statistics(model, "bn_conv1"), statistics(model, "fpn_p2_bn")
    result = train(model, Squares(4), None, 0.002, 3, "heads", custom_callbacks=[rates])
    wave = [0.5 * (1 + np.cos(np.pi * done / 4)) for done in range(4)]
    expected = [0.001, 0.002, *(0.002 * (0.01 + 0.99 * height) for height in wave)]
    assert rates.seen == pytest.approx(expected)
    assert [row["learning_rate"] for row in result.history] == pytest.approx(expected[1::2])
    assert (statistics(model, "bn_conv1") == backbone).all()
    assert (statistics(model, "fpn_p2_bn") != pyramid).any()


def test_a_damaged_image_among_many_stops_training_and_is_named(tmp_path):
    """Matterport's code skipped up to five of them silently."""

    class OneBroken(Squares):
        def encoded_image(self, image_id):
            return b"no image" if image_id == 5 else super().encoded_image(image_id)

    config = TinyConfig()
    config.STEPS_PER_EPOCH = 4  # once through all images
    with pytest.raises(ValueError, match=r"image '5\.png' of 'squares': this is not an image"):
        train(MaskRCNN("training", config, tmp_path), OneBroken(8), None, 0.001, 1, "all")
    assert not list(tmp_path.rglob("mask_rcnn_*"))
