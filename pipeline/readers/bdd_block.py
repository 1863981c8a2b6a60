"""Blocks of BDD frames: what `bdd_frames` reads label by label, read by the thousand, with the same result.

Only what is common is done here. A frame with anything else about it goes to `bdd_frames`, a label to `bdd_label`:
they know all cases, and they alone decide what is rejected. How labels become columns is in `bdd_rows`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec
import numpy as np

from pipeline.instance_columns import rings_in
from pipeline.instances import LabelledImage, Rejected
from pipeline.label_block import ImageRows, LabelBlock, digest, image_attributes, video_of
from pipeline.readers import bdd_frames, bdd_label
from pipeline.readers.bdd_rows import Attributes, Columns, PlainLabel, Rows, Word
from pipeline.readers.json_stream import JsonStream, Spread
from pipeline.readers.options import ReadOptions
from pipeline.tables import json_text
from pipeline.vocabulary import is_line

MOST_REMEMBERED = 10_000
"""Different texts of attributes, or words, that are kept in mind; few files have more than a hundred."""


class PlainFrame(msgspec.Struct):
    """A frame of plain labels."""

    name: Any = None
    url: Any = None
    videoName: Any = None  # noqa: N815 (the file's own key)
    attributes: Any = None
    labels: list[PlainLabel] | None = None

    def whole(self) -> bdd_frames.Frame:
        """Return the frame as `bdd_frames` takes it."""
        labels = None if self.labels is None else [label.whole() for label in self.labels]
        return bdd_frames.Frame(self.name, self.url, self.videoName, self.attributes, labels)


@dataclass(frozen=True)
class _Gathered:
    """A frame whose wanted labels are rows, from `first` up to `end`."""

    frame: PlainFrame
    name: str
    unwanted: int
    first: int
    end: int


_plain_frames = msgspec.json.Decoder(list[PlainFrame])
_plain_frame = msgspec.json.Decoder(PlainFrame)
_values = msgspec.json.Decoder(list[msgspec.Raw])


def read_lists(stream: JsonStream, options: ReadOptions, wrapped: bool, spread: Spread | None) -> Iterator[LabelBlock]:
    """Yield the images of a list of frames, or of a wrapper of one, in blocks; `spread` as in `JsonStream.blocks`."""
    read = BlockReader(stream.name, options)
    for _ in bdd_frames.lists_in(stream) if wrapped else (None,):
        yield from stream.blocks(read, spread)


class BlockReader:
    """Reads blocks of the file `source`; what its words and attributes mean is found out once."""

    def __init__(self, source: str, options: ReadOptions) -> None:
        self.source, self.options = source, options
        self._attributes: dict[bytes, Attributes] = {}
        self._words: dict[tuple[str, str | None] | None, Word] = {}

    def __call__(self, text: bytes) -> LabelBlock:
        """Return what a JSON list of frames says; raises what `JsonStream.blocks` wants where it is not JSON."""
        if len(self._attributes) > MOST_REMEMBERED or len(self._words) > MOST_REMEMBERED:
            self._attributes, self._words = {}, {}
        rows = Rows()
        frames = [self._gathered(frame, rows) for frame in _decoded(text)]
        words, attributes = list(self._words.values()), list(self._attributes.values())
        columns = rows.columns(self.source, self.options, words, attributes)
        described = _images([each for each in frames if isinstance(each, _Gathered)], rows, columns, self.source)
        images = [next(described) if isinstance(each, _Gathered) else each for each in frames]
        return LabelBlock(self.source, images, columns.batch)

    def _gathered(self, frame: PlainFrame | bytes, rows: Rows) -> _Gathered | LabelledImage:
        """Append the wanted labels of a frame to the rows, or read the frame as `bdd_frames` does."""
        if isinstance(frame, bytes):
            return bdd_frames.image(bdd_frames.frame_of(frame), self.source, self.options)
        name = bdd_frames.name_of(frame)
        labels = frame.labels or []
        ids = [bdd_label.text_of_id(label.id) or f"#{position}" for position, label in enumerate(labels)]
        if not name or len(set(ids)) < len(ids):
            return bdd_frames.image(frame.whole(), self.source, self.options)
        first = len(rows.labels)
        for label, label_id in zip(labels, ids, strict=True):
            attributes = self._understood(bytes(label.attributes))
            word = self._word(label.category, attributes)
            if word.meaning is not None or word.odd:
                rows.add(label, label_id, word, attributes)
        end = len(rows.labels)
        return _Gathered(frame, name, len(labels) - (end - first), first, end)

    def _understood(self, text: bytes) -> Attributes:
        found = self._attributes.get(text)
        if found is None:
            found = self._attributes[text] = Attributes(len(self._attributes), text)
        return found

    def _word(self, word: Any, attributes: Attributes) -> Word:
        key = (word, attributes.kinds.get(word)) if isinstance(word, str) else None
        return self._words.get(key) or self._learned(key)

    def _learned(self, key: tuple[str, str | None] | None) -> Word:
        number, word = len(self._words), key[0] if key else ""
        if key is None or not word or word.isspace():
            found = Word(number, word, None, odd=True)
        else:
            meaning = self.options.wanted.meaning(*key)
            found = Word(number, word, meaning, line=meaning is not None and is_line(meaning.category))
        self._words[key] = found
        return found


def _decoded(text: bytes) -> Sequence[PlainFrame | bytes]:
    """Return the frames of a block; one that is not plain, as its JSON."""
    try:
        return _plain_frames.decode(text)
    except msgspec.ValidationError:
        return [_one(bytes(frame)) for frame in _values.decode(text)]


def _one(text: bytes) -> PlainFrame | bytes:
    try:
        return _plain_frame.decode(text)
    except msgspec.ValidationError:
        return text


def _images(frames: Sequence[_Gathered], rows: Rows, columns: Columns, source: str) -> Iterator[ImageRows]:
    """Yield what is said of the image of each frame."""
    batch = columns.batch
    rings, each = rings_in(batch["polygons"])
    ids = [rows.ids[row] for row in columns.kept.tolist()] if columns.faults else rows.ids
    categories = batch["category"].to_pylist()
    marks = np.stack([batch[flag].to_numpy(zero_copy_only=False) for flag in ("crowd", "ignored")], axis=1).astype(bool)
    starts = np.searchsorted(columns.kept, [frame.first for frame in frames] + [len(rows.labels)])
    of_rings = np.concatenate([[0], np.cumsum(each)])[starts]
    of_points = np.concatenate([[0], np.cumsum(rings.lengths)])[of_rings]
    for at, frame in enumerate(frames):
        row, ring, point = (slice(ends[at], ends[at + 1]) for ends in (starts, of_rings, of_points))
        own = (marks[row], each[row], rings.lengths[ring], rings.points[point])
        attributes = frame.frame.attributes if isinstance(frame.frame.attributes, dict) else {}
        video = bdd_frames.video_of(frame.frame)
        yield ImageRows(
            name=frame.name,
            video=video,
            frame_of=video_of(video, attributes),
            attributes=json_text(image_attributes(attributes)),
            rejected=_rejected(frame, rows, columns, source),
            unwanted=frame.unwanted,
            content=digest([*ids[row], *categories[row]], [mark.tobytes() for mark in own]),
            start=int(starts[at]),
            count=int(starts[at + 1] - starts[at]),
        )


def _rejected(frame: _Gathered, rows: Rows, columns: Columns, source: str) -> tuple[Rejected, ...]:
    if not columns.faults:
        return ()
    return tuple(
        Rejected(source, frame.name, rows.ids[row], columns.faults[row], bdd_label.json_of(rows.labels[row].whole()))
        for row in range(frame.first, frame.end)
        if row in columns.faults
    )
