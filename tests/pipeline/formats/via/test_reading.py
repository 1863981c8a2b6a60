"""VIA 1, 2 and 3 files to instances: shapes, instances of several regions, entries."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import formats
from pipeline.errors import LabelFileError, NotLabelsError
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Box
from pipeline.instances import reasons
from tests.pipeline.label_texts import REAL, only, options, read, via, via_region

VIA = REAL / "via"
needs_real = pytest.mark.skipif(not VIA.is_dir(), reason="../shared/real is absent")


def shape(name: Any, **numbers: Any) -> dict[str, Any]:
    """A region of that shape."""
    return via_region({"name": name, **numbers}, name="thing")


@pytest.mark.parametrize("as_dict", [True, False])
def test_regions_may_be_a_list_or_an_object(tmp_path: Path, as_dict: bool) -> None:
    regions = [via_region(name="car"), via_region(name="Swan")]
    (image,) = read(tmp_path, via({"0": regions[0], "1": regions[1]} if as_dict else regions))
    assert image.name == "a.jpg"
    assert [(each.id, each.category, each.geometry) for each in image.instances] == [
        ("0", "car", "polygon"),
        ("1", "Swan", "polygon"),
    ]
    assert image.instances[0].rings[0].tolist() == [[0, 0], [8, 0], [8, 6], [0, 6]]


def test_the_closing_vertex_of_via_1_is_taken_off(tmp_path: Path) -> None:
    closed = {"name": "polygon", "all_points_x": [1, 9, 9, 1], "all_points_y": [1, 1, 5, 1]}
    assert only(tmp_path, via([via_region(closed, name="car")])).rings[0].tolist() == [[1, 1], [9, 1], [9, 5]]


def test_a_file_of_the_2019_script_has_neither_size_nor_file_attributes(tmp_path: Path) -> None:
    content = {"a.jpg": {"height": 720, "width": 1280, "filename": "a.jpg", "regions": {"0": via_region(name="bike")}}}
    assert only(tmp_path, content).category == "bicycle"


def test_a_rectangle_is_a_box_and_may_be_left_out(tmp_path: Path) -> None:
    content = via([shape("rect", x=2, y=3, width=4, height=5)])
    found = only(tmp_path, content)
    assert (found.geometry, found.box) == ("box", Box(2, 3, 4, 5))
    assert only(tmp_path, content, options(boxes="leave_out")).reason == reasons.BOX_LEFT_OUT


def test_round_shapes_have_the_area_of_their_formula(tmp_path: Path) -> None:
    circle = only(tmp_path, via([shape("circle", cx=50, cy=40, r=30)]), options(curve_tolerance=0.05))
    assert polygon.area(circle.rings[0]) == pytest.approx(math.pi * 900, rel=0.01)
    ellipse = only(tmp_path, via([shape("ellipse", cx=50, cy=40, rx=30, ry=10, theta=math.pi / 2)]))
    assert ellipse.box.height == pytest.approx(60, abs=1)
    assert only(tmp_path, via([shape("ellipse", cx=50, cy=40, rx=30, ry=10)])).box.width == pytest.approx(60, abs=1)


def test_a_polyline_is_closed_to_a_mask(tmp_path: Path) -> None:
    line = shape("polyline", all_points_x=[0, 9, 9], all_points_y=[0, 0, 9])
    assert only(tmp_path, via([line])).rings[0].tolist() == [[0, 0], [9, 0], [9, 9]]


def test_negative_coordinates_are_read_as_they_are(tmp_path: Path) -> None:
    line = shape("polygon", all_points_x=[-5, 9, 9], all_points_y=[0, -3, 9])
    assert only(tmp_path, via([line])).box == Box(-5, -3, 14, 12)


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
        ({"shape_attributes": {}, "region_attributes": {}}, reasons.NO_CLASS),
        ({"shape_attributes": {}, "region_attributes": None}, reasons.NO_CLASS),
        (None, reasons.NO_CLASS),
        ("region", reasons.NO_CLASS),
    ],
)
def test_a_region_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, region: Any, reason: str) -> None:
    (image,) = read(tmp_path, via([via_region(name="thing"), region]))
    assert [(each.label_id, each.reason) for each in image.rejected] == [("1", reason)]
    assert len(image.instances) == 1


def test_regions_that_share_an_instance_are_one(tmp_path: Path) -> None:
    regions = [
        via_region(name="car", instance="12"),
        via_region({"name": "rect", "x": 20, "y": 20, "width": 5, "height": 5}, name="car", instance="12"),
        via_region(name="car", instance="2"),
        via_region(name="car"),
        via_region(name="bus", instance="12"),
    ]
    (image,) = read(tmp_path, via(regions))
    assert [(each.id, each.category, len(each.rings)) for each in image.instances] == [
        ("12", "car", 2),
        ("2", "car", 1),
        ("3", "car", 1),
        ("12~2", "bus", 1),
    ]
    assert image.instances[0].box == Box(0, 0, 25, 25)


@pytest.mark.parametrize("ids", [("7", " 7"), (" ", "  "), ("7", "7 "), ("a\nb", "a")])
def test_an_instance_has_its_id_to_the_letter(tmp_path: Path, ids: tuple[str, str]) -> None:
    regions = [via_region(name="car", instance=each) for each in (*ids, *ids)]
    (image,) = read(tmp_path, via(regions))
    assert [(each.id, len(each.rings)) for each in image.instances] == [(each, 2) for each in ids]


def test_an_instance_that_is_a_number_is_its_text(tmp_path: Path) -> None:
    regions = [via_region(name="car", instance=each) for each in (12, "12", 12.0, 0, 0)]
    (image,) = read(tmp_path, via(regions))
    assert [(each.id, len(each.rings)) for each in image.instances] == [("12", 3), ("0", 2)]


def test_a_region_without_an_instance_takes_no_id_that_another_has(tmp_path: Path) -> None:
    ids = ["", "0", "~", "3~2", None, "0"]
    regions = [via_region(name="bus" if at == 5 else "car", instance=each) for at, each in enumerate(ids)]
    (image,) = read(tmp_path, via(regions))
    assert [each.id for each in image.instances] == ["0~2", "0", "~", "3~2", "4", "0~3"]


def test_what_any_region_of_an_instance_says_holds_for_it(tmp_path: Path) -> None:
    regions = [
        via_region(name="car", instance="12", occluded="false", colour="red"),
        via_region(name="car", instance="12", crowd="true", occluded="true", colour="blue", wheels="3"),
        via_region(name="car", instance="12", crowd="false"),
    ]
    found = only(tmp_path, via(regions))
    assert (found.crowd, found.ignored, found.occluded, found.truncated) == (True, False, True, None)
    assert found.attributes == {"colour": "red", "wheels": "3"}


@pytest.mark.parametrize("project", [False, True])
def test_entries_and_regions_that_share_a_key_are_all_kept(tmp_path: Path, project: bool) -> None:
    region = json.dumps(via_region(name="car"))
    entry = '"a.jpg99": {"filename": "%s", "size": 99, "regions": {"0": %s, "0": %s}}'
    text = "{" + ", ".join(entry % (name, region, region) for name in ("a.jpg", "b.jpg", "c.jpg")) + "}"
    images = read(tmp_path, (f'{{"_via_settings": {{}}, "_via_img_metadata": {text}}}' if project else text).encode())
    assert [image.name for image in images] == ["a.jpg", "b.jpg", "c.jpg"]
    assert [[each.id for each in image.instances] for image in images] == [["0", "0~2"]] * 3


def test_what_lacks_its_marks_hides_no_repeated_key(tmp_path: Path) -> None:
    region = json.dumps(via_region(name="car"))
    nameless = '"x.jpg9": {"size": 9, "regions": {"0": 5, "1": {}}}'
    entries = [nameless, *[f'"a.jpg99": {{"filename": "a.jpg", "size": 99, "regions": {{"0": {region}}}}}'] * 2]
    images = read(tmp_path, ("{" + ", ".join(entries) + "}").encode())
    assert sum(len(image.instances) + len(image.rejected) for image in images) == 4


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


def test_what_this_project_writes_comes_back(tmp_path: Path) -> None:
    region = via_region(
        name="car",
        instance="12",
        crowd="true",
        ignored="true",
        occluded="false",
        truncated="true",
        geometry="rle",
        attributes='{"trafficLightColor":"G","score":[0.5,null]}',
    )
    found = only(tmp_path, via([region]))
    assert (found.id, found.geometry, found.crowd, found.ignored) == ("12", "rle", True, True)
    assert (found.occluded, found.truncated) == (False, True)
    assert found.attributes == {"trafficLightColor": "G", "score": [0.5, None]}


def test_flags_and_attributes_that_say_something_else_stay_attributes(tmp_path: Path) -> None:
    found = only(tmp_path, via([via_region(name="car", occluded="half", attributes="[1", geometry="cloud")]))
    assert (found.occluded, found.geometry) == (None, "polygon")
    assert found.attributes == {"occluded": "half", "attributes": "[1", "geometry": "cloud"}
    ticked = only(tmp_path, via([via_region(name="car", instance={"a": True}, crowd=2)]))
    assert (ticked.id, ticked.attributes) == ("0", {"instance": {"a": True}, "crowd": 2})


def test_what_is_left_empty_says_nothing(tmp_path: Path) -> None:
    """VIA 2 gives a new region each attribute that is declared, empty."""
    empty = dict.fromkeys(("instance", "geometry", "attributes", "crowd", "Occluded"), "")
    found = only(tmp_path, via([via_region(name="car", truncated=None, colour="", **empty)]))
    assert (found.id, found.crowd, found.occluded, found.truncated) == ("0", False, None, None)
    assert found.attributes == {"colour": ""}


def test_flags_may_be_numbers(tmp_path: Path) -> None:
    found = only(tmp_path, via([via_region(name="car", crowd=1, ignored=0, occluded=0, Truncated=1)]))
    assert (found.crowd, found.ignored, found.occluded, found.truncated) == (True, False, False, True)
    assert found.attributes == {}


@pytest.mark.parametrize("entry", [None, 5, "x", []])
def test_an_entry_that_is_none_is_rejected(tmp_path: Path, entry: Any) -> None:
    images = read(tmp_path, {**via([via_region(name="car")]), "b.jpg1": entry})
    assert [each.reason for image in images for each in image.rejected] == [reasons.FRAME_NOT_OBJECT]


def test_an_image_without_a_name_is_named_by_its_key(tmp_path: Path) -> None:
    (image,) = read(tmp_path, {"a.jpg99": {"size": 99, "regions": [via_region(name="car")]}})
    assert image.name == "a.jpg"


REAL_FILES = [
    ("tzelalouzeir_rice_via1/val/via_region_data.json", "class_id"),
    ("nicolasmetallo_car-damage/dataset/train/car-damage-train.json", "name"),
    ("nicolasmetallo_car-damage/dataset/train/train_multiclass.json", "name"),
    ("nicolasmetallo_car-damage/dataset/train/via_region_data.json", "name"),
    ("nicolasmetallo_car-damage/dataset/val/car-damage-val.json", "name"),
    ("nicolasmetallo_car-damage/dataset/val/val_multiclass.json", "name"),
    ("nicolasmetallo_car-damage/dataset/val/via_region_data.json", "name"),
    ("oxvgg_official/via2_demo_annotations.json", "name"),
    ("oxvgg_official/unit_test_annotation2.json", "name"),
]


@needs_real
@pytest.mark.parametrize(("file", "attribute"), REAL_FILES)
def test_every_region_of_a_real_file_is_an_instance_of_its_class_or_rejected(file: str, attribute: str) -> None:
    content = json.loads((VIA / file).read_text())
    expected: Counter[str] = Counter()
    left_out = 0
    for entry in content.get("_via_img_metadata", content).values():
        regions = entry["regions"]
        for region in regions.values() if isinstance(regions, dict) else regions:
            name = region["region_attributes"].get(attribute)
            usable = name and region["shape_attributes"]["name"] != "point"
            expected.update([name] if usable else [])
            left_out += not usable
    images = list(formats.read(VIA / file, None, formats.ReadOptions()))
    assert Counter(each.category for image in images for each in image.instances) == expected
    assert sum(len(image.rejected) for image in images) == left_out


@needs_real
def test_a_real_file_without_classes_is_all_of_the_one_category_wanted() -> None:
    file = VIA / "lesc-ufv_kudzu/val/via_region_data.json"
    images = list(formats.read(file, None, options("kudzu")))
    assert (len(images), sum(len(image.instances) for image in images)) == (16, 349)


@pytest.mark.parametrize("as_list", [True, False])
def test_a_region_that_is_left_out_is_kept_with_all_that_the_file_says_of_it(tmp_path: Path, as_list: bool) -> None:
    odd = [via_region({"name": "point", "cx": 1, "cy": 2}, name="car") | {"drawn by": "me"}, {"score": 0.5}, 7]
    other = via_region(name="bus") | {"at": [2019, None]}
    regions = [*odd, other, via_region(name="car")]
    (image,) = read(tmp_path, via(regions if as_list else dict(enumerate(regions))), options("car"))
    assert [json.loads(each.label) for each in (*image.rejected, *image.unwanted)] == [*odd, other]
    assert [each.id for each in image.instances] == ["4"]
