"""Which detections of consecutive frames are the same thing: boxes linked by overlap, predicted by a Kalman filter.

SORT (Bewley et al. 2016, https://arxiv.org/abs/1602.00763) on OpenCV's filter, with the noise of ByteTrack's.
"""

from collections.abc import Sequence
from dataclasses import replace

import cv2  # noqa: TID253 - nothing imports this module before a video is tracked
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from pipeline.evaluation.detections import Detection
from pipeline.geometry.polygon import Box

Boxes = NDArray[np.float64]
"""[N, 4] float64, (centre x, centre y, width, height) in pixels."""

LEAST_OVERLAP = 0.2
"""IoU of a track's predicted box and a detection from which on they can be the same (ByteTrack's)."""
MOST_MISSES = 10
"""Frames in a row for which a track may lack a detection; after that its thing comes back as a new one."""
POSITION_NOISE, SPEED_NOISE = 1 / 20, 1 / 160
"""Standard deviations a frame, as shares of a box's height (ByteTrack's)."""


class Tracker:
    """Follows the things of one video: `tracker.follow(detections)` for each of its frames, in order."""

    def __init__(self) -> None:
        self._tracks: list[_Track] = []
        self._last = 0

    def follow(self, detections: Sequence[Detection]) -> tuple[Detection, ...]:
        """Return the detections with the numbers of their tracks: from 1 on in the order of appearance, none reused."""
        boxes = _centred([each.box for each in detections])
        predicted = np.array([track.predict() for track in self._tracks]).reshape(-1, 4)
        overlaps = _overlaps(predicted, boxes)
        same = [[track.category == each.category for each in detections] for track in self._tracks]
        overlaps *= np.array(same, bool).reshape(overlaps.shape)
        numbers = [0] * len(detections)
        for row, column in zip(*linear_sum_assignment(overlaps, maximize=True), strict=True):
            if overlaps[row, column] >= LEAST_OVERLAP:
                self._tracks[row].correct(boxes[column])
                numbers[column] = self._tracks[row].number
        self._tracks = [track for track in self._tracks if track.misses <= MOST_MISSES]
        for column, detection in enumerate(detections):
            if not numbers[column]:
                self._last += 1
                self._tracks.append(_Track(self._last, detection.category, boxes[column]))
                numbers[column] = self._last
        return tuple(replace(each, track=number) for each, number in zip(detections, numbers, strict=True))


class _Track:
    """A thing and where it is going: a Kalman filter of its box and of the box's speed, [8] float64."""

    def __init__(self, number: int, category: str, box: NDArray[np.float64]) -> None:
        self.number, self.category, self.misses = number, category, 0
        self._filter = cv2.KalmanFilter(8, 4, 0, cv2.CV_64F)
        self._filter.transitionMatrix = np.eye(8) + np.eye(8, k=4)
        self._filter.measurementMatrix = np.eye(4, 8)
        self._filter.statePost = np.concatenate([box, np.zeros(4)])[:, None]
        self._filter.errorCovPost = _noise(box[3], 2, 10)

    def predict(self) -> NDArray[np.float64]:
        """Return the box expected in the next frame; counts as a miss until it is corrected."""
        self.misses += 1
        self._filter.processNoiseCov = _noise(self._filter.statePost[3, 0], 1, 1)
        return np.asarray(self._filter.predict()[:4, 0], np.float64)

    def correct(self, box: NDArray[np.float64]) -> None:
        """Take the box that was detected."""
        self.misses = 0
        self._filter.measurementNoiseCov = _noise(box[3], 1, 1)[:4, :4]
        self._filter.correct(box[:, None])


def _noise(height: float, of_position: float, of_speed: float) -> NDArray[np.float64]:
    """Return the covariance [8, 8] of a box and its speed."""
    height = max(height, 1.0)
    deviations = [of_position * POSITION_NOISE * height] * 4 + [of_speed * SPEED_NOISE * height] * 4
    return np.diag(np.square(deviations))


def _centred(boxes: Sequence[Box]) -> Boxes:
    rows = [(box.x + box.width / 2, box.y + box.height / 2, box.width, box.height) for box in boxes]
    return np.array(rows, np.float64).reshape(-1, 4)


def _overlaps(one: Boxes, other: Boxes) -> NDArray[np.float64]:
    """Return the IoU of N and M boxes, [N, M] float64; a predicted box may have shrunk to nothing."""
    sides = [np.maximum(boxes[:, 2:], 0) for boxes in (one, other)]
    low = [boxes[:, :2] - side / 2 for boxes, side in zip((one, other), sides, strict=True)]
    high = [corner + side for corner, side in zip(low, sides, strict=True)]
    shared = np.minimum(high[0][:, None], high[1][None]) - np.maximum(low[0][:, None], low[1][None])
    intersection = np.maximum(shared, 0).prod(axis=2)
    union = sides[0].prod(axis=1)[:, None] + sides[1].prod(axis=1)[None] - intersection
    return np.asarray(intersection / np.maximum(union, 1e-9))
