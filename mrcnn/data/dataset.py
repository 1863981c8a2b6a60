"""Dataset, as matterport's `utils.Dataset`: images, classes and instances, loaded one image at a time."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.data import decoding, resizing
from mrcnn.data.decoding import read_image
from mrcnn.data.pixels import as_uint8
from mrcnn.shapes import polygons
from mrcnn.shapes.polygons import Ring


class Dataset:
    """Base class of datasets: subclass it, call `add_class` and `add_image`, then `prepare`.

    A subclass overrides `load_mask`, and `load_image` unless images are files. Overriding `encoded_image` and
    `polygons`, too, makes the input pipeline several times faster. Class 0 is the background, "BG".
    """

    upright = False
    """Whether JPEG and PNG files are turned by their Exif data; as stored, as here, skimage.io.imread reads them."""

    def __init__(self, class_map: Mapping[str, int] | None = None) -> None:
        self._image_ids: NDArray[np.int64] = np.zeros(0, np.int64)
        self.image_info: list[dict[str, Any]] = []
        self.class_info: list[dict[str, Any]] = [{"source": "", "id": 0, "name": "BG"}]
        self.source_class_ids: dict[str, list[int]] = {}

    def add_class(self, source: str, class_id: int, class_name: str) -> None:
        """Add the class with id `class_id` in `source`, unless it has been added.

        Raises:
            ValueError: `source` contains a dot, which separates source and id in `map_source_class_id`.
        """
        if "." in source:
            raise ValueError(f"the source name {source!r} of class {class_name!r} must not contain a dot")
        if any(info["source"] == source and info["id"] == class_id for info in self.class_info):
            return
        self.class_info.append({"source": source, "id": class_id, "name": class_name})

    def add_image(self, source: str, image_id: Any, path: str | Path | None, **kwargs: Any) -> None:
        """Add an image; `kwargs` are stored in its `image_info`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})

    def image_reference(self, image_id: int) -> str:
        """Return a link to or a description of the image; override it for your dataset."""
        return ""

    def prepare(self, class_map: Mapping[str, int] | None = None) -> None:
        """Assign indices to classes and images; call it once, after the last `add_image`."""
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        self.class_names = [str(info["name"]).split(",")[0] for info in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {
            f"{info['source']}.{info['id']}": number for number, info in enumerate(self.class_info)
        }
        self.image_from_source_map = {
            f"{info['source']}.{info['id']}": number for number, info in enumerate(self.image_info)
        }
        self.sources = sorted({info["source"] for info in self.class_info})
        self.source_class_ids = {
            source: [number for number, info in enumerate(self.class_info) if number == 0 or info["source"] == source]
            for source in self.sources
        }

    def map_source_class_id(self, source_class_id: str) -> int:
        """Return the class index of `"<source>.<id>"`, e.g. `"coco.12"`; KeyError if there is none."""
        return self.class_from_source_map[source_class_id]

    def get_source_class_id(self, class_id: int, source: str) -> Any:
        """Return the id in `source` of the class with index `class_id`; ValueError if it is of another source."""
        info = self.class_info[class_id]
        if info["source"] != source:
            raise ValueError(f"class {class_id} ({info['name']}) is from source {info['source']!r}, not {source!r}")
        return info["id"]

    @property
    def image_ids(self) -> NDArray[np.int64]:
        """Indices of all images, [N] int64: 0 … N-1, after `prepare`."""
        return self._image_ids

    def source_image_link(self, image_id: int) -> Any:
        """Return the path or address of the image."""
        return self.image_info[image_id]["path"]

    def load_image(self, image_id: int) -> NDArray[np.uint8]:
        """Return the image, [H, W, 3] uint8 RGB; OSError or ValueError if its file can't be read."""
        return read_image(self.image_info[image_id]["path"], self.upright)

    def load_mask(self, image_id: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
        """Return masks [H, W, N] bool and class ids [N] int32 (negative: a crowd); override it for your dataset.

        Here, without an override: the pixels that the polygons touch, or no instance where there are none.
        """
        return masks_of_polygons(self, image_id)

    def encoded_image(self, image_id: int) -> bytes | None:
        """Return the image's JPEG or PNG file as bytes, or None to use `load_image`.

        Override it for images in an archive. By default it is None if `load_image` is overridden.
        """
        path = self.image_info[image_id]["path"]
        if path is None or type(self).load_image is not Dataset.load_image:
            return None
        return Path(path).read_bytes()

    def polygons(self, image_id: int) -> tuple[list[list[Ring]], NDArray[np.int32]] | None:
        """Return each instance's rings and the class ids [N] int32 (negative: a crowd), or None to use `load_mask`.

        A ring is [K, 2] float, (x, y) in pixels of the image; an instance is the union of its rings.
        """
        return None


@dataclass(frozen=True)
class StoredImage:
    """An image of a dataset before resizing, as encoded bytes or, if the dataset has none, as pixels."""

    dataset: Dataset
    image_id: int
    channels: int | None = None
    """Channels that it must have; None: any."""

    @cached_property
    def encoded(self) -> bytes | None:
        """The file's bytes, or None."""
        return self.dataset.encoded_image(self.image_id)

    @cached_property
    def name(self) -> str:
        """Name of the image in error messages."""
        info = self.dataset.image_info[self.image_id]
        return f"image {info['id']!r} of {info['source']!r}"

    @cached_property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        if self.encoded is not None:
            return decoding.image_size(self.encoded, self.name, self.dataset.upright)
        pixels = self.pixels_at(None)
        return pixels.shape[0], pixels.shape[1]

    def pixels_at(self, size: tuple[int, int] | None) -> NDArray[np.uint8]:
        """Return pixels [h, w, C] uint8; with `size` (h, w), at a fraction of the stored size that is not smaller."""
        if self.encoded is not None:
            reduction = decoding.reduction(self.size, size) if size else 1
            pixels = decoding.decode(self.encoded, self.name, reduction, self.dataset.upright)
            return as_uint8(pixels, self.channels, self.name)
        return resizing.shrink(self.loaded, size) if size else self.loaded

    @cached_property
    def loaded(self) -> NDArray[np.uint8]:
        """What the dataset's `load_image` returns, as [H, W, C] uint8; ImageError if it is no image."""
        return as_uint8(self.dataset.load_image(self.image_id), self.channels, self.name)


def masks_of_polygons(dataset: Dataset, image_id: int) -> tuple[NDArray[np.bool_], NDArray[np.int32]]:
    """Return masks [H, W, N] bool and class ids [N] int32 of an image from its dataset's polygons, in stored pixels.

    No instance where the dataset has no polygons for it; an instance outside the image has an empty mask.
    """
    info = dataset.image_info[image_id]
    height, width = info.get("height"), info.get("width")
    if height is None or width is None:
        height, width = StoredImage(dataset, image_id).size
    outlines = dataset.polygons(image_id)
    if outlines is None:
        return np.zeros((height, width, 0), bool), np.zeros(0, np.int32)
    full = np.zeros((len(outlines[0]), height, width), bool)
    for out, rings in zip(full, outlines[0], strict=True):
        out[:] = polygons.mask(rings, height, width)
    return np.moveaxis(full, 0, -1), np.asarray(outlines[1], np.int32)
