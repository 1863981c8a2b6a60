"""Hostile and broken label files: refused in one sentence or read with nothing lost; never an unhandled exception."""

import copy
import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import readers
from pipeline.errors import ArchiveError, LabelFileError, NotLabelsError, PipelineError
from pipeline.instances import LabelledImage
from tests.pipeline.label_texts import REAL, options, polygon_label, read, via, via_region

FRAMES = [
    {
        "name": "a.jpg",
        "attributes": {"scene": "city"},
        "timestamp": 10000,
        "labels": [
            polygon_label([[0, 0], [40, 0], [40, 40], [0, 40]], "LLCC", attributes={"occluded": True}),
            {"id": 8, "category": "bike", "box2d": {"x1": 1, "y1": 2, "x2": 3.5, "y2": 4}},
            {"id": 9, "category": "car", "rle": {"counts": "04", "size": [2, 2]}},
            polygon_label([[0, 0], [40, 0]], category="lane"),
        ],
    },
    {"name": "b.jpg", "labels": None},
]
PER_IMAGE = {
    "name": "a",
    "frames": [
        {"timestamp": 1, "objects": [{"category": "car", "id": 1, "poly2d": [[0, 0, "L"], [9, 0, "L"], [9, 9, "L"]]}]}
    ],
}
VIA = via(
    [
        via_region(name="car", instance="1", attributes="{}"),
        via_region({"name": "circle", "cx": 9, "cy": 9, "r": 3}, name="x"),
    ]
)
PROJECT = {
    "_via_settings": {},
    "_via_img_metadata": VIA,
    "_via_attributes": {"region": {"name": {"options": {"1": "x"}}}},
}
VIA3 = {
    "project": {"pid": "x", "data_format_version": "3.1.1"},
    "attribute": {"1": {"aname": "kind", "options": {"0": "dent"}}},
    "file": {"1": {"fname": "a.jpg"}},
    "metadata": {"m": {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": "0"}}},
    "view": {"1": {"fid_list": ["1"]}},
}
COCO = {
    "info": {"year": 2026},
    "images": [{"id": 1, "file_name": "a.jpg"}, {"id": 2, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 1, "image_id": 2, "category_id": 3, "segmentation": [[0, 0, 8, 0, 8, 6]], "bbox": [0, 0, 8, 6]},
        {"id": 2, "image_id": 1, "category_id": 3, "segmentation": {"counts": [0, 4], "size": [2, 2]}, "iscrowd": 1},
        {"id": 3, "image_id": 1, "category_id": 3, "bbox": [1, 1, 4, 4], "attributes": {"occluded": True}},
    ],
    "categories": [{"id": 3, "name": "car", "supercategory": "vehicle"}],
}
SOUND: list[Any] = [FRAMES, {"frames": FRAMES, "config": {}}, FRAMES[0], PER_IMAGE, VIA, PROJECT, VIA3, COCO]

ODD = st.sampled_from(
    [
        None,
        True,
        -1,
        0,
        1e308,
        10**30,
        "",
        "x",
        "é\u0000\ud7ff",
        [],
        {},
        [[]],
        [None],
        {"": None},
        [[1, 2, 3]],
        "true",
        [0, "NA"],
    ]
)
NOT_NUMBERS = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"1" + b"0" * 5000,
    b'"\\ud800"',
    b'"\xff"',
    b"nan",
    b"{",
    b"]",
    b"\xef\xbb\xbf",
]


def places(value: Any, at: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths to everything inside a JSON value."""
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    return [path for key, each in inner for path in [(*at, key), *places(each, (*at, key))]]


def changed(value: Any, path: tuple[Any, ...], change: str, odd: Any) -> Any:
    """A copy of `value` in which what lies at `path` is replaced, gone, or there twice."""
    value = copy.deepcopy(value)
    holder = value
    for key in path[:-1]:
        holder = holder[key]
    if change == "replaced":
        holder[path[-1]] = odd
    elif change == "gone":
        del holder[path[-1]]
    elif isinstance(holder, list):
        holder.insert(0, holder[path[-1]])
    return value


def read_or_refused(folder: Path, content: Any, chosen: readers.ReadOptions) -> list[LabelledImage]:
    """The images of a file; none where it is refused, which its error must say by the file's name."""
    try:
        return read(folder, content, chosen)
    except LabelFileError as error:
        if not str(error).startswith("labels.json: "):
            raise
        return []


def count_labels(images: list[Any]) -> int:
    return sum(len(image.instances) + len(image.rejected) + len(image.unwanted) for image in images)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(SOUND), data=st.data())
def test_anything_changed_in_a_label_file_is_read_or_refused(tmp_path: Path, value: Any, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        if there := places(value):
            how = data.draw(st.sampled_from(["replaced", "gone", "twice"]))
            value = changed(value, data.draw(st.sampled_from(there)), how, data.draw(ODD))
    chosen = data.draw(st.sampled_from([options(), options("car"), options("bicycle", boxes="leave_out")]))
    for image in read_or_refused(tmp_path, value, chosen):
        for rejected in image.rejected:
            json.loads(rejected.label)


def test_a_rejected_label_with_a_number_beyond_any_parser_is_kept_as_json_that_all_can_read(tmp_path: Path) -> None:
    digits = "1" + "0" * 5000
    text = json.dumps([{"name": "a.jpg", "labels": [polygon_label([[0, "long"]], "L")]}]).replace('"long"', digits)
    (image,) = read(tmp_path, text.encode(), options())
    (rejected,) = image.rejected
    assert json.loads(rejected.label)["poly2d"][0]["vertices"] == [[0, digits]]


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(SOUND), data=st.data())
def test_any_bytes_put_into_a_label_file_are_read_or_refused(tmp_path: Path, value: Any, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    new = data.draw(st.sampled_from(NOT_NUMBERS) | st.binary(max_size=5))
    for image in read_or_refused(tmp_path, text[:start] + new + text[end:], options()):
        for rejected in image.rejected:
            json.loads(rejected.label)


@pytest.mark.parametrize("odd", [b"\x80", b"\x81", b"\xff", b"\\", b'"', b"{", b"}", b",", b"\0"])
def test_a_byte_put_anywhere_into_a_label_file_is_read_or_refused(tmp_path: Path, odd: bytes) -> None:
    text = json.dumps(FRAMES).encode()
    for place in range(len(text) + 1):
        read_or_refused(tmp_path, text[:place] + odd + text[place:], options())


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd=ODD, key=st.sampled_from(["id", "category", "attributes", "box2d", "poly2d", "rle", "score"]), data=st.data()
)
def test_no_label_is_lost_whatever_one_of_its_values_is(
    tmp_path: Path, odd: Any, key: str, data: st.DataObject
) -> None:
    labels = copy.deepcopy(FRAMES[0]["labels"])
    labels[data.draw(st.integers(0, 3))][key] = odd  # type: ignore[index]
    chosen = data.draw(st.sampled_from([options(), options("car")]))
    assert count_labels(read(tmp_path, [{"name": "a.jpg", "labels": labels}], chosen)) == 4


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd=ODD,
    key=st.sampled_from(["id", "image_id", "category_id", "segmentation", "bbox", "iscrowd", "attributes"]),
    number=st.integers(0, 2),
    change=st.sampled_from(["replaced", "gone", "doubled"]),
)
def test_no_annotation_is_lost_whatever_one_of_its_values_is(
    tmp_path: Path, odd: Any, key: str, number: int, change: str
) -> None:
    path = ("annotations", number) if change == "doubled" else ("annotations", number, key)
    if change == "gone" and key not in COCO["annotations"][number]:
        change = "replaced"
    images = read(tmp_path, changed(COCO, path, change, odd))
    assert count_labels(images) == 3 + (change == "doubled")


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(odd=ODD, key=st.sampled_from(["shape_attributes", "region_attributes"]))
def test_no_region_is_lost_whatever_one_of_its_values_is(tmp_path: Path, odd: Any, key: str) -> None:
    regions = [via_region(name="car"), via_region(name="car") | {key: odd}, odd]
    assert count_labels(read(tmp_path, via(regions))) == 3


@pytest.mark.parametrize("number", [b"NaN", b"Infinity", b"1e999", b"-1e999", b"1" + b"0" * 5000])
def test_a_number_that_is_none_rejects_its_label_only(tmp_path: Path, number: bytes) -> None:
    text = json.dumps(
        [
            {
                "name": "a.jpg",
                "labels": [polygon_label(), {"category": "car", "box2d": {"x1": 0, "y1": 0, "x2": 77, "y2": 9}}],
            }
        ]
    )
    (image,) = read(tmp_path, text.encode().replace(b"77", number))
    assert (len(image.instances), len(image.rejected)) == (1, 1)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_names_are_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    text = json.dumps(via([via_region(name="é")], filename="straße.jpg"), ensure_ascii=False)
    (image,) = read(tmp_path, mark + text.encode(encoding))
    assert (image.name, image.instances[0].category) == ("straße.jpg", "é")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"images": [], "annotations": []}, "a COCO file without categories"),
        ({"info": {}, "images": [], "categories": []}, "a COCO file without annotations"),
        ({"annotations": [{"image_id": 1}]}, "a COCO file without images and categories"),
        ([{"image_id": 1, "category_id": 2, "score": 1}], "a list of COCO results"),
    ],
)
def test_half_a_coco_file_is_refused_and_says_what_is_missing(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(
        NotLabelsError, match=rf"^labels\.json: holds no labels: it is {complaint}.*give COCO's instances"
    ):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [{"region": {"name": {}}, "file": {}}, {"a": 1}, {}, 5, "x", None, [1, 2], [{"vertices": []}], {"shapes": []}],
)
def test_json_without_labels_is_told_from_broken_label_files(tmp_path: Path, content: Any) -> None:
    with pytest.raises(NotLabelsError, match=r"^labels\.json: holds no labels"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "start", ["filename,file_size,file_attributes", "#filename,file_size", "# Exported using VGG Image Annotator"]
)
def test_via_s_csv_is_called_so(tmp_path: Path, start: str) -> None:
    with pytest.raises(NotLabelsError, match="it is VIA's CSV; export the annotations as JSON"):
        read(tmp_path, f'{start}\na.jpg,99,"{{}}",1,0,"{{}}","{{}}"\n'.encode())


def test_what_is_packed_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"^labels\.json: is packed by gzip; unpack it, or give a zip"):
        read(tmp_path, gzip.compress(b"[]"))


@pytest.mark.parametrize("text", [b"# a: 1\n", b"#", b"# Exporting", b"# ,", b"#:"])
def test_what_begins_with_a_hash_is_no_json(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(LabelFileError, match=r"^labels\.json: not JSON"):
        read(tmp_path, text)


@pytest.mark.parametrize("value", SOUND)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, value: Any, part: float) -> None:
    text = json.dumps(value, indent=1).encode()
    with pytest.raises(LabelFileError, match=r"labels\.json: (the label file is cut short.*byte \d+|not JSON)"):
        read(tmp_path, text[: int(len(text) * part)])


def test_an_empty_file_and_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="is empty"):
        read(tmp_path, b"")
    with pytest.raises(LabelFileError, match="not JSON"):
        read(tmp_path, b"\xff\xd8\xff\xe0JFIF")


def test_a_missing_file_and_a_missing_member_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"absent\.json"):
        list(readers.read(tmp_path / "absent.json", None, options()))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.json", "[]")
    with pytest.raises(ArchiveError, match=r"no c\.json"):
        list(readers.read(tmp_path / "a.zip", "c.json", options()))


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.json", json.dumps(FRAMES * 50, indent=4))
    content = archive.read_bytes()
    for broken in (content[: len(content) // 2], content[:60] + b"\0" * 20 + content[80:], b"PK\3\4"):
        archive.write_bytes(broken)
        with pytest.raises(PipelineError, match=r"a\.zip"):
            list(readers.read(archive, "a.json", options()))


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_real_files_with_bytes_changed_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(REAL.rglob("*.json"))))
    text = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(tmp_path, bytes(text), options("car", "damage", "bacteria"))
