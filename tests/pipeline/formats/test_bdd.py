"""BDD label files of every release: lists, wrappers, single frames, files of one image, and each of their labels."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from mrcnn.shapes import polygons
from pipeline.formats import Format, format_of
from pipeline.instances import reasons
from tests.pipeline.formats.label_rows import Label, Rejected, images_of, read, read_label
from tests.pipeline.label_texts import SQUARE, polygon_label

BOX = {"x1": 10.5, "y1": 20.0, "x2": 14.5, "y2": 21.0}


def test_a_box_becomes_a_rectangle_with_corners_in_the_order_of_2019(tmp_path: Path) -> None:
    found = read_label(tmp_path, {"id": 3, "category": "bike", "box2d": BOX, "attributes": {"occluded": True}})
    assert (found.id, found.category, found.kind, found.geometry) == ("3", "bike", None, "box")
    assert found.rings[0].tolist() == [[10.5, 20], [10.5, 21], [14.5, 21], [14.5, 20]]
    assert found.box == (10.5, 20, 4, 1)
    assert (found.occluded, found.truncated, found.crowd, found.attributes) == (True, None, False, {})


def test_a_flag_may_be_a_number_with_a_point(tmp_path: Path) -> None:
    found = read_label(tmp_path, polygon_label(attributes={"crowd": 1.0}))
    assert (found.crowd, found.attributes) == (True, {})


@pytest.mark.parametrize("box", [BOX, {"x1": None}])
def test_a_label_that_has_box_and_polygon_is_its_polygon(tmp_path: Path, box: Any) -> None:
    found = read_label(tmp_path, polygon_label(box2d=box))
    assert found.geometry == "polygon"
    assert found.rings[0].tolist() == SQUARE


def test_several_polygons_are_one_label(tmp_path: Path) -> None:
    label = polygon_label()
    label["poly2d"].append({"vertices": [[20, 20], [30, 20], [30, 30]], "types": "LLL", "closed": False})
    found = read_label(tmp_path, label)
    assert len(found.rings) == 2
    assert found.box == (0, 0, 30, 30)


def test_a_part_without_area_adds_nothing_to_the_others(tmp_path: Path) -> None:
    label = polygon_label()
    label["poly2d"] += [{"vertices": [[20, 20], [30, 20]], "types": "LL"}, {"vertices": [], "types": ""}]
    assert len(read_label(tmp_path, label).rings) == 1


def test_vertices_and_controls_are_rounded_before_curves_are_flattened(tmp_path: Path) -> None:
    curved = [[0.4, 0.4], [40.4, 0.4], [40.4, 40.4], [0.4, 40.4]]
    rounded = [[0, 0], [40, 0], [40, 40], [0, 40]]
    one, other = (read_label(tmp_path, polygon_label(each, "LLCC")) for each in (curved, rounded))
    assert one.rings[0].tolist() == other.rings[0].tolist()
    assert len(one.rings[0]) > 4


def test_a_label_with_only_run_lengths_is_traced(tmp_path: Path) -> None:
    found = read_label(tmp_path, {"category": "car", "rle": {"counts": [5, 2, 2, 2, 1], "size": [4, 3]}})
    assert (found.geometry, found.box, found.mask_size) == ("rle", (1, 1, 2, 2), (3, 4))
    assert polygons.mask(found.rings, 4, 3).sum() == 4


@pytest.mark.parametrize(
    ("label", "kind"),
    [
        ({"category": "lane", "attributes": {"laneType": "road curb"}}, "road curb"),
        ({"category": "lane"}, None),
        ({"category": "lane/single white"}, None),
        ({"category": "double yellow"}, None),
    ],
)
def test_lanes_are_open_lines(tmp_path: Path, label: Any, kind: str | None) -> None:
    found = read_label(tmp_path, polygon_label([[10, 10], [50, 10], [50, 10], [10, 10]], "LLLL", **label))
    assert (found.geometry, found.category, found.kind) == ("line", label["category"], kind)
    assert found.rings[0].tolist() == [[10, 10], [50, 10], [10, 10]]
    curved = read_label(tmp_path, polygon_label([[0, 0], [40, 0], [40, 40]], "LCC", **label))
    assert curved.rings[0].tolist() == [[0, 0], [40, 0], [40, 40]]


@pytest.mark.parametrize("kind", ["direct", 5, None])
def test_a_drivable_area_of_2018_has_its_kind(tmp_path: Path, kind: Any) -> None:
    found = read_label(tmp_path, polygon_label(category="drivable area", attributes={"areaType": kind}))
    assert (found.category, found.kind, found.geometry) == (
        "drivable area",
        kind if kind == "direct" else None,
        "polygon",
    )
    assert found.attributes == {"areaType": kind}


def test_closed_is_not_read(tmp_path: Path) -> None:
    label = polygon_label()
    label["poly2d"][0]["closed"] = False
    assert read_label(tmp_path, label).rings[0].tolist() == SQUARE


def test_attributes_that_are_no_truth_value_stay_attributes(tmp_path: Path) -> None:
    attributes = {"Occluded": True, "truncated": [0, "NA"], "crowd": True, "trafficLightColor": "G"}
    found = read_label(tmp_path, polygon_label(attributes=attributes, score=0.5))
    assert (found.occluded, found.truncated, found.crowd) == (True, None, True)
    assert found.attributes == {"truncated": [0, "NA"], "trafficLightColor": "G", "score": 0.5}
    assert read_label(tmp_path, polygon_label(attributes=[0, "NA"])).attributes == {"attributes": [0, "NA"]}


@pytest.mark.parametrize(
    ("label", "reason"),
    [
        ("car", reasons.NO_OBJECT),
        (None, reasons.NO_OBJECT),
        ({"box2d": BOX}, reasons.NO_CATEGORY),
        ({"category": None, "box2d": BOX}, reasons.NO_CATEGORY),
        ({"category": " ", "box2d": BOX}, reasons.NO_CATEGORY),
        ({"category": ["car"], "box2d": BOX}, reasons.NO_CATEGORY),
        ({"category": "car"}, reasons.NO_GEOMETRY),
        ({"category": "car", "box2d": None, "poly2d": None, "rle": None}, reasons.NO_GEOMETRY),
        ({"category": "car", "poly2d": []}, reasons.NO_GEOMETRY),
        ({"category": "car", "box2d": BOX | {"x2": 10.5}}, reasons.BOX_WITHOUT_AREA),
        ({"category": "car", "box2d": BOX | {"x2": 1}}, reasons.BOX_WITHOUT_AREA),
        ({"category": "car", "box2d": BOX | {"x2": "14"}}, reasons.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": BOX | {"x2": None}}, reasons.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": [1, 2, 3, 4]}, reasons.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": {"x1": 1}}, reasons.BOX_NOT_NUMBERS),
        ({"category": "car", "box2d": BOX | {"x2": 1e300}}, reasons.TOO_FAR),
        (polygon_label([[0, 0], [9, 9]]), reasons.POLYGON_WITHOUT_AREA),
        (polygon_label([[0, 0], [9, 9], [3, 3]]), reasons.POLYGON_WITHOUT_AREA),
        (polygon_label([]), reasons.POLYGON_WITHOUT_AREA),
        (polygon_label([[0, 0], [9, 9], [3, 1e9]]), reasons.TOO_FAR),
        (polygon_label(types="LL"), reasons.POLYGON_MALFORMED),
        (polygon_label(types="LLLZ"), reasons.POLYGON_MALFORMED),
        (polygon_label([[0, 0], [9, 9], [3, None]]), reasons.POLYGON_MALFORMED),
        (polygon_label([[0, 0], [9, 9], [3]]), reasons.POLYGON_MALFORMED),
        (polygon_label("LLL"), reasons.POLYGON_MALFORMED),
        ({"category": "car", "poly2d": {"vertices": 3}}, reasons.POLYGON_MALFORMED),
        ({"category": "car", "poly2d": "no"}, reasons.POLYGON_MALFORMED),
        ({"category": "car", "poly2d": [[0, 0, "L"], {"vertices": SQUARE}]}, reasons.POLYGON_MALFORMED),
        ({"category": "car", "poly2d": [[0, 0, "L"], [9, 9, "Z"]]}, reasons.POLYGON_MALFORMED),
        (polygon_label([[5, 5], [5, 5]], category="lane"), reasons.LINE_WITHOUT_LENGTH),
        ({"category": "car", "rle": {"counts": "0", "size": [9, 9]}}, reasons.MASK_MALFORMED),
        ({"category": "car", "rle": {"counts": [81], "size": [9, 9]}}, reasons.MASK_EMPTY),
        ({"category": "car", "rle": {"counts": [81], "size": [-9, -9]}}, reasons.MASK_MALFORMED),
        ({"category": "car", "rle": 5}, reasons.MASK_MALFORMED),
    ],
)
def test_a_label_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, label: Any, reason: str) -> None:
    found = read_label(tmp_path, label)
    assert isinstance(found, Rejected)
    assert (found.reason, found.image, found.label) == (reason, "a.jpg", label)
    word = label.get("category") if isinstance(label, dict) else None
    assert found.category == (word if isinstance(word, str) and word.strip() else None)


BOX3D = {"alpha": -1.6, "dimension": [1.5, 1.8, 4.2], "location": [3, 1.1, 20.5], "orientation": [0, -1.4, 0]}


@pytest.mark.parametrize(
    "more",
    [
        {"index": 3, "manualShape": True, "box3d": BOX3D, "graph": {"nodes": [], "edges": []}},
        {"box3d": BOX3D, "drawn by": {"name": "é\U0001f6b2", "at": [2018, None]}, "closed": None},
        {"manualShape": False, "score": 0.5, "attributes": {"occluded": True, "truncated": "no"}},
        {"poly2d": [{"vertices": [[1, 1]]}]},
    ],
)
@pytest.mark.parametrize("indent", [None, 2])
def test_a_rejected_label_is_kept_with_all_its_keys(tmp_path: Path, more: Any, indent: int | None) -> None:
    given = {"category": "bus", "id": 1} | more
    frames = [{"name": "b.jpg"}, {"name": "a.jpg", "labels": [polygon_label(), given, {**given, "id": 2}]}]
    _, image = read(tmp_path, json.dumps(frames, indent=indent, ensure_ascii=False).encode())
    assert [each.label for each in image.rejected] == [given, {**given, "id": 2}]
    assert len(image.labels) == 1


def test_a_rejected_label_with_a_number_beyond_any_parser_is_kept_as_json_that_all_can_read(tmp_path: Path) -> None:
    digits = "1" + "0" * 5000
    text = json.dumps([{"name": "a.jpg", "labels": [polygon_label([[0, "long"]], "L")]}]).replace('"long"', digits)
    (image,) = read(tmp_path, text.encode())
    (rejected,) = image.rejected
    assert rejected.label["poly2d"][0]["vertices"] == [[0, digits]]


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"-1e999", b"1" + b"0" * 5000])
def test_a_number_that_is_none_rejects_its_label_only(tmp_path: Path, number: bytes) -> None:
    labels = [polygon_label(), {"category": "car", "box2d": {"x1": 0, "y1": 0, "x2": 77, "y2": 9}}]
    text = json.dumps([{"name": "a.jpg", "labels": labels}]).encode()
    (image,) = read(tmp_path, text.replace(b"77", number))
    assert (len(image.labels), [each.reason for each in image.rejected]) == (1, [reasons.BOX_NOT_NUMBERS])
    (image,) = read(tmp_path, text.replace(b'"category": "car", "box2d"', b'"score": ' + number + b', "box2d"'))
    assert isinstance(image.labels[0], Label)


def test_an_id_may_come_any_number_of_times(tmp_path: Path) -> None:
    labels = [polygon_label() | {"id": 0} for _ in range(5000)]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.labels] == ["0", *(f"0~{number}" for number in range(2, 5001))]


def test_an_id_that_another_label_has_is_left_to_it(tmp_path: Path) -> None:
    labels = [polygon_label() | {"id": each} for each in ("7", "7", 7, "7~2", None, "")]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.labels] == ["7", "7~3", "7~4", "7~2", "#4", "#5"]


def test_ids_of_as_many_digits_as_64_bits_hold_stay_as_they_are(tmp_path: Path) -> None:
    ids = [-(2**63), 2**64 - 1, 1234567890123456789]
    frame = {"name": "a.jpg", "labels": [polygon_label() | {"id": each} for each in ids]}
    for text in (json.dumps([frame]), json.dumps([frame | {"timestamp": float("nan")}])):
        (image,) = read(tmp_path, text.encode())
        assert [each.id for each in image.labels] == [*map(str, ids)]


def test_one_bad_label_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    labels = [polygon_label(), {"category": "car", "box2d": {"x1": "?"}}, 5, polygon_label()]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.labels] == ["7", "7~2"]
    assert [each.id for each in image.rejected] == ["#1", ""]


@pytest.mark.parametrize("absent", [{}, {"labels": None}, {"labels": []}])
def test_an_image_without_labels_is_an_image(tmp_path: Path, absent: dict[str, Any]) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "timestamp": 1, **absent}])
    assert (image.name, image.labels, image.rejected) == ("a.jpg", [], [])


def test_frames_that_are_none_are_rejected_and_the_others_read(tmp_path: Path) -> None:
    frames = [{"name": "a.jpg", "labels": [polygon_label()]}, None, 7, {"labels": [polygon_label()]}, {"timestamp": 1}]
    images = read(tmp_path, frames)
    assert [len(image.labels) for image in images] == [1, 0, 0, 0, 0]
    found = [(rejected.reason, rejected.id) for image in images for rejected in image.rejected]
    assert found == [*[(reasons.FRAME_NOT_OBJECT, "")] * 2, (reasons.NO_IMAGE_NAME, "7"), (reasons.NO_IMAGE_NAME, "")]


def test_labels_that_are_no_list_are_rejected_whole(tmp_path: Path) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": {"0": polygon_label()}}])
    assert [(each.reason, each.label) for each in image.rejected] == [(reasons.LABELS_NOT_LIST, {"0": polygon_label()})]


def test_an_image_is_named_by_its_url_where_it_has_no_name(tmp_path: Path) -> None:
    (image,) = read(tmp_path, [{"name": None, "url": "https://x.org/v/a.jpg", "videoName": "v", "attributes": None}])
    assert (image.name, image.video, image.attributes) == ("https://x.org/v/a.jpg", "v", {})


@pytest.mark.parametrize("labels_first", [False, True])
def test_a_single_frame_may_be_named_by_its_url_alone(tmp_path: Path, labels_first: bool) -> None:
    named, labelled = {"url": "https://x.org/v/a.jpg"}, {"labels": [polygon_label()]}
    (image,) = read(tmp_path, labelled | named if labels_first else named | labelled)
    assert (image.name, len(image.labels)) == ("https://x.org/v/a.jpg", 1)


@pytest.mark.parametrize(
    ("said", "video", "attributes"),
    [
        ({"videoName": "v", "attributes": {"video": "w", "scene": "city"}}, "v", {"scene": "city"}),
        ({"videoName": "", "attributes": {"video": "w"}}, "w", {}),
        ({"attributes": {"attributes": '{"scene":1}', "weather": "clear"}}, None, {"scene": 1, "weather": "clear"}),
        ({"attributes": {"attributes": ""}}, None, {}),
        ({"attributes": {"attributes": "[1"}}, None, {"attributes": "[1"}),
        ({"attributes": [1]}, None, {}),
    ],
)
def test_video_and_attributes_of_an_image(tmp_path: Path, said: Any, video: str | None, attributes: Any) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", **said}])
    assert (image.video, image.attributes) == (video, attributes)


def test_wrapper_single_frame_and_list_are_read_alike(tmp_path: Path) -> None:
    frame = {"name": "a.jpg", "labels": [polygon_label()], "attributes": {"scene": "city"}}
    shapes = [[frame], {"config": {"a": [1]}, "frames": [frame], "groups": None}, frame, {"frames": [frame]}]
    ids = [[(image.name, image.attributes, image.labels[0].id) for image in read(tmp_path, shape)] for shape in shapes]
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
    assert [(each.id, each.category) for each in image.labels] == [("4", "area/drivable")]
    assert len(image.labels[0].rings[0]) > 4
    assert [(each.reason, each.label) for each in image.rejected] == [(reasons.NO_OBJECT, 9)]


@pytest.mark.parametrize("category", ["direct", "crosswalk", "vegetation", "person"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_layouts_of_2020_that_aren_t_of_the_benchmark_s_ten_classes(
    tmp_path: Path, category: str, wrapped: bool
) -> None:
    """Ids are strings, keys may be null, `closed` isn't to be trusted, and a lane's type is its category."""
    label = {
        "id": "0000001-3",
        "category": category,
        "attributes": None,
        "box2d": None,
        "rle": None,
        "poly2d": [{"vertices": [[10, 10], [50, 10], [50, 30]], "types": "LLL", "closed": False}],
    }
    frames = [{"name": "a.jpg", "videoName": None, "attributes": None, "timestamp": None, "labels": [label]}]
    (image,) = read(tmp_path, {"frames": frames, "groups": None, "config": None} if wrapped else frames)
    (found,) = image.labels
    assert (found.id, found.category) == ("0000001-3", category)
    assert found.geometry == ("line" if category == "crosswalk" else "polygon")
    assert found.rings[0].tolist() == [[10, 10], [50, 10], [50, 30]]
    assert not image.rejected


def test_of_a_key_that_comes_again_the_last_one_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = json.dumps([{"name": "a.jpg", "labels": [polygon_label()] * 2, "more": [polygon_label()]}])
    text = text.replace('"more"', '"labels"')
    (image,) = read(tmp_path, text.encode())
    assert len(image.labels) == 1
    assert not caplog.text
    (image,) = read(tmp_path, text.replace('"name"', '"timestamp": NaN, "name"').encode())
    assert len(image.labels) == 1
    assert "of a key that an object has twice the last one counts: labels" in caplog.text


def test_a_member_of_a_zip_is_read_and_named_by_its_path(tmp_path: Path) -> None:
    archive = tmp_path / "labels.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bdd100k/labels/a.json", json.dumps([{"name": "a.jpg", "labels": [polygon_label()]}]))
    (image,) = images_of(archive, "bdd100k/labels/a.json")
    assert len(image.labels) == 1
    assert format_of(archive, "bdd100k/labels/a.json") is Format.FRAMES
