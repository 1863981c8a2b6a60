"""Looking into a network: intermediate results by layer, as the original's notebooks ask for them.

`MaskRCNN` inherits these methods; detection and training don't use them.
"""

from collections import OrderedDict
from collections.abc import Iterable, Sequence
from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from mrcnn import weights


class UnknownTensorError(ValueError):
    """A tensor that is no output of a layer was asked for."""


def log(text: str, array: NDArray[Any] | None = None) -> None:
    """Print text, and of an array its shape, dtype, least and largest value."""
    if array is not None:
        extent = (
            f"min: {array.min():10.5f}  max: {array.max():10.5f}" if array.size else "min:            max:           "
        )
        text = f"{text:25}  shape: {array.shape!s:20}  {extent}  {array.dtype}"
    print(text)


class Inspection:
    """Methods of `MaskRCNN` that look into `keras_model`."""

    keras_model: keras.Model
    mold_inputs: Any
    get_anchors: Any

    def find_trainable_layer(self, layer: keras.layers.Layer) -> keras.layers.Layer:
        """The layer that holds the weights: `layer` itself, or what a wrapper such as TimeDistributed has inside."""
        return self.find_trainable_layer(layer.layer) if isinstance(layer, keras.layers.Wrapper) else layer

    def get_trainable_layers(self) -> list[keras.layers.Layer]:
        """The layers that hold weights, in their order, those of `rpn_model` by themselves."""
        return [leaf for _, leaf in weights.named_layers(self.keras_model)]

    def ancestor(self, tensor: keras.KerasTensor, name: str, checked: Any = None) -> keras.KerasTensor | None:
        """The output of an earlier layer that `tensor` was computed from, or None where there is none of that name.

        Args:
            tensor: a layer's output.
            name: of the layer; as in the original, `<layer>/…:0` too, of which only the layer's part is looked at,
                because what is inside a layer has no name any more.
            checked: as in the original's signature; not needed.
        """
        wanted = name.partition("/")[0].partition(":")[0]
        seen, waiting = set(), [tensor]
        while waiting:
            operation = waiting.pop(0)._keras_history.operation
            for parent in operation._inbound_nodes[0].input_tensors if operation._inbound_nodes else ():
                if parent._keras_history.operation.name == wanted:
                    return parent
                if id(parent) not in seen:
                    seen.add(id(parent))
                    waiting.append(parent)
        return None

    def run_graph(
        self,
        images: Sequence[NDArray[Any]],
        outputs: Iterable[tuple[str, keras.KerasTensor]],
        image_metas: NDArray[Any] | None = None,
    ) -> "OrderedDict[str, NDArray[Any]]":
        """Compute parts of the network for inference, and print shape and range of each.

        Args:
            images: [H, W, 3] uint8 RGB each, alike in size once they are resized; or, with `image_metas`, [B, H, W, 3]
                float32 that are molded already.
            outputs: (name, tensor) pairs, such as ("rpn_class", model.keras_model.get_layer("rpn_class").output).
            image_metas: [B, M].

        Returns:
            the arrays by name, in the order of `outputs`.

        Raises:
            UnknownTensorError: a tensor is None, as `ancestor` returns where it finds nothing.
        """
        wanted = OrderedDict(outputs)
        absent = [name for name, tensor in wanted.items() if tensor is None]
        if absent:
            raise UnknownTensorError(f"no tensor is given for {', '.join(absent)}: no layer has the name asked for")
        molded: Any = images
        if image_metas is None:
            molded, image_metas, _ = self.mold_inputs(images)
        anchors = self.get_anchors(molded[0].shape)
        inputs = [molded, np.asarray(image_metas, np.float32), np.broadcast_to(anchors, (len(molded), *anchors.shape))]
        parts = keras.Model(self.keras_model.inputs, dict(wanted))
        parts.supports_jit = self.keras_model.supports_jit
        arrays = parts.predict_on_batch(inputs)
        found = OrderedDict((name, arrays[name]) for name in wanted)
        for name, array in found.items():
            log(name, array)
        return found
