"""Blocks of BDD frames: what `bdd_frames` reads label by label, read by the thousand, with the same result.

Only what is common is done here. A frame with anything else about it goes to `bdd_frames`, a label to `bdd_label`:
they know all cases, and they alone decide what is rejected. How labels become columns is in `bdd_rows`.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import msgspec
import numpy as np
from numpy.typing import NDArray

from pipeline.formats.bdd import frames as bdd_frames
from pipeline.formats.bdd import label as bdd_label
from pipeline.formats.bdd.label_kinds import Kinds
from pipeline.formats.bdd.others import told
from pipeline.formats.bdd.rows import Columns, PlainLabel, Rows
from pipeline.formats.json_stream import JsonStream, Spread
from pipeline.formats.options import ReadOptions
from pipeline.formats.repeated_keys import joined
from pipeline.instances.columns import rings_in
from pipeline.instances.label_block import ImageRows, LabelBlock, digest, image_attributes, ring_marks, video_of
from pipeline.instances.records import LabelledImage, Rejected
from pipeline.instances.tables import json_text

MOST_REMEMBERED = 10_000
"""Kinds of labels that are kept in mind; few files have more than a hundred."""


class PlainFrame(msgspec.Struct):
    """A frame of plain labels; its attributes stay undecoded, since few different ones come again and again."""

    name: Any = None
    url: Any = None
    videoName: Any = None  # noqa: N815 (the file's own key)
    attributes: msgspec.Raw = bdd_label.ABSENT
    labels: list[PlainLabel] | None = None

    def whole(self) -> bdd_frames.Frame:
        """Return the frame as `bdd_frames` takes it."""
        labels = None if self.labels is None else [label.whole() for label in self.labels]
        attributes = msgspec.json.decode(self.attributes) if self.attributes else None
        return bdd_frames.Frame(self.name, self.url, self.videoName, attributes, labels)


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
        self._kinds = Kinds(options)
        self._scenes = Scenes()

    def __call__(self, text: bytes | memoryview) -> LabelBlock:
        """Return what a JSON list of frames says; raises what `JsonStream.blocks` wants where it is not JSON."""
        if len(self._kinds) > MOST_REMEMBERED:
            self._kinds = Kinds(self.options)
        if len(self._scenes) > MOST_REMEMBERED:
            self._scenes = Scenes()
        frames = self._named(_decoded(text))
        plain = [frame for frame in frames if isinstance(frame, _Named)]
        labels = [label for frame in plain for label in frame.labels]
        numbers = self._numbers(labels)
        wanted = np.array([kind.wanted for kind in self._kinds.found], bool)[numbers]
        taken, left = np.flatnonzero(wanted).tolist(), np.flatnonzero(~wanted).tolist()
        ids = [label_id for frame in plain for label_id in frame.ids]
        rows = Rows([labels[at] for at in taken], [ids[at] for at in taken], numbers[wanted], self._kinds.found)
        others = told(
            [labels[at] for at in left],
            [ids[at] for at in left],
            [self._kinds.found[at] for at in numbers[left].tolist()],
        )
        ends = np.cumsum([0, *(len(frame.labels) for frame in plain)])
        firsts = np.concatenate([[0], np.cumsum(wanted)])[ends]
        described = _Description(self.source, rows, rows.columns(self.source, self.options), self._scenes)
        images = described.images(plain, firsts)
        whole = [next(images) if isinstance(frame, _Named) else frame for frame in frames]
        return LabelBlock(self.source, whole, described.columns.batch, others)

    def _named(self, frames: Sequence[PlainFrame | bytes]) -> "list[_Named | LabelledImage]":
        """Return frames with the ids of their labels; one that is not so plain is read as `bdd_frames` does."""
        labels = [label for frame in frames if isinstance(frame, PlainFrame) for label in frame.labels or ()]
        given = [label.id for label in labels]
        numbered = set(map(type, given)) <= {int}
        texts = [*map(str, given)] if numbered else []
        masks = any(map(len, [label.rle for label in labels]))
        named: list[_Named | LabelledImage] = []
        end = 0
        for frame in frames:
            if isinstance(frame, bytes):
                named.append(bdd_frames.image(bdd_frames.frame_of(frame), self.source, self.options))
                continue
            name, its = bdd_frames.name_of(frame), frame.labels or []
            start, end = end, end + len(its)
            ids = texts[start:end] if numbered else _ids(given[start:end])
            # A mask's size is judged with its image, and columns have no place for it.
            if not name or len(set(ids)) < len(ids) or (masks and any(map(_is_traced, its))):
                named.append(bdd_frames.image(frame.whole(), self.source, self.options))
            else:
                named.append(_Named(frame, name, its, ids))
        return named

    def _numbers(self, labels: Sequence[PlainLabel]) -> NDArray[np.int64]:
        """Return the number of each label's kind."""
        kinds = self._kinds
        try:
            numbers = [kinds[label.category, bytes(label.attributes)] for label in labels]
        except TypeError:  # a category that is a list or an object can't be looked up; any that is no text is alike
            words = [label.category if isinstance(label.category, str) else None for label in labels]
            numbers = [kinds[word, bytes(label.attributes)] for word, label in zip(words, labels, strict=True)]
        return np.array(numbers, np.int64)


class _Named(NamedTuple):
    """A plain frame whose image has a name, and whose labels have distinct ids."""

    frame: PlainFrame
    name: str
    labels: list[PlainLabel]
    ids: list[str]


def _ids(given: Sequence[Any]) -> list[str]:
    return [bdd_label.text_of_id(each) or f"#{at}" for at, each in enumerate(given)]


def _is_traced(label: PlainLabel) -> bool:
    if label.rle is bdd_label.ABSENT or label.rle in bdd_label.NOTHING:
        return False
    return label.poly2d is bdd_label.ABSENT or label.poly2d in bdd_label.NOTHING


def _decoded(text: bytes | memoryview) -> Sequence[PlainFrame | bytes]:
    """Return the frames of a block; one that is not plain, as its JSON."""
    try:
        frames = _plain_frames.decode(text)
    except msgspec.ValidationError:
        frames = None
    if frames is not None and not bdd_frames.labels_again(text, frames):
        return frames
    return [_one(joined(bytes(frame), "labels")) for frame in _values.decode(text)]


def _one(text: bytes) -> PlainFrame | bytes:
    try:
        return _plain_frame.decode(text)
    except msgspec.ValidationError:
        return text


class Scenes(dict[bytes, tuple[str | None, str]]):
    """What the JSON of an image's attributes says: the video, and the attributes as in images.parquet."""

    def __missing__(self, text: bytes) -> tuple[str | None, str]:
        given = msgspec.json.decode(text) if text else None
        said = given if isinstance(given, dict) else {}
        self[text] = video_of(None, said), json_text(image_attributes(said))
        return self[text]


class _Description:
    """Says of each image of a block what is not in its columns."""

    def __init__(self, source: str, rows: Rows, columns: Columns, scenes: Scenes) -> None:
        self.columns = columns
        self._source, self._rows, self._scenes = source, rows, scenes
        self._ids = [rows.ids[row] for row in columns.kept.tolist()] if columns.faults else rows.ids
        self._rings, self._each = rings_in(columns.batch["polygons"])
        flags = (columns.batch[name].to_numpy(zero_copy_only=False).astype(bool) for name in ("crowd", "ignored"))
        self._marks = ring_marks(self._rings.lengths, self._each, *flags)
        self._categories = [kind.category for kind in rows.kinds]
        self._numbers = rows.numbers[columns.kept].tolist()

    def images(self, frames: Sequence[_Named], firsts: NDArray[np.int64]) -> Iterator[ImageRows]:
        """Yield what is said of the image of each frame; `firsts` has its first row, and where the last one ends."""
        starts = np.searchsorted(self.columns.kept, firsts)
        of_rings = np.concatenate([[0], np.cumsum(self._each)])[starts]
        of_points = np.concatenate([[0], np.cumsum(self._rings.lengths)])[of_rings]
        places = np.stack([firsts, starts, of_rings, of_points], axis=1).tolist()
        first_other = 0
        for frame, (first, start, ring, point), (last, end, last_ring, last_point) in zip(
            frames, places, places[1:], strict=False
        ):
            categories = [self._categories[number] for number in self._numbers[start:end]]
            named, attributes = self._scenes[bytes(frame.frame.attributes)]
            video = bdd_frames.video_of(frame.frame)
            rejected = self._rejected(frame.name, first, last) if self.columns.faults else ()
            yield ImageRows(
                name=frame.name,
                video=video,
                frame_of=video or named,
                attributes=attributes,
                rejected=rejected,
                first_other=first_other,
                other_count=(other_count := len(frame.labels) - (last - first)),
                content=digest(
                    self._ids[start:end],
                    categories,
                    self._marks[ring:last_ring],
                    self._rings.points[point:last_point],
                    rejected,
                ),
                start=start,
                count=end - start,
            )
            first_other += other_count

    def _rejected(self, name: str, first: int, last: int) -> tuple[Rejected, ...]:
        labels, ids, reasons = self._rows.labels, self._rows.ids, self.columns.faults
        return tuple(
            Rejected(self._source, name, ids[row], reasons[row], bdd_label.json_of(labels[row].whole()))
            for row in range(first, last)
            if row in reasons
        )
