"""labelme's JSON: a file an image; polygons, rectangles and circles, groups of shapes as one instance."""

from pathlib import Path
from typing import Any

import pytest

from pipeline.instances import reasons
from tests.pipeline.formats.label_rows import Label, read
from tests.pipeline.label_texts import SQUARE


def labelme(*shapes: Any, **others: Any) -> dict[str, Any]:
    """A file of one image; shapes are squares of dents unless they say otherwise."""
    plain = {"label": "dent", "points": SQUARE, "group_id": None, "shape_type": "polygon", "flags": {}}
    filled = [{**plain, **shape} if isinstance(shape, dict) else shape for shape in shapes]
    about = {"version": "4.5.6", "flags": {}, "imagePath": "..\\pictures\\a.jpg", "imageData": None}
    return {**about, "shapes": filled, "imageHeight": 48, "imageWidth": 64, **others}


def labels(folder: Path, *shapes: Any) -> list[Label]:
    (image,) = read(folder, labelme(*shapes))
    return image.labels


def test_an_image_with_its_shapes(tmp_path: Path) -> None:
    content = labelme({"flags": {"occluded": True, "deep": True}}, {"label": "scratch"}, flags={"night": True})
    (image,) = read(tmp_path, content)
    assert (image.name, image.size, image.attributes) == ("..\\pictures\\a.jpg", (64, 48), {"night": True})
    assert [(each.id, each.category, each.geometry) for each in image.labels] == [
        ("0", "dent", "polygon"),
        ("1", "scratch", "polygon"),
    ]
    assert image.labels[0].rings[0].tolist() == SQUARE
    assert (image.labels[0].occluded, image.labels[0].attributes) == (True, {"deep": True})


def test_a_rectangle_has_two_corners_and_a_circle_a_centre_and_a_point(tmp_path: Path) -> None:
    box, circle = labels(
        tmp_path,
        {"shape_type": "rectangle", "points": [[9, 8], [1, 2]]},
        {"shape_type": "circle", "points": [[20, 20], [23, 24]]},
    )
    assert (box.geometry, box.box) == ("box", (1, 2, 8, 6))
    assert (circle.geometry, circle.box) == ("polygon", pytest.approx((15, 15, 10, 10), abs=0.5))


def test_a_shape_without_a_type_is_a_polygon_as_in_version_3(tmp_path: Path) -> None:
    assert [each.geometry for each in labels(tmp_path, {"shape_type": None})] == ["polygon"]


def test_shapes_of_one_group_and_label_are_one_instance(tmp_path: Path) -> None:
    grouped = {"group_id": 3}
    found = labels(tmp_path, grouped, {"label": "scratch", **grouped}, grouped | {"shape_type": "rectangle"})
    assert [(each.category, len(each.rings)) for each in found] == [("dent", 2), ("scratch", 1)]


@pytest.mark.parametrize(
    ("shape", "reason"),
    [
        (5, reasons.NO_OBJECT),
        ({"label": " "}, reasons.NO_CATEGORY),
        ({"label": None, "group_id": 3}, reasons.NO_CATEGORY),
        ({"points": [[1, 2, 3]]}, reasons.SHAPE_MALFORMED),
        ({"points": [[1, "2"]]}, reasons.SHAPE_MALFORMED),
        ({"points": None}, reasons.SHAPE_MALFORMED),
        ({"points": [[0, 0], [1e7, 0], [1, 1]]}, reasons.TOO_FAR),
        ({"points": [[0, 0], [1, 1]]}, reasons.SHAPE_WITHOUT_AREA),
        ({"shape_type": "linestrip"}, reasons.SHAPE_WITHOUT_AREA),
        ({"shape_type": "rectangle", "points": []}, reasons.SHAPE_WITHOUT_AREA),
        ({"shape_type": "mask"}, reasons.SHAPE_UNKNOWN),
        ({"shape_type": ["x"]}, reasons.SHAPE_UNKNOWN),
    ],
)
def test_a_shape_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, shape: Any, reason: str) -> None:
    (image,) = read(tmp_path, labelme(shape))
    assert [each.reason for each in image.rejected] == [reason]


def test_an_image_without_a_name_is_rejected(tmp_path: Path) -> None:
    (image,) = read(tmp_path, labelme({}, imagePath=None))
    assert [each.reason for each in image.rejected] == [reasons.NO_IMAGE_NAME]
