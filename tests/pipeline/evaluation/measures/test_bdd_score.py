"""BDD100K's score against figures that its toolkit (bdd100k 1.0.1, scalabel 0.3.1) gives for the same bitmasks.

The figures held here are those that `bdd100k.eval.ins_seg.evaluate_ins_seg` gave for the images below, their labels
and detections written as bitmasks.
"""

import json
from dataclasses import replace

import numpy as np
import pytest

from pipeline.dataset.images_zip import ImageRecord
from pipeline.evaluation.detections import Detection, JudgedImage, Rle, Truth
from pipeline.evaluation.measures import bdd_score
from tests.pipeline.evaluation.scenes import scenes
from tests.pipeline.judged_images import found, judged, truth
from tests.pipeline.label_texts import REAL

VIDEO = REAL / "bdd/seg_track_20/00091078-875c1f73.json"
CLASSES = ("pedestrian", "rider", "car", "truck", "bus", "bicycle")
BDD_NAME = "00091078-875c1f73.jpg"


def of_video() -> list[JudgedImage]:
    """Return the six frames; a detection is a label's mask moved by up to 12 pixels, some are of another class."""
    images = []
    for number, frame in enumerate(json.loads(VIDEO.read_text())):
        truths, detections = [], []
        for k, label in enumerate(each for each in frame["labels"] if each["category"] in CLASSES):
            rle = Rle.from_coco(label["rle"])
            truths.append(Truth(label["category"], rle, k % 9 == 8, bool(label["attributes"]["crowd"])))
            moved = Rle.of(np.roll(rle.pixels(), (k % 3, (3 * k + number) % 12), axis=(0, 1)))
            name = CLASSES[k % 6] if k % 7 == 6 else label["category"]
            detections.append(Detection(name, (7 * k + 3 * number) % 20 / 20 + 0.01, moved, moved.box))
        record = ImageRecord(frame["name"], "val", 1280, 720, (), frame["name"], 1, 0)
        ordered = sorted(detections, key=lambda each: -each.score)
        images.append(JudgedImage(record, tuple(truths), tuple(ordered)))
    return images


def of_squares() -> list[JudgedImage]:
    """Return 40 images of squares that overlap each other, a tenth of them crowds, some of those ignored, too."""
    crowd = iter(np.random.default_rng(1).random(1000) < 0.1)
    images = []
    for number, image in enumerate(scenes(40, 7, shift=4)):
        truths = tuple(replace(each, category=_bdd(each.category), crowd=bool(next(crowd))) for each in image.truth)
        detections = tuple(replace(each, category=_bdd(each.category)) for each in image.detections)
        images.append(JudgedImage(replace(image.record, image=f"0000000a-{number:08x}.jpg"), truths, detections))
    return images


def _bdd(name: str) -> str:
    return {"bike": "bicycle"}.get(name, name)


SQUARES = {
    "AP": 0.237699,
    "AP50": 0.575784,
    "AP75": 0.124863,
    "APs": 0.2227,
    "APm": 0.427596,
    "APl": None,
    "per_class": {"car": 0.26065, "bicycle": 0.214748},
}
VIDEO_FRAMES = {
    "AP": 0.358008,
    "AP50": 0.500142,
    "AP75": 0.390239,
    "APs": 0.047717,
    "APm": 0.300659,
    "APl": 0.860958,
    "per_class": {
        "pedestrian": 0.050829,
        "rider": None,
        "car": 0.477294,
        "truck": 0.545903,
        "bus": None,
        "bicycle": None,
    },
}


def test_overlapping_squares_have_the_toolkits_score() -> None:
    assert vars(bdd_score.measure(of_squares(), ("car", "bicycle"))) == SQUARES


@pytest.mark.skipif(not VIDEO.is_file(), reason="../shared/real is absent")
def test_frames_of_bdd100k_have_the_toolkits_score() -> None:
    assert vars(bdd_score.measure(of_video(), CLASSES)) == VIDEO_FRAMES


def test_a_detection_below_another_loses_the_pixels_that_both_have() -> None:
    # The upper one leaves 20 of 40 columns of the lower one, whose IoU then is 0.5.
    image = judged([truth("car", 10, 10, 40)], [found("bus", 0.9, 30, 10, 40), found("car", 0.5, 10, 10, 40)], BDD_NAME)
    score = bdd_score.measure([image], ("car", "bus"))
    assert (score.AP50, score.AP) == (1, 0.1)


def test_a_detection_of_which_no_pixel_is_left_is_not_counted() -> None:
    image = judged([truth("car", 10, 10, 40)], [found("car", 0.9, 10, 10, 40), found("car", 0.5, 12, 12, 20)], BDD_NAME)
    assert bdd_score.measure([image], ("car",)).AP == 1


def test_a_crowd_that_is_not_ignored_counts_and_is_found_twice() -> None:
    crowd = replace(truth("car", 10, 10, 40), crowd=True)
    assert bdd_score.measure([judged([crowd], [], BDD_NAME)], ("car",)).AP == 0
    assert bdd_score.measure([judged([replace(crowd, ignored=True)], [], BDD_NAME)], ("car",)).AP is None


@pytest.mark.parametrize(
    ("name", "attributes", "categories", "has"),
    [
        ("a.jpg", {}, ("car",), False),
        (BDD_NAME, {}, ("car",), True),
        (BDD_NAME, {}, ("drivable area", "traffic sign"), False),
        ("a.jpg", {"weather": "clear", "scene": "highway", "timeofday": "night"}, ("car", "drivable area"), True),
    ],
)
def test_only_images_and_classes_of_bdd100k_have_a_score(name, attributes, categories, has) -> None:
    image = judged([truth("car", 10, 10, 40)], [found("car", 0.9, 10, 10, 40)], name, **attributes)
    assert (bdd_score.measure([image], categories) is not None) == has
