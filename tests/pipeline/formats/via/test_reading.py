"""VIA 1 and 2: shapes, attributes and options of regions, entries, projects."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.formats import LabelReader
from pipeline.formats.via import regions
from pipeline.geometry import polygon
from pipeline.instances import reasons
from tests.pipeline.formats.label_rows import only, read
from tests.pipeline.label_texts import via, via_region
from tests.pipeline.raw_tables import bounds


def shape(name: Any, **numbers: Any) -> dict[str, Any]:
    """A region of that shape."""
    return via_region({"name": name, **numbers}, name="thing")


@pytest.mark.parametrize("as_dict", [True, False])
def test_regions_may_be_a_list_or_an_object(tmp_path: Path, as_dict: bool) -> None:
    regions = [via_region(name="car"), via_region(name="Swan")]
    (image,) = read(tmp_path, via({"0": regions[0], "1": regions[1]} if as_dict else regions))
    assert image.name == "a.jpg"
    assert [(each.id, each.attributes, each.geometry) for each in image.labels] == [
        ("0", {"name": "car"}, "polygon"),
        ("1", {"name": "Swan"}, "polygon"),
    ]
    assert image.labels[0].rings[0].tolist() == [[0, 0], [8, 0], [8, 6], [0, 6]]


def test_the_closing_vertex_of_via_1_is_taken_off(tmp_path: Path) -> None:
    closed = {"name": "polygon", "all_points_x": [1, 9, 9, 1], "all_points_y": [1, 1, 5, 1]}
    assert only(tmp_path, via([via_region(closed, name="car")])).rings[0].tolist() == [[1, 1], [9, 1], [9, 5]]


def test_a_file_of_the_2019_script_has_neither_size_nor_file_attributes(tmp_path: Path) -> None:
    content = {"a.jpg": {"height": 720, "width": 1280, "filename": "a.jpg", "regions": {"0": via_region(name="bike")}}}
    assert only(tmp_path, content).attributes == {"name": "bike"}


def test_a_rectangle_is_a_box(tmp_path: Path) -> None:
    content = via([shape("rect", x=2, y=3, width=4, height=5)])
    found = only(tmp_path, content)
    assert (found.geometry, found.box) == ("box", (2, 3, 4, 5))


def test_round_shapes_have_the_area_of_their_formula(tmp_path: Path) -> None:
    circle = only(tmp_path, via([shape("circle", cx=50, cy=40, r=30)]), curve_tolerance=0.05)
    assert polygon.area(circle.rings[0]) == pytest.approx(math.pi * 900, rel=0.01)
    ellipse = only(tmp_path, via([shape("ellipse", cx=50, cy=40, rx=30, ry=10, theta=math.pi / 2)]))
    assert ellipse.box[3] == pytest.approx(60, abs=1)
    assert only(tmp_path, via([shape("ellipse", cx=50, cy=40, rx=30, ry=10)])).box[2] == pytest.approx(60, abs=1)


def test_a_polyline_is_closed_to_a_mask(tmp_path: Path) -> None:
    line = shape("polyline", all_points_x=[0, 9, 9], all_points_y=[0, 0, 9])
    assert only(tmp_path, via([line])).rings[0].tolist() == [[0, 0], [9, 0], [9, 9]]


def test_negative_coordinates_are_read_as_they_are(tmp_path: Path) -> None:
    line = shape("polygon", all_points_x=[-5, 9, 9], all_points_y=[0, -3, 9])
    assert only(tmp_path, via([line])).box == (-5, -3, 14, 12)


@pytest.mark.parametrize(
    ("region", "reason"),
    [
        (shape("point", cx=1, cy=2), reasons.SHAPE_WITHOUT_AREA),
        (shape("polygon", all_points_x=[0, 9], all_points_y=[0, 9]), reasons.SHAPE_WITHOUT_AREA),
        (shape("polygon", all_points_x=[0, 9, 4], all_points_y=[0, 9]), reasons.SHAPE_MALFORMED),
        (shape("polygon", all_points_x=[0, 9, None], all_points_y=[0, 9, 1]), reasons.SHAPE_MALFORMED),
        (shape("polygon", all_points_x=[0, 9, 1e9], all_points_y=[0, 9, 1]), reasons.TOO_FAR),
        (shape("polygon", all_points_x=[0, 9, 10**400], all_points_y=[0, 9, 1]), reasons.TOO_FAR),
        (shape("rect", x=10**400, y=1, width=2, height=2), reasons.TOO_FAR),
        (shape("polygon"), reasons.SHAPE_MALFORMED),
        (shape("rect", x=1, y=1, width=0, height=4), reasons.SHAPE_WITHOUT_AREA),
        (shape("rect", x=1, y=1, width="4", height=4), reasons.SHAPE_MALFORMED),
        (shape(["rect"], x=1, y=1, width=4, height=4), reasons.SHAPE_UNKNOWN),
        (shape("circle", cx=1, cy=1, r=0), reasons.SHAPE_WITHOUT_AREA),
        (shape("ellipse", cx=1, cy=1, rx=1), reasons.SHAPE_MALFORMED),
        (shape("cloud", cx=1, cy=1), reasons.SHAPE_UNKNOWN),
        ({"shape_attributes": None, "region_attributes": {"name": "thing"}}, reasons.SHAPE_MALFORMED),
        ({"shape_attributes": {}, "region_attributes": {}}, reasons.SHAPE_MALFORMED),
        ({"shape_attributes": {}, "region_attributes": None}, reasons.SHAPE_MALFORMED),
        (None, reasons.SHAPE_MALFORMED),
        ("region", reasons.SHAPE_MALFORMED),
    ],
)
def test_a_region_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, region: Any, reason: str) -> None:
    (image,) = read(tmp_path, via([via_region(name="thing"), region]))
    assert [(each.id, each.reason) for each in image.rejected] == [("1", reason)]
    assert len(image.labels) == 1


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("12", "12"),
        (" 7", " 7"),
        ("a\nb", "a\nb"),
        (12, "12"),
        (12.0, "12"),
        (0, "0"),
        ("", None),
        (None, None),
        ({}, None),
    ],
)
def test_what_regions_of_one_instance_share_is_kept_to_the_letter(
    tmp_path: Path, given: Any, found: str | None
) -> None:
    (image,) = read(tmp_path, via([via_region(name="car", instance=given), via_region(name="car")]))
    assert [(each.id, each.part_of) for each in image.labels] == [("0", found), ("1", None)]


@pytest.mark.parametrize("project", [False, True])
@pytest.mark.parametrize("behind", ["{}", '{"b.jpg9": {"filename": "b.jpg", "regions": []}}', "x", "]"])
def test_a_file_behind_whose_json_something_follows_is_refused(tmp_path: Path, project: bool, behind: str) -> None:
    content = via([via_region(name="car")])
    text = json.dumps({"_via_settings": {}, "_via_img_metadata": content} if project else content)
    with pytest.raises(
        LabelFileError, match=f"not JSON at byte {len(text) + 1}: something follows where the JSON ends"
    ):
        read(tmp_path, f"{text}\n{behind}".encode())


def test_a_project_without_annotations_holds_no_labels(tmp_path: Path) -> None:
    with pytest.raises(NotLabelsError, match="a VIA project without _via_img_metadata"):
        read(tmp_path, {"_via_settings": {}, **via([via_region(name="car")])})


@pytest.mark.parametrize("metadata", ["[]", "null", "5"])
def test_a_project_whose_annotations_are_no_object_is_refused(tmp_path: Path, metadata: str) -> None:
    text = f'{{"_via_settings": {{}}, "_via_img_metadata": {metadata}}}'
    with pytest.raises(LabelFileError, match="_via_img_metadata must be an object"):
        read(tmp_path, text.encode())


def test_attributes_are_kept_as_they_are_and_flags_among_them(tmp_path: Path) -> None:
    attributes = {"name": "car", "instance": "12", "Occluded": "no", "crowd": "true", "colour": "", "attributes": "[1"}
    found = only(tmp_path, via([via_region(**attributes)]))
    assert (found.category, found.attributes) == (None, attributes)
    assert (found.crowd, found.ignored, found.occluded, found.truncated) == (False, False, None, None)


@pytest.mark.parametrize(
    ("given", "square", "geometry"),
    [
        ("rle", True, "rle"),
        ("box", True, "box"),
        ("box", False, "polygon"),
        ("cloud", True, "polygon"),
        ({}, True, "polygon"),
    ],
)
def test_a_region_has_the_geometry_it_was_made_from(tmp_path: Path, given: Any, square: bool, geometry: str) -> None:
    outline = None if square else {"name": "polygon", "all_points_x": [0, 8, 8], "all_points_y": [0, 0, 6]}
    assert only(tmp_path, via([via_region(outline, name="car", geometry=given)])).geometry == geometry


def test_options_that_are_mere_numbers_are_spelled_out_and_those_that_are_words_declared(tmp_path: Path) -> None:
    kinds = {"type": "dropdown", "options": {"1": "dent", "scratch": "Car Scratch", "2": "a &lt; b"}}
    regions = [via_region(kind=each, note="1") for each in ("1", "scratch", "2", {"1": True})]
    content = {
        "_via_settings": {"ui": {}},
        "_via_img_metadata": via(regions),
        "_via_attributes": {"region": {"kind": kinds, "digit": {"options": {"0": "1"}}}, "file": {}},
    }
    (image,) = read(tmp_path, content)
    assert [each.attributes["kind"] for each in image.labels] == ["dent", "scratch", "a < b", {"dent": True}]
    assert {each.attributes["note"] for each in image.labels} == {"1"}
    with LabelReader(lambda _: None) as reader:
        assert reader.read(0, tmp_path / "labels.json", None, "l") == {"kind": {"scratch": "Car Scratch"}}


def test_flags_may_be_numbered_options_whose_id_or_text_is_yes_or_no(tmp_path: Path) -> None:
    declared = {"occluded": {"options": {"0": "visible", "1": "hidden"}}, "crowd": {"options": {"0": "yes", "1": "no"}}}
    content = {
        "_via_settings": {},
        "_via_img_metadata": via([via_region(occluded=said, crowd=said) for said in "01"]),
        "_via_attributes": {"region": declared},
    }
    (image,) = read(tmp_path, content)
    assert [each.attributes for each in image.labels] == [
        {"occluded": "0", "crowd": "yes"},
        {"occluded": "1", "crowd": "no"},
    ]


def test_boxes_of_one_text_are_ticked_where_one_of_them_is(tmp_path: Path) -> None:
    content = {
        "_via_settings": {},
        "_via_img_metadata": via([via_region(kind={"1": True, "2": False}), via_region(kind={"1": False, "2": True})]),
        "_via_attributes": {"region": {"kind": {"options": {"1": "dent", "2": "dent"}}}},
    }
    (image,) = read(tmp_path, content)
    assert [each.attributes for each in image.labels] == [{"kind": {"dent": True}}] * 2


@pytest.mark.parametrize("entry", [None, 5, "x", []])
def test_an_entry_that_is_none_is_rejected(tmp_path: Path, entry: Any) -> None:
    images = read(tmp_path, {**via([via_region(name="car")]), "b.jpg1": entry})
    assert [each.reason for image in images for each in image.rejected] == [reasons.FRAME_NOT_OBJECT]


def test_an_image_without_a_name_is_named_by_its_key(tmp_path: Path) -> None:
    (image,) = read(tmp_path, {"a.jpg99": {"size": 99, "regions": [via_region(name="car")]}})
    assert image.name == "a.jpg"


@pytest.mark.parametrize("size", [True, -1, 0, "99", 1e40])
def test_a_size_that_is_none_is_not_known(tmp_path: Path, size: Any) -> None:
    (image,) = read(tmp_path, {"a": {"filename": "a.jpg", "size": size, "regions": [via_region(name="car")]}})
    assert (image.name, len(image.labels)) == ("a.jpg", 1)


@pytest.mark.parametrize("as_list", [True, False])
def test_a_rejected_region_is_kept_with_all_its_keys(tmp_path: Path, as_list: bool) -> None:
    odd = [via_region({"name": "point", "cx": 1, "cy": 2}, name="car") | {"drawn by": "me"}, {"score": 0.5}, 7]
    regions = [*odd, via_region(name="car")]
    (image,) = read(tmp_path, via(regions if as_list else dict(enumerate(regions))))
    assert [each.label for each in image.rejected] == odd
    assert [json.loads(each.attributes or "null") for each in image.rejected] == [{"name": "car"}, {}, {}]
    assert [each.id for each in image.labels] == ["3"]


def test_an_image_without_regions_has_video_and_attributes(tmp_path: Path) -> None:
    said = {"video": "v", "weather": "clear", "attributes": '{"scene":"city"}'}
    (image,) = read(tmp_path, via([], file_attributes=said))
    assert (image.video, image.attributes) == ("v", {"scene": "city", "weather": "clear"})


def test_of_entries_that_share_a_key_the_last_one_counts(tmp_path: Path) -> None:
    region = json.dumps(via_region(name="car"))
    entry = '"a.jpg99": {"filename": "%s", "size": 99, "regions": {"0": %s, "0": %s}}'
    text = "{" + ", ".join(entry % (name, region, region) for name in ("a.jpg", "b.jpg")) + "}"
    (image,) = read(tmp_path, text.encode())
    assert (image.name, [each.id for each in image.labels]) == ("b.jpg", ["0"])


def test_a_circle_stays_within_the_tolerance() -> None:
    ring = regions.ellipse(50, 60, 40, 40, 0, 0.5)
    middles = (ring + np.roll(ring, 1, axis=0)) / 2
    assert np.hypot(*(ring - (50, 60)).T) == pytest.approx(40)
    assert np.hypot(*(middles - (50, 60)).T).min() >= 39.5


def test_an_ellipse_turns_from_x_towards_y() -> None:
    ring = regions.ellipse(0, 0, 10, 2, np.pi / 2, 0.1)
    assert bounds([ring]).height == pytest.approx(20, abs=0.2)
    assert bounds([ring]).width == pytest.approx(4, abs=0.2)
