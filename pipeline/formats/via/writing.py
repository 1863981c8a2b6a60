"""Images with their regions as the files of VIA 1 and 2, by VIA's own source (via-1.x.y, via-2.x.y)."""

import html
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import groupby, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

import msgspec
import numpy as np
import pyarrow as pa

from pipeline.files.atomic import whole_file
from pipeline.geometry.ring_table import RingTable, enclose_area
from pipeline.instances.image_paths import video_in_name
from pipeline.instances.tables import GEOMETRIES, json_text, rings_in

REGION_DATA = "via_region_data.json"
PROJECT = "via_project.json"
DATA_FORMAT = "2.0.10"
DECIMALS = 3
"""Of a pixel: vertices come back within 0.0005 px."""
FLAGS = ("crowd", "ignored")
ANSWERS = ("occluded", "truncated")
CORNERS = ("all_points_x", "all_points_y")

Regions = list[dict[str, Any]]

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True)
class Entry:
    """An image of a VIA file."""

    filename: str
    size: int
    """Bytes of the image file; with the name it is VIA's key, and without the right one VIA takes it for another."""
    width: int
    height: int
    file_attributes: dict[str, str]
    regions: Regions

    @property
    def key(self) -> str:
        """Name and byte size, without a separator."""
        return f"{self.filename}{self.size}"

    def region_data(self) -> dict[str, Any]:
        """Return the entry as the 2019 script and VIA 1 wrote it: regions as a dict, the image's size beside them."""
        regions = {str(number): region for number, region in enumerate(self.regions)}
        return {
            "filename": self.filename,
            "size": self.size,
            "width": self.width,
            "height": self.height,
            "regions": regions,
            "file_attributes": self.file_attributes,
        }

    def project_data(self) -> dict[str, Any]:
        """Return the entry as VIA 2 keeps it in a project: regions as a list."""
        return {
            "filename": self.filename,
            "size": self.size,
            "regions": self.regions,
            "file_attributes": self.file_attributes,
        }


Append = Callable[[Entry], None]
"""Appends an image to a file of VIA."""


class Declarations:
    """The attributes that a project must declare, since VIA 3 lumps others together, and what some are chosen from."""

    def __init__(self, categories: Iterable[str] = ()) -> None:
        flags = (*FLAGS, *ANSWERS)
        self._region = dict.fromkeys(("name", "instance", *flags))
        """Those that a person can give a region, whether any has them or not, and those in use."""
        self._file: dict[str, None] = {}
        chosen = {"name": categories, "geometry": GEOMETRIES, **dict.fromkeys(flags, ("true", "false"))}
        self._options = {key: {option: option for option in options} for key, options in chosen.items()}
        """Of attributes with options, the text that each option is shown with."""
        self._ticked: set[str] = set()
        """Attributes whose options are boxes to tick, as other people's files have them."""

    def add(self, entry: Entry) -> None:
        """Take note of what an entry uses."""
        self._file.update(dict.fromkeys(entry.file_attributes))
        for region in entry.regions:
            for key, value in region["region_attributes"].items():
                self._region.setdefault(key)
                if isinstance(value, dict):
                    self._ticked.add(key)
                elif key not in self._options:
                    continue
                options = self._options.setdefault(key, {})
                for option in value if isinstance(value, dict) else (value,):
                    options.setdefault(option, option)

    def offer(self, attribute: str, options: Mapping[str, str]) -> None:
        """Declare a region's attribute with options and the text that each is shown with."""
        self._region.setdefault(attribute)
        self._options.setdefault(attribute, {}).update(options)

    def as_json(self) -> dict[str, Any]:
        """Return `_via_attributes`: classes and flags to choose from, everything else as text."""
        text = {"type": "text", "description": "", "default_value": ""}
        region = {key: self._choice(key) if key in self._options else text for key in self._region}
        return {"region": region, "file": dict.fromkeys(self._file, text)}

    def _choice(self, key: str) -> dict[str, Any]:
        # VIA puts the descriptions into its page as HTML.
        described = {option: html.escape(text) for option, text in self._options[key].items() if option}
        kind = "checkbox" if key in self._ticked else "dropdown"
        return {"type": kind, "description": "", "options": described, "default_options": {}}


@contextmanager
def region_data_file(path: Path) -> Iterator[Append]:
    """Open via_region_data.json, an image a line; it appears at `path` when the block ends without an error."""
    with whole_file(path) as file:
        file.write(b"{")
        yield _appender(file, Entry.region_data)
        file.write(b"\n}\n")


@contextmanager
def project_file(path: Path, name: str, declared: Declarations, image_folder: str = "") -> Iterator[Append]:
    """Open a VIA 2 project; the attributes and image ids that it must name come after the images.

    What the images use is added to `declared`. `image_folder`, an address, is put before file names where VIA looks
    for images; empty: beside via.html.
    """
    ids: list[str] = []

    def project_data(entry: Entry) -> dict[str, Any]:
        declared.add(entry)
        ids.append(entry.key)
        return entry.project_data()

    with whole_file(path) as file:
        file.write(b'{"_via_settings":' + _encode(_settings(name, image_folder)))
        file.write(b',\n"_via_img_metadata":{')
        yield _appender(file, project_data)
        file.write(b'},\n"_via_attributes":' + _encode(declared.as_json()))
        file.write(b',\n"_via_data_format_version":' + _encode(DATA_FORMAT))
        file.write(b',\n"_via_image_id_list":' + _encode(ids) + b"}\n")


def _appender(file: BinaryIO, content_of: Callable[[Entry], dict[str, Any]]) -> Append:
    """Return the function that writes an image as a member of the object that `file` is within."""
    separator = b"\n"

    def append(entry: Entry) -> None:
        nonlocal separator
        file.write(separator + _encode(entry.key) + b":" + _encode(content_of(entry)))
        separator = b",\n"

    return append


def closed(entry: Entry, again: bool = True) -> Entry:
    """Return an entry whose polygons end with their first vertex, as in VIA 1: it draws no side that closes them."""
    regions = []
    for region in entry.regions:
        shape = region["shape_attributes"]
        corners = [shape.get(key) for key in CORNERS]
        if shape.get("name", "polygon") == "polygon" and all(isinstance(each, list) and each for each in corners):
            if all(len(each) > 1 and each[0] == each[-1] for each in corners):
                corners = [each[:-1] for each in corners]
            ended = [[*each, each[0]] for each in corners] if again else corners
            shape = shape | dict(zip(CORNERS, ended, strict=True))
        regions.append(region | {"shape_attributes": shape})
    return replace(entry, regions=regions)


def unclosed(entry: Entry) -> Entry:
    """Return an entry whose polygons don't repeat their first vertex, as in VIA 2 and 3."""
    return closed(entry, again=False)


def as_address(path: str) -> str:
    """Return a path as the part of an address that leads to it: browsers take some letters of it for something else."""
    return path.translate({ord(letter): quote(letter) for letter in "%#?\\"})


def _settings(name: str, image_folder: str) -> dict[str, Any]:
    """Return `_via_settings` as VIA 2 has them at first, regions labelled and coloured by their class."""
    return {
        "ui": {
            "annotation_editor_height": 25,
            "annotation_editor_fontsize": 0.8,
            "leftsidebar_width": 18,
            "image_grid": {
                "img_height": 80,
                "rshape_fill": "none",
                "rshape_fill_opacity": 0.3,
                "rshape_stroke": "yellow",
                "rshape_stroke_width": 2,
                "show_region_shape": True,
                "show_image_policy": "all",
            },
            "image": {
                "region_label": "name",
                "region_color": "name",
                "region_label_font": "10px Sans",
                "on_image_annotation_editor_placement": "NEAR_REGION",
            },
        },
        "core": {"buffer_size": 18, "filepath": {}, "default_filepath": image_folder},
        "project": {"name": name},
    }


def file_attributes(image: str, video: str | None, attributes: str) -> dict[str, str]:
    """Return an image's attributes (JSON) as VIA keeps them: texts by name, all that isn't text under `attributes`.

    `video` is among them only where the image's name doesn't say it.
    """
    given: dict[str, Any] = msgspec.json.decode(attributes)
    texts = {
        key: value for key, value in given.items() if isinstance(value, str) and key not in ("video", "attributes")
    }
    rest = {key: value for key, value in given.items() if key not in texts}
    if video and video != video_in_name(image):
        texts["video"] = video
    return texts | ({"attributes": json_text(rest)} if rest else {})


def regions_by_image(instances: Iterable[pa.Table]) -> Iterator[tuple[str, Regions]]:
    """Yield (image, its regions) for tables of labels.parquet's rows, sorted by image; a region a polygon."""
    rows = (row for table in instances for row in zip(table["image"].to_pylist(), _regions(table), strict=True))
    for image, of_image in groupby(rows, itemgetter(0)):
        yield image, [region for _, regions in of_image for region in regions]


def _regions(instances: pa.Table) -> Iterator[Regions]:
    """Yield the regions of each instance; they share its attributes, `instance` among them."""
    names = ["instance_id", "category", "geometry", *FLAGS, *ANSWERS, "attributes"]
    shapes = _shapes(instances["polygons"].combine_chunks())
    for shape, row in zip(shapes, instances.select(names).to_pylist(), strict=True):
        attributes = {"name": row["category"], "instance": row["instance_id"]}
        attributes |= {flag: "true" for flag in FLAGS if row[flag]}
        attributes |= {key: "true" if row[key] else "false" for key in ANSWERS if row[key] is not None}
        if row["geometry"] != "polygon":
            attributes["geometry"] = row["geometry"]
        if row["attributes"] != "{}":
            attributes["attributes"] = row["attributes"]
        yield [{"shape_attributes": each, "region_attributes": attributes} for each in shape]


def _shapes(polygons: pa.ListArray) -> Iterator[list[dict[str, Any]]]:
    """Yield the shape_attributes of each instance's rings."""
    rings, rings_each = rings_in(polygons)
    rounded = np.round(rings.points, DECIMALS) + 0.0
    # Rounding may make a line of a thin ring, which is no area when it is read.
    is_area = enclose_area(RingTable(rounded, rings.lengths))
    xs, ys = np.where(np.repeat(is_area, rings.lengths)[:, None], rounded, rings.points).T.tolist()
    ends = pairwise(np.cumsum([0, *rings.lengths]).tolist())
    shapes = [{"name": "polygon", "all_points_x": xs[i:j], "all_points_y": ys[i:j]} for i, j in ends]
    for first, end in pairwise(np.cumsum([0, *rings_each]).tolist()):
        yield shapes[first:end]
