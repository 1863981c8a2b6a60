"""Mask R-CNN on Keras 3 with the names, arguments and weight files of matterport's package.

Nothing heavy is imported here, so that `import mrcnn.config` stays free of TensorFlow.
"""

import os

# TensorFlow leaves oneDNN off on processors without AVX-512, where it made a training step three times faster
# (AVX2, measured). It has to be set before TensorFlow is imported; a value that is already there is kept.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
