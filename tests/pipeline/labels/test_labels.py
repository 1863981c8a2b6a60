"""From label files and images to the tables of filtered labels: what is kept, where, and what is left out, and why."""

import json
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from pipeline import labels
from pipeline.artifacts import summary
from pipeline.errors import EmptyDatasetError, LabelFileError
from pipeline.instances import tables
from tests.pipeline.labelled_folders import (
    CAR,
    HEIGHT,
    SQUARE,
    WIDTH,
    area,
    box,
    filtered,
    folder_with,
    frame,
    reasons,
    recipe_of,
    stage,
    table,
)
from tests.pipeline.small_datasets import entry, square

REAL = Path(__file__).resolve().parents[4] / "shared" / "real"
real_files = pytest.mark.skipif(not REAL.exists(), reason="../shared/real is absent")

DAMAGE = "via/nicolasmetallo_car-damage/dataset/val"
TWO = ["train/a.jpg", "val/b.jpg"]


def test_a_row_an_instance_and_a_row_an_image(tmp_path: Path) -> None:
    car = area("car", SQUARE, [(30, 30), (40, 30), (35, 40)], id=7, attributes={"occluded": True, "color": "red"})
    frames = [frame("a.jpg", car, box("person", 1, 2, 5, 9)), frame("b.jpg", CAR, attributes={"weather": "clear"})]
    out = stage(tmp_path, TWO, {"labels.json": frames}, labels={"categories": ["car", "person"]})
    rows = table(out, "labels")
    assert [(row["split"], row["image"], row["instance_id"], row["category"]) for row in rows] == [
        ("train", "a.jpg", "7", "car"),
        ("train", "a.jpg", "1", "pedestrian"),
        ("val", "b.jpg", "0", "car"),
    ]
    assert [[(point["x"], point["y"]) for point in ring] for ring in rows[0]["polygons"]] == [
        SQUARE,
        [(30, 30), (40, 30), (35, 40)],
    ]
    assert (rows[0]["occluded"], rows[0]["truncated"], rows[0]["geometry"]) == (True, None, "polygon")
    assert json.loads(rows[0]["attributes"]) == {"color": "red"}
    assert rows[0]["source"] == "labels.json#7"
    assert rows[1]["source_category"] == "person"
    assert rows[1]["geometry"] == "box"
    assert rows[1]["box"] == {"x": 1, "y": 2, "width": 4, "height": 7}
    images = table(out, "images")
    assert [(row["image"], row["split"], row["width"], row["height"]) for row in images] == [
        ("a.jpg", "train", WIDTH, HEIGHT),
        ("b.jpg", "val", WIDTH, HEIGHT),
    ]
    assert json.loads(images[1]["attributes"]) == {"weather": "clear"}
    assert reasons(out) == []


def test_an_image_without_wanted_labels_is_background_and_one_without_any_is_set_aside(tmp_path: Path) -> None:
    images = [*TWO, "train/empty.jpg", "train/other.jpg", "train/unlabelled.jpg"]
    frames = [frame("a.jpg", CAR), frame("b.jpg", CAR), frame("empty.jpg"), frame("other.jpg", area("sky", SQUARE))]
    out = stage(tmp_path, images, {"labels.json": frames})
    assert [row["image"] for row in table(out, "images")] == ["a.jpg", "empty.jpg", "other.jpg", "b.jpg"]
    assert reasons(out) == [("unlabelled.jpg", "no labels for this image")]
    numbers = summary.read(out).numbers
    assert (numbers["images_without_instances"], numbers["labels_of_other_categories"]) == (2, 1)
    assert (numbers["labels_left_out"], numbers["labels_filtered_out"]) == (0, 0)


def test_labels_of_other_categories_are_counted_and_stand_where_all_labels_do(tmp_path: Path) -> None:
    lane = area("lane", SQUARE, attributes={"laneType": "road curb"})
    sky = area("sky", SQUARE, attributes={"seen": [1, {"by": "é"}], "occluded": False})
    frames = [
        frame("a.jpg", CAR, sky, lane),
        frame("b.jpg", CAR),
        frame("absent.jpg", CAR, sky, box("Sky", 1, 1, 1, 1)),
    ]
    out = stage(tmp_path, TWO, {"labels.json": frames})
    assert summary.read(out).tables["other_categories"] == [
        {"category": "sky", "labels": 3},
        {"category": "road curb", "labels": 1},
    ]
    assert reasons(out) == [("absent.jpg", "no such image")]
    read = table(out.parent / "raw_labels", "labels")
    assert Counter(row["category"] for row in read) == {"car": 3, "sky": 2, "lane": 1}
    assert [json.loads(row["attributes"]) for row in read if row["category"] == "sky"] == [
        {"seen": [1, {"by": "é"}]}
    ] * 2


def test_other_categories_and_filters_are_chosen_without_the_label_files(tmp_path: Path) -> None:
    frames = [frame(name, CAR, area("sky", SQUARE)) for name in ("a.jpg", "b.jpg")]
    first = stage(tmp_path, TWO, {"l.json": frames})
    (tmp_path / "data/l.json").unlink()
    made = recipe_of([tmp_path / "data"], [tmp_path / "data/l.json"], labels={"categories": ["sky"]})
    out = tmp_path / "again"
    out.mkdir()
    labels.build(made, first.parent / "raw_labels", first.parent / "raw_images", out)
    assert [row["category"] for row in table(first, "labels")] == ["car", "car"]
    assert [row["category"] for row in table(out, "labels")] == ["sky", "sky"]


def test_background_can_be_left_out_as_in_2019(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR), frame("b.jpg", CAR), frame("c.jpg")]
    out = stage(tmp_path, [*TWO, "val/c.jpg"], {"l.json": frames}, dataset={"keep_empty_images": False})
    assert [row["image"] for row in table(out, "images")] == ["a.jpg", "b.jpg"]
    assert reasons(out) == [("c.jpg", "no wanted instance")]


def test_labels_of_no_image_are_kept_in_one_row(tmp_path: Path) -> None:
    other = area("car", SQUARE, id="x", attributes={"occluded": True, "colour": "red"})
    frames = [frame("a.jpg", CAR), frame("b.jpg", CAR), frame("gone.jpg", CAR, other)]
    out = stage(tmp_path, TWO, {"l.json": frames})
    (row,) = table(out, "rejected")
    assert (row["source"], row["image"], row["reason"]) == ("l.json", "gone.jpg", "no such image")
    first, second = json.loads(row["label"])["labels"]
    assert (first["id"], first["category"], first["geometry"]) == ("0", "car", "polygon")
    assert second == {
        "id": "x", "category": "car", "geometry": "polygon", "rings": [list(map(list, SQUARE))], "occluded": True,
        "attributes": {"colour": "red"},
    }  # fmt: skip
    check = next(check for check in summary.read(out).checks if check.name == "rejected_share")
    assert check.numbers["share"] == 0.5
    assert not check.passed


def test_masks_end_where_the_image_ends(tmp_path: Path) -> None:
    over = area("car", [(50.0, 10.0), (80.0, 10.0), (80.0, 20.0), (50.0, 20.0)])
    outside = area("car", [(70.0, 10.0), (80.0, 10.0), (80.0, 20.0)], id="far")
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", over, outside), frame("b.jpg", CAR)]})
    row = table(out, "labels")[0]
    assert {(point["x"], point["y"]) for point in row["polygons"][0]} == {(50, 10), (64, 10), (64, 20), (50, 20)}
    assert row["box"] == {"x": 50, "y": 10, "width": 14, "height": 10}
    (rejected,) = table(out, "rejected")
    assert (rejected["image"], rejected["label_id"], rejected["reason"]) == ("a.jpg", "far", "outside the image")
    assert json.loads(rejected["label"])["category"] == "car"


def test_ids_that_occur_twice_stay_two_instances(tmp_path: Path) -> None:
    twice = [area("car", SQUARE, id=5), area("car", SQUARE, id=5)]
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", *twice), frame("b.jpg", CAR)]})
    ids = [row["instance_id"] for row in table(out, "labels") if row["image"] == "a.jpg"]
    assert len(set(ids)) == 2
    assert ids[0] == "5"


def test_via_folders_may_hold_images_of_one_name(tmp_path: Path) -> None:
    files = {
        "train/via_region_data.json": {"1": entry("1.jpg", [square(1, 1, 5, "car")])},
        "val/via_region_data.json": {"1": entry("1.jpg", [square(2, 2, 6, "bus")])},
    }
    out = stage(tmp_path, ["train/1.jpg", "val/1.jpg"], files, labels={"categories": []})
    assert [(row["split"], row["image"], row["category"]) for row in table(out, "labels")] == [
        ("train", "train__1.jpg", "car"),
        ("val", "val__1.jpg", "bus"),
    ]


def test_a_file_beside_labels_that_holds_none_is_set_aside(tmp_path: Path) -> None:
    files = {"l.json": [frame("a.jpg", CAR), frame("b.jpg", CAR)], "settings.json": {"theme": "dark"}}
    out = stage(tmp_path, TWO, files)
    (row,) = table(out, "rejected")
    assert row["source"] == "settings.json"
    assert row["reason"] == "not a label file"


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"theme": "dark"}, "holds no labels"),
        ({"images": [], "annotations": []}, r"named\.json: .* a COCO file without categories"),
        (b'[{"name": "a.jpg", "labels": [{"category": ', "cut short"),
    ],
)
def test_a_file_that_the_recipe_names_must_hold_labels(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(LabelFileError, match=complaint) as error:
        stage(tmp_path, TWO, {"named.json": content}, "named.json")
    assert "named.json" in str(error.value)
    assert not (tmp_path / "work/filtered_labels/labels.parquet").exists()
    assert not list((tmp_path / "work/filtered_labels").glob(".*"))


def test_labels_of_other_images_are_an_error_that_names_both_sources(tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError, match=r"none of the labels in .*l\.json is of an image in"):
        stage(tmp_path, TWO, {"l.json": [frame("x.jpg", CAR)]}, "l.json")


def test_a_category_that_no_label_has_is_an_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(
        EmptyDatasetError, match=r"no label of swan is usable .* \(1 are of other categories: car \(1\)\)"
    ):
        stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR)]}, labels={"categories": ["swan"]})


@pytest.mark.parametrize(
    ("categories", "said"),
    [
        (["car", "Dant"], ["labels.categories: no label is a Dant; did you mean dent?"]),
        (["car", "trafic sign", "swan"], [
            "labels.categories: no label is a trafic sign; did you mean traffic sign?",
            "labels.categories: no label is a swan",
        ]),
        (["car", "truck"], ["labels.categories: no label is a truck"]),
        (["car", "dent"], []),
    ],
)  # fmt: skip
def test_a_category_that_is_found_nowhere_is_warned_of_with_what_may_be_meant(
    categories: list[str], said: list[str], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    frames = [frame(name, CAR, area("dent", SQUARE)) for name in ("a.jpg", "b.jpg")]
    stage(tmp_path, TWO, {"l.json": frames}, labels={"categories": categories})
    assert [message for message in caplog.messages if "labels.categories" in message] == said


def test_what_may_be_meant_by_the_one_category_that_is_not_found_ends_the_error(tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError, match=r"of other categories: car \(1\); carr; did you mean car\?\)$"):
        stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR)]}, labels={"categories": ["carr"]})


def test_boxes_that_stand_in_for_masks_fail_a_check(tmp_path: Path) -> None:
    frames = [frame("a.jpg", CAR, box("car", 1, 1, 9, 9)), frame("b.jpg", CAR, CAR)]
    out = stage(tmp_path, TWO, {"l.json": frames})
    check = next(check for check in summary.read(out).checks if check.name == "masks_not_boxes")
    assert (check.passed, check.numbers["share"]) == (False, 0.25)
    assert summary.read(out).tables["geometry"][1] == {"geometry": "box", "instances": 1, "share": 0.25}


def test_a_few_small_pictures_show_the_masks(tmp_path: Path) -> None:
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR), frame("b.jpg", CAR)]})
    pictures = summary.read(out).pictures
    assert list(pictures) == ["train: a.jpg", "val: b.jpg"]
    assert all(0 < (out / file).stat().st_size <= 40_000 for file in pictures.values())


def test_the_same_input_gives_the_same_bytes_elsewhere(tmp_path: Path) -> None:
    frames = [frame(f"{number}.jpg", CAR, box("bike", 1, 1, 9, 9)) for number in range(9)]
    images = [f"{number}.jpg" for number in range(9)]
    one, two = (stage(tmp_path / place, images, {"l.json": frames}, "l.json") for place in ("here", "there"))
    assert (one / tables.LABELS_FILE).read_bytes() == (two / tables.LABELS_FILE).read_bytes()
    assert not list(one.glob(".*"))


def test_many_instances_fill_several_row_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.instances.tables.ROWS_A_GROUP", 7)
    monkeypatch.setattr("pipeline.labels.merging.ROWS_AT_ONCE", 5)
    images = [f"{number}.jpg" for number in range(20)]
    frames = [frame(f"{number}.jpg", *[CAR] * (number % 4)) for number in (*range(19, 9, -1), *range(10))]
    out = stage(tmp_path, images, {"l.json": frames}, dataset={"split": "all_in_both"})
    counts = Counter((row["split"], row["image"]) for row in table(out, "labels"))
    assert counts == Counter({(side, f"{n}.jpg"): n % 4 for side in ("train", "val") for n in range(20) if n % 4})
    rows = [(row["split"], row["image"]) for row in table(out, "labels")]
    assert rows == sorted(rows)
    read = [row["image"] for batch in tables.label_batches(out, "val") for row in batch.to_pylist()]
    assert read == [image for split, image in rows if split == "val"]


@real_files
@pytest.mark.parametrize(
    ("images", "label_file", "split"),
    [
        ("bdd/seg_track_20", "bdd/seg_track_20/00091078-875c1f73.json", "all_in_both"),
        ("via/tzelalouzeir_rice_via1/val", "via/tzelalouzeir_rice_via1/val/via_region_data.json", "hash"),
        (DAMAGE, f"{DAMAGE}/via_region_data.json", "auto"),
    ],
)
def test_every_label_of_a_real_file_is_kept_or_rejected(
    tmp_path: Path, images: str, label_file: str, split: str
) -> None:
    made = recipe_of([REAL / images], [REAL / label_file], labels={"categories": []}, dataset={"split": split})
    out = filtered(made, tmp_path)
    content = json.loads((REAL / label_file).read_bytes())
    if "bdd" in images:
        expected = sum(len(each["labels"] or []) for each in content)
    else:
        expected = sum(len(each["regions"]) for each in content.values())
    kept = [row for row in table(out, "labels") if split != "all_in_both" or row["split"] == "train"]
    rejected = sum(bool(row["label_id"]) for row in table(out, "rejected"))
    assert len(kept) + rejected == expected


@real_files
def test_regions_without_any_class_are_an_error_that_says_so(tmp_path: Path) -> None:
    kudzu = REAL / "via/lesc-ufv_kudzu/val"
    with pytest.raises(EmptyDatasetError, match="349 left out: no class"):
        filtered(recipe_of([kudzu], [kudzu], labels={"categories": []}), tmp_path)


def test_regions_without_any_class_can_be_given_one(tmp_path: Path) -> None:
    regions = [{**square(1, 1, 9, ""), "region_attributes": {}}]
    content = {name: entry(name, regions) for name in ("a.jpg", "b.jpg")}
    with pytest.raises(EmptyDatasetError, match=r"labels.class_attribute names .* labels.default_class is that of"):
        stage(tmp_path / "none", TWO, {"l.json": content}, labels={"categories": []})
    out = stage(tmp_path / "some", TWO, {"l.json": content}, labels={"categories": [], "default_class": "kudzu"})
    assert [row["category"] for row in table(out, "labels")] == ["kudzu", "kudzu"]


@pytest.mark.parametrize("zipped", [False, True])
def test_2018_labels_with_a_file_an_image(tmp_path: Path, zipped: bool) -> None:
    flat = [[x, y, "L"] for x, y in SQUARE]
    files = {
        f"labels/100k/{split}/{name}.json": {
            "name": name,
            "attributes": {"weather": "rainy"},
            "frames": [{"timestamp": 10000, "objects": [{"category": "area/drivable", "id": 4, "poly2d": flat}]}],
        }
        for split, name in (("train", "a"), ("val", "b"))
    }
    data = folder_with(tmp_path / "data", TWO, {} if zipped else files)
    if zipped:
        with zipfile.ZipFile(data / "labels.zip", "w") as archive:
            for path, content in files.items():
                archive.writestr(path, json.dumps(content))
    source = data / "labels.zip" if zipped else data / "labels"
    made = recipe_of([data / "train", data / "val"], [source], labels={"categories": ["drivable area"]})
    out = filtered(made, tmp_path / "work")
    rows = table(out, "labels")
    assert [(row["split"], row["image"], row["category"]) for row in rows] == [
        ("train", "a.jpg", "drivable area"),
        ("val", "b.jpg", "drivable area"),
    ]
    assert rows[0]["source"].endswith("labels/100k/train/a.json#4" if zipped else "a.json#4")
    assert reasons(out) == []
