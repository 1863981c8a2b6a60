"""The relabelling loop of docs/relabelling.md: chain, open, correct in VIA, chain again; images win one by one."""

import json
from pathlib import Path
from typing import Any

import pytest

from pipeline import dataset
from pipeline.artifacts import summary
from pipeline.formats.via.writing import Declarations, Entry, closed, region_data_file
from pipeline.formats.via.writing_via3 import via3_project_file
from pipeline.recipe import Recipe
from pipeline.via import __main__
from tests.pipeline.labelled_folders import SQUARE, area, box, filtered, folder_with, frame, recipe_of, table, via_of
from tests.pipeline.small_datasets import entry, polygon

TRIANGLE = [(30.0, 5.0), (40.0, 5.0), (35.0, 20.0)]
MOVED = [(11.25, 10.5), (11.25, 21.0), (20.0, 20.0), (20.0, 10.0)]
IMAGES = ["train/t.jpg", "val/a.jpg", "val/b.jpg", "val/c.jpg"]
SECTIONS: dict[str, Any] = {"labels": {"categories": ["car", "bike", "person"]}, "dataset": {"split": "path"}}


def frames() -> list[dict[str, Any]]:
    """Labels of the first build; those of a.jpg have an instance of two polygons, a box, flags and attributes."""
    parted = area("car", SQUARE, TRIANGLE, id="c1", attributes={"occluded": True, "trafficLightColor": "NA"})
    rider = box("person", 1, 2, 5, 9, id="p1", attributes={"truncated": True, "crowd": True})
    attributes = {"timeofday": "night", "lanes": 3}
    return [
        frame("t.jpg", area("car", SQUARE)),
        frame("a.jpg", parted, box("bike", 40, 30, 60, 40, id="b1"), rider, attributes=attributes, videoName="clip"),
        frame("b.jpg", area("bike", TRIANGLE, id="x"), attributes=attributes),
        frame("c.jpg", parted, attributes=attributes),
    ]


def opened(tmp_path: Path, *more: str) -> Path:
    """Run the chain to images.zip, and open the images of val in a folder for VIA."""
    data = folder_with(tmp_path / "data", IMAGES, {"labels.json": frames()})
    made = recipe_of([data], [data / "labels.json"], **SECTIONS)
    labels = filtered(made, tmp_path / "first")
    splits = [via_of(made, labels, split) for split in ("train", "val")]
    out = tmp_path / "dataset_zip"
    out.mkdir()
    dataset.build(made, labels, *splits, tmp_path / "first/raw_images", out)
    folder = tmp_path / "relabel"
    assert __main__.main(["open", str(out), "--out", str(folder), *more]) == 0
    return folder


def corrected(project: dict[str, Any]) -> dict[str, Any]:
    """Return the images of a project as a person left them: in a.jpg one corner moved, a box outlined, a car added.

    VIA writes what it was given, regions as a list; a new region has the attributes that the person chose, others are
    absent or empty.
    """
    images: dict[str, Any] = json.loads(json.dumps(project["_via_img_metadata"]))
    regions = next(image for image in images.values() if image["filename"] == "a.jpg")["regions"]
    first, _, bike, _ = regions
    first["shape_attributes"].update(all_points_x=[x for x, _ in MOVED], all_points_y=[y for _, y in MOVED])
    bike["shape_attributes"].update(all_points_x=[40, 60, 50], all_points_y=[30, 30, 40])
    circle = {"name": "circle", "cx": 50, "cy": 10, "r": 5}
    regions.append({"shape_attributes": circle, "region_attributes": {"name": "car", "instance": ""}})
    return images


def again(tmp_path: Path, correction: Path, **labels: Any) -> tuple[Recipe, Path]:
    """Build the labels with the correction behind the original."""
    data = tmp_path / "data"
    sections = SECTIONS | {"labels": SECTIONS["labels"] | labels}
    made = recipe_of([data], [data / "labels.json", correction], **sections)
    return made, filtered(made, tmp_path / "second")


def rings(row: dict[str, Any]) -> list[list[tuple[float, float]]]:
    return [[(point["x"], point["y"]) for point in ring] for ring in row["polygons"]]


def rows_of(folder: Path, *images: str) -> list[dict[str, Any]]:
    """Return the rows of images, without what tells where they were read."""
    rows = [row for row in table(folder, "labels") if row["image"] in images]
    return [{key: value for key, value in row.items() if not key.startswith("source")} for row in rows]


def saved(images: dict[str, Any], project: dict[str, Any], path: Path, way: str) -> None:
    """Write what a person has corrected as VIA 2 exports annotations or saves a project, or as VIA 1 or 3 does."""
    if way in ("via 1", "via 3"):
        of_via3 = via3_project_file(path, "corrected", "/", Declarations())
        with region_data_file(path) if way == "via 1" else of_via3 as append:
            for image in images.values():
                entry = Entry(image["filename"], image["size"], 0, 0, image["file_attributes"], image["regions"])
                append(closed(entry) if way == "via 1" else entry)
        return
    path.write_text(json.dumps(images if way == "annotations" else project | {"_via_img_metadata": images}))


@pytest.mark.parametrize("saved_as", ["annotations", "project", "via 1", "via 3"])
def test_a_corrected_image_has_the_corrected_regions_and_others_are_as_they_were(tmp_path: Path, saved_as: str) -> None:
    folder = opened(tmp_path)
    project = json.loads((folder / "via_project.json").read_bytes())
    correction = tmp_path / "corrections.json"
    saved(corrected(project), project, correction, saved_as)
    _, second = again(tmp_path, correction)
    first = tmp_path / "first/filtered_labels"
    unchanged = ("t.jpg", "b.jpg", "c.jpg")
    assert rows_of(second, *unchanged) == rows_of(first, *unchanged)
    assert table(second, "images") == [
        row | {"source": again_row["source"]}
        for row, again_row in zip(table(first, "images"), table(second, "images"), strict=True)
    ]
    car, bike, person, added = rows_of(second, "a.jpg")
    before_car, before_bike, before_person = rows_of(first, "a.jpg")
    assert rings(car) == [MOVED, TRIANGLE]
    assert rings(bike) == [[(40, 30), (60, 30), (50, 40)]]
    assert (bike["geometry"], before_bike["geometry"]) == ("polygon", "box")
    assert person == before_person
    for key in ("instance_id", "category", "crowd", "ignored", "occluded", "truncated", "attributes", "split"):
        assert (car[key], bike[key]) == (before_car[key], before_bike[key])
    assert (added["category"], added["geometry"], added["box"]["width"]) == ("car", "polygon", pytest.approx(10, abs=1))
    replaced = [row["image"] for row in table(second, "rejected") if row["reason"] == "replaced by a later source"]
    assert replaced == ["a.jpg", "b.jpg", "c.jpg"]
    assert next(check for check in summary.read(second).checks if check.name == "rejected_share").passed


@pytest.mark.parametrize("saved_as", ["annotations", "via 1", "via 3"])
def test_the_attribute_of_another_hand_is_not_looked_for_in_what_comes_back(tmp_path: Path, saved_as: str) -> None:
    """The pictures were labelled in VIA with their class under `damage`; what goes to VIA again has it under `name`."""
    regions = [polygon(TRIANGLE, damage="dent", depth="deep"), polygon(SQUARE, damage="scratch")]
    files = {f"{split}/via_region_data.json": {"1": entry(f"{split}.jpg", regions)} for split in ("train", "val")}
    data = folder_with(tmp_path / "data", ["train/train.jpg", "val/val.jpg"], files)
    sections = {"labels": {"categories": [], "class_attribute": "damage"}, "dataset": {"split": "path"}}
    made = recipe_of([data], [data], **sections)
    first = filtered(made, tmp_path / "first")
    written = via_of(made, first, "val")
    project = json.loads((written / "via_project.json").read_bytes())
    images = project["_via_img_metadata"]
    (image,) = images.values()
    image["regions"].append(polygon(MOVED, name="dent"))
    correction = tmp_path / "corrections.json"
    saved(images, project, correction, saved_as)
    second = filtered(recipe_of([data], [data, correction], **sections), tmp_path / "second")
    *kept, added = rows_of(second, "val.jpg")
    assert kept == rows_of(first, "val.jpg")
    assert [row["category"] for row in (*kept, added)] == ["dent", "scratch", "dent"]
    assert rows_of(second, "train.jpg") == rows_of(first, "train.jpg")


def test_images_that_were_not_opened_keep_their_labels(tmp_path: Path) -> None:
    folder = opened(tmp_path, "--images", "1")
    project = json.loads((folder / "via_project.json").read_bytes())
    assert [image["filename"] for image in project["_via_img_metadata"].values()] == ["a.jpg"]
    correction = tmp_path / "corrections.json"
    correction.write_text(json.dumps(corrected(project)))
    _, second = again(tmp_path, correction)
    assert [row["image"] for row in table(second, "rejected")] == ["a.jpg"]
    assert len(rows_of(second, "a.jpg")) == 4


def test_an_image_whose_regions_were_all_deleted_is_background_where_the_recipe_says_so(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    content = json.loads((folder / "via_region_data.json").read_bytes())
    for image in content.values():
        image["regions"] = [] if image["filename"] == "b.jpg" else image["regions"]
    (tmp_path / "corrections.json").write_text(json.dumps(content))
    _, second = again(tmp_path, tmp_path / "corrections.json", later_sources_may_empty=True)
    assert rows_of(second, "b.jpg") == []
    assert "b.jpg" in [row["image"] for row in table(second, "images")]


def test_the_second_build_goes_to_via_with_the_corrections(tmp_path: Path) -> None:
    folder = opened(tmp_path)
    project = json.loads((folder / "via_project.json").read_bytes())
    (tmp_path / "corrections.json").write_text(json.dumps(corrected(project)))
    made, second = again(tmp_path, tmp_path / "corrections.json")
    content = json.loads((via_of(made, second, "val") / "via_region_data.json").read_bytes())
    image = next(image for image in content.values() if image["filename"] == "a.jpg")
    first = image["regions"]["0"]["shape_attributes"]
    assert list(zip(first["all_points_x"], first["all_points_y"], strict=True)) == MOVED
    assert image["file_attributes"] == {"timeofday": "night", "video": "clip", "attributes": '{"lanes":3}'}


def test_what_a_correction_leaves_empty_stays_known_of_the_image(tmp_path: Path) -> None:
    """VIA gives images that are added by hand all declared attributes, with nothing in them."""
    data = folder_with(tmp_path / "data", IMAGES, {"labels.json": frames()})
    empty = {"timeofday": "", "video": "", "attributes": "", "scene": "city"}
    corrections = {"c": {**entry("a.jpg", [polygon(SQUARE, name="car")]), "file_attributes": empty}}
    (data / "june.json").write_text(json.dumps(corrections))
    out = filtered(recipe_of([data], [data / "labels.json", data / "june.json"], **SECTIONS), tmp_path / "out")
    (row,) = (row for row in table(out, "images") if row["image"] == "a.jpg")
    assert json.loads(row["attributes"]) == {"lanes": 3, "scene": "city", "timeofday": "night"}
    assert row["video"] == "clip"


@pytest.mark.parametrize(
    ("named", "level"),
    [
        (["a.jpg", "b.jpg", "shot_a.jpg"], "WARNING"),
        (["shot_a.jpg"], "WARNING"),
        (["a.jpg"], ""),
        (["a.jpg", "shot_a.jpg", "shot_b.jpg"], "INFO"),
    ],
)
def test_a_correction_of_an_unknown_image_is_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, named: list[str], level: str
) -> None:
    data = folder_with(
        tmp_path / "data", IMAGES, {"labels.json": [*frames(), frame("elsewhere.jpg", area("car", SQUARE))]}
    )
    corrections = {name: entry(name, [polygon(SQUARE, name="car")]) for name in named}
    (data / "june.json").write_text(json.dumps(corrections))
    with caplog.at_level("INFO"):
        filtered(recipe_of([data], [data / "labels.json", data / "june.json"], **SECTIONS), tmp_path / "out")
    messages = [(record.levelname, record.message) for record in caplog.records if "are left out (" in record.message]
    level_of_first, of_first = messages.pop(0)
    assert level_of_first == "INFO"
    assert "labels.json: labels of 1 of its 5 images are left out (elsewhere.jpg: no such image)" in of_first
    assert [levelname for levelname, _ in messages] == ([level] if level else [])
    lost = f"labels of {sum(name.startswith('shot') for name in named)} of its {len(named)} images"
    assert all(f"june.json: {lost} are left out (shot_a" in text for _, text in messages)
