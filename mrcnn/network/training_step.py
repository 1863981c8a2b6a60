"""The Keras models of the network: preprocessing of uint8 inputs, and the training step with its losses."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from mrcnn import weights
from mrcnn.config import IMAGE_META_FIELDS, Config
from mrcnn.network import losses
from mrcnn.shapes.polygons import FULL

COARSEST_STRIDE = 32
"""Stride of C5; the levels of the pyramid fit together only if both sides of the image are multiples of it."""


class Network(keras.Model):
    """A functional model that accepts uint8 images and uint8 coverages of masks, as batches hold them."""

    def __init__(self, *args: Any, config: Config, **kwargs: Any):
        """Wrap inputs and outputs; `config` gives MEAN_PIXEL."""
        super().__init__(*args, **kwargs)
        self.config = config
        self.supports_jit = False  # Keras would use XLA on a GPU, and CropAndResize has no XLA kernel

    def call(self, inputs: Any, training: bool | None = None, mask: Any = None) -> Any:
        """Return the outputs for inputs of which the first is images [B, H, W, 3]: uint8 RGB, or molded float32.

        Masks, the only other inputs that may be uint8, then range from 0 to polygons.FULL.
        """
        images, *rest = inputs
        images = checked_images(images)
        if images.dtype in (tf.uint8, "uint8"):
            images = tf.cast(images, tf.float32) - np.asarray(self.config.MEAN_PIXEL, np.float32)
        rest = [tf.cast(each, tf.float32) / FULL if each.dtype in (tf.uint8, "uint8") else each for each in rest]
        return super().call([images, *rest], training=training, mask=mask)

    def save_weights(self, filepath: str | Path, overwrite: bool = True, **keras_own: Any) -> None:
        """Write the weights in matterport's layout, or in Keras' own.

        Args:
            filepath: names that end in `.weights.json` select Keras' own layout.
            overwrite: replace an existing file.
            **keras_own: further arguments of Keras; they select its own layout.

        Raises:
            FileExistsError: the file exists and `overwrite` is False.
        """
        if keras_own or str(filepath).endswith(".weights.json"):
            super().save_weights(filepath, overwrite=overwrite, **keras_own)
            return
        if Path(filepath).exists() and not overwrite:
            raise FileExistsError(f"{filepath} exists, and overwrite is False")
        weights.save(self, filepath)

    def load_weights(self, filepath: str | Path, by_name: bool = False, **keras_own: Any) -> None:
        """Load all weights of a file in matterport's layout, as `save_weights` and Keras' ModelCheckpoint write it.

        Args:
            filepath: the .h5 file; names that end in `.weights.json` are in Keras' own layout.
            by_name: for compatibility; tensors are always matched by name.
            **keras_own: further arguments of Keras; they select its own layout.

        Raises:
            mrcnn.weights.WeightsError: file and network differ; nothing was loaded.
        """
        if keras_own or str(filepath).endswith(".weights.json"):
            super().load_weights(filepath, **keras_own)
            return
        weights.load(self, weights.read_file(filepath), str(filepath))

    def _make_predict_function(self) -> None:
        """Do nothing: servers called this method of Keras 2 before several threads used a model."""

    @property
    def metrics_tensors(self) -> None:
        """Raises AttributeError: by this list of Keras 2, scripts had losses reported."""
        raise AttributeError("metrics_tensors was Keras 2's; `metrics` are the means of all losses, `history` by epoch")


class TrainingNetwork(Network):
    """The network with its losses: `fit`, `train_on_batch` and `test_on_batch` take batches of inputs alone."""

    def __init__(self, *args: Any, **kwargs: Any):
        """Create a running mean for the loss and for each of its parts."""
        super().__init__(*args, **kwargs)
        names = ("loss", *losses.LOSSES, "l2_loss")
        self._means = {name: keras.metrics.Mean(name=name) for name in names}

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Running means of the loss, its five parts and the L2 term; the first is the sum of the others."""
        return list(self._means.values())

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Apply the optimizer once for a batch (`batch_inputs`), and return the running means, [] each."""
        inputs = batch_inputs(data)
        self.get_layer("proposal_targets").step.assign(tf.cast(self.optimizer.iterations, tf.int64))
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self.trainable_variables])
            parts = self.losses_of(inputs, training=True)
            scaled = self.optimizer.scale_loss(losses.total([parts[name] for name in losses.LOSSES]))
        gradients = tape.gradient(scaled, [variable.value for variable in self.trainable_variables])
        gradients = self._aggregated(self._with_decay(gradients))
        self.optimizer.apply_gradients(zip(gradients, self.trainable_variables, strict=True))
        return self._report(losses.total(list(parts.values())), parts)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        """Compute the losses of a batch (`batch_inputs`), and return the running means, [] each."""
        parts = self.losses_of(batch_inputs(data), training=False)
        return self._report(losses.total(list(parts.values())), parts)

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        """Create the optimizer's variables for `fit` and `evaluate`, without a batch of the iterator.

        Keras' own method takes the first batch, which is then not trained on, and its mean over the replicas, which
        booleans do not have, to infer shapes that this network knows.
        """
        if getattr(self, "optimizer", None) is not None:
            with self.distribute_strategy.scope():
                self.optimizer.build(self.trainable_variables)

    def losses_of(self, inputs: Sequence[tf.Tensor], training: bool) -> dict[str, tf.Tensor]:
        """Return the weighted losses and l2_loss of a batch by name, [] float32 each.

        Raises:
            tf.errors.InvalidArgumentError: a loss is not finite; the message names it.
        """
        outputs = self(inputs, training=training)
        parts = network_losses(inputs, outputs, self.config)
        for name, value in parts.items():
            message = f"{name} is not finite: the learning rate may be too high, or the batch's boxes may be wrong"
            parts[name] = tf.debugging.check_numerics(value * self.config.LOSS_WEIGHTS.get(name, 1.0), message)
        return {**parts, "l2_loss": self._l2()}

    def _aggregated(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return each replica's equal share of the whole batch's clipped gradients; unchanged with one replica.

        Keras clips the gradients of each replica before it sums them: the limit would grow with their number.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        if replicas == 1:
            return gradients
        gradients = tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, gradients)
        limit = getattr(self.optimizer, "inner_optimizer", self.optimizer).global_clipnorm  # type: ignore[union-attr]
        if limit is not None:
            gradients, _ = tf.clip_by_global_norm(gradients, limit * self.optimizer.scale_loss(tf.constant(1.0)))
        return [gradient / replicas for gradient in gradients]

    def _l2(self) -> tf.Tensor:
        decayed = [variable.value for variable in self.trainable_variables if self._decays(variable)]
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        return losses.l2_loss(decayed, self.config.WEIGHT_DECAY) / replicas

    def _decays(self, variable: keras.Variable) -> bool:
        """Return whether l2_loss includes a variable: with SGD, all except gamma and beta."""
        return self.config.OPTIMIZER == "sgd" and variable.name not in ("gamma", "beta")

    def _with_decay(self, gradients: list[tf.Tensor]) -> list[tf.Tensor]:
        """Return the gradients plus that of l2_loss, in the scale of the optimizer's loss.

        The latter depends on weights alone, so TensorFlow would compute it for all variables (255 MB for ResNet-101)
        while the activations of the forward pass are in memory; here it waits for the gradient it is added to.
        """
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        factor = self.optimizer.scale_loss(tf.constant(self.config.WEIGHT_DECAY / replicas))
        decayed = []
        for gradient, variable in zip(gradients, self.trainable_variables, strict=True):
            if self._decays(variable) and self.config.WEIGHT_DECAY:
                with tf.control_dependencies([gradient]):
                    decayed.append(gradient + losses.l2_gradient(variable.value, factor))
            else:
                decayed.append(gradient)
        return decayed

    def _report(self, total: tf.Tensor, parts: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        replicas = tf.distribute.get_strategy().num_replicas_in_sync
        for name, value in {"loss": total, **parts}.items():
            self._means[name].update_state(value * replicas)
        return {name: mean.result() for name, mean in self._means.items()}


def checked_images(images: tf.Tensor) -> tf.Tensor:
    """Return the images [B, H, W, C], checked.

    Raises:
        tf.errors.InvalidArgumentError: a side is not a multiple of 32 pixels.
    """
    if isinstance(images, keras.KerasTensor):
        return images
    message = "the height and width of the network's input must be multiples of 32"
    check = tf.debugging.assert_equal(tf.shape(images)[1:3] % COARSEST_STRIDE, 0, message)
    with tf.control_dependencies([check] if check is not None else []):
        return tf.identity(images)


def batch_inputs(data: Any) -> Sequence[tf.Tensor]:
    """Return the inputs of a batch, [B, …] each: `data` itself, or its first item if it is (inputs, targets)."""
    if isinstance(data, (tuple, list)) and len(data) and isinstance(data[0], (tuple, list)):
        return data[0]
    return data


def network_losses(inputs: Sequence[tf.Tensor], outputs: dict[str, tf.Tensor], config: Config) -> dict[str, tf.Tensor]:
    """Return the five unweighted losses [] by name, of the inputs and outputs of a training network."""
    meta, rpn_deltas = inputs[1], tf.cast(inputs[3], tf.float32)
    class_ids, shape = outputs["class_ids"], tf.shape(outputs["class_ids"])
    counts = tf.ones(shape) if config.PADDED_ROIS_ARE_BACKGROUND else tf.reduce_any(outputs["rois"] != 0.0, axis=2)
    logits = tf.reshape(outputs["class_logits"], (shape[0], shape[1], config.NUM_CLASSES))
    deltas = tf.reshape(outputs["deltas"], (shape[0], shape[1], config.NUM_CLASSES, 4))
    labels = outputs["anchor_labels"]
    return {
        "rpn_class_loss": losses.rpn_class_loss(labels, outputs["anchor_logits"]),
        "rpn_bbox_loss": losses.rpn_bbox_loss(labels, rpn_deltas, outputs["anchor_deltas"]),
        "mrcnn_class_loss": losses.mrcnn_class_loss(class_ids, logits, meta[:, IMAGE_META_FIELDS:], counts),
        "mrcnn_bbox_loss": losses.mrcnn_bbox_loss(class_ids, outputs["target_deltas"], deltas),
        "mrcnn_mask_loss": losses.mrcnn_mask_loss(
            outputs["target_masks"], outputs["mask_logits"], outputs["mask_counts"], config.MASK_LOSS_SATURATES
        ),
    }
