"""Average precision of squares, against figures worked out by hand."""

import json

import numpy as np
import pytest

from pipeline.evaluation.coco import Figures, average_precision, ground_truth, results
from pipeline.evaluation.detections import JudgedImage
from tests.pipeline.judged_images import found, judged, truth

CLASSES = ("car", "bike")


def masks(*images: JudgedImage) -> Figures:
    return average_precision(images, CLASSES, "segm")


def test_perfect_detections_have_ap_1_and_a_class_without_ground_truth_has_none() -> None:
    image = judged([truth("car", 10, 10, 40), truth("car", 100, 100, 20)], [found("car", 0.9, 10, 10, 40)])
    other = judged([], [found("car", 0.8, 100, 100, 20)])
    both = judged(list(image.truth), [*image.detections, *other.detections])
    for kind in ("segm", "bbox"):
        figures = average_precision([both], CLASSES, kind)
        assert (figures.AP, figures.AP50, figures.AP75, figures.AR) == (1, 1, 1, 1)
        assert figures.per_class["car"].instances == 2
        assert figures.per_class["bike"].AP is None
        assert (figures.APs, figures.APm, figures.APl) == (1, 1, None)


def test_a_false_detection_above_the_true_one_halves_the_precision() -> None:
    image = judged([truth("car", 10, 10, 40)], [found("car", 0.9, 120, 120, 40), found("car", 0.5, 10, 10, 40)])
    assert masks(image).AP50 == 0.5


def test_a_false_detection_below_the_true_one_costs_nothing() -> None:
    image = judged([truth("car", 10, 10, 40)], [found("car", 0.4, 120, 120, 40), found("car", 0.5, 10, 10, 40)])
    assert masks(image).AP50 == 1


def test_half_of_the_instances_found_gives_51_of_101_recall_points() -> None:
    image = judged([truth("car", 10, 10, 40), truth("car", 120, 10, 40)], [found("car", 0.5, 10, 10, 40)])
    assert pytest.approx(51 / 101, abs=1e-6) == masks(image).AP50
    assert masks(image).AR == 0.5


def test_an_iou_of_two_thirds_counts_at_four_of_ten_thresholds() -> None:
    # 40 x 40 against the same moved by 8: 32·40 / (2·40·40 − 32·40) = 1280 / 1920 = 0.667
    image = judged([truth("car", 10, 10, 40)], [found("car", 0.5, 18, 10, 40)])
    figures = masks(image)
    assert (figures.AP, figures.AP50, figures.AP75) == (0.4, 1, 0)


def test_a_second_detection_of_the_same_instance_is_false() -> None:
    twice = [found("car", 0.9, 10, 10, 40), found("car", 0.8, 11, 10, 40), found("car", 0.7, 120, 10, 40)]
    image = judged([truth("car", 10, 10, 40), truth("car", 120, 10, 40)], twice)
    # precision 1 up to recall 0.5, then 2 of 3
    assert pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6) == masks(image).AP50


def test_detections_inside_an_ignored_region_are_neither_right_nor_wrong() -> None:
    inside = [found("car", 0.99, 100, 100, 20), found("car", 0.98, 150, 150, 20)]
    image = judged(
        [truth("car", 10, 10, 40), truth("car", 90, 90, 100, ignored=True)], [*inside, found("car", 0.5, 10, 10, 40)]
    )
    assert masks(image).AP50 == 1
    assert masks(image).per_class["car"].instances == 1


def test_an_image_in_which_nothing_was_found_has_ap_0() -> None:
    assert masks(judged([truth("car", 10, 10, 40)], [])).AP == 0


def test_nothing_labelled_at_all_gives_no_figure() -> None:
    assert masks(judged([], [found("car", 0.5, 1, 1, 9)])).AP is None


def test_precision_curves_are_those_of_iou_50_over_101_recalls() -> None:
    image = judged([truth("car", 10, 10, 40), truth("car", 120, 10, 40)], [found("car", 0.5, 10, 10, 40)])
    (name, curve), *others = masks(image).curves.items()
    assert (name, others) == ("car", [])
    assert np.array_equal(curve, np.repeat([1.0, 0.0], [51, 50]))


def test_the_files_are_what_other_coco_tools_read(tmp_path: object) -> None:
    image = judged([truth("bike", 10, 20, 40, ignored=True)], [found("car", 0.5, 18, 10, 40)])
    truths, detections = ground_truth([image], CLASSES), results([image], CLASSES)
    assert truths["categories"] == [{"id": 1, "name": "car"}, {"id": 2, "name": "bike"}]
    (annotation,) = truths["annotations"]
    assert (annotation["category_id"], annotation["iscrowd"], annotation["area"]) == (2, 1, 1600)
    assert annotation["bbox"] == [10, 20, 40, 40]
    assert annotation["segmentation"]["size"] == [200, 200]
    from faster_coco_eval import COCO, COCOeval_faster

    coco = COCO(json.loads(json.dumps(truths)))
    evaluation = COCOeval_faster(coco, coco.loadRes(json.loads(json.dumps(detections))), "segm")
    evaluation.evaluate()
    evaluation.accumulate()


def test_judging_leaves_the_images_as_they_were() -> None:
    image = judged([truth("car", 10, 10, 40)], [found("car", 0.5, 18, 10, 40)])
    assert masks(image) is not masks(image)
    assert masks(image).per_class == masks(image).per_class
