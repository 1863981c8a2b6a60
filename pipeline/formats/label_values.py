"""Values that label files of several formats have in common: flags, ids, attributes of images, run-length masks."""

from typing import Any

import msgspec

from pipeline.geometry import masks
from pipeline.geometry.polygon import Ring
from pipeline.instances import reasons
from pipeline.instances.reasons import LabelError
from pipeline.instances.tables import json_text

FLAGS = frozenset({"crowd", "ignored", "occluded", "truncated"})
ANSWERS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}

SUSPECTS = "model_suspects"
"""Attribute of an image that says, in a folder for VIA, what a model holds for wrong; it is no label."""


class RunLengths(msgspec.Struct):
    """A COCO run-length mask; `size` is (height, width) in pixels."""

    counts: str | list[int]
    size: tuple[int, int]


def answer(value: Any) -> bool | None:
    """Return the value of a yes-or-no attribute as a truth value, None where it is neither yes nor no."""
    if isinstance(value, bool):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    return ANSWERS.get(value.strip().casefold()) if isinstance(value, str) else None


def split_flags(attributes: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the flags among the attributes of a label, and the other attributes.

    A flag that is neither yes nor no stays an attribute. Attributes that are no object are kept under `attributes`.
    """
    if not isinstance(attributes, dict):
        return {}, {} if attributes is None else {"attributes": attributes}
    flags: dict[str, Any] = {}
    others: dict[str, Any] = {}
    for key, value in attributes.items():
        flag = key.casefold()
        if flag in FLAGS and flag not in flags and (holds := answer(value)) is not None:
            flags[flag] = holds
        else:
            others[key] = value
    return flags, others


def check_numbers(values: Any, malformed: str) -> None:
    """Raise LabelError where values are no list of numbers (`malformed`), or one is not finite or too large."""
    if not isinstance(values, list) or not {int, float}.issuperset(map(type, values)):
        raise LabelError(malformed)
    if not all(abs(number) <= reasons.FARTHEST for number in values):
        raise LabelError(reasons.TOO_FAR)


def id_text(value: Any) -> str:
    """Return the id of a label as text; empty where it has none."""
    if isinstance(value, str):
        return value
    return "" if value is None or isinstance(value, bool) else msgspec.json.encode(value).decode()


def image_attributes(attributes: Any) -> tuple[str | None, str]:
    """Return the video of an image, if its attributes name one, and the others but `SUSPECTS` as JSON."""
    others = dict(attributes) if isinstance(attributes, dict) else {}
    others.pop(SUSPECTS, None)
    video = others.pop("video", None)
    return video if isinstance(video, str) and video else None, json_text(unpacked(others))


def unpacked(attributes: dict[str, Any]) -> dict[str, Any]:
    """Return attributes with those that VIA files hold under `attributes`, packed as JSON since they are no text."""
    others = dict(attributes)
    packed = others.pop("attributes", "")
    try:
        inner = msgspec.json.decode(packed or "{}") if isinstance(packed, str) else packed
    except (msgspec.DecodeError, RecursionError):
        inner = None
    return inner | others if isinstance(inner, dict) else attributes


def trace_run_lengths(mask: RunLengths) -> tuple[list[Ring], tuple[int, int]]:
    """Return the outlines of a mask without its holes, and its (width, height); raises LabelError for an empty one."""
    height, width = mask.size
    try:
        rings = masks.trace(masks.decode(mask.counts, height, width))
    except (ValueError, OverflowError):
        raise LabelError(reasons.MASK_MALFORMED) from None
    if not rings:
        raise LabelError(reasons.MASK_EMPTY)
    return rings, (width, height)
