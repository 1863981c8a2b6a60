"""The labels of a block of BDD frames that are of other categories, told as `bdd_label` tells what is left out.

They are many, and nothing is asked of them but what they say: an encoder writes it without decoding their geometry.
"""

from collections.abc import Sequence
from itertools import pairwise

import msgspec
import numpy as np
import pyarrow as pa

from pipeline.formats.bdd import label as bdd_label
from pipeline.formats.bdd.label_kinds import Kind
from pipeline.formats.bdd.rows import PlainLabel
from pipeline.instances.label_block import OTHERS
from pipeline.instances.tables import texts

_encoder = msgspec.json.Encoder()


def told(labels: Sequence[PlainLabel], ids: Sequence[str], kinds: Sequence[Kind]) -> pa.RecordBatch:
    """Return a row for each label: its id and its JSON. The labels' attributes are replaced by those of their kinds."""
    written, ends, last = bytearray(), [0], 0
    for label, kind in zip(labels, kinds, strict=True):
        label.attributes = kind.told
        _encoder.encode_into(label, written, -1)
        if len(written) - last > bdd_label.LONGEST_NUMBER:
            written[last:] = bdd_label.json_of(label).encode()
        last = len(written)
        ends.append(last)
    return pa.record_batch([texts(list(ids)), _column(written, ends)], schema=OTHERS)


def _column(written: bytearray, ends: list[int]) -> pa.Array:
    """Return the texts that end at `ends` of what was written."""
    try:
        if not written.isascii():
            written.decode()
    except UnicodeDecodeError:  # no one looked at it before
        parts = (written[start:end] for start, end in pairwise(ends))
        return texts([part.decode("utf-8", "replace") for part in parts])
    offsets = pa.py_buffer(np.array(ends, np.int32))
    return pa.StringArray.from_buffers(len(ends) - 1, offsets, pa.py_buffer(written))
