"""Labels of other categories, told by the thousand: as those that are told one by one."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import formats
from pipeline.formats.bdd import frames as bdd_frames
from pipeline.formats.bdd.block import BlockReader
from pipeline.instances.label_block import LabelBlock
from pipeline.instances.records import LabelledImage
from tests.pipeline.label_texts import options, read

FRAME = (
    b'[{"name": "a.jpg", "labels": [%s, {"category": "car", "id": 2, "box2d": {"x1": 1, "y1": 1, "x2": 9, "y2": 9}}]}]'
)

LABELS = {
    "plain": b'{"category": "bus", "id": 1, "box2d": {"x1": 1, "y1": 2.50, "x2": 3, "y2": 4}}',
    "attributes with spaces": b'{"category": "bus", "id": "x", "attributes": {"a" : [1,  2], "occluded": true}}',
    "attributes of null": b'{"category": "bus", "attributes": null, "poly2d": [ ]}',
    "not ASCII": '{"category": "bus", "id": "é", "attributes": {"ü": "\U0001f6b2"}}'.encode(),
    "not UTF-8": b'{"category": "bus", "id": 1, "poly2d": [{"vertices": "\xff\xfe"}]}',
    "long": b'{"category": "bus", "id": 1, "poly2d": [%s 1]}' % (b"1.5, " * 2000),
    "a long number": b'{"category": "bus", "id": 1, "poly2d": [%s]}' % (b"7" * 6000),
}


@pytest.mark.parametrize("label", LABELS.values(), ids=LABELS.keys())
def test_a_label_is_told_as_one_by_one(tmp_path: Path, label: bytes) -> None:
    chosen = options("car")
    block = BlockReader("labels.json", chosen)(FRAME % label)
    (image,) = block.images
    (alone,) = (bdd_frames.image(bdd_frames.frame_of((FRAME % label)[1:-1]), "labels.json", chosen),)
    assert len(block.instances_of(image)) == len(alone.instances) == 1
    assert block.others_of(image) == list(alone.unwanted)
    (told,) = block.others["label"].to_pylist()
    assert json.loads(told)["category"] == "bus"


def test_each_image_has_its_own(tmp_path: Path) -> None:
    frames = [
        {"name": f"{at}.jpg", "labels": [{"id": n, "category": "bus" if n % 2 else "car"} for n in range(at)]}
        for at in range(5)
    ]
    block = BlockReader("labels.json", options("car"))(json.dumps(frames).encode())
    alone = read(tmp_path, frames, options("car"))
    assert [block.others_of(image) for image in block.images] == [list(image.unwanted) for image in alone]
    assert [image.other_count for image in block.images] == [0, 0, 1, 1, 2]


BOX3D = {"alpha": -1.6, "dimension": [1.5, 1.8, 4.2], "location": [3, 1.1, 20.5], "orientation": [0, -1.4, 0]}
WHOLE = [
    {"index": 3, "manualShape": True, "manualAttributes": False, "box3d": BOX3D, "graph": {"nodes": [], "edges": []}},
    {"box3d": BOX3D, "drawn by": {"name": "me", "at": [2018, None]}, "closed": None},
    {"manualShape": False, "score": 0.5, "attributes": {"occluded": True, "truncated": "no"}},
]


@pytest.mark.parametrize("more", WHOLE)
@pytest.mark.parametrize("label", [{"category": "bus"}, {"category": "car", "poly2d": [{"vertices": [[1, 1]]}]}])
def test_a_label_that_is_left_out_is_told_with_all_that_it_says(tmp_path: Path, label: Any, more: Any) -> None:
    given = label | {"id": 1} | more
    file = tmp_path / "labels.json"
    file.write_text(json.dumps([{"name": "a.jpg", "labels": [{"category": "bus", "id": 0}, given]}]))
    (alone,) = formats.read(file, None, options("car"))
    (block,) = formats.read_blocks(file, None, options("car"))
    assert isinstance(block, LabelBlock)
    (image,) = block.images
    others = image.unwanted if isinstance(image, LabelledImage) else block.others_of(image)
    for told in ((*alone.rejected, *alone.unwanted), (*image.rejected, *others)):
        (text,) = [rejected.label for rejected in told if rejected.label_id == "1"]
        assert json.loads(text) == given
