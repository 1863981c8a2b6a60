"""VIA 1, 2 and 3 files to instances: shapes, classes, instances of several regions."""

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import readers
from pipeline.geometry import polygon
from pipeline.instances import Box
from pipeline.readers import faults
from tests.pipeline.label_texts import REAL, options, read, via, via_region

VIA = REAL / "via"
needs_real = pytest.mark.skipif(not VIA.is_dir(), reason="../shared/real is absent")


def shape(name: str, **numbers: Any) -> dict[str, Any]:
    """A region of that shape."""
    return via_region({"name": name, **numbers}, name="thing")


def only(folder: Path, content: Any, chosen: readers.ReadOptions | None = None) -> Any:
    """The one instance or rejected region of a file of one region."""
    (image,) = read(folder, content, chosen)
    (found,) = [*image.instances, *image.rejected]
    return found


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
    assert only(tmp_path, content, options(boxes="leave_out")).reason == faults.BOX_LEFT_OUT


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
        (shape("point", cx=1, cy=2), faults.SHAPE_WITHOUT_AREA),
        (shape("polygon", all_points_x=[0, 9], all_points_y=[0, 9]), faults.SHAPE_WITHOUT_AREA),
        (shape("polygon", all_points_x=[0, 9, 4], all_points_y=[0, 9]), faults.SHAPE_MALFORMED),
        (shape("polygon", all_points_x=[0, 9, None], all_points_y=[0, 9, 1]), faults.SHAPE_MALFORMED),
        (shape("polygon", all_points_x=[0, 9, 1e9], all_points_y=[0, 9, 1]), faults.TOO_FAR),
        (shape("polygon", all_points_x=[0, 9, 10**400], all_points_y=[0, 9, 1]), faults.TOO_FAR),
        (shape("rect", x=10**400, y=1, width=2, height=2), faults.TOO_FAR),
        (shape("polygon"), faults.SHAPE_MALFORMED),
        (shape("rect", x=1, y=1, width=0, height=4), faults.SHAPE_WITHOUT_AREA),
        (shape("rect", x=1, y=1, width="4", height=4), faults.SHAPE_MALFORMED),
        (shape("circle", cx=1, cy=1, r=0), faults.SHAPE_WITHOUT_AREA),
        (shape("ellipse", cx=1, cy=1, rx=1), faults.SHAPE_MALFORMED),
        (shape("cloud", cx=1, cy=1), faults.SHAPE_UNKNOWN),
        ({"shape_attributes": None, "region_attributes": {"name": "thing"}}, faults.SHAPE_MALFORMED),
        ({"shape_attributes": {}, "region_attributes": {}}, faults.NO_CLASS),
        ({"shape_attributes": {}, "region_attributes": None}, faults.NO_CLASS),
        (None, faults.NO_CLASS),
        ("region", faults.NO_CLASS),
    ],
)
def test_a_region_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, region: Any, reason: str) -> None:
    (image,) = read(tmp_path, via([via_region(name="thing"), region]))
    assert [(each.label_id, each.reason) for each in image.rejected] == [("1", reason)]
    assert len(image.instances) == 1


@pytest.mark.parametrize("attribute", ["name", "class", "type", "category", "label", "class_id"])
def test_the_class_is_found_under_any_usual_name(tmp_path: Path, attribute: str) -> None:
    found = only(tmp_path, via([via_region(**{attribute: "crack", "note": "deep"})]))
    assert (found.category, found.attributes) == ("crack", {"note": "deep"})


def test_the_recipe_names_the_attribute(tmp_path: Path) -> None:
    content = via([via_region(name="number 5", kind="crack")])
    assert only(tmp_path, content, options(class_attribute="kind")).category == "crack"
    assert only(tmp_path, content, options(class_attribute="sort")).reason == faults.NO_CLASS


def test_the_attribute_whose_values_are_wanted_names_the_class(tmp_path: Path) -> None:
    content = via([via_region(name="Plato", type="human"), via_region(name="Swan", type="bird")])
    (image,) = read(tmp_path, content, options("human"))
    assert ([each.category for each in image.instances], image.unwanted) == (["human"], 1)
    (image,) = read(tmp_path, via([via_region(species="oak", name="7")]), options("oak"))
    assert [each.category for each in image.instances] == ["oak"]


def test_the_class_may_be_the_key_that_is_set(tmp_path: Path) -> None:
    content = via([via_region(Front="damage", Rear=""), via_region(Rear="damage"), via_region(Front="x", Rear="y")])
    (image,) = read(tmp_path, content)
    assert [each.category for each in image.instances] == ["Front", "Rear"]
    assert [each.reason for each in image.rejected] == [faults.SEVERAL_CLASSES]
    (image,) = read(tmp_path, via([via_region(damage="yes")]), options("damage"))
    assert [each.category for each in image.instances] == ["damage"]


def test_ticked_boxes_name_the_class(tmp_path: Path) -> None:
    ticked = [{"crack": True}, {"crack": False, "dent": True}, {"crack": True, "dent": True}, {}]
    (image,) = read(tmp_path, via([via_region(type=each) for each in ticked]))
    assert [each.category for each in image.instances] == ["crack", "dent"]
    assert [each.reason for each in image.rejected] == [faults.SEVERAL_CLASSES, faults.NO_CLASS]


def test_regions_without_any_attribute_are_the_one_category_wanted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    content = via([via_region(), via_region()])
    with caplog.at_level("INFO"):
        (image,) = read(tmp_path, content, options("kudzu"))
    assert [each.category for each in image.instances] == ["kudzu", "kudzu"]
    assert "kudzu" in caplog.text
    for chosen in (options(), options("kudzu", "oak")):
        (image,) = read(tmp_path, content, chosen)
        assert [each.reason for each in image.rejected] == [faults.NO_CLASS] * 2


def test_numbers_and_words_of_releases_are_classes(tmp_path: Path) -> None:
    (image,) = read(tmp_path, via([via_region(class_id=3), via_region(class_id=4.0), via_region(class_id="person")]))
    assert [each.category for each in image.instances] == ["3", "4", "pedestrian"]


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
    assert found.attributes == {"occluded": "half", "attributes": "[1"}


def project(regions: list[Any], **declared: Any) -> dict[str, Any]:
    """A VIA 2 project of one image."""
    return {
        "_via_settings": {"ui": {}},
        "_via_img_metadata": via(regions),
        "_via_attributes": {"region": declared, "file": {}},
        "_via_data_format_version": "2.0.10",
        "_via_image_id_list": ["a.jpg99"],
    }


def test_a_project_s_numbered_options_are_read_as_what_they_stand_for(tmp_path: Path) -> None:
    options_of_type = {"type": "dropdown", "options": {"1": "dent", "scratch": "Car Scratch"}}
    (image,) = read(tmp_path, project([via_region(type="1"), via_region(type="scratch")], type=options_of_type))
    assert [each.category for each in image.instances] == ["dent", "scratch"]


def test_the_options_of_the_attribute_that_the_recipe_names_are_understood(tmp_path: Path) -> None:
    kinds = {"type": "radio", "options": {"1": "dent", "2": "a &lt; b"}, "default_options": {}}
    regions = [via_region(name="x", kind="1"), via_region(name="y", kind="2"), via_region(name="z", kind={"1": True})]
    (image,) = read(tmp_path, project(regions, kind=kinds), options(class_attribute="kind"))
    assert [each.category for each in image.instances] == ["dent", "a < b", "dent"]


def test_an_option_is_called_as_the_recipe_calls_it(tmp_path: Path) -> None:
    kinds = {"type": "checkbox", "options": {"d": "dent", "scratch": "Car Scratch"}, "default_options": {}}
    content = project([via_region(kind={"d": True}), via_region(kind={"scratch": True, "d": False})], kind=kinds)
    for wanted, found in (((), ["d", "scratch"]), (("dent", "scratch"), ["dent", "scratch"]), (("d",), ["d"])):
        (image,) = read(tmp_path, content, options(*wanted))
        assert [each.category for each in image.instances] == found


@pytest.mark.parametrize("attribute", ["Name", "CLASS", "Label"])
def test_usual_names_may_be_in_any_case(tmp_path: Path, attribute: str) -> None:
    found = only(tmp_path, via([via_region(**{"age": "old", attribute: "crack"})]))
    assert (found.category, found.attributes) == ("crack", {"age": "old"})


def test_regions_without_a_class_get_the_one_that_the_recipe_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO"):
        (image,) = read(tmp_path, via([via_region(), via_region(name="")]), options(default_class="kudzu"))
    assert [each.category for each in image.instances] == ["kudzu", "kudzu"]
    assert "all are taken for kudzu, labels.default_class" in caplog.text
    mixed = via([via_region(name="oak"), via_region(), via_region(type={}), via_region(name={"a": True, "b": True})])
    (image,) = read(tmp_path, mixed, options("oak", "kudzu", default_class="kudzu"))
    assert [each.category for each in image.instances] == ["oak", "kudzu", "kudzu"]
    assert [each.reason for each in image.rejected] == [faults.SEVERAL_CLASSES]
    (image,) = read(tmp_path, mixed, options(class_attribute="sort", default_class="tree"))
    assert [each.category for each in image.instances] == ["tree"] * 4


def test_flags_in_any_case_name_no_class(tmp_path: Path) -> None:
    found = only(tmp_path, via([via_region(Front="damage", Occluded="yes", CROWD="0")]), options("Front"))
    assert (found.category, found.occluded, found.crowd) == ("Front", True, False)


@pytest.mark.parametrize(
    ("value", "found"),
    [("1", ["scratch"]), ("0", ["dent"]), ("0,1", []), ("torn, worn", ["torn, worn"]), ("", [])],
)
def test_boxes_ticked_in_via_3_are_ids_between_commas(tmp_path: Path, value: str, found: list[str]) -> None:
    content = {
        "project": {"pid": "x", "data_format_version": "3.1.1", "vid_list": ["1"]},
        "attribute": {"1": {"aname": "kind", "type": 2, "options": {"0": "dent", "1": "scratch"}}},
        "file": {"1": {"fid": "1", "fname": "a.jpg"}},
        "metadata": {"m": {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": value}}},
        "view": {"1": {"fid_list": ["1"]}},
    }
    (image,) = read(tmp_path, content, options(class_attribute="kind"))
    assert [each.category for each in image.instances] == found


def test_a_via_3_project_is_read(tmp_path: Path) -> None:
    content = {
        "project": {"pid": "x", "data_format_version": "3.1.1", "vid_list": ["1"]},
        "config": {},
        "attribute": {"1": {"aname": "kind", "type": 3, "options": {"0": "dent", "1": "scratch"}}},
        "file": {"1": {"fid": "1", "fname": "a.jpg", "type": 2, "loc": 1, "src": "a.jpg"}},
        "metadata": {
            "m1": {"vid": "1", "flg": 0, "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": "1"}},
            "m2": {"vid": "1", "flg": 0, "z": [], "xy": [2, 1, 2, 3, 4], "av": {"1": "0"}},
            "m3": {"vid": "1", "flg": 0, "z": [], "xy": [1, 1, 2], "av": {"1": "0"}},
            "m4": {"vid": "1", "flg": 0, "z": [1.5, 2], "xy": [], "av": {"1": "0"}},
        },
        "view": {"1": {"fid_list": ["1"]}},
    }
    (image,) = read(tmp_path, content)
    assert (image.name, [each.category for each in image.instances]) == ("a.jpg", ["scratch", "dent"])
    assert [each.reason for each in image.rejected] == [faults.SHAPE_WITHOUT_AREA]


@pytest.mark.parametrize("entry", [None, 5, "x", []])
def test_an_entry_that_is_none_is_rejected(tmp_path: Path, entry: Any) -> None:
    images = read(tmp_path, {**via([via_region(name="car")]), "b.jpg1": entry})
    assert [each.reason for image in images for each in image.rejected] == [faults.FRAME_NOT_OBJECT]


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
    images = list(readers.read(VIA / file, None, readers.ReadOptions()))
    assert Counter(each.category for image in images for each in image.instances) == expected
    assert sum(len(image.rejected) for image in images) == left_out


@needs_real
def test_a_real_file_without_classes_is_all_of_the_one_category_wanted() -> None:
    file = VIA / "lesc-ufv_kudzu/val/via_region_data.json"
    images = list(readers.read(file, None, options("kudzu")))
    assert (len(images), sum(len(image.instances) for image in images)) == (16, 349)
