"""`MaskRCNN` with the arguments and results of matterport's class."""

import tracemalloc

import keras
import numpy as np
import pytest
from faster_coco_eval import mask as coco

from mrcnn import model as modellib
from mrcnn import weights
from mrcnn.shapes import masks as mrcnn_masks
from tests.mrcnn.conftest import TinyConfig


class Square(TinyConfig):
    IMAGE_RESIZE_MODE = "square"


@pytest.fixture(scope="module")
def detector(tmp_path_factory):
    return modellib.MaskRCNN("inference", TinyConfig(), tmp_path_factory.mktemp("logs"))


@pytest.fixture(scope="module")
def images():
    rng = np.random.default_rng(0)
    return [rng.integers(0, 255, shape, dtype=np.uint8) for shape in ((70, 100, 3), (100, 70, 3), (64, 96, 3))]


def test_detect_accepts_any_number_of_images_of_any_size(detector, images):
    results = detector.detect(images)
    assert len(results) == 3
    for image, result in zip(images, results, strict=True):
        count = len(result["rois"])
        assert result["rois"].shape == (count, 4)
        assert result["rois"].dtype == result["class_ids"].dtype == np.int32
        assert result["masks"].shape == (*image.shape[:2], count)
        assert result["masks"].dtype == bool
        assert (result["rois"][:, 2:] <= image.shape[:2]).all()
        assert (np.diff(result["scores"]) <= 0).all()


def test_detection_does_not_depend_on_the_dtype(detector, images):
    """Matterport's code, and ours until now, took floats for molded images."""
    expected = detector.detect(images[:1])[0]
    for same in (images[0] / 255.0, images[0].astype(np.int32), images[0].astype(np.uint16) * 257):
        found = detector.detect([same])[0]
        assert all(np.array_equal(found[key], expected[key]) for key in expected)


def test_methods_of_keras_2_do_nothing_or_name_what_replaces_them(detector):
    detector.keras_model._make_predict_function()
    with pytest.raises(AttributeError, match="metrics_tensors was Keras 2's; `metrics` are the means of all"):
        detector.keras_model.metrics_tensors.append(None)


def test_run_lengths_encode_the_same_masks(detector, images):
    for arrays, runs in zip(detector.detect(images), detector.detect(images, masks="rle"), strict=True):
        assert len(runs["rles"]) == arrays["masks"].shape[2]
        for number, rle in enumerate(runs["rles"]):
            assert (coco.decode(rle) == arrays["masks"][:, :, number]).all()


class Many(TinyConfig):
    """Fewer regions than slots for detections, so that some slots are always empty."""

    DETECTION_MAX_INSTANCES = 100
    DETECTION_NMS_THRESHOLD = 0.9


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Scores that make each anchor a detection of the first class."""
    model = modellib.MaskRCNN("inference", Many(), tmp_path_factory.mktemp("many"))
    tensors = weights.network_tensors(model.keras_model)
    for layer in ("rpn_bbox_pred", "mrcnn_bbox_fc", "mrcnn_class_logits"):
        tensors[layer, "kernel"].assign(np.zeros(tensors[layer, "kernel"].shape, np.float32))
    tensors["mrcnn_class_logits", "bias"].assign([0.0, 1, 0])
    return model


def test_the_mask_head_computes_masks_of_detections_only(many, images):
    """Padded to a multiple of eight; matterport's head computed all slots, most of them empty."""
    model = many.keras_model
    seen = keras.Model(model.inputs, [model.get_layer("mrcnn_mask_conv1").output, *model.outputs])
    molded, metas, _ = many.mold_inputs([images[2], images[2] // 2])
    anchors = np.repeat(many.get_anchors(molded.shape[1:])[None], 2, axis=0)
    features, detections, _, _, masks, *_ = seen([molded, metas.astype(np.float32), anchors])
    there = detections.numpy()[..., 4] > 0
    assert 2 * 10 < there.sum() <= 2 * Many.POST_NMS_ROIS_INFERENCE
    assert len(features) == -(-there.sum() // 8) * 8
    assert masks.shape[:2] == (2, 100)
    assert masks.numpy()[there].any(axis=(1, 2, 3)).all()
    assert not masks.numpy()[~there].any()


def test_detecting_run_lengths_does_not_allocate_masks_of_the_whole_image(many, monkeypatch):
    image = np.full((2000, 2000, 3), 90, np.uint8)
    many.detect([image[:64, :64]], masks="rle")  # what is kept for later runs isn't counted
    for module in (modellib, mrcnn_masks):
        for name in ("unmold_mask", "unmold_masks"):
            monkeypatch.setattr(module, name, None, raising=False)
    tracemalloc.start()
    found = many.detect([image], masks="rle")[0]
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert "masks" not in found
    assert len(found["rles"]) == len(found["rois"]) > 10
    assert peak < 2000 * 2000 * len(found["rles"])


def test_a_batch_has_the_same_detections_as_single_images(detector, images):
    together = detector.detect([images[0], images[0]])
    alone = detector.detect([images[0]])
    assert (together[0]["rois"] == alone[0]["rois"]).all()
    assert (together[1]["rois"] == alone[0]["rois"]).all()


def test_detect_molded_uses_images_unchanged(detector, images):
    molded, metas, windows = detector.mold_inputs(images[2:])
    assert molded.dtype == np.float32
    assert windows.tolist() == [[0, 0, 64, 96]]
    result = detector.detect_molded(molded, metas)[0]
    assert (result["rois"] == detector.detect(images[2:])[0]["rois"]).all()


def test_each_mode_rejects_the_methods_of_the_other(tmp_path, detector):
    training = modellib.MaskRCNN(mode="training", config=TinyConfig(), model_dir=str(tmp_path))
    with pytest.raises(ValueError, match="can't detect"):
        training.detect([])
    with pytest.raises(ValueError, match="mode is 'evaluation'"):
        modellib.MaskRCNN("evaluation", TinyConfig(), tmp_path)
    with pytest.raises(ValueError, match="can't be trained"):
        detector.train(None, None, 0.1, 1, "all")


def test_layers_are_selected_by_their_full_names(tmp_path):
    model = modellib.MaskRCNN("training", TinyConfig(), tmp_path)
    model.set_trainable(r"(mrcnn\_.*)|(rpn\_.*)|(fpn\_.*)")
    trained = {weight.path.split("/")[-2] for weight in model.keras_model.trainable_variables}
    assert {"rpn_class_raw", "mrcnn_mask", "fpn_p2"} <= trained
    assert "conv1" not in trained
    model.set_trainable(".*")
    assert len(model.keras_model.trainable_variables) > 2 * len(trained)
    with pytest.raises(ValueError, match="no layer"):
        model.set_trainable("conv")
    with pytest.raises(ValueError, match="no layer with weights"):
        model.set_trainable(r"(\w+\w*)*!")  # Python's re would take years
    with pytest.raises(ValueError, match="no regular expression of RE2"):
        model.set_trainable("(?!conv).*")


def test_training_continues_in_the_folder_of_a_loaded_checkpoint(tmp_path):
    model = modellib.MaskRCNN("training", TinyConfig(), tmp_path)
    path = tmp_path / "tiny20260101T0000" / "mask_rcnn_tiny_0007.h5"
    path.parent.mkdir()
    model.save_weights(path)
    other = modellib.MaskRCNN("training", TinyConfig(), tmp_path)
    assert other.find_last() == str(path)
    folder, last = other.find_last()  # a pair in matterport's code of before mid 2018
    assert (folder, last) == (other.find_last()[0], other.find_last()[1]) == (str(path.parent), str(path))
    assert other.find_last()[-3:] == ".h5"
    other.load_weights(other.find_last(), by_name=True, exclude=["mrcnn_mask"])
    assert other.epoch == 7
    assert other.log_dir == str(path.parent)
    assert other.checkpoint_path.format(epoch=8).endswith("mask_rcnn_tiny_0008.h5")


def test_matterport_s_names_exist():
    for name in ("load_image_gt", "mold_image", "unmold_image", "log", "compose_image_meta", "compute_backbone_shapes"):
        assert callable(getattr(modellib, name))


def test_unmold_detections_takes_matterport_s_arguments(detector, images):
    molded, metas, windows = detector.mold_inputs([images[0]])
    anchors = detector.get_anchors(molded.shape[1:])[None]
    outputs = [np.asarray(part) for part in detector.keras_model([molded, metas.astype(np.float32), anchors])]
    boxes, class_ids, scores, masks = detector.unmold_detections(
        outputs[0][0], outputs[3][0], images[0].shape, molded[0].shape, windows[0]
    )
    found = detector.detect([images[0]])[0]
    assert (boxes == found["rois"]).all()
    assert (class_ids == found["class_ids"]).all()
    assert scores == pytest.approx(found["scores"], abs=1e-5)
    assert (masks == found["masks"]).all()


def test_the_log_prints_shape_and_range(capsys):
    modellib.log("image", np.array([[1.0, 3.0]]))
    assert "(1, 2)" in capsys.readouterr().out
