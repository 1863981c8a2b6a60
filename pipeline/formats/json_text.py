"""The JSON of label files: split into elements without decoding them, made strict where only some parsers accept it.

Knows JSON and no label format.
"""

import codecs
import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import msgspec

from pipeline.errors import LabelFileError
from pipeline.formats.content import Content

WINDOW = 4 << 20
"""Bytes that are checked at once."""

_any = msgspec.json.Decoder(Any)
_parts = msgspec.json.Decoder(list[msgspec.Raw] | dict[str, msgspec.Raw])
_list = msgspec.json.Decoder(list[msgspec.Raw])

log = logging.getLogger(__name__)

Decoded = TypeVar("Decoded")


@dataclass(frozen=True)
class Json:
    """Strict JSON: `parts` are the elements of its list, or the values of its object by key, else None."""

    name: str
    """What messages call the file."""
    text: memoryview
    parts: Any

    @property
    def members(self) -> dict[str, msgspec.Raw]:
        """The parts of an object; none where it is a list."""
        return self.parts if isinstance(self.parts, dict) else {}


def load(content: Content) -> Json:
    """Return the JSON of a label file; raises LabelFileError where it is cut short or no JSON.

    JSON that is not strict is repaired, with one warning. Of a key that an object has twice, the last one counts.
    """
    text = memoryview(content.data)
    if not text:
        raise LabelFileError(f"{content.name}: the label file is empty")
    if text[:3] == codecs.BOM_UTF8:
        text = text[3:]
    try:
        if _is_utf8(text):
            return _split(content.name, text)
    except msgspec.DecodeError as error:
        if "truncated" in str(error) and not _is_closed(text):
            raise _cut_short(content.name, len(content.data)) from None
    except RecursionError:
        raise _too_deep(content.name) from None
    strict, repeated = _repaired(bytes(content.data), content.name)
    log.warning(
        "%s: not strict JSON: NaN and Infinity are taken for null, text that is not UTF-8 for Windows-1252%s",
        content.name,
        f"; of a key that an object has twice the last one counts: {', '.join(repeated)}" if repeated else "",
    )
    return _split(content.name, memoryview(strict))


def _split(name: str, text: memoryview) -> Json:
    try:
        return Json(name, text, _parts.decode(text))
    except msgspec.ValidationError:  # neither a list nor an object
        return Json(name, text, None)


def _is_utf8(text: memoryview) -> bool:
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(text), WINDOW):
            piece = bytes(text[start : start + WINDOW])
            if not (piece.isascii() and decoder.getstate() == (b"", 0)):
                decoder.decode(piece)
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _is_closed(text: memoryview) -> bool:
    """Return whether a text ends with the bracket that closes the one at its start."""
    start, end = bytes(text[:1000]).lstrip()[:1], bytes(text[-1000:]).rstrip()[-1:]
    return (start, end) in ((b"[", b"]"), (b"{", b"}"))


def elements(value: msgspec.Raw | bytes) -> list[msgspec.Raw]:
    """Return the elements of a list; raises msgspec.ValidationError for what is no list."""
    return _list.decode(value)


def first_byte(value: msgspec.Raw) -> bytes:
    """Return the first byte of a value's JSON, which shows its type."""
    return bytes(memoryview(value)[:1])


def decode(text: Any) -> Any:
    """Return the value of strict JSON (bytes or msgspec.Raw); numbers that are out of range are None."""
    return decode_as(text, _any)


def decode_as(text: Any, decoder: "msgspec.json.Decoder[Decoded]") -> Decoded:
    """Return the same as the type of a decoder; raises msgspec.ValidationError where the value is of another type."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        return decoder.decode(json.dumps(_loaded(bytes(text).decode("utf-8", "replace"))[0]))


def _repaired(data: bytes, name: str) -> tuple[bytes, list[str]]:
    """Return strict JSON in UTF-8, and the keys that an object has twice, of which the last one counts.

    NaN, Infinity and numbers out of range are null. Raises LabelFileError where it is no JSON even so.
    """
    text = _text(data)
    try:
        value, repeated = _loaded(text)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), repeated
    except json.JSONDecodeError as error:
        raise _fault(name, text, error) from None
    except RecursionError:
        raise _too_deep(name) from None


def _text(data: bytes) -> str:
    """Return data as text: UTF-16 if it has a byte order mark, UTF-8, else Windows-1252."""
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", "replace")


def _loaded(text: str) -> tuple[Any, list[str]]:
    repeated: dict[str, None] = {}

    def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        value = dict(pairs)
        if len(value) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated.update(dict.fromkeys(key for key in value if keys.count(key) > 1))
        return value

    value = json.loads(
        text,
        strict=False,
        parse_constant=lambda _: None,
        parse_int=_integer,
        parse_float=_number,
        object_pairs_hook=members,
    )
    return value, list(repeated)


def _integer(digits: str) -> int | float | None:
    return number if len(digits) <= 20 and -(2**63) <= (number := int(digits)) < 2**64 else _number(digits)


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None


def _fault(name: str, text: str, error: json.JSONDecodeError) -> LabelFileError:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return _cut_short(name, len(text.encode("utf-8", "replace")))
    what = "something follows where the JSON ends" if error.msg == "Extra data" else error.msg
    byte = len(text[: error.pos].encode("utf-8", "replace"))
    return LabelFileError(f"{name}: not JSON at byte {byte}: {what}")


def _cut_short(name: str, length: int) -> LabelFileError:
    what = f"its JSON is unfinished after byte {length}; fetch or export it again"
    return LabelFileError(f"{name}: the label file is cut short: {what}")


def _too_deep(name: str) -> LabelFileError:
    return LabelFileError(f"{name}: not JSON that is read: nested too deep")
