"""A trained model as one file for other runtimes: a picture of any size in, boxes, classes, scores and masks out.

`python -m pipeline.export MODEL --to onnx|savedmodel` writes it, and compares what it finds with the model.
"""

FORMATS = ("onnx", "savedmodel", "tflite")
NOT_TFLITE = (
    "--to tflite can't be had: TFLite has no operation for the network's non-maximum suppression, and TensorFlow 2.21 "
    "brings no interpreter that runs TensorFlow's own; use --to onnx, which onnxruntime runs on Android and iOS, too"
)
