"""BDD label files of every release to instances."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline import formats
from pipeline.formats import Format
from pipeline.formats.bdd import label as bdd_label
from pipeline.geometry import masks, polygon
from pipeline.geometry.polygon import Box
from pipeline.instances import reasons as faults
from pipeline.instances.records import Instance, Rejected
from tests.pipeline.label_texts import SQUARE, options, polygon_label, read, read_label

BOX = {"x1": 10.5, "y1": 20.0, "x2": 14.5, "y2": 21.0}


def test_a_box_becomes_a_rectangle_with_corners_in_the_order_of_2019(tmp_path: Path) -> None:
    found = read_label(tmp_path, {"id": 3, "category": "bike", "box2d": BOX, "attributes": {"occluded": True}})
    assert isinstance(found, Instance)
    assert (found.id, found.category, found.source_category, found.geometry) == ("3", "bicycle", "bike", "box")
    assert found.rings[0].tolist() == [[10.5, 20], [10.5, 21], [14.5, 21], [14.5, 20]]
    assert found.box == Box(10.5, 20, 4, 1)
    assert (found.occluded, found.truncated, found.crowd, found.attributes) == (True, None, False, {})


def test_an_id_may_come_any_number_of_times(tmp_path: Path) -> None:
    labels = [polygon_label() | {"id": 0} for _ in range(5000)]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.instances] == ["0", *(f"0~{number}" for number in range(2, 5001))]


def test_a_flag_may_be_a_number_with_a_point(tmp_path: Path) -> None:
    found = read_label(tmp_path, polygon_label(attributes={"crowd": 1.0}))
    assert isinstance(found, Instance)
    assert (found.crowd, found.attributes) == (True, {})


def test_a_label_that_has_box_and_polygon_is_its_polygon(tmp_path: Path) -> None:
    found = read_label(tmp_path, polygon_label(box2d=BOX))
    assert isinstance(found, Instance)
    assert found.geometry == "polygon"
    assert found.rings[0].tolist() == SQUARE


def test_several_polygons_are_one_instance(tmp_path: Path) -> None:
    label = polygon_label()
    label["poly2d"].append({"vertices": [[20, 20], [30, 20], [30, 30]], "types": "LLL", "closed": False})
    found = read_label(tmp_path, label)
    assert isinstance(found, Instance)
    assert len(found.rings) == 2
    assert found.box == Box(0, 0, 30, 30)


def test_a_part_without_area_adds_nothing_to_the_others(tmp_path: Path) -> None:
    label = polygon_label()
    label["poly2d"].append({"vertices": [[20, 20], [30, 20]], "types": "LL", "closed": True})
    found = read_label(tmp_path, label)
    assert isinstance(found, Instance)
    assert len(found.rings) == 1


def test_vertices_and_controls_are_rounded_before_curves_are_flattened(tmp_path: Path) -> None:
    curved = [[0.4, 0.4], [40.4, 0.4], [40.4, 40.4], [0.4, 40.4]]
    rounded = [[0, 0], [40, 0], [40, 40], [0, 40]]
    one, other = (read_label(tmp_path, polygon_label(each, "LLCC")) for each in (curved, rounded))
    assert isinstance(one, Instance)
    assert isinstance(other, Instance)
    assert one.rings[0].tolist() == other.rings[0].tolist()
    assert len(one.rings[0]) > 4


def test_a_label_with_only_run_lengths_is_traced(tmp_path: Path) -> None:
    found = read_label(tmp_path, {"category": "car", "rle": {"counts": [5, 2, 2, 2, 1], "size": [4, 3]}})
    assert isinstance(found, Instance)
    assert (found.geometry, found.box) == ("rle", Box(1, 1, 2, 2))
    assert masks.mask(found.rings, 4, 3).sum() == 4


def test_lanes_are_open_lines_and_become_ribbons(tmp_path: Path) -> None:
    label = polygon_label([[10, 10], [50, 10]], category="lane", attributes={"laneType": "road curb"})
    found = read_label(tmp_path, label)
    assert isinstance(found, Instance)
    assert found.category == "road curb"
    assert found.box == Box(10, 10 - bdd_label.LINE_WIDTH / 2, 40, bdd_label.LINE_WIDTH)


def test_what_closed_says_changes_nothing(tmp_path: Path) -> None:
    label = polygon_label()
    label["poly2d"][0]["closed"] = False
    found = read_label(tmp_path, label)
    assert isinstance(found, Instance)
    assert found.rings[0].tolist() == SQUARE


def test_attributes_that_are_no_truth_value_stay_attributes(tmp_path: Path) -> None:
    attributes = {"Occluded": True, "truncated": [0, "NA"], "crowd": True, "trafficLightColor": "G"}
    found = read_label(tmp_path, polygon_label(attributes=attributes, score=0.5))
    assert isinstance(found, Instance)
    assert (found.occluded, found.truncated, found.crowd) == (True, None, True)
    assert found.attributes == {"truncated": [0, "NA"], "trafficLightColor": "G", "score": 0.5}


def test_categories_outside_the_benchmark_are_ignored(tmp_path: Path) -> None:
    found = read_label(tmp_path, polygon_label(category="other vehicle"), options("car"))
    assert isinstance(found, Instance)
    assert (found.category, found.source_category, found.ignored) == ("car", "other vehicle", True)


@pytest.mark.parametrize("label", [polygon_label(category="bus"), {"category": "bus", "box2d": {"x1": None}}])
def test_labels_of_other_categories_are_told_as_they_were_read_whatever_is_wrong_with_them(
    tmp_path: Path, label: Any
) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": [label]}], options("car"))
    assert (image.instances, image.rejected) == ((), ())
    (unwanted,) = image.unwanted
    assert (unwanted.image, unwanted.reason) == ("a.jpg", faults.OTHER_CATEGORY)
    assert json.loads(unwanted.label) == label


def test_boxes_can_be_left_out(tmp_path: Path) -> None:
    label = {"id": 3, "category": "car", "box2d": BOX}
    found = read_label(tmp_path, label, options("car", boxes="leave_out"))
    assert isinstance(found, Rejected)
    assert (found.reason, found.image, found.label_id) == (faults.BOX_LEFT_OUT, "a.jpg", "3")
    assert json.loads(found.label) == label


def without_nulls(label: Any) -> Any:
    """The label without keys that are null, which say nothing."""
    return {key: value for key, value in label.items() if value is not None} if isinstance(label, dict) else label


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("car", faults.NO_OBJECT),
        (None, faults.NO_OBJECT),
        ({"box2d": BOX}, faults.NO_CATEGORY),
        ({"category": None, "box2d": BOX}, faults.NO_CATEGORY),
        ({"category": ["car"], "box2d": BOX}, faults.NO_CATEGORY),
        ({"category": "car"}, faults.NO_GEOMETRY),
        ({"category": "car", "box2d": None, "poly2d": None, "rle": None}, faults.NO_GEOMETRY),
        ({"category": "car", "poly2d": []}, faults.NO_GEOMETRY),
        ({"category": "car", "box2d": BOX | {"x2": 10.5}}, faults.BOX_WITHOUT_AREA),
        ({"category": "car", "box2d": BOX | {"x2": 1}}, faults.BOX_WITHOUT_AREA),
        ({"category": "car", "box2d": BOX | {"x2": "14"}}, faults.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": BOX | {"x2": None}}, faults.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": [1, 2, 3, 4]}, faults.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": {"x1": 1}}, faults.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": BOX | {"x2": 1e300}}, faults.TOO_FAR),
        (polygon_label([[0, 0], [9, 9]]), faults.POLYGON_WITHOUT_AREA),
        (polygon_label([[0, 0], [9, 9], [3, 3]]), faults.POLYGON_WITHOUT_AREA),
        (polygon_label([]), faults.POLYGON_WITHOUT_AREA),
        (polygon_label([[0, 0], [9, 9], [3, 1e9]]), faults.TOO_FAR),
        (polygon_label(types="LL"), faults.POLYGON_MALFORMED),
        (polygon_label(types="LLLZ"), faults.POLYGON_MALFORMED),
        (polygon_label([[0, 0], [9, 9], [3, None]]), faults.POLYGON_MALFORMED),
        (polygon_label([[0, 0], [9, 9], [3]]), faults.POLYGON_MALFORMED),
        (polygon_label("LLL"), faults.POLYGON_MALFORMED),
        ({"category": "car", "poly2d": {"vertices": 3}}, faults.POLYGON_MALFORMED),
        ({"category": "car", "poly2d": "no"}, faults.POLYGON_MALFORMED),
        (polygon_label([[5, 5], [5, 5]], category="lane"), faults.LINE_WITHOUT_LENGTH),
        ({"category": "car", "rle": {"counts": "0", "size": [9, 9]}}, faults.MASK_MALFORMED),
        ({"category": "car", "rle": {"counts": [81], "size": [9, 9]}}, faults.MASK_EMPTY),
        ({"category": "car", "rle": {"counts": [81], "size": [-9, -9]}}, faults.MASK_MALFORMED),
        ({"category": "car", "rle": 5}, faults.MASK_MALFORMED),
    ],
)
def test_a_label_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, label: Any, reason: str) -> None:
    found = read_label(tmp_path, label)
    assert isinstance(found, Rejected)
    assert (found.reason, found.image, found.source) == (reason, "a.jpg", "labels.json")
    assert without_nulls(json.loads(found.label)) == without_nulls(label)


def test_one_bad_label_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    labels = [polygon_label(), {"category": "car", "box2d": {"x1": "?"}}, 5, polygon_label()]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.instances] == ["7", "7~2"]
    assert [each.label_id for each in image.rejected] == ["#1", ""]


@pytest.mark.parametrize("absent", [{}, {"labels": None}, {"labels": []}])
def test_an_image_without_labels_is_an_image(tmp_path: Path, absent: dict[str, Any]) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "timestamp": 1, **absent}])
    assert (image.name, image.instances, image.rejected) == ("a.jpg", (), ())


def test_frames_that_are_none_are_rejected_and_the_others_read(tmp_path: Path) -> None:
    frames = [{"name": "a.jpg", "labels": [polygon_label()]}, None, 7, {"labels": [polygon_label()]}, {"timestamp": 1}]
    images = read(tmp_path, frames)
    assert [len(image.instances) for image in images] == [1, 0, 0, 0, 0]
    reasons = [rejected.reason for image in images for rejected in image.rejected]
    assert reasons == [faults.FRAME_NOT_OBJECT] * 2 + [faults.NO_IMAGE_NAME] * 2


def test_labels_that_are_no_list_are_rejected_whole(tmp_path: Path) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": {"0": polygon_label()}}])
    assert [rejected.reason for rejected in image.rejected] == [faults.LABELS_NOT_LIST]


def test_an_image_is_named_by_its_url_where_it_has_no_name(tmp_path: Path) -> None:
    (image,) = read(tmp_path, [{"name": None, "url": "https://x.org/v/a.jpg", "videoName": "v", "attributes": None}])
    assert (image.name, image.video, image.attributes) == ("https://x.org/v/a.jpg", "v", {})


@pytest.mark.parametrize("labels_first", [False, True])
def test_a_single_frame_may_be_named_by_its_url_alone(tmp_path: Path, labels_first: bool) -> None:
    named, labelled = {"url": "https://x.org/v/a.jpg"}, {"labels": [polygon_label()]}
    (image,) = read(tmp_path, labelled | named if labels_first else named | labelled)
    assert (image.name, len(image.instances)) == ("https://x.org/v/a.jpg", 1)


def test_wrapper_single_frame_and_list_say_the_same(tmp_path: Path) -> None:
    frame = {"name": "a.jpg", "labels": [polygon_label()], "attributes": {"scene": "city"}}
    shapes = [[frame], {"config": {"a": [1]}, "frames": [frame], "groups": None}, frame, {"frames": [frame]}]
    ids = [
        [(image.name, image.attributes, image.instances[0].id) for image in read(tmp_path, shape)] for shape in shapes
    ]
    assert ids == [[("a.jpg", {"scene": "city"}, "7")]] * 4


def test_a_2018_file_of_one_image_has_flat_paths_and_words_of_its_own(tmp_path: Path) -> None:
    flat = [[0, 0, "L"], [40, 0, "L"], [40, 40, "C"], [0, 40, "C"]]
    content = {
        "name": "1cd5d614-35d63896",
        "attributes": {"weather": "rainy"},
        "frames": [{"timestamp": 1, "objects": [{"category": "area/drivable", "id": 4, "poly2d": flat}, 9]}],
    }
    (image,) = read(tmp_path, content)
    assert (image.name, image.attributes) == ("1cd5d614-35d63896", {"weather": "rainy"})
    assert [(each.id, each.category) for each in image.instances] == [("4", "direct")]
    assert len(image.instances[0].rings[0]) > 4
    assert [each.reason for each in image.rejected] == [faults.NO_OBJECT]


@pytest.mark.parametrize("release", ["drivable", "lane", "sem_seg", "pan_seg"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_layouts_of_2020_that_aren_t_of_the_benchmark_s_ten_classes(
    tmp_path: Path, release: str, wrapped: bool
) -> None:
    """Ids are strings, keys may be null, `closed` isn't to be trusted, and a lane's type is its category."""
    category, wanted, meant = {
        "drivable": ("direct", "drivable area", "drivable area"),
        "lane": ("crosswalk", "lane", "lane"),
        "sem_seg": ("vegetation", "vegetation", "vegetation"),
        "pan_seg": ("person", "pedestrian", "pedestrian"),
    }[release]
    label = {
        "id": "0000001-3",
        "category": category,
        "attributes": None,
        "box2d": None,
        "rle": None,
        "poly2d": [{"vertices": [[10, 10], [50, 10], [50, 30]], "types": "LLL", "closed": False}],
    }
    frames = [{"name": "a.jpg", "videoName": None, "attributes": None, "timestamp": None, "labels": [label]}]
    (image,) = read(
        tmp_path, {"frames": frames, "groups": None, "config": None} if wrapped else frames, options(wanted)
    )
    (instance,) = image.instances
    assert (instance.id, instance.category, instance.source_category) == ("0000001-3", meant, category)
    assert instance.geometry == "polygon"
    area = polygon.area(instance.rings[0])
    assert area == pytest.approx(400) if release != "lane" else area < 400  # a ribbon along the line
    assert not image.rejected


def test_a_member_of_a_zip_is_read_and_named_by_its_path(tmp_path: Path) -> None:
    archive = tmp_path / "labels.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bdd100k/labels/a.json", json.dumps([{"name": "a.jpg", "labels": [polygon_label()]}]))
    (image,) = formats.read(archive, "bdd100k/labels/a.json", formats.ReadOptions())
    assert image.source == "labels.zip/bdd100k/labels/a.json"
    assert formats.format_of(archive, "bdd100k/labels/a.json") is Format.FRAMES
