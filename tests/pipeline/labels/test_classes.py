"""VIA regions as instances: of which class they are, by which attribute and options, and which of them are one."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline.geometry.polygon import Box
from pipeline.instances import reasons
from tests.pipeline import raw_tables
from tests.pipeline.label_texts import REAL, via, via_region


def options(*categories: str, **labels: Any) -> dict[str, Any]:
    """What a recipe says of labels."""
    return {"categories": categories, **labels}


def read(folder: Path, content: Any, chosen: dict[str, Any] | None = None) -> list[raw_tables.Image]:
    return raw_tables.read(folder, content, **(chosen or {}))


def only(folder: Path, content: Any, chosen: dict[str, Any] | None = None) -> Any:
    return raw_tables.only(folder, content, **(chosen or {}))


@pytest.mark.parametrize("attribute", ["name", "class", "type", "category", "label", "class_id"])
def test_the_class_is_found_under_any_usual_name(tmp_path: Path, attribute: str) -> None:
    found = only(tmp_path, via([via_region(**{attribute: "crack", "note": "deep"})]))
    assert (found.category, found.attributes) == ("crack", {"note": "deep"})


def test_the_recipe_names_the_attribute(tmp_path: Path) -> None:
    content = via([via_region(name="number 5", kind="crack")])
    assert only(tmp_path, content, options(class_attribute="kind")).category == "crack"
    assert only(tmp_path, content, options(class_attribute="sort")).reason == reasons.NO_CLASS


def test_the_recipe_is_heard_in_a_file_that_has_our_attributes_here_and_there(tmp_path: Path) -> None:
    ours, theirs = via_region(name="John0", instance="a"), via_region(name="John1", kind="car", instance="b")
    (image,) = read(tmp_path, via([ours, ours, theirs, via_region(height="3")]), options("car", class_attribute="kind"))
    assert [each.category for each in image.instances] == ["car"]
    assert (image.unwanted, [each.reason for each in image.rejected]) == (2, [reasons.NO_CLASS])
    chosen = options("car", class_attribute="kind", default_class="car")
    (image,) = read(tmp_path, via([via_region(name="John0"), via_region(height="3")]), chosen)
    assert [each.category for each in image.instances] == ["car"] * 2


def test_one_region_that_a_person_gave_the_attribute_loses_no_other(tmp_path: Path) -> None:
    ours = [via_region(name=name, instance=name) for name in ("bus", "car")]
    (image,) = read(tmp_path, via([*ours, via_region(kind="car")]), options("car", "bus", class_attribute="kind"))
    assert [(each.category, each.attributes) for each in image.instances] == [("bus", {}), ("car", {}), ("car", {})]
    chosen = options("car", class_attribute="kind", default_class="car")
    (image,) = read(tmp_path, via(ours[:1]), chosen)
    assert (image.instances, image.unwanted) == ([], 1)


def test_what_was_drawn_anew_has_its_class_under_name_whatever_the_recipe_says(tmp_path: Path) -> None:
    drawn = via([via_region(name="car", crowd="")])
    assert only(tmp_path, drawn, options(class_attribute="kind")).category == "car"
    assert only(tmp_path, drawn, options("car", class_attribute="kind", default_class="bus")).category == "car"


@pytest.mark.parametrize(
    ("drawn", "sections"),
    [
        ({"name": "car", "note": "x", "instance": ""}, {"wanted": ["car"]}),
        ({"name": "car", "note": "x"}, {"wanted": ["car"]}),
        ({"name": "car", "instance": ""}, {"default_class": "dent"}),
        ({"name": "car", "instance": "", "note": "x"}, {}),
    ],
)
@pytest.mark.parametrize("beside", [[], [via_region(damage="car")]])
def test_a_new_region_in_our_file_keeps_its_class_beside_those_of_other_hands(
    tmp_path: Path, drawn: dict[str, str], sections: dict[str, Any], beside: list
) -> None:
    more = {key: value for key, value in sections.items() if key != "wanted"}
    chosen = options(*sections.get("wanted", ()), class_attribute="damage", **more)
    (image,) = read(tmp_path, via([via_region(**drawn), *beside]), chosen)
    assert [each.category for each in image.instances] == ["car"] * (1 + len(beside))


@pytest.mark.parametrize("wanted", [(), ("car", "bus")])
@pytest.mark.parametrize("default", [{}, {"default_class": "tree"}])
def test_a_region_drawn_under_another_usual_attribute_takes_no_class_from_the_others(
    tmp_path: Path, wanted: tuple[str, ...], default: dict[str, str]
) -> None:
    """VIA offers `name` beside the attribute that a file of other hands has."""
    drawn = [via_region(type="car", name="")] * 3 + [via_region(name="bus", type="")]
    (image,) = read(tmp_path, via(drawn), options(*wanted, **default))
    assert [each.category for each in image.instances] == ["car"] * 3 + ["bus"]
    both = [via_region(name="Plato", type="car"), via_region(name="Swan")]
    (image,) = read(tmp_path, via(both), options("car", **default))
    assert [each.category for each in image.instances] == ["car"]
    assert len(image.rejected) + image.unwanted == 1


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
    assert [each.reason for each in image.rejected] == [reasons.SEVERAL_CLASSES]
    (image,) = read(tmp_path, via([via_region(damage="yes")]), options("damage"))
    assert [each.category for each in image.instances] == ["damage"]


@pytest.mark.parametrize("wanted", [(), ("road stress",)])
@pytest.mark.parametrize("named", [1, 2])
def test_a_class_under_its_own_name_is_the_same_as_under_name(
    tmp_path: Path, wanted: tuple[str, ...], named: int
) -> None:
    regions = [via_region(name="road stress")] * named + [via_region(**{"road stress": "road stress"})] * (3 - named)
    (image,) = read(tmp_path, via(regions), options(*wanted))
    assert [(each.category, each.attributes) for each in image.instances] == [("road stress", {})] * 3


def test_ticked_boxes_name_the_class(tmp_path: Path) -> None:
    ticked = [{"crack": True}, {"crack": False, "dent": True}, {"crack": True, "dent": True}, {}]
    (image,) = read(tmp_path, via([via_region(type=each) for each in ticked]))
    assert [each.category for each in image.instances] == ["crack", "dent"]
    assert [each.reason for each in image.rejected] == [reasons.SEVERAL_CLASSES, reasons.NO_CLASS]


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
        assert [each.reason for each in image.rejected] == [reasons.NO_CLASS] * 2


def test_numbers_and_words_of_releases_are_classes(tmp_path: Path) -> None:
    (image,) = read(tmp_path, via([via_region(class_id=3), via_region(class_id=4.0), via_region(class_id="person")]))
    assert [each.category for each in image.instances] == ["3", "4", "pedestrian"]


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


def test_options_whose_texts_are_numbers_are_spelled_out_once(tmp_path: Path) -> None:
    digits = {"type": "radio", "options": {"0": "1", "1": "2", "2": "3"}, "default_options": {}}
    regions = [via_region(digit=str(number)) for number in range(3)]
    for wanted in ((), ("1", "2", "3")):
        (image,) = read(tmp_path, project(regions, digit=digits), options(*wanted, class_attribute="digit"))
        assert [each.category for each in image.instances] == ["1", "2", "3"]
        (image,) = read(tmp_path, project(regions, digit=digits), options(*wanted))
        assert [each.category for each in image.instances] == ["1", "2", "3"]


def test_flags_may_be_numbered_options_whose_id_or_text_is_yes_or_no(tmp_path: Path) -> None:
    declared = {
        "occluded": {"type": "radio", "options": {"0": "visible", "1": "hidden"}},
        "crowd": {"type": "radio", "options": {"0": "yes", "1": "no"}},
    }
    regions = [via_region(name="car", occluded=said, crowd=said) for said in "01"]
    (image,) = read(tmp_path, project(regions, **declared))
    assert [(each.occluded, each.crowd) for each in image.instances] == [(False, True), (True, False)]


def test_boxes_of_one_text_are_ticked_where_one_of_them_is(tmp_path: Path) -> None:
    kinds = {"type": "checkbox", "options": {"1": "dent", "2": "dent"}}
    regions = [via_region(kind={"1": True, "2": False}), via_region(kind={"1": False, "2": True})]
    (image,) = read(tmp_path, project(regions, kind=kinds), options(class_attribute="kind"))
    assert [each.category for each in image.instances] == ["dent", "dent"]


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
    assert "the class of all is kudzu, labels.default_class" in caplog.text
    mixed = via([via_region(name="oak"), via_region(), via_region(type={}), via_region(name={"a": True, "b": True})])
    (image,) = read(tmp_path, mixed, options("oak", "kudzu", default_class="kudzu"))
    assert [each.category for each in image.instances] == ["oak", "kudzu", "kudzu"]
    assert [each.reason for each in image.rejected] == [reasons.SEVERAL_CLASSES]
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


needs_real = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")

REAL_FILES = {
    "tzelalouzeir_rice_via1/val/via_region_data.json": "class_id",
    "nicolasmetallo_car-damage/dataset/train/car-damage-train.json": "name",
    "nicolasmetallo_car-damage/dataset/train/train_multiclass.json": "name",
    "nicolasmetallo_car-damage/dataset/train/via_region_data.json": "name",
    "nicolasmetallo_car-damage/dataset/val/car-damage-val.json": "name",
    "nicolasmetallo_car-damage/dataset/val/val_multiclass.json": "name",
    "nicolasmetallo_car-damage/dataset/val/via_region_data.json": "name",
    "oxvgg_official/via2_demo_annotations.json": "name",
    "oxvgg_official/unit_test_annotation2.json": "name",
}


@needs_real
@pytest.mark.parametrize("file", REAL_FILES)
def test_every_region_of_a_real_file_is_an_instance_of_its_class_or_rejected(file: str) -> None:
    content = json.loads((REAL / "via" / file).read_text())
    expected: Counter[str] = Counter()
    left_out = 0
    for entry in content.get("_via_img_metadata", content).values():
        regions = entry["regions"]
        for region in regions.values() if isinstance(regions, dict) else regions:
            name = region["region_attributes"].get(REAL_FILES[file])
            usable = name and region["shape_attributes"]["name"] != "point"
            expected.update([name] if usable else [])
            left_out += not usable
    found, _ = raw_tables.selected(REAL / "via" / file)
    usable = found.labels.filter(found.reasons == "")
    assert Counter(usable["category"].to_pylist()) == expected
    assert sum(map(len, found.unread.values())) + len(found.labels) - len(usable) == left_out


@needs_real
def test_a_real_file_without_classes_is_all_of_the_one_category_wanted() -> None:
    found, _ = raw_tables.selected(REAL / "via/lesc-ufv_kudzu/val/via_region_data.json", categories=["kudzu"])
    assert len(found.labels) == 349
    assert set(found.labels["category"].to_pylist()) == {"kudzu"}


def test_a_rectangle_is_a_box_that_may_be_left_out(tmp_path: Path) -> None:
    content = via([via_region({"name": "rect", "x": 2, "y": 3, "width": 4, "height": 5}, name="car")])
    assert only(tmp_path, content).reason == ""
    assert only(tmp_path, content, options(boxes="leave_out")).reason == reasons.BOX_LEFT_OUT


@pytest.mark.parametrize("attributes", [{}, None, "x"])
def test_a_region_without_attributes_beside_one_that_has_a_class_has_none(tmp_path: Path, attributes: Any) -> None:
    region = via_region() | {"region_attributes": attributes}
    (image,) = read(tmp_path, via([via_region(name="thing"), region]))
    assert [(each.id, each.reason) for each in image.rejected] == [("1", reasons.NO_CLASS)]
    assert len(image.instances) == 1
