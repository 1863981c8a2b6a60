"""TensorBoard's curves of a training."""

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow.core.framework import summary_pb2


class TensorBoardFile:
    """TensorBoard's event file in a run's folder.

    It doesn't use tf.summary.scalar, which needs a package that TensorFlow no longer installs.
    """

    def __init__(self, folder: Path) -> None:
        self._file = tf.summary.create_file_writer(str(folder))
        plugin = summary_pb2.SummaryMetadata.PluginData(plugin_name="scalars")
        self._metadata = summary_pb2.SummaryMetadata(plugin_data=plugin, data_class=summary_pb2.DATA_CLASS_SCALAR)

    def write(self, prefix: str, values: Mapping[str, float], step: int) -> None:
        """Add a point at `step` to the curve `prefix` + name of each value."""
        with self._file.as_default():
            for name, value in values.items():
                tf.summary.write(prefix + name, tf.constant(value, tf.float32), step=step, metadata=self._metadata)

    def close(self) -> None:
        """Flush and close the file."""
        self._file.close()
