"""Pictures cut into tiles."""

import numpy as np
import pytest

from pipeline.evaluation.detections import Detection, Rle
from pipeline.geometry.polygon import Box
from pipeline.prediction import tiles
from pipeline.prediction.tiles import Tile


@pytest.mark.parametrize(
    ("side", "expected"),
    [(100, [0]), (99, [0]), (101, [0, 1]), (180, [0, 80]), (181, [0, 80, 81]), (260, [0, 80, 160])],
)
def test_tiles_cover_a_side(side, expected):
    cut = tiles.tiles(50, side, 100, 0.2)
    assert [tile.left for tile in cut] == expected
    assert cut[-1] == Tile(expected[-1], 0, side, 50)


def squares(pixels):
    """Return the left upper corner and side of each bright square of its own grey in a picture: a perfect detector."""
    for grey in np.unique(pixels[..., 0])[1:]:
        mask = pixels[..., 0] == grey
        rows, columns = (np.flatnonzero(mask.any(axis=axis)) for axis in (1, 0))
        box = Box(int(columns[0]), int(rows[0]), len(columns), len(rows))
        yield Detection("car", mask.sum() / 10_000, Rle.of(mask), box)


def picture(*boxes):
    pixels = np.zeros((300, 400, 3), np.uint8)
    for number, (left, top, side) in enumerate(boxes, 1):
        pixels[top : top + side, left : left + side] = 50 * number
    return pixels


def detect(images):
    return [tuple(squares(each)) for each in images]


@pytest.mark.parametrize("whole", [True, False])
def test_things_smaller_than_the_overlap_come_out_as_without_tiles(whole):
    pixels = picture((10, 10, 20), (75, 200, 20), (380, 280, 20), (95, 95, 10))
    expected = sorted(next(iter(detect([pixels]))), key=lambda each: -each.score)
    found = tiles.detect(detect, pixels, 100, 0.2, whole=whole)
    assert {(each.box, each.rle) for each in found} == {(each.box, each.rle) for each in expected}
    assert len(found) == len(expected)


def test_a_thing_larger_than_a_tile_is_that_of_the_whole_picture():
    pixels = picture((20, 20, 250))
    (found,) = tiles.detect(detect, pixels, 100, 0.2)
    assert found.box == Box(20, 20, 250, 250)
    assert found.rle.area == 250 * 250


def test_small_things_are_found_in_tiles_alone():
    def shortsighted(images):
        return [() if max(each.shape) > 100 else tuple(squares(each)) for each in images]

    assert len(tiles.detect(shortsighted, picture((50, 50, 10)), 100)) == 1


def test_a_whole_thing_counts_more_than_a_surer_piece_of_it():
    def surer_of_pieces(images):
        return [tuple(Detection(e.category, 1 - e.score, e.rle, e.box) for e in squares(image)) for image in images]

    (found,) = tiles.detect(surer_of_pieces, picture((90, 10, 60)), 100, 0.2)
    assert found.box == Box(90, 10, 60, 60)


def test_a_picture_no_larger_than_a_tile_is_looked_at_once():
    seen = []
    tiles.detect(lambda images: seen.extend(images) or detect(images), picture((10, 10, 20)), 400)
    assert [each.shape for each in seen] == [(300, 400, 3)]


def test_a_mask_without_pixels_stays_empty():
    empty = Detection("car", 0.9, Rle.of(np.zeros((100, 100), bool)), Box(5, 6, 7, 8))
    moved = tiles.placed(empty, Tile(80, 160, 180, 260), 300, 400)
    assert (moved.rle.area, moved.box) == (0, Box(85, 166, 7, 8))
