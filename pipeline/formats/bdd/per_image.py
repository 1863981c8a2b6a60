"""The 2018 files of one image each: `{name, attributes, frames: [{timestamp, objects: [...]}]}`, paths as flat lists.

What one label becomes is in `bdd_label`.
"""

from collections.abc import Iterator
from typing import Any

from pipeline.formats.bdd.frames import LabelReading
from pipeline.formats.json_stream import JsonStream, decode
from pipeline.formats.options import ReadOptions
from pipeline.formats.repeated_keys import joined
from pipeline.instances import reasons
from pipeline.instances.records import LabelledImage


def read(stream: JsonStream, options: ReadOptions) -> Iterator[LabelledImage]:
    """Yield the one image; a file of several frames (none is known) would be one image with the objects of all."""
    content: dict[str, Any] = decode(joined(stream.value(), "frames", "objects"), stream)
    given = content.get("name")
    reading = LabelReading(stream.name, given if isinstance(given, str) and given.strip() else "", options)
    frames = content.get("frames")
    position = 0
    for frame in frames if isinstance(frames, list) else []:
        objects = frame.get("objects") if isinstance(frame, dict) else frame
        if not isinstance(objects, list):
            if objects is not None:
                reading.reject("", reasons.LABELS_NOT_LIST, objects)
            continue
        for label in objects:
            reading.add(label, position)
            position += 1
    yield reading.image(None, content.get("attributes"))
