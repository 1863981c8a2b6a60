"""Objects of a label file that have a key more than once: no label under any of them is lost."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import formats
from pipeline.formats.repeated_keys import joined, with_own_keys
from pipeline.instances import reasons
from pipeline.instances.label_block import LabelBlock
from pipeline.instances.records import LabelledImage
from tests.pipeline.label_texts import options, polygon_label, read, via, via_region
from tests.pipeline.sound_labels import PER_IMAGE, VIA3, count_labels

AGAIN = "again "
"""Before a key that stands in the file without it, and so once more."""

NOTE = {"note": "to be replaced"}
LABEL, *LABELS = (polygon_label(attributes=NOTE) | {"id": number} for number in range(3))
OTHERS = [LABEL | {"id": 3}]
FRAME = {"name": "a.jpg", "labels": LABELS, AGAIN + "labels": OTHERS}
B = {"name": "b.jpg", "labels": [LABEL]}
OBJECT = {**PER_IMAGE["frames"][0]["objects"][0], "attributes": NOTE}  # type: ignore[index]
REGION = via_region(name="car", **NOTE)
REGION3 = {"vid": "1", "z": [], "xy": [7, 0, 0, 8, 0, 8, 6], "av": {"1": "0"}, **NOTE}

FILES: dict[str, tuple[Any, int]] = {
    "frames": ([FRAME, B], 4),
    "the last frame": ([B, FRAME], 4),
    "thrice": ([{**FRAME, AGAIN * 2 + "labels": LABELS}], 5),
    "then null": ([{**FRAME, AGAIN + "labels": None}, B], 3),
    "null, then labels": ([{**FRAME, "labels": None}], 1),
    "no list": ([{**FRAME, AGAIN + "labels": {"category": "car"}}], 3),
    "an unknown key": ([{**FRAME, "labels": [LABEL | {"colour": "red"}]}], 2),
    "a key in an attribute": ([{**FRAME, "attributes": {"labels": [], AGAIN + "labels": []}}], 3),
    "wrapper": ({"frames": [FRAME, B]}, 4),
    "wrapped lists": ({"frames": [FRAME], AGAIN + "frames": [B]}, 4),
    "single frame": (FRAME, 3),
    "objects": ({"name": "a", "frames": [{"objects": [OBJECT], AGAIN + "objects": [OBJECT, 5]}]}, 3),
    "frames of one": ({**PER_IMAGE, AGAIN + "frames": PER_IMAGE["frames"]}, 2),
    "regions": (via([REGION, REGION], **{AGAIN + "regions": [REGION]}), 3),
    "regions of VIA 1": (via({"0": REGION}, **{AGAIN + "regions": {"0": REGION, "1": REGION}}), 3),
    "regions of both": (via({"0": REGION}, **{AGAIN + "regions": [REGION]}), 2),
    "a region, then none": (via({"0": REGION, AGAIN + "0": None, "1": REGION}), 3),
    "keys that look like new ones": (via({"0~2": REGION, "0": REGION, AGAIN + "0": REGION, AGAIN + "0~2": REGION}), 4),
    "no regions": (via([REGION], **{AGAIN + "regions": None, AGAIN * 2 + "regions": [], AGAIN * 3 + "regions": 5}), 2),
    "project": ({"_via_settings": {}, "_via_img_metadata": via([REGION], **{AGAIN + "regions": [REGION]})}, 2),
    "VIA 3": ({**VIA3, "metadata": {"m": REGION3, AGAIN + "m": REGION3 | {"xy": [2, 1, 2, 3, 4]}}}, 2),
    "metadata of VIA 3": ({**VIA3, AGAIN + "metadata": {"m": REGION3, "n": REGION3}}, 3),
}
SPOILT = {
    "": b'"x"',
    "NaN": b"NaN",
    "not UTF-8": b'"\xe9"',
    "a tab": b'"\t"',
    "a long number": b"1" * 5000,
}
"""What an attribute of the labels is: where it isn't sound the JSON is mended before it is read."""


def text_of(content: Any, spoilt: str) -> bytes:
    return (
        json.dumps(content)
        .replace(AGAIN, "")
        .encode()
        .replace(NOTE["note"].encode().join([b'"', b'"']), SPOILT[spoilt])
    )


@pytest.mark.parametrize("spoilt", SPOILT)
@pytest.mark.parametrize(("content", "count"), FILES.values(), ids=FILES.keys())
def test_no_label_under_a_repeated_key_is_lost(tmp_path: Path, content: Any, count: int, spoilt: str) -> None:
    alone = read(tmp_path, text_of(content, spoilt))
    assert count_labels(alone) == count
    assert {image.name for image in alone} <= {"a.jpg", "b.jpg", "a"}
    blocks = list(formats.read_blocks(tmp_path / "labels.json", None, options()))
    assert sum(map(labels_of, blocks)) == count


def labels_of(found: LabelBlock | LabelledImage) -> int:
    if isinstance(found, LabelledImage):
        return count_labels([found])
    rejected = [label for image in found.images for label in image.rejected]
    odd = [image for image in found.images if isinstance(image, LabelledImage)]
    return len(found.instances) + len(found.others) + len(rejected) + sum(len(image.instances) for image in odd)


def test_ids_of_as_many_digits_as_64_bits_hold_stay_as_they_are(tmp_path: Path) -> None:
    ids = [-(2**63), 2**64 - 1, 1234567890123456789]
    frame = {**FRAME, "labels": [LABEL | {"id": each} for each in ids]}
    for spoilt in SPOILT:
        (image,) = read(tmp_path, text_of([frame], spoilt))
        assert [each.id for each in image.instances] == [*map(str, ids), "3"]


def test_entries_without_a_name_that_share_a_key_are_both_read(tmp_path: Path) -> None:
    first, second = {"size": 5, "regions": [REGION]}, {"size": 5, "regions": [REGION, REGION]}
    named = {"filename": "a.jpg", **first}
    for pair in ((first, second), (named, second), (first, named | second)):
        given = {"b.jpg5": {"filename": "b.jpg", **first}, "a.jpg5": pair[0], AGAIN + "a.jpg5": pair[1]}
        images = read(tmp_path, text_of(given, ""))
        assert [(image.name, count_labels([image])) for image in images] == [("b.jpg", 1), ("a.jpg", 1), ("a.jpg", 2)]


def test_many_members_of_one_key_take_no_longer_than_others() -> None:
    members = with_own_keys([("0", {"xy": []})] * 50_000 + [("0~7", {"xy": []})], ("xy",))
    assert len(members) == 50_001


def test_a_frame_without_repeated_keys_is_read_as_it_is_beside_one_with() -> None:
    text = b'{"name": "a.jpg", "labels": [{"labels": 1.50}]}'
    assert joined(text, "labels") is text
    assert joined(b'{"labels": [1], "labels": [NaN', "labels") == b'{"labels": [1], "labels": [NaN'


def test_segments_of_time_of_via_3_are_left_out_with_their_reason(tmp_path: Path) -> None:
    metadata = {"s": {"vid": "1", "z": [1.5, 2], "xy": [], "av": {"1": "0"}}, "m": REGION3, "e": []}
    image, nowhere = read(tmp_path, {**VIA3, "metadata": metadata})
    assert [(each.label_id, each.reason) for each in image.rejected] == [("s", reasons.SEGMENT)]
    assert json.loads(image.rejected[0].label) == metadata["s"]
    assert len(image.instances) == 1
    assert [each.label_id for each in nowhere.rejected] == ["e"]
