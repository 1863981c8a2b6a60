"""The three heads of the network: region proposals (RPN), classes and boxes, masks."""

from typing import Any

import keras
import tensorflow as tf

from mrcnn.config import Config
from mrcnn.ops.convolution import apply_pointwise, convolution, convolution_then_pointwise
from mrcnn.ops.layers import Convolution, conv_norm, precision_policy


class RegionProposalHead(keras.layers.Layer):
    """Logits and deltas of the anchors of one pyramid level; all levels share the weights."""

    def __init__(self, config: Config, **kwargs: Any) -> None:
        """Create the three convolutions for len(RPN_ANCHOR_RATIOS) anchors a position."""
        policy = precision_policy(config.PRECISION)
        super().__init__(dtype=policy, **kwargs)
        anchors = len(config.RPN_ANCHOR_RATIOS)
        self._stride = config.RPN_ANCHOR_STRIDE
        self.rpn_conv_shared = Convolution(
            config.RPN_CHANNELS,
            3,
            strides=self._stride,
            padding="same",
            activation="relu",
            name="rpn_conv_shared",
            dtype=policy,
        )
        self.rpn_class_raw = Convolution(2 * anchors, 1, name="rpn_class_raw", dtype=policy)
        self.rpn_bbox_pred = Convolution(4 * anchors, 1, name="rpn_bbox_pred", dtype=policy)

    def build(self, input_shape: Any) -> None:
        """Create the weights for a pyramid of input_shape[-1] channels."""
        self.rpn_conv_shared.build(input_shape)
        shared_shape = (*input_shape[:3], self.rpn_conv_shared.filters)
        self.rpn_class_raw.build(shared_shape)
        self.rpn_bbox_pred.build(shared_shape)

    def call(self, features: tf.Tensor, padding: str = "same") -> tuple[tf.Tensor, tf.Tensor]:
        """Return logits [B, A, 2] (background, object) and deltas [B, A, 4], float32, of features [B, H, W, C]."""
        kernel, logits = tf.convert_to_tensor(self.rpn_conv_shared.kernel), self.rpn_class_raw.filters
        pointwise = self._values, logits + self.rpn_bbox_pred.filters
        if padding == "same" and self._stride == 1:  # a whole map, which has no gradient in training
            values = convolution_then_pointwise(features, kernel, pointwise)
        else:
            convolved = convolution(features, kernel, stride=self._stride, padding=padding)
            values = apply_pointwise(convolved, pointwise)
        values = tf.cast(values, tf.float32)
        batch = tf.shape(features)[0]
        return tf.reshape(values[..., :logits], (batch, -1, 2)), tf.reshape(values[..., logits:], (batch, -1, 4))

    def _values(self, convolved: tf.Tensor) -> tf.Tensor:
        """Return logits and deltas [N, (2 + 4) · anchors a position] of the shared convolution's output [N, K].

        Both layers are computed as one matrix product.
        """
        last = (self.rpn_class_raw, self.rpn_bbox_pred)
        kernel = tf.concat([tf.convert_to_tensor(layer.kernel)[0, 0] for layer in last], axis=1)
        biases = [tf.convert_to_tensor(self.rpn_conv_shared.bias)]
        biases += [tf.concat([tf.convert_to_tensor(layer.bias) for layer in last], axis=0)]
        kernel, *biases = (tf.cast(weight, convolved.dtype) for weight in (kernel, *biases))
        shared = tf.nn.relu(tf.nn.bias_add(convolved, biases[0]))
        return tf.nn.bias_add(tf.matmul(shared, kernel), biases[1])

    def compute_output_spec(self, features: keras.KerasTensor, padding: str = "same") -> tuple[keras.KerasTensor, ...]:
        """Return the specification of logits and deltas; the number of anchors depends on the feature map."""
        batch = features.shape[0]
        return keras.KerasTensor((batch, None, 2), "float32"), keras.KerasTensor((batch, None, 4), "float32")


def class_head(
    pooled: keras.KerasTensor, config: Config
) -> tuple[keras.KerasTensor, keras.KerasTensor, keras.KerasTensor]:
    """Return logits [R, C], probabilities [R, C] and deltas [R, C, 4], float32, of pooled regions [R, 7, 7, F]."""
    x = pooled
    for number, size in ((1, config.POOL_SIZE), (2, 1)):
        x = conv_norm(
            x,
            config.FPN_CLASSIF_FC_LAYERS_SIZE,
            size,
            f"mrcnn_class_conv{number}",
            f"mrcnn_class_bn{number}",
            _head_normalisation(config.CLASS_HEAD_NORMALISATION, config),
            config.BATCH_NORM_MOMENTUM,
            dtype=precision_policy(config.PRECISION),
        )
        x = keras.layers.Activation("relu", name=f"mrcnn_class_relu{number}", dtype=x.dtype)(x)
    shared = keras.layers.Reshape((config.FPN_CLASSIF_FC_LAYERS_SIZE,), name="pool_squeeze", dtype="float32")(x)
    logits = keras.layers.Dense(config.NUM_CLASSES, name="mrcnn_class_logits", dtype="float32")(shared)
    probabilities = keras.layers.Activation("softmax", name="mrcnn_class", dtype="float32")(logits)
    deltas = keras.layers.Dense(4 * config.NUM_CLASSES, name="mrcnn_bbox_fc", dtype="float32")(shared)
    deltas = keras.layers.Reshape((config.NUM_CLASSES, 4), name="mrcnn_bbox", dtype="float32")(deltas)
    return logits, probabilities, deltas


class MaskDeconvolution(keras.layers.Conv2DTranspose):
    """Transposed convolution, kernel 2, stride 2, and ReLU, as one matrix product, since kernels do not overlap.

    Weights are those of Conv2DTranspose. The four output pixels of an input pixel have an axis of their own.
    """

    def __init__(self, filters: int, **kwargs: Any) -> None:
        """Create a layer with `filters` output channels."""
        super().__init__(filters, 2, strides=2, **kwargs)

    def call(self, features: tf.Tensor) -> tf.Tensor:
        """Return [R, H, W, 4, filters] of features [R, H, W, C]; 2 × 2 pixels in row-major order."""
        kernel = tf.reshape(tf.convert_to_tensor(self.kernel), (4 * self.filters, -1))
        flat = tf.reshape(features, (-1, features.shape[-1]))
        product = tf.reshape(tf.matmul(flat, kernel, transpose_b=True), (-1, self.filters))
        output = tf.nn.relu(tf.nn.bias_add(product, tf.convert_to_tensor(self.bias)))
        return tf.reshape(output, (-1, features.shape[1], features.shape[2], 4, self.filters))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """Return [R, H, W, 4, filters]."""
        return (*input_shape[:3], 4, self.filters)


class MaskLogits(keras.layers.Conv2D):
    """1 × 1 convolution to one mask for each class, or to the mask of a given class; weights are those of Conv2D."""

    def __init__(self, classes: int, **kwargs: Any) -> None:
        """Create a layer for masks of `classes` classes."""
        super().__init__(classes, 1, **kwargs)

    def build(self, input_shape: Any) -> None:
        """Create the weights for input_shape[-1] channels."""
        super().build((None, None, None, input_shape[-1]))

    def call(self, features: tf.Tensor, class_ids: tf.Tensor | None = None) -> tf.Tensor:
        """Return logits float32 of features [R, H, W, 4, F]: [R, 2H, 2W, classes], or [R, 2H, 2W] of class_ids [R]."""
        kernel, bias = tf.convert_to_tensor(self.kernel)[0, 0], tf.convert_to_tensor(self.bias)
        height, width, channels = features.shape[1], features.shape[2], features.shape[4]
        if class_ids is None:
            logits = tf.matmul(tf.reshape(features, (-1, channels)), kernel) + bias
            return _interleave(logits, height, width, self.filters)
        # by a matrix product, since a gather has a sparse gradient
        one_hot = tf.one_hot(class_ids, self.filters, dtype=kernel.dtype)
        kernel, bias = tf.matmul(one_hot, kernel, transpose_b=True), tf.linalg.matvec(one_hot, bias)
        rows = tf.reshape(features, (-1, height * width * 4, channels))
        logits = tf.matmul(rows, kernel[:, :, None]) + bias[:, None, None]
        return _interleave(logits, height, width, 1)[..., 0]

    def compute_output_spec(
        self, features: keras.KerasTensor, class_ids: keras.KerasTensor | None = None
    ) -> keras.KerasTensor:
        """Return the specification of [R, 2H, 2W] for given classes, else of [R, 2H, 2W, classes]."""
        shape = (features.shape[0], 2 * features.shape[1], 2 * features.shape[2])
        return keras.KerasTensor(shape if class_ids is not None else (*shape, self.filters), "float32")


def _interleave(logits: tf.Tensor, height: int, width: int, classes: int) -> tf.Tensor:
    """Return masks [R, 2H, 2W, classes] float32 of logits [R · H · W · 4, classes] of 2 × 2 pixels each."""
    pixels = tf.reshape(tf.cast(logits, tf.float32), (-1, height, width, 2, 2, classes))
    return tf.reshape(tf.transpose(pixels, (0, 1, 3, 2, 4, 5)), (-1, 2 * height, 2 * width, classes))


def mask_head(
    pooled: keras.KerasTensor, config: Config, class_ids: keras.KerasTensor | None = None
) -> keras.KerasTensor:
    """Return logits float32 of pooled regions [R, 14, 14, F]: [R, 28, 28, classes], or [R, 28, 28] of class_ids [R]."""
    policy, x = precision_policy(config.PRECISION), pooled
    for number in range(1, config.MASK_CONVOLUTIONS + 1):
        x = conv_norm(
            x,
            config.MASK_CHANNELS,
            3,
            f"mrcnn_mask_conv{number}",
            f"mrcnn_mask_bn{number}",
            _head_normalisation(config.MASK_HEAD_NORMALISATION, config),
            config.BATCH_NORM_MOMENTUM,
            padding="same",
            dtype=policy,
        )
        x = keras.layers.Activation("relu", name=f"mrcnn_mask_relu{number}", dtype=x.dtype)(x)
    x = MaskDeconvolution(config.MASK_CHANNELS, name="mrcnn_mask_deconv", dtype=policy)(x)
    logits = MaskLogits(config.NUM_CLASSES, name="mrcnn_mask", dtype=policy)
    return logits(x) if class_ids is None else logits(x, class_ids=class_ids)


def _head_normalisation(choice: str | None, config: Config) -> str | None:
    return config.normalisation if choice == "same" else choice
