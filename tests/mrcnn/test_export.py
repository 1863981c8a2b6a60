"""Export of networks, and download of weights."""

import contextlib
import hashlib
import random
import sys

import cv2
import keras
import numpy as np
import pytest

from mrcnn import export, utils, weights
from mrcnn.config import Config
from mrcnn.data.resizing import resize_for
from mrcnn.model import MaskRCNN
from mrcnn.network import roi_pooling
from mrcnn.network.detections import unmold
from mrcnn.ops import convolution
from mrcnn.weights import coco, imagenet
from tests.mrcnn.street import Squares, TinyConfig
from tests.pipeline.file_server import Behaviour, serving

CONTENT = bytes(range(200)) * 5


@pytest.fixture
def server(monkeypatch):
    """Serve weights with a given behaviour; retries do not wait."""
    behaviour = Behaviour(content=CONTENT)
    monkeypatch.setattr(random, "uniform", lambda *_: 0.0)
    monkeypatch.setattr(coco, "COCO_MODEL_SIZE", len(CONTENT))
    with serving(behaviour) as address:
        monkeypatch.setattr(coco, "COCO_MODEL_URL", f"{address}/mask_rcnn_coco.h5")
        yield behaviour


@pytest.fixture
def path(tmp_path):
    return tmp_path / "mask_rcnn_coco.h5"


def test_an_interrupted_download_is_resumed(server, path, monkeypatch):
    server.content = b"\0" * 600_000 + CONTENT
    monkeypatch.setattr(coco, "COCO_MODEL_SIZE", len(server.content))
    server.break_after = [600_000]
    monkeypatch.setattr(coco, "TRIES_AGAIN", 0)
    with pytest.raises(coco.DownloadError, match=r"can't be fetched \(Download is incomplete.*call again to continue"):
        utils.download_trained_weights(path, verbose=0)
    assert not path.exists()
    seen = []
    digest = hashlib.sha256(server.content).hexdigest()
    utils.download_trained_weights(path, 0, sha256=digest, on_bytes=lambda *counts: seen.append(counts))
    assert path.read_bytes() == server.content
    assert server.requests[-1]["Range"] == f"bytes={512 << 10}-"
    assert seen[-1] == (601_000, 601_000)
    utils.download_trained_weights(path)
    assert [file.name for file in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize(("content", "sha256"), [(CONTENT, "00"), (CONTENT[:-1], None), (b"<html>Sign in", None)])
def test_a_file_with_wrong_size_or_digest_is_not_kept(server, path, content, sha256):
    server.content = content
    with pytest.raises(coco.DownloadError, match="returned another file than expected: it"):
        utils.download_trained_weights(path, 0, sha256=sha256)
    assert not list(path.parent.iterdir())


def test_a_failed_download_names_the_file_and_its_path(path, monkeypatch):
    monkeypatch.setattr(coco, "COCO_MODEL_URL", "http://127.0.0.1:9/mask_rcnn_coco.h5")
    monkeypatch.setattr(coco, "TRIES_AGAIN", 0)
    with pytest.raises(coco.DownloadError) as failure:
        utils.download_trained_weights(path, 0)
    assert f"put it at {path}" in str(failure.value)
    assert coco.COCO_MODEL_URL in str(failure.value)


def test_a_failed_download_of_imagenet_weights_names_the_file_and_its_path(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise Exception("URL fetch failure")

    monkeypatch.setattr(keras.utils, "get_file", refuse)
    monkeypatch.setattr(imagenet, "FOLDER", tmp_path)
    name = "resnet101_weights_tf_dim_ordering_tf_kernels_notop.h5"
    with pytest.raises(OSError, match=f"put that file at {tmp_path / name}") as fault:
        imagenet.download("resnet101")
    assert imagenet.ADDRESS + name in str(fault.value)
    with pytest.raises(ValueError, match="not for 'narrow'"):
        imagenet.download("narrow")


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """A detector with random weights of different scores and boxes that are not empty."""
    config = TinyConfig()
    config.IMAGES_PER_GPU = config.BATCH_SIZE = 2
    config.DETECTION_MIN_CONFIDENCE = 0.0
    config.DETECTION_MAX_INSTANCES = 10
    keras.utils.set_random_seed(5)
    model = MaskRCNN("inference", config, tmp_path_factory.mktemp("runs"))
    for (layer, tensor), weight in weights.network_tensors(model.keras_model).items():
        if tensor == "kernel" and layer in ("rpn_class_raw", "rpn_bbox_pred", "mrcnn_class_logits", "mrcnn_bbox_fc"):
            weight.assign(weight.numpy() * 0.002)
    return model


@pytest.fixture(scope="module")
def images():
    return [Squares(3).load_image(0), Squares(3).load_image(1)[:50]]


def assert_same_as_detect(network, images, run):
    """`run` takes resized images and meta rows, and gives detections and masks; compared in pixels with `detect`.

    Masks are compared before they are cut off at a half, which rounding may let a pixel pass.
    """
    resized = np.stack([resize_for(image, network.config)[0] for image in images])
    metas = network.mold_inputs(images)[1].astype(np.float32)
    rows, masks = run(resized, metas)
    detected = zip(network.detect(images), network._detections(resized, metas), strict=True)
    for meta, row, mask, (expected, ours) in zip(metas, rows, masks, detected, strict=True):
        found = unmold(row, mask, meta)
        assert len(expected["rois"]) >= 5
        assert found.rois.tolist() == expected["rois"].tolist()
        assert found.class_ids.tolist() == expected["class_ids"].tolist()
        assert found.scores == pytest.approx(expected["scores"], abs=1e-4)
        assert found.masks == pytest.approx(ours.masks, abs=1e-4)


def saved_model(network, folder):
    """A function that runs the network's SavedModel on resized images and meta rows: detections and masks."""
    import tensorflow as tf

    serve = tf.saved_model.load(str(export.export_saved_model(network, folder))).signatures["serving_default"]

    def run(resized, metas):
        found = serve(images=tf.constant(resized), image_meta=tf.constant(metas))
        return found["detections"].numpy(), found["masks"].numpy()

    return run


def onnx_file(network, folder):
    """The same of the network's ONNX file."""
    import onnxruntime

    path = export.export_onnx(network, folder / "model.onnx")
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    return lambda resized, metas: session.run(["detections", "masks"], {"images": resized, "image_meta": metas})


def test_a_saved_model_has_the_results_of_detect(network, images, tmp_path):
    assert_same_as_detect(network, images, saved_model(network, tmp_path / "model"))


def test_crops_by_gathering_equal_tensorflow_s_also_beyond_the_border():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(2, 9, 13, 3)).astype(np.float32)
    corners = rng.uniform(-0.2, 1.2, (60, 2, 2))
    regions = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1).astype(np.float32)
    regions[:20, 2] = regions[10:30, 3] = 1.0
    regions[:3] = 0.0
    images = rng.integers(0, 2, 60).astype(np.int32)
    expected = roi_pooling.crop_and_resize(features, regions, images, 7).numpy()
    found = export.crops_by_gathering(features, regions, images, 7).numpy()
    assert ((expected == 0) == (found == 0)).all()
    assert found == pytest.approx(expected, abs=1e-5)


def test_an_onnx_file_has_the_results_of_detect(network, images, tmp_path):
    run = onnx_file(network, tmp_path / "new")
    assert_same_as_detect(network, images, run)
    assert_same_as_detect(network, images[:1], run)  # the size of a batch is open


@pytest.fixture(scope="module")
def street_network(tmp_path_factory):
    """A small detector with the README's resizing, and scores and masks between 0 and 1."""

    class Street(TinyConfig):
        IMAGES_PER_GPU = 1
        IMAGE_RESIZE_MODE = "pad64"
        IMAGE_MIN_DIM, IMAGE_MAX_DIM = 800, 1024
        BACKBONE_WIDTH = 8
        RPN_ANCHOR_SCALES = (32, 64, 128, 256, 512)
        DETECTION_MIN_CONFIDENCE = 0.0
        DETECTION_MAX_INSTANCES = 20

    keras.utils.set_random_seed(6)
    model = MaskRCNN("inference", Street(), tmp_path_factory.mktemp("runs"))
    scales = dict.fromkeys(("rpn_class_raw", "rpn_bbox_pred", "mrcnn_bbox_fc"), 0.002)
    scales |= {"mrcnn_class_logits": 0.005, "mrcnn_mask": 0.02}
    for (layer, tensor), weight in weights.network_tensors(model.keras_model).items():
        if tensor == "kernel":
            weight.assign(weight.numpy() * scales.get(layer, 1.0))
    return model


def share_found_alike(expected, found):
    """Return the fraction of detections that agree with one of the others in box, class, score and mask."""
    alike = 0
    for box, kind, score, mask in zip(expected.rois, expected.class_ids, expected.scores, expected.masks, strict=True):
        same = np.flatnonzero((np.abs(found.rois - box).max(axis=1) <= 1) & (found.class_ids == kind))
        alike += any(
            abs(found.scores[one] - score) < 1e-3 and np.abs(found.masks[one] - mask).max() < 5e-3 for one in same
        )
    return alike / len(expected.rois)


@pytest.mark.parametrize("exported", [saved_model, onnx_file])
def test_with_pad64_an_exported_network_accepts_images_of_any_size(street_network, tmp_path, exported):
    """The README's example; IMAGE_SHAPE is 1024 × 1024, which no picture of 16:9 is resized to."""
    run, kinds = exported(street_network, tmp_path), set()
    for height, width, shape in ((720, 1280, (576, 1024)), (1280, 720, (1024, 576)), (500, 600, (832, 960))):
        cells = np.random.default_rng(height).integers(0, 255, (9, 16, 3), dtype=np.uint8)
        picture = cv2.resize(cells, (width, height))
        resized = resize_for(picture, street_network.config)[0][None]
        assert resized.shape[1:3] == shape
        metas = street_network.mold_inputs([picture])[1].astype(np.float32)
        rows, masks = run(resized, metas)
        (expected,) = street_network._detections(resized, metas)
        assert expected.rois.tolist() == street_network.detect([picture])[0]["rois"].tolist()
        assert share_found_alike(expected, unmold(rows[0], masks[0], metas[0])) == 1.0
        assert len(expected.rois) == 20
        assert 0.05 < expected.masks.std() < 0.4
        kinds |= set(expected.class_ids.tolist())
    assert kinds == {1, 2}


def test_an_exported_network_with_a_fixed_size_rejects_others(network, street_network):
    def size(model, image_shape=None):
        return export._detection_function(model, image_shape).input_signature[0].shape.as_list()[1:3]

    assert size(network) == [64, 64]
    assert size(street_network) == [None, None]
    assert size(street_network, (576, 1024)) == [576, 1024]


def test_exporting_a_callable_backbone_needs_a_size():
    class Own(Config):
        BACKBONE = staticmethod(lambda image, **_: [image] * 5)
        IMAGE_RESIZE_MODE = "pad64"

    with pytest.raises(ValueError, match=r"pass image_shape=\(height, width\)"):
        export._image_size(Own(), None)
    assert export._image_size(Own(), (576, 1024, 3)) == (576, 1024)


@pytest.mark.usefixtures("sixteen_bits")
def test_exported_files_compute_in_float32(network, tmp_path):
    class Bfloat16(TinyConfig):
        PRECISION = "bfloat16"

    model = MaskRCNN("inference", Bfloat16(), tmp_path)
    twin = export.in_float32(model)
    assert model.keras_model.get_layer("conv1").compute_dtype == "bfloat16"
    assert twin.keras_model.get_layer("conv1").compute_dtype == "float32"
    pairs = zip(twin.keras_model.get_weights(), model.keras_model.get_weights(), strict=True)
    assert all((ours == theirs).all() for ours, theirs in pairs)
    assert export.in_float32(network) is network


def test_exported_networks_have_plain_convolutions(network, monkeypatch):
    def filtered(*_):
        raise NotImplementedError("Winograd")

    monkeypatch.setattr(convolution, "WINOGRAD_CHANNELS", 1)
    monkeypatch.setattr(convolution, "runs_on_cpu", lambda: True)
    monkeypatch.setattr(convolution, "WINOGRAD_PIXELS", 1)
    monkeypatch.setattr(convolution.winograd, "convolve_3x3", filtered)
    detect = export._detection_function(network, None)
    kinds = [operation.type for operation in detect.get_concrete_function().graph.get_operations()]
    assert kinds.count("Conv2D") > 20
    monkeypatch.setattr(export, "portable_operations", contextlib.nullcontext)
    with pytest.raises(NotImplementedError, match="Winograd"):
        export._detection_function(network, None).get_concrete_function()


def test_a_saved_model_holds_no_gradients(network, tmp_path):
    from tensorflow.core.protobuf import saved_model_pb2

    folder = export.export_saved_model(network, tmp_path / "model")
    saved = saved_model_pb2.SavedModel.FromString((folder / "saved_model.pb").read_bytes())
    graph = saved.meta_graphs[0].graph_def
    kinds = {node.op for nodes in (graph.node, *(each.node_def for each in graph.library.function)) for node in nodes}
    assert "Conv2D" in kinds
    assert not {kind for kind in kinds if "Backprop" in kind}


def test_a_missing_package_is_named(network, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(export.MissingPackageError, match="pip install tf2onnx onnx"):
        export.export_onnx(network, tmp_path / "model.onnx")


def test_a_network_for_training_is_not_exported(tmp_path):
    from types import SimpleNamespace

    with pytest.raises(ValueError, match="mode='inference'"):
        export.export_saved_model(SimpleNamespace(mode="training"), tmp_path / "model")
