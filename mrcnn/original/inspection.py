"""Methods of `MaskRCNN` that inspect the network's layers and intermediate results, for matterport's notebooks."""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mrcnn import weights


class UnknownTensorError(ValueError):
    """A requested tensor is not the output of a layer."""


def log(text: str, array: NDArray[Any] | None = None) -> None:
    """Print text, and the shape, minimum, maximum and dtype of an array."""
    if array is not None:
        extent = (
            f"min: {array.min():10.5f}  max: {array.max():10.5f}" if array.size else "min:            max:           "
        )
        text = f"{text:25}  shape: {array.shape!s:20}  {extent}  {array.dtype}"
    print(text)


class Inspection:
    """Base class of `MaskRCNN` with methods that inspect `keras_model`."""

    keras_model: keras.Model
    mold_inputs: Any
    get_anchors: Any

    def find_trainable_layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """Return the layer that holds the weights: `layer`, or the inner layer of a wrapper such as TimeDistributed."""
        return self.find_trainable_layer(layer.layer) if isinstance(layer, keras.layers.Wrapper) else layer

    def get_trainable_layers(self) -> list[keras.layers.Layer]:
        """Return the layers with weights, in order, including those of `rpn_model`."""
        return [leaf for _, leaf in weights.named_layers(self.keras_model)]

    def ancestor(self, tensor: keras.KerasTensor, name: str, checked: Any = None) -> keras.KerasTensor | None:
        """Return the output of an earlier layer from which `tensor` was computed, or None if there is no such layer.

        Args:
            tensor: a layer's output.
            name: name of the layer, or `<layer>/…:0`, of which only the layer is used, since operations inside of
                layers have no name any more.
            checked: unused; part of matterport's signature.
        """
        layer = name.partition("/")[0].partition(":")[0]
        seen, queue = set(), [tensor]
        while queue:
            operation = queue.pop(0)._keras_history.operation
            for parent in operation._inbound_nodes[0].input_tensors if operation._inbound_nodes else ():
                if parent._keras_history.operation.name == layer:
                    return parent
                if id(parent) not in seen:
                    seen.add(id(parent))
                    queue.append(parent)
        return None

    def run_graph(
        self,
        images: Sequence[NDArray[Any]],
        outputs: Iterable[tuple[str, keras.KerasTensor]],
        image_metas: NDArray[Any] | None = None,
    ) -> "OrderedDict[str, NDArray[Any]]":
        """Compute intermediate results of the inference network, and print shape and range of each.

        Args:
            images: [H, W, 3] uint8 RGB each, of the same size after resizing; or, with `image_metas`, molded images
                [B, H, W, 3] float32.
            outputs: (name, tensor) pairs, such as ("rpn_class", model.keras_model.get_layer("rpn_class").output).
            image_metas: [B, M].

        Returns:
            the arrays by name, in the order of `outputs`.

        Raises:
            UnknownTensorError: a tensor is None, as returned by `ancestor` for unknown layers.
        """
        tensors = OrderedDict(outputs)
        absent = [name for name, tensor in tensors.items() if tensor is None]
        if absent:
            raise UnknownTensorError(f"no tensor is given for {', '.join(absent)}: no layer has the name asked for")
        molded: Any = images
        if image_metas is None:
            molded, image_metas, _ = self.mold_inputs(images)
        anchors = self.get_anchors(molded[0].shape)
        inputs = [molded, np.asarray(image_metas, np.float32), np.broadcast_to(anchors, (len(molded), *anchors.shape))]
        parts = keras.Model(self.keras_model.inputs, dict(tensors))
        parts.supports_jit = self.keras_model.supports_jit
        arrays = parts.predict_on_batch(inputs)
        results = OrderedDict((name, arrays[name]) for name in tensors)
        for name, array in results.items():
            log(name, array)
        return results
