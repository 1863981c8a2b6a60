"""Labels to VIA and back: categories, instances, attributes and flags as they were, vertices within 0.01 px."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import via
from pipeline.formats.via.writing import Declarations, closed, project_file, region_data_file
from pipeline.formats.via.writing_via3 import via3_project_file
from pipeline.geometry import polygon
from pipeline.instances.tables import IMAGES, LABELS, json_text
from tests.pipeline.labelled_folders import filtered, recipe_of, via_of
from tests.pipeline.raw_tables import Wanted, bounds, images_of
from tests.pipeline.via_rules import assert_via_1_imports, assert_via_opens

REAL = Path(__file__).resolve().parents[4] / "shared" / "real"
real_files = pytest.mark.skipif(not REAL.exists(), reason="../shared/real is absent")

ids = st.sampled_from(["7", " 7", "7 ", " ", "\u3000", "0", "1", "7~2", "#0", "a,b"]) | st.text(
    st.characters(codec="utf-8"), min_size=1, max_size=4
)
names = st.sampled_from(["car", "swan", "traffic sign", "Bär", 'a "quoted" <b>'])
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=8)
coordinates = st.floats(0, 4000, allow_subnormal=False)
sides = st.floats(0.5, 99) | st.floats(1e-4, 0.01)
"""Pixels; what is thin may become a line when it is rounded."""


@st.composite
def instances(draw: st.DrawFn) -> Wanted:
    """Draw an instance that a reader could have given: rings with area, flags, attributes of any kind."""
    rings = []
    for _ in range(draw(st.integers(1, 3))):
        left, top = draw(coordinates), draw(coordinates)
        corners = [(left, top), (left + draw(sides), top), (left, top + draw(sides))]
        rings.append(np.array(corners + draw(st.lists(st.tuples(coordinates, coordinates), max_size=5))))
    category = draw(names)
    keys = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=6)
    geometry = draw(st.sampled_from(["polygon", "box", "rle", "bitmask"]))
    if geometry == "box":  # a rectangle, since an outline that a person has given a box is one no more
        left, top, width, height = (getattr(bounds(rings), side) for side in ("x", "y", "width", "height"))
        rings = [polygon.rectangle(left, top, left + width, top + height)]
    return Wanted(
        id=draw(ids),
        category=category,
        rings=tuple(rings),
        box=bounds(rings),
        geometry=geometry,
        crowd=draw(st.booleans()),
        ignored=draw(st.booleans()),
        occluded=draw(st.none() | st.booleans()),
        truncated=draw(st.none() | st.booleans()),
        attributes=draw(st.dictionaries(keys, scalars | st.lists(scalars, max_size=3), max_size=4)),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    drawn=st.lists(st.lists(instances(), max_size=4, unique_by=lambda each: each.id), min_size=1, max_size=3),
    weather=st.dictionaries(st.sampled_from(["weather", "scene", "n"]), scalars, max_size=3),
)
def test_labels_to_via_and_back_lose_nothing(
    tmp_path: Path, drawn: list[list[Wanted]], weather: dict[str, Any]
) -> None:
    assert_via_keeps(tmp_path, [(image, weather) for image in drawn])


def assert_via_keeps(folder: Path, labelled: Sequence[tuple[Sequence[Wanted], dict[str, Any]]]) -> None:
    """Write images, each with its instances and attributes, to VIA files and read them back: all is as it was."""
    expected = [list(image) for image, _ in labelled]
    images = [f"{at:03}.jpg" for at in range(len(labelled))]
    index = image_table(images, [json.dumps(attributes) for _, attributes in labelled])
    rows = table_of(images, expected)
    files = {
        "m.json": region_data_file(folder / "m.json"),
        "1.json": region_data_file(folder / "1.json"),
        "p.json": project_file(folder / "p.json", "project", Declarations()),
        "3.json": via3_project_file(folder / "3.json", "project", "/pictures/", Declarations()),
    }
    for name, file in files.items():
        with file as append:
            for entry in via.entries(index, [rows]):
                append(closed(entry) if name == "1.json" else entry)
        found = images_of(folder / name)
        assert [each.name for each in found] == images
        for each, image, (_, attributes) in zip(found, expected, labelled, strict=True):
            assert each.rejected == []
            assert each.attributes == attributes
            assert_same(each.instances, image)
    assert_via_1_imports(json.loads((folder / "1.json").read_bytes()), None)
    assert_via_opens(json.loads((folder / "p.json").read_bytes()), None)


def table_of(images: list[str], labelled: list[list[Wanted]]) -> pa.Table:
    """Return the instances of each image as labels.parquet has them."""
    rows = [
        {
            **{name: getattr(each, name, "") for name in LABELS.names},
            "image": image,
            "split": "val",
            "instance_id": each.id,
            "polygons": [[{"x": x, "y": y} for x, y in ring.tolist()] for ring in each.rings],
            "box": vars(each.box),
            "attributes": json_text(each.attributes),
        }
        for image, its in zip(images, labelled, strict=True)
        for each in its
    ]
    return pa.Table.from_pylist(rows, LABELS)


def image_table(images: list[str], attributes: list[str]) -> pa.Table:
    columns: dict[str, Any] = {name: pa.nulls(len(images), IMAGES.field(name).type) for name in IMAGES.names}
    number = pa.array([1000] * len(images))
    columns |= {"image": pa.array(images), "attributes": pa.array(attributes)}
    columns |= {name: number.cast(IMAGES.field(name).type) for name in ("size", "width", "height")}
    return pa.table(columns, schema=IMAGES)


def assert_same(found: list[Wanted], expected: list[Wanted]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected, strict=True):
        for name in ("id", "category", "geometry", "crowd", "ignored", "occluded", "truncated", "attributes"):
            assert getattr(one, name) == getattr(other, name), name
        assert len(one.rings) == len(other.rings)
        for ring, its in zip(one.rings, other.rings, strict=True):
            # A reader may drop a vertex that repeats its neighbour; what is left lies on the same outline.
            assert abs(polygon.area(ring) - polygon.area(its)) < 1e-6 * polygon.area(its) + 100
            assert all(np.abs(its - vertex).max(axis=1).min() <= 0.01 for vertex in ring)
            assert all(np.abs(ring - vertex).max(axis=1).min() <= 0.01 for vertex in its)


NO_LABELS = ("poly2ds.json", "consolidated_label_fragments_REAL.json")
"""Real files of bare polygons and bare labels, which say nothing of images."""


def real_label_files() -> list[Path]:
    """Real label files of every format; VIA's lists of attributes hold no labels."""
    found = sorted([*REAL.rglob("*.json"), *REAL.rglob("*bitmask.png")])
    return [file for file in found if file.name not in NO_LABELS and not file.stem.endswith("attributes")]


@real_files
@pytest.mark.parametrize("file", real_label_files(), ids=lambda file: str(file.relative_to(REAL)))
def test_labels_of_real_files_to_via_and_back_lose_nothing(tmp_path: Path, file: Path) -> None:
    found = images_of(file, default_class="thing")
    assert sum(len(image.instances) for image in found) > 0
    assert_via_keeps(tmp_path, [(image.instances, image.attributes) for image in found])


@real_files
@pytest.mark.parametrize(
    ("source", "labels"),
    [
        ("bdd/seg_track_20", {}),
        ("bdd/ins_seg_10k", {}),
        ("bdd/det_20", {}),
        ("via/tzelalouzeir_rice_via1/val", {}),
        ("via/nicolasmetallo_car-damage/dataset/val", {}),
        ("via/oxvgg_official", {"default_class": "thing"}),
        ("via/lesc-ufv_kudzu/val", {"default_class": "kudzu"}),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_real_files_come_back_from_via_as_they_went(tmp_path: Path, source: str, labels: dict[str, str]) -> None:
    sections: dict[str, Any] = {"labels": {"categories": []}, "dataset": {"split": "all_in_both"}}
    made = recipe_of([REAL / source], [REAL / source], **{**sections, "labels": {"categories": [], **labels}})
    folder = filtered(made, tmp_path / "first")
    written = via_of(made, folder, "val")
    assert_via_opens(json.loads((written / "via_project.json").read_bytes()), None)
    first = list(pa.parquet.read_table(folder / "labels.parquet").to_pylist())
    for name in ("via_region_data.json", "via_project.json"):
        back = recipe_of([REAL / source], [written / name], **sections)
        second = pa.parquet.read_table(filtered(back, tmp_path / name) / "labels.parquet").to_pylist()
        assert len(first) == len(second)
        for before, after in zip(first, second, strict=True):
            assert_same_row(before, after)


def assert_same_row(before: dict[str, Any], after: dict[str, Any]) -> None:
    keys = ("image", "split", "instance_id", "category", "geometry", "crowd", "ignored", "occluded", "truncated")
    for key in (*keys, "attributes"):
        assert before[key] == after[key]
    one, other = ([(point["x"], point["y"]) for ring in row["polygons"] for point in ring] for row in (before, after))
    assert np.abs(np.subtract(one, other)).max() <= 0.01
