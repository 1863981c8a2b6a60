"""`from pipeline import load_model`: predictions as Python objects."""

import json
import logging
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from pipeline import load_model
from pipeline.errors import ArtifactError
from pipeline.evaluation.detections import Detection, Rle
from pipeline.geometry.polygon import Box
from pipeline.prediction.model import Model
from pipeline.prediction.picture import of_array
from pipeline.prediction.prediction import Prediction
from pipeline.recipe import parse
from pipeline.training.model_file import load_for_detection
from tests.pipeline import judged_images
from tests.pipeline.judged_images import found


@pytest.fixture(scope="module")
def model(model_folder):
    return load_model(model_folder, min_score=0)


def test_a_folder_gives_a_prediction_a_picture(model, drive):
    found = list(model.predict(drive))
    assert [each.picture.name for each in found] == [f"{number}.jpg" for number in range(5)]
    first = found[0]
    count = len(first.detections)
    assert first.boxes.shape == (count, 4)
    assert first.masks.shape == (count, 80, 120)
    assert first.scores.shape == (count,)
    assert len(first.classes) == count > 0


def test_predictions_are_those_of_detect(model, model_folder, drive):
    pixels = np.asarray(Image.open(drive / "0.jpg"))
    expected = load_for_detection(model_folder, DETECTION_MAX_INSTANCES=100).detect([pixels])[0]
    (found,) = model.predict(drive / "0.jpg")
    np.testing.assert_allclose(found.boxes[:, [1, 0, 3, 2]], expected["rois"], atol=1e-3)
    np.testing.assert_allclose(found.scores, expected["scores"], atol=1e-5)
    np.testing.assert_array_equal(found.masks, np.moveaxis(expected["masks"], 2, 0))


def test_arrays_are_pictures_too(model, drive):
    pixels = np.asarray(Image.open(drive / "0.jpg"))
    of_array, of_file = model.predict([pixels, str(drive / "0.jpg")])
    np.testing.assert_array_equal(of_array.boxes, of_file.boxes)


def test_the_forms_of_a_prediction_agree(model, drive, tmp_path):
    (found,) = model.predict(drive / "0.jpg")
    table = found.to_pandas()
    assert table.columns.tolist() == ["image", "category", "score", "x1", "y1", "x2", "y2", "area", "track"]
    np.testing.assert_array_equal(table[["x1", "y1", "x2", "y2"]], found.boxes)
    assert [each["score"] for each in found.to_coco()] == found.scores.tolist()
    assert found.to_via().region_data()["filename"] == "0.jpg"
    assert found.plot().size == (120, 80)
    assert Image.open(found.save(tmp_path / "drawn.png")).size == (120, 80)


def test_a_broken_picture_is_warned_of(model, drive, caplog):
    (drive / "0.jpg").write_bytes(b"")
    with caplog.at_level(logging.WARNING):
        assert len(list(model.predict(drive))) == 4
    assert "0.jpg is passed over: an empty file" in caplog.text


def test_the_thresholds_are_those_of_the_report(model_folder, tmp_path):
    folder = tmp_path / "released"
    folder.mkdir()
    for file in model_folder.glob("*.*"):
        (folder / file.name).write_bytes(file.read_bytes())
    classes = {"car": {"score": 0.7}, "traffic sign": {"score": None}}
    (folder / "thresholds.json").write_text(json.dumps({"iou": 0.5, "classes": classes}))
    assert load_model(folder).thresholds == {"car": 0.7, "traffic sign": 0.5}


def test_weights_that_do_not_fit_are_an_error(model_folder, tmp_path):
    with pytest.raises(ArtifactError, match="weights are missing"):
        load_model(model_folder / "other.h5")
    with pytest.raises(ArtifactError, match="not a model that this pipeline trained"):
        load_model(tmp_path)


def test_a_weights_file_alone_is_opened_by_a_recipe(model_folder, tmp_path, drive):
    weights = tmp_path / "elsewhere" / "mine.h5"
    weights.parent.mkdir()
    weights.write_bytes((model_folder / "mask_rcnn_tiny.h5").read_bytes())
    with pytest.raises(ArtifactError, match="not a model that this pipeline trained"):
        load_model(weights)
    settings = json.loads((model_folder / "model.json").read_text())["config"]
    keys = {"resize": "pad32", "min_dim": 64, "max_dim": 96, "backbone": "narrow", "weights": "none"}
    config = {
        key: value
        for key, value in settings.items()
        if key in ("BACKBONE_WIDTH", "TOP_DOWN_PYRAMID_SIZE", "RPN_CHANNELS", "FPN_CLASSIF_FC_LAYERS_SIZE",
                   "MASK_CONVOLUTIONS", "MASK_CHANNELS", "RPN_ANCHOR_SCALES", "POST_NMS_ROIS_INFERENCE")
    }  # fmt: skip
    network = parse({"labels": {"categories": ["car", "traffic sign"]}, "training": keys | {"config": config}})
    alone, beside = load_model(weights, network=network, min_score=0), load_model(model_folder, min_score=0)
    pixels = np.asarray(Image.open(drive / "0.jpg"))
    assert alone.detect([pixels]) == beside.detect([pixels])


def test_weights_of_another_network_are_refused(model_folder, tmp_path):
    weights = tmp_path / "mine.h5"
    weights.write_bytes((model_folder / "mask_rcnn_tiny.h5").read_bytes())
    with pytest.raises(ArtifactError, match=r"mine\.h5: can't be loaded"):
        load_model(weights, network=parse({"training": {"backbone": "narrow", "weights": "none"}}))


class Squares:
    """A detector that finds each bright square twice: as a car and, less surely, as a sign."""

    def detect(self, images, verbose=0, masks="rle"):
        return [self._found(np.asarray(image)[..., 0] > 0) for image in images]

    def _found(self, bright):
        rows, columns = (np.flatnonzero(bright.any(axis=axis)) for axis in (1, 0))
        if not len(rows):
            return {"rois": [], "class_ids": [], "scores": [], "rles": []}
        roi = (rows[0], columns[0], rows[-1] + 1, columns[-1] + 1)
        return {"rois": [roi] * 2, "class_ids": [1, 2], "scores": [0.9, 0.8], "rles": [Rle.of(bright).coco] * 2}


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [("car", Box(10, 10, 60, 60)), ("sign", Box(10, 10, 60, 60))]),
        ({"agnostic_nms": True}, [("car", Box(10, 10, 60, 60))]),
        ({"tile": 40}, [("car", Box(10, 10, 60, 60)), ("sign", Box(10, 10, 60, 60))]),
        ({"tile": 40, "agnostic_nms": True}, [("car", Box(10, 10, 60, 60))]),
    ],
)
def test_tiles_and_suppression_between_classes(options, expected):
    pixels = np.zeros((100, 120, 3), np.uint8)
    pixels[10:70, 10:70] = 255
    model = Model(Squares(), ("BG", "car", "sign"), {"car": 0.0, "sign": 0.0}, 100, 1, "", **options)
    (detections,) = model.detect([pixels])
    assert [(each.category, each.box) for each in detections] == expected


def test_the_number_of_a_track_is_written_on_it():
    pixels = np.zeros((judged_images.SIDE, judged_images.SIDE, 3), np.uint8)
    plain = Prediction(of_array(pixels, 1).picture, pixels, (found("car", 0.9, 50, 50, 100),), ("BG", "car"))
    numbered = replace(plain, detections=(replace(plain.detections[0], track=1234),))
    assert (np.asarray(numbered.plot()) != np.asarray(plain.plot())).any()
    assert numbered.to_pandas()["track"].tolist() == [1234]


def test_a_mask_without_pixels_is_drawn_as_nothing():
    pixels, mask = np.full((20, 30, 3), 100, np.uint8), Rle.of(np.zeros((20, 30), bool))
    found = Prediction(None, pixels, (Detection("car", 0.9, mask, Box(3, 4, 0, 0)),), ("BG", "car"))
    assert (np.asarray(found.plot())[10:] == 100).all()
