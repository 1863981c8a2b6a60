"""Hostile and broken label files: refused in one sentence or read with nothing lost; never an unhandled exception."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.pipeline.formats.label_rows import count_labels, read, read_or_refused
from tests.pipeline.label_texts import COCO, FRAMES, NOT_NUMBERS, ODD, REAL, SOUND, changed, places, via, via_region


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(SOUND), data=st.data())
def test_anything_changed_in_a_label_file_is_read_or_refused(tmp_path: Path, value: Any, data: st.DataObject) -> None:
    for _ in range(data.draw(st.integers(1, 3))):
        if there := places(value):
            how = data.draw(st.sampled_from(["replaced", "gone", "twice"]))
            value = changed(value, data.draw(st.sampled_from(there)), how, data.draw(ODD))
    read_or_refused(tmp_path, value)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(value=st.sampled_from(SOUND), data=st.data())
def test_any_bytes_put_into_a_label_file_are_read_or_refused(tmp_path: Path, value: Any, data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 30)))
    new = data.draw(st.sampled_from(NOT_NUMBERS) | st.binary(max_size=5))
    read_or_refused(tmp_path, text[:start] + new + text[end:])


@pytest.mark.parametrize("odd", [b"\x80", b"\x81", b"\xff", b"\\", b'"', b"{", b"}", b",", b"\0"])
def test_a_byte_put_anywhere_into_a_label_file_is_read_or_refused(tmp_path: Path, odd: bytes) -> None:
    text = json.dumps(FRAMES).encode()
    for place in range(len(text) + 1):
        read_or_refused(tmp_path, text[:place] + odd + text[place:])


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    odd=ODD, key=st.sampled_from(["id", "category", "attributes", "box2d", "poly2d", "rle", "score"]), data=st.data()
)
def test_no_label_is_lost_whatever_one_of_its_values_is(
    tmp_path: Path, odd: Any, key: str, data: st.DataObject
) -> None:
    labels = copy.deepcopy(FRAMES[0]["labels"])
    labels[data.draw(st.integers(0, 3))][key] = odd  # type: ignore[index]
    assert count_labels(read(tmp_path, [{"name": "a.jpg", "labels": labels}])) == 4


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


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "cp1252"])
def test_names_are_read_in_any_encoding(tmp_path: Path, encoding: str) -> None:
    mark = b"\xff\xfe" if encoding == "utf-16-le" else b""
    text = json.dumps(via([via_region(name="é")], filename="straße.jpg"), ensure_ascii=False)
    (image,) = read(tmp_path, mark + text.encode(encoding))
    assert (image.name, image.labels[0].attributes) == ("straße.jpg", {"name": "é"})


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")
@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_real_files_with_bytes_changed_are_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    file = data.draw(st.sampled_from(sorted(REAL.rglob("*.json"))))
    text = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    read_or_refused(tmp_path, bytes(text))
