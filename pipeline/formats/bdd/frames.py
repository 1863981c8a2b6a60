"""BDD files that hold a frame an image: the 2018 consolidated list and Scalabel's list, wrapper or single frame (2020).

What one label becomes is in `bdd_label`; the 2018 files of one image each are read in `bdd_per_image`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, TypeVar

import msgspec

from pipeline.formats.bdd import label as bdd_label
from pipeline.formats.bdd.label import AnyLabel, KnownLabel, Label, LooseLabel
from pipeline.formats.json_stream import JsonStream, decode
from pipeline.formats.options import ReadOptions
from pipeline.formats.repeated_keys import count, joined
from pipeline.instances import reasons
from pipeline.instances.distinct_ids import DistinctIds
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import Instance, LabelledImage, Rejected


class Frame(msgspec.Struct):
    """A frame whose labels are sound enough to be decoded at once, and have no keys that are unknown."""

    name: Any = None
    url: Any = None
    videoName: Any = None  # noqa: N815 (the file's own key)
    attributes: Any = None
    labels: list[KnownLabel] | None = None


class LooseFrame(msgspec.Struct):
    """The same where the labels have to be looked at one by one."""

    name: Any = None
    url: Any = None
    videoName: Any = None  # noqa: N815
    attributes: Any = None
    labels: Any = None


class Named(Protocol):
    """Any frame, as far as names go."""

    name: Any
    url: Any
    videoName: Any  # noqa: N815


class Labelled(Protocol):
    """Any frame, as far as it is labelled."""

    labels: Any


_frames = msgspec.json.Decoder(list[Frame])
_frame = msgspec.json.Decoder(Frame)
_loose_frame = msgspec.json.Decoder(LooseFrame)
_values = msgspec.json.Decoder(list[msgspec.Raw])
_label = msgspec.json.Decoder(Label)
_loose_label = msgspec.json.Decoder(LooseLabel)

Struct = TypeVar("Struct", bound=msgspec.Struct)
Decoded = Sequence[Frame | LooseFrame | bytes]
"""Frames; one that is not an object, as its JSON."""


def read_list(stream: JsonStream, options: ReadOptions) -> Iterator[LabelledImage]:
    """Yield the images of a list of frames; the stream stands before the list."""
    for block in stream.blocks(_decoded):
        for frame in block:
            yield image(frame, stream.name, options)


def read_wrapped(stream: JsonStream, options: ReadOptions) -> Iterator[LabelledImage]:
    """Yield the images of `{frames: [...], groups, config}`; groups and config are passed over."""
    for _ in lists_in(stream):
        yield from read_list(stream, options)


def lists_in(stream: JsonStream) -> Iterator[None]:
    """Pass a wrapper, halting before each list of frames, which must be passed."""
    for key in stream.members():
        if key == "frames" and stream.peek() == b"[":
            yield
        else:
            stream.value()


def read_single(stream: JsonStream, options: ReadOptions) -> Iterator[LabelledImage]:
    """Yield the one image of a file that holds a single frame."""
    text = msgspec.json.encode([decode(joined(stream.value(), "labels"), stream)])
    for frame in _decoded(text):
        yield image(frame, stream.name, options)


def _decoded(block: bytes) -> Decoded:
    try:
        frames = _frames.decode(block)
    except msgspec.ValidationError:
        frames = None
    if frames is not None and not labels_again(block, frames):
        return frames
    return [frame_of(joined(bytes(text), "labels")) for text in _values.decode(block)]


def labels_again(block: bytes | memoryview, frames: Sequence[Labelled]) -> bool:
    """Say whether a frame of a block may have its labels twice; of these only the last are in `frames`."""
    return count(block, "labels") > sum(frame.labels is not None for frame in frames)


def frame_of(text: bytes) -> Frame | LooseFrame | bytes:
    """Return the frame that a JSON text describes; the text itself where it is no object."""
    frame = _fitted(text, _frame) or _fitted(text, _loose_frame)
    if frame is None:
        msgspec.json.decode(text)  # raises where a number is out of range, which the stream then mends
        return text
    return frame


def name_of(frame: Named) -> str:
    """Return the name that a frame gives its image, else its URL; empty where it has neither."""
    return next((text for text in (frame.name, frame.url) if isinstance(text, str) and text.strip()), "")


def video_of(frame: Named) -> str | None:
    """Return the video that a frame names."""
    return frame.videoName if isinstance(frame.videoName, str) and frame.videoName else None


def image(frame: Frame | LooseFrame | bytes, source: str, options: ReadOptions) -> LabelledImage:
    """Return what a frame of the file `source` says of its image; what can't be used is rejected with its reason."""
    if isinstance(frame, bytes):
        rejected = Rejected(source, "", "", reasons.FRAME_NOT_OBJECT, frame.decode("utf-8", "replace"))
        return LabelledImage("", source, (), (rejected,))
    name = name_of(frame)
    reading = LabelReading(source, name, options)
    if frame.labels is not None and not isinstance(frame.labels, list):
        reading.reject("", reasons.LABELS_NOT_LIST, frame.labels)
    for position, label in enumerate(frame.labels if isinstance(frame.labels, list) else ()):
        reading.add(label, position)
    return reading.image(video_of(frame), frame.attributes)


class LabelReading:
    """Gathers the labels of one image: kept, rejected with a reason, or not wanted."""

    def __init__(self, source: str, name: str, options: ReadOptions) -> None:
        self._source, self._name, self._options = source, name, options
        self._instances: list[Instance] = []
        self._rejected: list[Rejected] = []
        self._unwanted: list[Rejected] = []
        self._ids = DistinctIds()
        """How often an id came again."""

    def add(self, given: Any, position: int) -> None:
        """Read the label at `position` of its frame: a Label, or any JSON value where the frame is not sound."""
        label = given if isinstance(given, Label) else _any_label(given)
        if label is None:
            self.reject("", reasons.NO_OBJECT, given)
            return
        label_id = self._ids.give(bdd_label.text_of_id(label.id) or f"#{position}")
        try:
            meant = bdd_label.meaning(label, self._options.wanted)
            if meant is None:
                self._unwanted.append(self._left_out(label_id, reasons.OTHER_CATEGORY, given))
            elif not self._name:
                self.reject(label_id, reasons.NO_IMAGE_NAME, given)
            else:
                self._instances.append(bdd_label.instance(label, label_id, meant, self._options))
        except LabelError as fault:
            self.reject(label_id, fault.reason, given)

    def reject(self, label_id: str, reason: str, label: Any) -> None:
        """Leave a label out, with its reason."""
        self._rejected.append(self._left_out(label_id, reason, label))

    def _left_out(self, label_id: str, reason: str, label: Any) -> Rejected:
        return Rejected(self._source, self._name, label_id, reason, bdd_label.json_of(label))

    def image(self, video: str | None, attributes: Any) -> LabelledImage:
        """Return the image with what was gathered."""
        if not self._name and not self._rejected:
            self.reject("", reasons.NO_IMAGE_NAME, None)
        return LabelledImage(
            name=self._name,
            source=self._source,
            instances=tuple(self._instances),
            rejected=tuple(self._rejected),
            video=video,
            attributes=attributes if isinstance(attributes, dict) else {},
            unwanted=tuple(self._unwanted),
        )


def _any_label(value: Any) -> AnyLabel | None:
    text = msgspec.json.encode(value)
    return _fitted(text, _label) or _fitted(text, _loose_label)


def _fitted(text: bytes, model: msgspec.json.Decoder[Struct]) -> Struct | None:
    """Return the object that a JSON text describes; None where it doesn't fit the decoder's model."""
    try:
        return model.decode(text)
    except msgspec.ValidationError:
        return None
