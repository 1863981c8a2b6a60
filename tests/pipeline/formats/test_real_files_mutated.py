"""Real label files with something wrong in a label: that one is kept or rejected, and no other is lost.

What is changed in synthetic files, and in any byte of the real ones, is in `test_hostile_files`.
"""

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.errors import LabelFileError
from tests.pipeline.formats.label_rows import Image, count_labels
from tests.pipeline.formats.label_rows import images_of as read
from tests.pipeline.formats.test_real_files import holds_labels, label_files
from tests.pipeline.label_texts import ODD, REAL, places

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")

LABEL_FILES = [file for file in label_files() if file.endswith(".json") and holds_labels(file)]
MOST_LABELS = 8
"""Of an image; enough for every kind of label, and a file stays quick to change and to read."""

LISTS = ("labels", "objects", "regions")
NAMES = st.sampled_from(
    ["", "/", "none.jpg", "a/b/../c.jpg", "http://[a/b.jpg", "x://\u2100/b.jpg?c#d", "C:\\d\\e.jpg"]
)

PLACEHOLDER = "what stands here is written as bytes"
BYTES = [
    b"NaN",
    b"-Infinity",
    b"1e999",
    b"-1e300",
    b"1" + b"0" * 400,
    b"1" + b"0" * 5000,
    b"[NaN, 1e999]",
    b'"\xff\xfe"',
    b'"\\ud800"',
    b'"' + b"9" * 100_000 + b'"',
    b"[" * 300 + b"]" * 300,
]
"""Values that json.dumps doesn't write: not numbers, beyond any number, not UTF-8, half a character, long, deep."""


def label_lists(content: Any) -> list[Any]:
    """The lists (VIA 1: objects) of labels in a file of any of the formats, one an image."""
    return [image[key] for image in images_of(content) for key in LISTS if image.get(key)]


def images_of(content: Any) -> list[dict[str, Any]]:
    """What the file says of each image."""
    if isinstance(content, list):
        images: Any = content
    elif "frames" in content:
        images = content["frames"]
    else:
        images = content.get("_via_img_metadata", content).values()
    return [image for image in images if isinstance(image, dict)]


@cache
def trimmed(file: str) -> str:
    """The JSON of a real file with at most `MOST_LABELS` labels an image."""
    content = json.loads((REAL / file).read_bytes())
    for holder in label_lists(content):
        for key in list(keys_of(holder))[: MOST_LABELS - 1 : -1]:
            del holder[key]
    return json.dumps(content)


def mutation(file: str, data: st.DataObject) -> tuple[bytes, int]:
    """The file with one to three things changed inside its labels, and how many labels it has then."""
    content = json.loads(trimmed(file))
    for _ in range(data.draw(st.integers(1, 3))):
        holder = data.draw(st.sampled_from(label_lists(content)))
        change(holder, data.draw(st.sampled_from(list(keys_of(holder)))), data)
    count = sum(map(len, label_lists(content)))
    text = json.dumps(content).encode()
    return text.replace(json.dumps(PLACEHOLDER).encode(), data.draw(st.sampled_from(BYTES))), count


def renamed(text: bytes, data: st.DataObject) -> bytes:
    """The file with another name, video, address or attributes for one of its images."""
    content = json.loads(text)
    image = data.draw(st.sampled_from(images_of(content)))
    key = data.draw(st.sampled_from(sorted({"name", "filename", "url", "videoName", *image} - {*LISTS})))
    image[key] = odd(data, NAMES | ODD)
    return json.dumps(content).encode()


def keys_of(holder: Any) -> Any:
    return holder if isinstance(holder, dict) else range(len(holder))


def change(holder: Any, key: Any, data: st.DataObject) -> None:
    """Change one label: the whole of it, or something inside it; or put it there twice."""
    if data.draw(st.integers(0, 9)) == 0:
        twice = json.loads(json.dumps(holder[key]))
        holder.update({f"{key} again": twice}) if isinstance(holder, dict) else holder.append(twice)
        return
    inside = places(holder[key])
    if not inside:
        holder[key] = odd(data, ODD)
        return
    *path, last = data.draw(st.sampled_from(inside))
    place = holder[key]
    for step in path:
        place = place[step]
    if data.draw(st.booleans()):
        place[last] = odd(data, ODD | st.just(PLACEHOLDER))
    else:
        del place[last]


def odd(data: st.DataObject, values: st.SearchStrategy[Any]) -> Any:
    """A copy of its own: what is drawn twice must not change twice."""
    return json.loads(json.dumps(data.draw(values)))


def refused(text: bytes, work: Callable[[], Any]) -> bool:
    """Whether `work` refuses the whole file, which it may only for what is no JSON any more."""
    try:
        work()
        return False
    except LabelFileError as fault:
        message = str(fault)
    assert message.startswith("labels.json: ")
    assert any(value in text for value in BYTES)
    return True


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@pytest.mark.parametrize("file", LABEL_FILES)
@given(data=st.data())
def test_no_label_of_a_real_file_is_lost_whatever_is_wrong_in_it(
    tmp_path: Path, file: str, data: st.DataObject
) -> None:
    text, count = mutation(file, data)
    path = tmp_path / "labels.json"
    path.write_bytes(text)
    images: list[Image] = []
    if refused(text, lambda: images.extend(read(path))):
        return
    assert count_labels(images) == count
    assert all(rejected.reason for image in images for rejected in image.rejected)
