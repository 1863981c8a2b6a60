"""Mask R-CNN on Keras 3 with the names, arguments and weight files of matterport's package.

No heavy import here, so that `import mrcnn.config` does not import TensorFlow.
"""

import os

# TensorFlow disables oneDNN on processors without AVX-512, where it made a training step three times faster (AVX2,
# measured). The variable must be set before TensorFlow is imported; an existing value is kept.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
