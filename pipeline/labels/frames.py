"""What labels say of one image of the index, and how what several files say of the image itself goes together."""

import msgspec

from pipeline.instances.label_block import Digest
from pipeline.instances.store import Stored
from pipeline.instances.tables import json_text


class Frame(msgspec.Struct):
    """What the labels say of one image of the index."""

    source: int
    """Position of its label source in the recipe."""
    file: str
    stored: Stored
    video: str | None
    attributes: str
    """JSON."""
    split: str | None
    """What the path of a label file of the first source that labels the image says, if anything."""
    split_source: int
    """Position of that source in the recipe."""
    content: Digest
    said: bool
    """Whether the file has usable labels of wanted categories for it, be they kept or left out as the recipe asks."""


def after(first: Frame, frame: Frame) -> Frame:
    """Return `frame` with what `first`, of the same source and without instances, says of the image itself."""
    frame.video = first.video or frame.video
    frame.attributes = merged(frame.attributes, first.attributes)
    frame.split = first.split or frame.split
    return frame


def merged(earlier: str, later: str) -> str:
    """Return attributes (JSON) with what a later source says put over them; what it leaves empty it doesn't say."""
    if "{}" in (earlier, later):
        return later if earlier == "{}" else earlier
    known, said = msgspec.json.decode(earlier), msgspec.json.decode(later)
    return json_text(known | {key: value for key, value in said.items() if value not in ("", None) or key not in known})
