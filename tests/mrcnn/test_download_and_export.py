"""Weights from the network, and networks to other programs."""

import hashlib
import sys

import numpy as np
import pytest
import requests

from mrcnn import download, export, utils
from mrcnn.model import MaskRCNN
from mrcnn.resizing import resize_for

from .street import Squares, TinyConfig

CONTENT = bytes(range(200)) * 5


class Answer:
    """What requests.get gives; serves CONTENT from the byte asked for."""

    def __init__(self, headers, stop=None, honours_range=True):
        start = int(headers["Range"][6:-1]) if headers and honours_range else 0
        self.content, self.status_code, self.headers = CONTENT[start:stop], 206 if start else 200, {}

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        return None

    def raise_for_status(self):
        return None

    def iter_content(self, size):
        return iter([self.content])


@pytest.fixture
def path(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "COCO_MODEL_SIZE", len(CONTENT))
    return tmp_path / "mask_rcnn_coco.h5"


@pytest.mark.parametrize("honours_range", [True, False])
def test_a_broken_download_goes_on_where_it_stopped(path, monkeypatch, honours_range):
    monkeypatch.setattr(requests, "get", lambda url, headers, **_: Answer(headers, stop=300))
    with pytest.raises(download.DownloadError, match="broke after 300 bytes"):
        utils.download_trained_weights(path, verbose=0)
    assert not path.exists()
    seen = []
    monkeypatch.setattr(requests, "get", lambda url, headers, **_: Answer(headers, honours_range=honours_range))
    digest = hashlib.sha256(CONTENT).hexdigest()
    utils.download_trained_weights(path, 0, sha256=digest, on_bytes=lambda done, total: seen.append((done, total)))
    assert path.read_bytes() == CONTENT
    assert seen[-1] == (1000, 1000)


def test_another_file_than_promised_is_not_kept(path, monkeypatch):
    monkeypatch.setattr(requests, "get", lambda url, headers, **_: Answer(headers))
    with pytest.raises(download.DownloadError, match="its sha256 is not 00"):
        utils.download_trained_weights(path, 0, sha256="00")
    assert not list(path.parent.iterdir())


def test_without_a_network_the_file_and_its_place_are_named(path, monkeypatch):
    def refuse(*_, **__):
        raise requests.ConnectionError("no route")

    monkeypatch.setattr(requests, "get", refuse)
    with pytest.raises(download.DownloadError) as failure:
        utils.download_trained_weights(path, 0)
    assert f"put it at {path}" in str(failure.value)
    assert download.COCO_MODEL_URL in str(failure.value)


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    config = TinyConfig()
    config.IMAGES_PER_GPU = config.BATCH_SIZE = 1
    config.DETECTION_MIN_CONFIDENCE = 0.0
    return MaskRCNN("inference", config, tmp_path_factory.mktemp("runs"))


def outputs(network):
    """The network's inputs for an image, and what it makes of them."""
    image = Squares(1).load_image(0)
    molded, metas, _ = network.mold_inputs([image])
    anchors = network.get_anchors(molded[0].shape)[None]
    found = network.keras_model([molded, metas.astype(np.float32), anchors], training=False)
    return resize_for(image, network.config)[0][None], metas.astype(np.float32), np.array(found[0]), np.array(found[3])


def test_a_saved_model_finds_what_the_network_finds(network, tmp_path):
    import tensorflow as tf

    images, metas, detections, masks = outputs(network)
    export.export_saved_model(network, tmp_path / "model")
    serve = tf.saved_model.load(str(tmp_path / "model")).signatures["serving_default"]
    found = serve(images=tf.constant(images), image_meta=tf.constant(metas))
    assert np.allclose(found["detections"], detections, atol=1e-5)
    assert np.allclose(found["masks"], masks, atol=1e-5)


def test_an_onnx_file_finds_what_the_network_finds(network, tmp_path):
    pytest.importorskip("tf2onnx")
    runtime = pytest.importorskip("onnxruntime")
    images, metas, detections, masks = outputs(network)
    export.export_onnx(network, tmp_path / "model.onnx")
    session = runtime.InferenceSession(tmp_path / "model.onnx", providers=["CPUExecutionProvider"])
    found = session.run(["detections", "masks"], {"images": images, "image_meta": metas})
    assert np.allclose(found[0], detections, atol=1e-4)
    assert np.allclose(found[1], masks, atol=1e-3)


def test_a_missing_package_is_named(network, monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(export.MissingPackageError, match="pip install tf2onnx onnx"):
        export.export_onnx(network, tmp_path / "model.onnx")


def test_a_network_for_training_is_not_exported(tmp_path):
    from types import SimpleNamespace

    with pytest.raises(ValueError, match="mode='inference'"):
        export.export_saved_model(SimpleNamespace(mode="training"), tmp_path / "model")
