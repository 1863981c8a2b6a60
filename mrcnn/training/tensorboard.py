"""Curves of a training, for TensorBoard."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.framework import summary_pb2


class Board:
    """TensorBoard's file in a run's folder; not by tf.summary.scalar, whose package TensorFlow no longer brings."""

    def __init__(self, folder: Path) -> None:
        self._file = tf.summary.create_file_writer(str(folder))

    def write(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Add a point at `step` to the curve of each value, called `prefix` and its name."""
        with self._file.as_default():
            for name, value in values.items():
                tf.summary.write(prefix + name, tf.constant(value, tf.float32), step=step, metadata=_curve())

    def close(self) -> None:
        """Write what is left to the disk."""
        self._file.close()


def _curve() -> Any:
    """Return what tells TensorBoard to draw a summary as a curve."""
    plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
    return summary_pb2.SummaryMetadata(plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_SCALAR)
