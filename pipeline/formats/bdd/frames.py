"""BDD label files of every release: lists of frames, wrappers, single frames, and the files of one image each of 2018.

What one label becomes is in `bdd_label`.
"""

from collections.abc import Callable, Sequence
from functools import cache, lru_cache, partial
from typing import Any

import msgspec

from pipeline.formats.bdd import label as bdd_label
from pipeline.formats.bdd.label import ABSENT, NOTHING, Label
from pipeline.formats.json_repair import decode, decode_as
from pipeline.formats.json_stream import start_of
from pipeline.formats.rows import Rows, Tables, image_attributes, json_of, video_of
from pipeline.instances import reasons


class Frame(msgspec.Struct, gc=False):
    """A frame whose labels are sound enough to be decoded at once."""

    name: str | None = None
    url: str | None = None
    videoName: str | None = None  # noqa: N815 (the file's own key)
    attributes: msgspec.Raw = ABSENT
    labels: list[Label] | None = None


class LooseFrame(msgspec.Struct):
    """The same where the labels have to be looked at one by one."""

    name: Any = None
    url: Any = None
    videoName: Any = None  # noqa: N815
    attributes: msgspec.Raw = ABSENT
    labels: msgspec.Raw = ABSENT


class PerImage(msgspec.Struct):
    """2018's file of one image; several frames (none is known) are one image with the objects of all."""

    name: Any = None
    attributes: msgspec.Raw = ABSENT
    frames: msgspec.Raw = ABSENT


class _Labelled(msgspec.Struct):
    labels: msgspec.Raw = ABSENT
    objects: msgspec.Raw = ABSENT


_frames = msgspec.json.Decoder(list[Frame])
_loose_frame = msgspec.json.Decoder(LooseFrame)
_per_image = msgspec.json.Decoder(PerImage)
_labelled = msgspec.json.Decoder(_Labelled)
_values = msgspec.json.Decoder(list[msgspec.Raw])


def tables(curve_tolerance: float, file: int, text: bytes) -> Tables:
    """Return what a JSON list of frames of the label file of this number says."""
    rows = Rows(curve_tolerance)
    add(rows, file, text)
    return rows.tables()


def add(rows: Rows, file: int, text: bytes) -> None:
    """Add the images of a JSON list of frames of the label file of this number."""
    try:
        frames = _frames.decode(text)
    except msgspec.ValidationError:
        for given in _values.decode(text):
            _add_loose(rows, file, given)
        return
    raw_frames = cache(lambda: _values.decode(text))
    for number, frame in enumerate(frames):
        name, video = frame.name, frame.videoName
        _begin(rows, file, _named(name, frame.url), video, frame.attributes, partial(_labels_of, raw_frames, number))
        for position, label in enumerate(frame.labels or ()):
            bdd_label.add(rows, label, position)


def add_per_image(rows: Rows, file: int, text: memoryview) -> None:
    """Add the image of a 2018 file of one image."""
    content = decode_as(text, _per_image)
    objects: list[msgspec.Raw] = []
    _begin(rows, file, _named(content.name), None, content.attributes, lambda: objects)
    for frame in _values.decode(content.frames) if start_of(content.frames) == b"[" else []:
        given = decode_as(frame, _labelled).objects if start_of(frame) == b"{" else frame
        objects += _listed(rows, given)
    for position, label in enumerate(objects):
        bdd_label.add_any(rows, label, position)


def _add_loose(rows: Rows, file: int, text: msgspec.Raw) -> None:
    """Add the image of a frame in which something is not as it should be."""
    try:
        frame = decode_as(text, _loose_frame)
    except msgspec.ValidationError:
        rows.begin_image(file, "", list)
        rows.fault(reasons.FRAME_NOT_OBJECT, json_of(text))
        return
    labels: list[msgspec.Raw] = []
    name = _named(frame.name, frame.url)
    _begin(rows, file, name, frame.videoName, frame.attributes, lambda: labels)
    labels += _listed(rows, frame.labels)
    for position, label in enumerate(labels):
        bdd_label.add_any(rows, label, position)


def _listed(rows: Rows, given: msgspec.Raw) -> list[msgspec.Raw]:
    """Return the labels in a list; what is no list is a fault of the image."""
    if given in (ABSENT, NOTHING[1]):
        return []
    try:
        return _values.decode(given)
    except msgspec.ValidationError:
        rows.fault(reasons.LABELS_NOT_LIST, json_of(given))
        return []


def _begin(
    rows: Rows, file: int, name: str, video: Any, attributes: msgspec.Raw, given: Callable[[], Sequence[Any]]
) -> None:
    said_video, said = _scene(bytes(attributes))
    own = video if isinstance(video, str) and video else None
    rows.begin_image(file, name, given, own or said_video, said)


@lru_cache(maxsize=10_000)
def _scene(text: bytes) -> tuple[str | None, str]:
    """Return what the JSON of an image's attributes says: the video, and the attributes as in images.parquet."""
    given = decode(text) if text else None
    return video_of(given), image_attributes(given)


def _named(*names: Any) -> str:
    """Return the first of a name and a URL that says something; empty where neither does."""
    return next((name for name in names if isinstance(name, str) and name.strip()), "")


def _labels_of(frames: Callable[[], Sequence[msgspec.Raw]], number: int) -> list[bytes]:
    """Return the labels of a frame as the file has them."""
    return [bytes(label) for label in _values.decode(_labelled.decode(frames()[number]).labels)]
