"""VIA 3 projects: their shapes, attributes and names, read as VIA 2's are."""

import math
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import LabelFileError
from pipeline.formats import LabelReader
from pipeline.geometry import polygon
from pipeline.instances import reasons
from tests.pipeline.formats.label_rows import only, read
from tests.pipeline.label_texts import VIA3


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
            "m5": {"vid": "1", "flg": 0, "z": [], "xy": None, "av": {"1": "0"}},
            "m6": {"vid": "1", "flg": 0, "z": [], "xy": [], "av": {"1": "0"}},
            "m7": 5,
        },
        "view": {"1": {"fid_list": ["1"]}},
    }
    image, nowhere = read(tmp_path, content)
    assert (image.name, [each.attributes for each in image.labels]) == (
        "a.jpg",
        [{"kind": "scratch"}, {"kind": "dent"}],
    )
    assert [(each.id, each.reason) for each in image.rejected] == [
        ("m4", reasons.SEGMENT),
        ("m3", reasons.SHAPE_WITHOUT_AREA),
        ("m5", reasons.SHAPE_MALFORMED),
    ]
    assert image.attributes == {"kind": "dent"}
    assert [each.id for each in nowhere.rejected] == ["m7"]


def test_option_ids_that_are_words_are_declared_by_the_attribute_s_name(tmp_path: Path) -> None:
    kinds = {"scratch": "A scratch longer than 5 cm", "d": "dent", "1": "hole"}
    declared = {"1": {"aname": "kind", "type": 4, "options": kinds}}
    declared["2"] = {"aname": "side", "type": 4, "options": {"0": "left", "r": "right"}}
    shape = {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6]}
    metadata = {key: {**shape, "av": {"1": key, "2": "0"}} for key in kinds}
    (image,) = read(tmp_path, {**VIA3, "attribute": declared, "metadata": metadata})
    assert [each.attributes for each in image.labels] == [
        {"kind": kind, "side": "left"} for kind in ("scratch", "d", "hole")
    ]
    with LabelReader(lambda _: None) as reader:
        options = reader.read(0, tmp_path / "labels.json", None, "l")
    assert options == {"kind": {"scratch": kinds["scratch"], "d": "dent"}, "side": {"r": "right"}}


@pytest.mark.parametrize(
    ("value", "found"),
    [
        ("1", "scratch"),
        ("0", "dent"),
        ("0,1", {"dent": True, "scratch": True}),
        ("torn, worn", "torn, worn"),
        ("", ""),
    ],
)
def test_boxes_ticked_in_via_3_are_ids_between_commas(tmp_path: Path, value: str, found: Any) -> None:
    declared = {"1": {"aname": "kind", "type": 2, "options": {"0": "dent", "1": "scratch"}}}
    metadata = {"m": {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": value}}}
    (image,) = read(tmp_path, {**VIA3, "attribute": declared, "metadata": metadata})
    assert [each.attributes for each in image.labels] == [{"kind": found}]


def test_options_go_by_the_attribute_s_number_where_two_have_one_name(tmp_path: Path) -> None:
    content = {
        "project": {"pid": "x", "data_format_version": "3.1.1", "vid_list": ["1"]},
        "attribute": {
            "1": {"aname": "type", "type": 4, "options": {"0": "car", "1": "bus"}},
            "2": {"aname": "type", "type": 4, "options": {"0": "day", "1": "night"}},
        },
        "file": {"1": {"fid": "1", "fname": "a.jpg"}},
        "metadata": {
            "m": {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": "0"}},
            "f": {"vid": "1", "z": [], "xy": [], "av": {"2": "1"}},
        },
        "view": {"1": {"fid_list": ["1"]}},
    }
    (image,) = read(tmp_path, content)
    assert ([each.attributes for each in image.labels], image.attributes) == ([{"type": "car"}], {"type": "night"})


def of_via_3(tmp_path: Path, *xy: Any) -> Any:
    """What is read of a VIA 3 project of one region."""
    content = {
        "project": {"pid": "x", "data_format_version": "3.1.1", "vid_list": ["1"]},
        "attribute": {"1": {"aname": "name", "type": 1, "options": {}}},
        "file": {"1": {"fid": "1", "fname": "a.jpg"}},
        "metadata": {"m": {"vid": "1", "flg": 0, "z": [], "xy": list(xy), "av": {"1": "thing"}}},
        "view": {"1": {"fid_list": ["1"]}},
    }
    return only(tmp_path, content, curve_tolerance=0.05)


@pytest.mark.parametrize(
    ("xy", "box"),
    [
        ((2, 2, 3, 4, 5), (2, 3, 4, 5)),
        ((2.0, 2, 3, 4, 5), (2, 3, 4, 5)),
        ((2, 6, 3, -4, 5), (2, 3, 4, 5)),  # its right side was dragged beyond the left one
        ((2, 2, 8, 4, -5), (2, 3, 4, 5)),
        ((8, 4, 3, 6, 5, 3, 8, 2, 7), (2, 3, 4, 5)),
        ((8, 2, 7, 4, 3, 6, 8), (2, 3, 4, 5)),
    ],
)
def test_a_rectangle_of_via_3_is_a_box(tmp_path: Path, xy: Any, box: tuple[float, ...]) -> None:
    found = of_via_3(tmp_path, *xy)
    assert (found.geometry, found.box) == ("box", box)
    assert polygon.area(found.rings[0]) == 20


@pytest.mark.parametrize(
    ("xy", "box", "area"),
    [
        ((3, 50, 40, 25), (25, 15, 50, 50), math.pi * 625),
        ((4, 50, 40, 25, 10), (25, 30, 50, 20), math.pi * 250),
        ((9, 75, 40, 50, 65, 25, 40), (25, 15, 50, 50), math.pi * 625),
        ((9, 50, 65, 75, 40, 50, 15), (25, 15, 50, 50), math.pi * 625),
        ((9, 65, 60, 70, 55, 35, 20), (25, 15, 50, 50), math.pi * 625),  # 15² + 20² = 25²
    ],
)
def test_a_round_shape_of_via_3_has_the_area_of_its_formula(
    tmp_path: Path, xy: Any, box: tuple[float, ...], area: float
) -> None:
    found = of_via_3(tmp_path, *xy)
    assert found.box == pytest.approx(box, abs=0.2)
    assert (found.geometry, polygon.area(found.rings[0])) == ("polygon", pytest.approx(area, rel=0.01))


def test_a_polyline_of_via_3_is_closed_to_a_mask(tmp_path: Path) -> None:
    assert of_via_3(tmp_path, 6, 0, 0, 9, 0, 9, 9).rings[0].tolist() == [[0, 0], [9, 0], [9, 9]]


@pytest.mark.parametrize(
    ("xy", "reason"),
    [
        ((5, 1, 1, 9, 9), reasons.SHAPE_WITHOUT_AREA),
        ((8,), reasons.SHAPE_WITHOUT_AREA),
        ((8, 1, 1, 9, 1), reasons.SHAPE_WITHOUT_AREA),
        ((8, 1, 1, 9), reasons.SHAPE_MALFORMED),
        ((9, 1, 1, 5, 5, 9, 9), reasons.SHAPE_WITHOUT_AREA),
        ((9, 1, 1, 5, 5), reasons.SHAPE_MALFORMED),
        ((9, 1, 1, 5, 5, 9, None), reasons.SHAPE_MALFORMED),
        ((9, 0, 0, 1000, 0.0001, 2000, 0), reasons.TOO_FAR),
        ((10, 1, 1), reasons.SHAPE_UNKNOWN),
        ((True, 1, 1), reasons.SHAPE_UNKNOWN),
        ((7.5, 1, 1), reasons.SHAPE_UNKNOWN),
        (([9], 1, 1), reasons.SHAPE_UNKNOWN),
    ],
)
def test_a_shape_of_via_3_that_can_t_be_used_is_kept_with_its_reason(tmp_path: Path, xy: Any, reason: str) -> None:
    assert of_via_3(tmp_path, *xy).reason == reason


def test_a_rejected_region_is_kept_as_the_project_has_it(tmp_path: Path) -> None:
    metadata = {"vid": "1", "flg": 0, "z": [], "xy": [1, 5, 5], "av": {"1": "0"}, "note": "a point"}
    project = {**VIA3, "metadata": {"m": metadata}}
    (image,) = read(tmp_path, project)
    assert [each.label for each in image.rejected] == [metadata]


@pytest.mark.parametrize("key", ["file", "view", "metadata"])
def test_a_via_3_project_of_lists_is_refused(tmp_path: Path, key: str) -> None:
    with pytest.raises(LabelFileError, match=f"{key} must be an object"):
        read(tmp_path, {"project": {"pid": "x"}, "file": {}, "view": {}, "metadata": {}, key: [{}]})


def test_segments_of_time_are_left_out_with_their_reason(tmp_path: Path) -> None:
    metadata = {"s": {"vid": "1", "z": [1.5, 2], "xy": [], "av": {"1": "0"}}, "m": VIA3["metadata"]["m"], "e": []}  # type: ignore[index]
    image, nowhere = read(tmp_path, {**VIA3, "metadata": metadata})
    assert [(each.id, each.reason, each.label) for each in image.rejected] == [("s", reasons.SEGMENT, metadata["s"])]
    assert len(image.labels) == 1
    assert [each.id for each in nowhere.rejected] == ["e"]
