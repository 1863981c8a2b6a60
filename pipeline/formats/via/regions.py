"""The regions of one image of a VIA file to rows: shapes to rings, attributes as they are, no class decided."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pipeline.formats.rows import Description, Rows
from pipeline.formats.via.classes import Options, spelled_out, text_of
from pipeline.formats.via.shapes import outline
from pipeline.geometry import polygon
from pipeline.geometry.polygon import Ring
from pipeline.instances.reasons import LabelError
from pipeline.instances.records import GEOMETRIES, Geometry
from pipeline.instances.tables import json_text

ROUNDING = 0.01
"""Pixels by which a vertex may be off since it was written to a VIA file."""


@dataclass(frozen=True)
class Region:
    """A region of a file; `id` is its key or its place in the list, `given` all that the file says of it."""

    id: str
    shape: Any
    attributes: Any
    given: Any


def add(rows: Rows, regions: Iterable[Region], declared: Options) -> None:
    """Add the regions of the image that was begun; `declared` are the options of a project's attributes.

    Attributes are kept whole, options that are mere numbers spelled out.
    """
    for region in regions:
        said = spelled_out(region.attributes if isinstance(region.attributes, dict) else {}, declared)
        description = Description(None, attributes=json_text(said), part_of=text_of(said.get("instance")) or None)
        try:
            ring, kind = outline(region.shape, rows.curve_tolerance)
        except LabelError as fault:
            rows.reject(region.id, fault.reason, description)
        else:
            rows.add_rings(region.id, description, [ring], geometry_of(said, kind, ring))


def geometry_of(attributes: Mapping[str, Any], kind: Geometry, ring: Ring) -> Geometry:
    """Return what the region was made from; a box that a person has given another outline since is one no more."""
    given = attributes.get("geometry")
    geometry = next((geometry for geometry in GEOMETRIES if geometry == given), kind)
    return "polygon" if geometry == "box" and not _fills_its_box(ring) else geometry


def _fills_its_box(ring: Ring) -> bool:
    """Say whether a ring is the rectangle around it, but for the rounding of its vertices."""
    width, height = (ring.max(axis=0) - ring.min(axis=0)).tolist()
    return bool(width * height - polygon.area(ring) <= ROUNDING * (width + height))
