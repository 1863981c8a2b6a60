"""What every label format is read into: images with their instances, and what was left out, with the reason."""

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from pipeline.geometry.polygon import Box, Ring

Geometry = Literal["polygon", "box", "rle", "bitmask"]
GEOMETRIES: tuple[Geometry, ...] = get_args(Geometry)


@dataclass(frozen=True)
class Instance:
    """One labelled object; its mask is the union of `rings`, filled nonzero, never with holes."""

    id: str
    category: str
    """Canonical category (`pipeline.recipe.categories`), or the source's own word where the vocabulary has none."""
    source_category: str
    rings: tuple[Ring, ...]
    box: Box
    geometry: Geometry
    """What the source gave; for `box` the ring is the rectangle."""
    crowd: bool = False
    ignored: bool = False
    occluded: bool | None = None
    truncated: bool | None = None
    attributes: dict[str, Any] = field(default_factory=dict)
    """Everything else that the label said; JSON-serialisable."""
    mask_size: tuple[int, int] | None = None
    """Width and height of the mask that it was traced from, which must be the image's; it is not kept."""


@dataclass(frozen=True)
class Rejected:
    """A label or an image that was left out: `reason` is a short fixed phrase, `label` the JSON text of what it was."""

    source: str
    image: str
    label_id: str
    reason: str
    label: str


@dataclass(frozen=True)
class LabelledImage:
    """What one label file says of one image."""

    name: str
    """The image's name as the label file gives it, e.g. `b1c66a42-6f7d68ca.jpg`, `video/frame.jpg`, or a URL."""
    source: str
    """The label file, e.g. `bdd100k_labels_release.zip/bdd100k/labels/bdd100k_labels_images_val.json`."""
    instances: tuple[Instance, ...]
    rejected: tuple[Rejected, ...] = ()
    video: str | None = None
    """`videoName`, where the file gives one."""
    attributes: dict[str, Any] = field(default_factory=dict)
    """Attributes of the whole image (weather, scene, timeofday; VIA file_attributes)."""
    size: tuple[int, int] | None = None
    """Width and height in pixels that the labels are for, which must be the image's; None where that isn't said."""
    unwanted: tuple[Rejected, ...] = ()
    """Labels of categories that the recipe does not want."""
