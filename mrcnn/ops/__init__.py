"""TensorFlow operations and Keras layers that do not depend on Mask R-CNN: convolutions, boxes, gradients."""
