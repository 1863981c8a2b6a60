"""Filtered labels as VIA files: what VIA 1, 2 and 3 need of them; nothing is lost on the way there and back."""

import json
import re
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline import dataset, readers, summary, via
from pipeline.errors import ArtifactError, EmptyDatasetError
from pipeline.geometry import polygon
from pipeline.instance_store import InstanceStore
from pipeline.instances import Instance
from pipeline.label_block import image_attributes
from pipeline.tables import IMAGES, LABELS
from tests.pipeline.labelled_folders import SQUARE, area, box, filtered, folder_with, frame, recipe_of, via_of

REAL = Path(__file__).resolve().parents[3] / "shared" / "real"
real_files = pytest.mark.skipif(not REAL.exists(), reason="../shared/real is absent")

CAR = area("car", SQUARE, [(30.0, 30.0), (40.0, 30.0), (35.0, 40.0)], id="c1")
FRAMES = [
    frame("a.jpg", CAR, box("bike", 1, 2, 5, 9, id="b1", attributes={"occluded": True, "truncated": False, "z": [1]})),
    frame("b.jpg", CAR, attributes={"weather": "clear", "lanes": 3}, videoName="clip"),
    frame("c.jpg"),
]


@pytest.fixture
def val(tmp_path: Path) -> Path:
    """The VIA folder of a data set whose val holds three images."""
    data = folder_with(tmp_path / "data", ["a.jpg", "b.jpg", "c.jpg"], {"l.json": FRAMES})
    made = recipe_of([data], [data], labels={"categories": ["car", "bike"]}, dataset={"split": "all_in_both"})
    return via_of(made, filtered(made, tmp_path), "val")


def read(folder: Path, name: str) -> Any:
    return json.loads((folder / name).read_bytes())


def test_region_data_is_what_the_2019_notebooks_read(val: Path, tmp_path: Path) -> None:
    content = read(val, "via_region_data.json")
    assert list(content) == [
        f"{name}{(tmp_path / 'data' / name).stat().st_size}" for name in ("a.jpg", "b.jpg", "c.jpg")
    ]
    first, second, third = content.values()
    assert list(first) == ["filename", "size", "width", "height", "regions", "file_attributes"]
    assert (first["filename"], first["width"], first["height"]) == ("a.jpg", 64, 48)
    assert first["size"] == (tmp_path / "data/a.jpg").stat().st_size
    assert list(first["regions"]) == ["0", "1", "2"]
    assert first["regions"]["0"] == {
        "shape_attributes": {
            "name": "polygon",
            "all_points_x": [10, 10, 20, 20],
            "all_points_y": [10, 20, 20, 10],
        },
        "region_attributes": {"name": "car", "instance": "c1"},
    }
    assert first["regions"]["1"]["region_attributes"] == {"name": "car", "instance": "c1"}
    assert first["regions"]["2"]["region_attributes"] == {
        "name": "bicycle",
        "instance": "b1",
        "occluded": "true",
        "truncated": "false",
        "geometry": "box",
        "attributes": '{"z":[1]}',
    }
    assert second["file_attributes"] == {"weather": "clear", "video": "clip", "attributes": '{"lanes":3}'}
    assert third["regions"] == {}


def test_a_project_is_one_that_via_2_opens_whole(val: Path) -> None:
    project = read(val, "via_project.json")
    assert set(project) == {
        "_via_settings",
        "_via_img_metadata",
        "_via_attributes",
        "_via_data_format_version",
        "_via_image_id_list",
    }
    images = project["_via_img_metadata"]
    assert project["_via_image_id_list"] == list(images)
    for key, image in images.items():
        assert set(image) == {"filename", "size", "regions", "file_attributes"}
        assert key == f"{image['filename']}{image['size']}"
        assert isinstance(image["regions"], list)
    assert set(project["_via_settings"]) == {"ui", "core", "project"}


def test_a_project_declares_every_attribute_and_choice_that_it_uses(val: Path) -> None:
    project = read(val, "via_project.json")
    declared = project["_via_attributes"]
    for image in project["_via_img_metadata"].values():
        assert set(image["file_attributes"]) <= set(declared["file"])
        for region in image["regions"]:
            for key, value in region["region_attributes"].items():
                assert isinstance(value, str)
                attribute = declared["region"][key]
                assert attribute["type"] == "text" or value in attribute["options"]
    assert list(declared["region"]["name"]["options"]) == ["car", "bicycle"]


def test_the_summary_counts_regions_and_instances(val: Path) -> None:
    made = summary.read(val)
    assert made.numbers == {"images": 3, "regions": 5, "instances": 3}
    assert {row["category"]: (row["regions"], row["instances"]) for row in made.tables["classes"]} == {
        "car": (4, 2),
        "bicycle": (1, 1),
    }


def test_a_split_without_images_is_refused(tmp_path: Path, val: Path) -> None:
    made = recipe_of([tmp_path / "data"], [tmp_path / "data"])
    with pytest.raises(EmptyDatasetError, match="no image in test"):
        via.build(made, tmp_path / "filtered_labels", "test", tmp_path)


def test_via_files_listed_as_labels_give_the_same_tables_again(val: Path, tmp_path: Path) -> None:
    made = recipe_of([tmp_path / "data"], [val / "via_project.json"], dataset={"split": "all_in_both"})
    again = filtered(made, tmp_path / "again")
    for name in ("labels", "images"):
        before, after = (
            pa.parquet.read_table(folder / f"{name}.parquet").to_pylist()
            for folder in (tmp_path / "filtered_labels", again)
        )
        for row in (*before, *after):
            row.pop("source")
            row.pop("source_category", None)
        assert before == after


names = st.sampled_from(["car", "swan", "traffic sign", "Bär", 'a "quoted" <b>'])
scalars = st.none() | st.booleans() | st.integers(-9, 9) | st.text(st.characters(codec="utf-8"), max_size=8)
coordinates = st.floats(0, 4000, allow_subnormal=False)


@st.composite
def instances(draw: st.DrawFn) -> Instance:
    """Draw an instance that a reader could have given: rings with area, flags, attributes of any kind."""
    rings = []
    for _ in range(draw(st.integers(1, 3))):
        left, top = draw(coordinates), draw(coordinates)
        corners = [(left, top), (left + draw(st.floats(0.5, 99)), top), (left, top + draw(st.floats(0.5, 99)))]
        rings.append(np.array(corners + draw(st.lists(st.tuples(coordinates, coordinates), max_size=5))))
    category = draw(names)
    keys = st.text(st.characters(codec="utf-8", categories=["L"]), min_size=1, max_size=6)
    return Instance(
        id="",
        category=category,
        source_category=category,
        rings=tuple(rings),
        box=polygon.bounds(rings),
        geometry=draw(st.sampled_from(["polygon", "box", "rle", "bitmask"])),
        crowd=draw(st.booleans()),
        ignored=draw(st.booleans()),
        occluded=draw(st.none() | st.booleans()),
        truncated=draw(st.none() | st.booleans()),
        attributes=draw(st.dictionaries(keys, scalars | st.lists(scalars, max_size=3), max_size=4)),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=60)
@given(
    drawn=st.lists(st.lists(instances(), max_size=4), min_size=1, max_size=3),
    weather=st.dictionaries(st.sampled_from(["weather", "scene", "n"]), scalars, max_size=3),
)
def test_labels_to_via_and_back_lose_nothing(
    tmp_path: Path, drawn: list[list[Instance]], weather: dict[str, Any]
) -> None:
    drawn = [[with_id(each, f"i {number}") for number, each in enumerate(image)] for image in drawn]
    with InstanceStore(tmp_path / "store") as store:
        stored = [store.add(image, "s") for image in drawn]
        store.finish()
        rows = store.take(stored)
    images = [f"{number:03}.jpg" for number in range(len(drawn))]
    labelled = [name for name, image in zip(images, drawn, strict=True) for _ in image]
    rows = rows.append_column("image", pa.array(labelled, pa.string()))
    rows = rows.append_column("split", pa.array(["val"] * len(labelled), pa.string())).select(LABELS.names)
    index = image_table(images, json.dumps(weather))
    for writer, name in ((via.RegionDataWriter, "m.json"), (project_writer, "p.json")):
        with writer(tmp_path / name) as out:
            for entry in via.entries(index, [rows]):
                out.write(entry)
        found = list(readers.read(tmp_path / name, None, readers.ReadOptions()))
        assert [each.name for each in found] == images
        for each, image in zip(found, drawn, strict=True):
            assert each.rejected == ()
            assert image_attributes(each.attributes) == weather
            assert_same(each.instances, image)


def project_writer(path: Path) -> via.ProjectWriter:
    return via.ProjectWriter(path, "project")


def with_id(instance: Instance, new_id: str) -> Instance:
    return Instance(**{**{name: getattr(instance, name) for name in Instance.__dataclass_fields__}, "id": new_id})


def image_table(images: list[str], attributes: str) -> pa.Table:
    columns: dict[str, Any] = {name: pa.nulls(len(images), IMAGES.field(name).type) for name in IMAGES.names}
    number = pa.array([1000] * len(images))
    columns |= {"image": pa.array(images), "attributes": pa.array([attributes] * len(images))}
    columns |= {name: number.cast(IMAGES.field(name).type) for name in ("size", "width", "height")}
    return pa.table(columns, schema=IMAGES)


def assert_same(found: tuple[Instance, ...], expected: list[Instance]) -> None:
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


@real_files
@pytest.mark.parametrize(
    "source", ["bdd/seg_track_20", "via/tzelalouzeir_rice_via1/val", "via/nicolasmetallo_car-damage/dataset/val"]
)
def test_real_files_come_back_from_via_as_they_went(tmp_path: Path, source: str) -> None:
    sections: dict[str, Any] = {"labels": {"categories": []}, "dataset": {"split": "all_in_both"}}
    made = recipe_of([REAL / source], [REAL / source], **sections)
    folder = filtered(made, tmp_path / "first")
    written = via_of(made, folder, "val")
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


@pytest.fixture
def archive(tmp_path: Path, val: Path) -> Path:
    """The images.zip of the same data set."""
    made = recipe_of([tmp_path / "data"], [tmp_path / "data"], dataset={"split": "all_in_both"})
    train = via_of(made, tmp_path / "filtered_labels", "train")
    out = tmp_path / "dataset_zip"
    out.mkdir()
    dataset.build(made, tmp_path / "filtered_labels", train, val, tmp_path / "raw_images", out)
    return out / "images.zip"


def test_open_makes_a_folder_that_via_opens(archive: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "look"
    assert via.main(["open", str(archive.parent), "--images", "2", "--out", str(out)]) == 0
    assert re.match(r"2 images: load .*/look/via_project.json in VIA 2", capsys.readouterr().out)
    assert sorted(path.name for path in out.iterdir()) == ["a.jpg", "b.jpg", "via_project.json", "via_region_data.json"]
    project = read(out, "via_project.json")
    assert project["_via_settings"]["core"]["default_filepath"] == f"{out}/"
    for image in project["_via_img_metadata"].values():
        assert image["size"] == (out / image["filename"]).stat().st_size
    assert Counter(len(image["regions"]) for image in project["_via_img_metadata"].values()) == {3: 1, 2: 1}


def test_open_refuses_a_folder_in_use_and_names_what_is_missing(archive: Path, tmp_path: Path, val: Path) -> None:
    from pipeline import via_folder

    with pytest.raises(ArtifactError, match="isn't empty"):
        via_folder.make_folder(archive, tmp_path / "data")
    with pytest.raises(ArtifactError, match="--pictures"):
        via_folder.make_folder(val, tmp_path / "look")
    assert via_folder.make_folder(val, tmp_path / "look", pictures=archive) == 3


def test_open_writes_no_image_outside_its_folder(tmp_path: Path) -> None:
    from pipeline import via_folder

    hostile = {"x": {"filename": "../../evil.jpg", "size": 1, "regions": [], "file_attributes": {}}}
    with zipfile.ZipFile(tmp_path / "images.zip", "w") as opened:
        opened.writestr("images/val/via_region_data.json", json.dumps(hostile))
        opened.writestr("images/val/../../evil.jpg", b"evil")
        opened.writestr("images/val/evil.jpg", b"harmless")
    via_folder.make_folder(tmp_path / "images.zip", tmp_path / "deep/look")
    assert (tmp_path / "deep/look/evil.jpg").read_bytes() == b"harmless"
    assert not list(tmp_path.glob("evil.jpg"))
