"""Labels of other categories, told by the thousand: as those that are told one by one."""

import json
from pathlib import Path

import pytest

from pipeline.readers import bdd_frames
from pipeline.readers.bdd_block import BlockReader
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
