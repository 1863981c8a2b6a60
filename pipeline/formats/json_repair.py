"""JSON that only some parsers take, made strict: NaN and Infinity, numbers out of range, other text than UTF-8.

Slow, and all of the text is held in memory; strict JSON doesn't come here.
"""

import codecs
import json
from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from pipeline.errors import LabelFileError

Decoded = TypeVar("Decoded")

_any = msgspec.json.Decoder(Any)


def decode(text: Any) -> Any:
    """Return the value of strict JSON (bytes or msgspec.Raw), numbers that are out of range taken for null."""
    return decode_as(text, _any)


def decode_as(text: Any, decoder: "msgspec.json.Decoder[Decoded]") -> Decoded:
    """Return the same as a decoder has it; raises msgspec.ValidationError where it doesn't fit."""
    try:
        return decoder.decode(text)
    except msgspec.ValidationError:
        return decoder.decode(json.dumps(_loaded(bytes(text).decode("utf-8", "replace"))[0]))


def repaired(text: bytes, name: str) -> tuple[bytes, list[str]]:
    """Return the file's text as strict JSON in UTF-8, and the keys that come again in an object, where the last counts.

    NaN and Infinity are null, bytes that are not UTF-8 are read as Windows-1252. Raises LabelFileError where it is no
    JSON even so; `name` is what the error calls the file.
    """
    decoded = as_text(text)
    try:
        value, repeated = _loaded(decoded)
        return json.dumps(value, ensure_ascii=False).encode("utf-8", "replace"), repeated
    except json.JSONDecodeError as error:
        raise _fault(name, decoded, error) from None
    except RecursionError:
        raise LabelFileError(f"{name}: not JSON that is read: nested too deep") from None


def as_text(text: bytes) -> str:
    """Return the text that bytes are: UTF-16 with its mark, UTF-8, else Windows-1252."""
    if text.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return text.decode("utf-16", "replace")
    try:
        return text.decode("utf-8-sig")
    except UnicodeDecodeError:
        return text.decode("cp1252", "replace")


def _loaded(text: str) -> tuple[Any, list[str]]:
    repeated: dict[str, None] = {}

    def members(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) < len(pairs):
            keys = [key for key, _ in pairs]
            repeated.update(dict.fromkeys(key for key in found if keys.count(key) > 1))
        return found

    value = json.loads(
        text,
        strict=False,
        parse_constant=lambda _: None,
        parse_int=_integer,
        parse_float=_number,
        object_pairs_hook=members,
    )
    return value, list(repeated)


def _fault(name: str, text: str, error: json.JSONDecodeError) -> LabelFileError:
    if error.pos >= len(text.rstrip()) or error.msg.startswith("Unterminated string"):
        return cut_short(name, len(text.encode("utf-8", "replace")))
    what = "something follows where the JSON ends" if error.msg == "Extra data" else error.msg
    byte = len(text[: error.pos].encode("utf-8", "replace"))
    return LabelFileError(f"{name}: not JSON at byte {byte}: {what}")


def cut_short(name: str, length: int) -> LabelFileError:
    """Return the error for a file of so many bytes that ends too early."""
    what = f"its JSON is unfinished after byte {length}; fetch or export it again"
    return LabelFileError(f"{name}: the label file is cut short: {what}")


def _integer(digits: str) -> int | float | None:
    return number if len(digits) <= 20 and -(2**63) <= (number := int(digits)) < 2**64 else _number(digits)


def _number(digits: str) -> float | None:
    number = float(digits)
    return number if abs(number) < float("inf") else None
