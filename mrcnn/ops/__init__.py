"""TensorFlow operations and layers that know nothing of Mask R-CNN: convolutions, boxes, order of gradients."""
