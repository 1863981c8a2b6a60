"""Average precision and overlaps of single images."""

import numpy as np
import pytest

from mrcnn.shapes import metrics


def masks_of(*spans, width=20):
    masks = np.zeros((1, width, len(spans)), bool)
    for number, (start, stop) in enumerate(spans):
        masks[0, start:stop, number] = True
    return masks


def boxes_of(*spans):
    return np.array([[0, start, 1, stop] for start, stop in spans]).reshape(-1, 4)


def ap(truth, truth_classes, found, classes, scores, threshold=0.5):
    arguments = [boxes_of(*truth), np.array(truth_classes), masks_of(*truth)]
    arguments += [boxes_of(*found), np.array(classes), np.array(scores), masks_of(*found)]
    return metrics.compute_ap(*arguments, iou_threshold=threshold)


def test_overlap_of_two_boxes():
    others = np.array([[0, 1, 2, 3], [5, 5, 6, 6]])
    assert metrics.compute_overlaps(np.array([[0, 0, 2, 2]]), others).tolist() == [[1 / 3, 0]]


def test_two_empty_boxes_or_masks_have_iou_zero():
    assert metrics.compute_overlaps(np.zeros((1, 4)), np.zeros((1, 4))).tolist() == [[0]]
    assert metrics.compute_overlaps_masks(np.zeros((3, 3, 1)), np.zeros((3, 3, 2))).tolist() == [[0, 0]]


def test_one_detection_of_two_instances_has_ap_one_half():
    average, precisions, recalls, overlaps = ap([(0, 5), (10, 15)], [1, 1], [(0, 5)], [1], [0.9])
    assert average == pytest.approx(0.5)
    assert recalls.tolist() == [0, 0.5, 1]
    assert precisions.tolist() == [1, 1, 0]
    assert overlaps.tolist() == [[1, 0]]


def test_a_wrong_detection_with_the_best_score_halves_the_precision():
    assert ap([(0, 5)], [1], [(10, 15), (0, 5)], [1, 1], [0.9, 0.8])[0] == pytest.approx(0.5)


def test_detections_of_another_class_do_not_match():
    assert ap([(0, 5)], [1], [(0, 5)], [2], [0.9])[0] == 0


def test_without_instances_or_detections_the_ap_is_zero():
    assert ap([], [], [], [], [])[0] == 0
    assert ap([(0, 5)], [1], [], [], [])[0] == 0
    assert ap([], [], [(0, 5)], [1], [0.5])[0] == 0


def test_crowds_and_detections_inside_of_them_are_ignored():
    assert ap([(0, 5), (8, 20)], [1, -1], [(9, 12), (0, 5)], [1, 1], [0.9, 0.8])[0] == 1


def test_the_range_is_the_mean_over_iou_thresholds():
    truth, found = [(0, 10)], [(0, 8)]  # overlap 0.8: right at 7 of the 10 thresholds
    arguments = [boxes_of(*truth), np.array([1]), masks_of(*truth), boxes_of(*found), np.array([1]), np.array([0.9])]
    assert metrics.compute_ap_range(*arguments, masks_of(*found), verbose=0) == pytest.approx(0.7)


def test_recall_is_the_fraction_of_matched_boxes():
    assert metrics.compute_recall(boxes_of((0, 5)), boxes_of((0, 5), (10, 15)), 0.5)[0] == 0.5
    assert metrics.compute_recall(np.zeros((0, 4)), boxes_of((0, 5)), 0.5)[0] == 0
    assert metrics.compute_recall(boxes_of((0, 5)), np.zeros((0, 4)), 0.5)[0] == 0
