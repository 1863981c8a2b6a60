"""No labelled image becomes background unsaid: whatever takes its labels away, or gives it others, is counted."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline import labels
from pipeline.artifacts import summary
from pipeline.artifacts.summary import Check
from pipeline.instances.reasons import (
    EMPTIED,
    MISSPELT,
    NO_CLASS,
    NO_SPLIT,
    NO_SUCH_IMAGE,
    OTHER_FILE,
    OTHER_SIZE,
    OUTSIDE,
    OVER_LIMIT,
    SAME_BYTES,
    TWICE,
)
from pipeline.instances.tables import LABELS
from pipeline.labels.summary.checks import polygons_inside
from pipeline.sources import raw_images, raw_labels
from pipeline.stages import STAGES
from tests.pipeline.labelled_folders import CAR, area, filtered, folder_with, frame, recipe_of, stage, table
from tests.pipeline.small_datasets import entry, square

TWO = ["train/a.jpg", "val/b.jpg"]
CLASSES = {"categories": ["dent", "scratch"]}


def check_of(out: Path, name: str) -> Check:
    return next(check for check in summary.read(out).checks if check.name == name)


def kept_check(out: Path) -> Check:
    return check_of(out, "labelled_pictures_kept")


def via_file(**classes: str | Sequence[str]) -> dict[str, Any]:
    """Return VIA's annotations of images <key>.jpg, a region for each class."""
    words = {name: [word] if isinstance(word, str) else word for name, word in classes.items()}
    return {name: entry(f"{name}.jpg", [square(1, 1, 5, word) for word in its]) for name, its in words.items()}


def test_case_and_white_space_do_not_make_another_class(tmp_path: Path) -> None:
    content = via_file(a=["dent", "Dent", " DENT "], b=["Scratch", "scratch"])
    out = stage(tmp_path, TWO, {"l.json": content}, labels=CLASSES)
    assert [row["category"] for row in table(out, "labels")] == ["dent"] * 3 + ["scratch"] * 2
    assert [row["source_category"] for row in table(out, "labels")][1] == "Dent"
    assert kept_check(out).passed


def test_where_all_categories_are_wanted_the_most_frequent_spelling_is_the_class(tmp_path: Path) -> None:
    content = via_file(a=["Dent", "Dent", "dent", "DENT"], b=["A", "Scratch"])
    out = stage(tmp_path, TWO, {"l.json": content}, labels={"categories": []})
    assert [row["category"] for row in table(out, "labels")] == ["Dent"] * 4 + ["A", "Scratch"]


def test_spellings_that_the_recipe_lists_are_classes_of_their_own(tmp_path: Path) -> None:
    content = via_file(a=["a", "A"], b=["A", "a"])
    out = stage(tmp_path, TWO, {"l.json": content}, labels={"categories": ["a", "A"]})
    assert [row["category"] for row in table(out, "labels")] == ["a", "A", "A", "a"]


def test_a_misspelt_class_is_counted_and_renamed_where_the_recipe_says_so(tmp_path: Path) -> None:
    images = [*TWO, "train/c.jpg", "train/d.jpg"]
    content = via_file(a="dent", b="scratch", c="scrach", d=["dent", "dents"])
    check = kept_check(stage(tmp_path / "as it is", images, {"l.json": content}, labels=CLASSES))
    assert not check.passed
    assert check.numbers == {"labelled": 4, "kept": 3, MISSPELT: 1, f"kept, but {MISSPELT}": 1}
    assert f"{MISSPELT} (1, e.g. c.jpg in l.json)" in check.description
    assert "'scrach' and 'scratch', 'dents' and 'dent'" in check.description
    rename = {"Scrach": "scratch", "dents": "dent"}
    out = stage(tmp_path / "renamed", images, {"l.json": content}, labels=CLASSES | {"rename": rename})
    assert kept_check(out).passed
    assert [row["category"] for row in table(out, "labels")] == ["dent", "scratch", "dent", "dent", "scratch"]


def test_two_classes_that_look_alike_fail_the_check_unless_the_recipe_lists_both(tmp_path: Path) -> None:
    content = via_file(a="scratch", b=["scratch", "scrach"])
    check = kept_check(stage(tmp_path / "all", TWO, {"l.json": content}, labels={"categories": []}))
    assert (check.passed, check.numbers[f"kept, but {MISSPELT}"]) == (False, 1)
    listed = {"categories": ["scratch", "scrach"]}
    assert kept_check(stage(tmp_path / "listed", TWO, {"l.json": content}, labels=listed)).passed


def test_a_later_source_without_labels_leaves_those_of_the_first(tmp_path: Path) -> None:
    files = {"1.json": via_file(a="dent", b="dent"), "2.json": via_file(a=[], b="scratch")}
    out = stage(tmp_path / "kept", TWO, files, "1.json", "2.json", labels=CLASSES)
    assert [(row["image"], row["category"]) for row in table(out, "labels")] == [
        ("a.jpg", "dent"),
        ("b.jpg", "scratch"),
    ]
    check = kept_check(out)
    assert (check.passed, check.numbers["labels of an earlier source kept"]) == (True, 1)
    assert "(a.jpg in 2.json): labels.later_sources_may_empty" in check.description
    allowed = CLASSES | {"later_sources_may_empty": True}
    out = stage(tmp_path / "emptied", TWO, files, "1.json", "2.json", labels=allowed)
    assert [row["image"] for row in table(out, "labels")] == ["b.jpg"]
    assert kept_check(out).numbers[EMPTIED] == 1


def test_of_two_entries_the_one_with_the_size_of_the_picture_s_file_counts(tmp_path: Path) -> None:
    size = (folder_with(tmp_path / "data", TWO, {}) / "train/a.jpg").stat().st_size
    content = via_file(other="scratch", own="dent", b="dent")
    content["other"] |= {"filename": "a.jpg", "size": 7}
    content["own"] |= {"filename": "a.jpg", "size": size}
    out = stage(tmp_path, TWO, {"l.json": content}, labels=CLASSES)
    assert [row["category"] for row in table(out, "labels")] == ["dent", "dent"]
    assert kept_check(out).numbers == {"labelled": 2, "kept": 2, f"kept, but {OTHER_FILE}": 1}


def test_a_wrong_size_loses_nothing(tmp_path: Path) -> None:
    content = {name: each | {"size": 7} for name, each in via_file(a="dent", b="dent").items()}
    assert kept_check(stage(tmp_path, TWO, {"l.json": content}, labels=CLASSES)).passed


def test_the_label_file_in_the_picture_s_folder_counts(tmp_path: Path) -> None:
    files = {
        "a/via_region_data.json": via_file(a="dent", c="scratch"),
        "b/via_region_data.json": via_file(b="dent", c="dent"),
    }
    out = stage(tmp_path, ["a/a.jpg", "b/b.jpg", "b/c.jpg"], files, labels=CLASSES)
    assert [row["source"].rpartition("#")[0] for row in table(out, "labels") if row["image"] == "c.jpg"] == [
        "b/via_region_data.json"
    ]
    assert kept_check(out).numbers[f"kept, but {TWICE}"] == 1


def test_images_that_lose_all_labels_are_counted_by_reason(tmp_path: Path) -> None:
    outside = area("car", [(70.0, 10.0), (80.0, 10.0), (80.0, 20.0)])
    frames = [frame(name, CAR) for name in ("a.jpg", "b.jpg", "gone.jpg", "loose.jpg", "copy.jpg")]
    images = {path: seed for seed, path in enumerate([*TWO, "train/out.jpg", "loose.jpg"])} | {"train/copy.jpg": 1}
    check = kept_check(stage(tmp_path, images, {"l.json": [*frames, frame("out.jpg", outside)]}))
    counted = {NO_SUCH_IMAGE: 1, OUTSIDE: 1, NO_SPLIT: 1, SAME_BYTES.format(split="val"): 1}
    assert check.numbers == {"labelled": 6, "kept": 2, **counted}
    assert not check.passed


def test_a_damaged_picture_with_labels_ends_the_chain(tmp_path: Path) -> None:
    frames = [frame(name, CAR) for name in ("a.jpg", "b.jpg", "c.jpg")]
    folder = folder_with(tmp_path, [*TWO, "train/c.jpg"], {"l.json": frames})
    (folder / "train/c.jpg").write_bytes((folder / "train/c.jpg").read_bytes()[:200])
    made = recipe_of([folder], [folder])
    check = check_of(filtered(made, tmp_path / "work"), "labelled_images_decode")
    assert (check.passed, check.numbers) == (False, {"damaged": 1, "labelled": 3})
    assert check.examples == [{"image": "c.jpg in l.json"}]
    assert summary.blocks(STAGES["filtered_labels"], check, made)


def test_an_instance_outside_its_picture_is_found(tmp_path: Path) -> None:
    out = stage(tmp_path, TWO, {"l.json": [frame("a.jpg", CAR), frame("b.jpg", CAR)]})
    assert check_of(out, "polygons_inside").passed
    rows = pq.read_table(out / "labels.parquet").to_pylist()
    rows[1]["box"]["x"] += 60
    pq.write_table(pa.Table.from_pylist(rows, LABELS), out / "labels.parquet")
    check = polygons_inside(out)
    assert (check.passed, check.numbers) == (False, {"outside": 1, "instances": 2})
    assert check.examples == [{"image": "b.jpg", "category": "car"}]


def test_what_the_recipe_leaves_out_is_counted_and_no_fault(tmp_path: Path) -> None:
    frames = [frame(name, CAR) for name in ("a.jpg", "b.jpg", "c.jpg")]
    check = kept_check(stage(tmp_path, [*TWO, "train/c.jpg"], {"l.json": frames}, dataset={"limit": {"train": 1}}))
    assert (check.passed, check.numbers) == (True, {"labelled": 3, "kept": 2, OVER_LIMIT: 1})


NAMES = [f"{number}.jpg" for number in range(6)]
FAR = 500.0


@pytest.fixture(scope="module")
def indexed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder of images, and beside it their index."""
    root = tmp_path_factory.mktemp("indexed")
    images = folder_with(root / "images", [*TWO, *(f"train/{name}" for name in NAMES)], {})
    (root / "raw_images").mkdir()
    raw_images.build(recipe_of([images], [images]), root / "raw_images", root / "downloads")
    return root


@st.composite
def label_files(draw: st.DrawFn) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """Draw VIA annotations, a COCO file of the same source, and annotations of a later source."""
    first, later = via_file(a="dent", b="scratch"), {}
    coco: dict[str, Any] = {"images": [], "annotations": [], "categories": [{"id": 1, "name": "dent"}]}
    for number, name in enumerate(NAMES):
        word = draw(st.sampled_from(["dent", "DENT ", "dentt", ""]))
        left = draw(st.sampled_from([1.0, FAR]))
        place = draw(st.sampled_from([name, name, f"gone/{number}x.jpg"]))
        if draw(st.booleans()):
            first[name] = entry(place, [square(left, 1, 5, word)], size=draw(st.sampled_from([-1, 7])))
        else:
            side = draw(st.sampled_from([1, 2]))
            coco["images"].append({"id": number, "file_name": place, "width": 64 * side, "height": 48 * side})
            coco["annotations"].append({"image_id": number, "category_id": 1, "bbox": [left, 1, 5, 5]})
        if again := draw(st.sampled_from(["", "dent", "scratch", "dents"])):
            first[f"{name} again"] = entry(name, [square(1, 1, 5, again)])
        if draw(st.booleans()):
            later[name] = entry(name, draw(st.sampled_from([[], [square(1, 1, 5, "bus")]])))
    return first, coco, later


@settings(max_examples=60, deadline=None)
@given(label_files(), st.booleans())
def test_labelled_images_are_those_kept_and_those_that_a_failed_check_counts(
    indexed: Path, tmp_path_factory: pytest.TempPathFactory, files: tuple[dict[str, Any], ...], may_empty: bool
) -> None:
    work, (first, coco, later) = tmp_path_factory.mktemp("drawn"), files
    for path, content in (("1/via.json", first), ("1/coco.json", coco), ("2/via.json", later)):
        (work / path).parent.mkdir(exist_ok=True)
        (work / path).write_text(json.dumps(content))
    chosen = CLASSES | {"coco": True, "later_sources_may_empty": may_empty}
    made = recipe_of([indexed / "images"], [work / "1", work / "2"], labels=chosen)
    for name in ("raw_labels", "out"):
        (work / name).mkdir()
    raw_labels.build(made, work / "raw_labels", work / "downloads")
    labels.build(made, work / "raw_labels", indexed / "raw_images", work / "out")

    before = {each["filename"] for each in first.values()} | {image["file_name"] for image in coco["images"]}
    after = {row["image"] for row in table(work / "out", "labels")}
    check = kept_check(work / "out")
    lost = {key: count for key, count in check.numbers.items() if key not in ("labelled", "kept") and "kept" not in key}
    assert check.numbers["labelled"] == len(before)
    assert len(before) == len(after) + sum(lost.values())
    faults = lost.keys() - ({EMPTIED} if may_empty else set())
    assert check.passed == (not any(key.startswith("kept, but") for key in check.numbers) and not faults)
    assert faults <= {MISSPELT, NO_SUCH_IMAGE, OUTSIDE, OTHER_SIZE, NO_CLASS}
