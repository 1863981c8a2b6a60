"""What the summary of filtered labels says on the terminal, and which of its checks fail."""

from pathlib import Path
from typing import Any

from pipeline.artifacts import summary
from tests.pipeline.labelled_folders import stage
from tests.pipeline.small_datasets import entry, square

IMAGES = ["train/a.jpg", "train/c.jpg", "val/b.jpg"]


def via_file(**classes: list[str]) -> dict[str, Any]:
    """Return VIA's annotations of images <key>.jpg, a region for each class."""
    return {name: entry(f"{name}.jpg", [square(1, 1, 5, word) for word in its]) for name, its in classes.items()}


def lines(out: Path) -> list[str]:
    return summary.read(out).lines


def test_lines_for_the_terminal(tmp_path: Path) -> None:
    content = via_file(a=["dent", "DENT", "dents", "sky", "sky", ""], b=["scratch"], c=["bus\x1b[1m"], gone=["dent"])
    chosen = {"categories": ["dent", "scratch", "kudzu"]}
    assert lines(stage(tmp_path, IMAGES, {"l.json": content}, labels=chosen)) == [
        "                     train    val",
        "images                   2      1",
        "  without instances      1      0",
        "dent                     2      0",
        "scratch                  0      1",
        "kudzu                    0      0",
        "left out (rows of rejected.parquet):",
        "  1  no class",
        "  1  no such image",
        "read as one class: dent = DENT (1)",
        "look alike (labels.rename merges them): dents (1) and dent (2)",
        "nothing found for: kudzu",
        "not among labels.categories: sky (2), dents (1), bus?[1m (1)",
    ]


def test_lines_say_no_more_than_there_is(tmp_path: Path) -> None:
    out = stage(tmp_path, IMAGES, {"l.json": via_file(a=["dent"], b=["dent"], c=["dent"])}, labels={"categories": []})
    assert lines(out) == [
        "                     train    val",
        "images                   2      1",
        "  without instances      0      0",
        "dent                     2      1",
    ]


def test_long_lists_are_cut(tmp_path: Path) -> None:
    words = [f"thing {number}" for number in range(40)]
    content = via_file(a=["dent", *words], b=["dent"], c=["dent"])
    out = stage(tmp_path / "unwanted", IMAGES, {"l.json": content}, labels={"categories": ["dent"]})
    assert lines(out)[-1].startswith("not among labels.categories: thing 0 (1), ")
    assert lines(out)[-1].endswith("thing 7 (1), … 32 more")
    out = stage(tmp_path / "all", IMAGES, {"l.json": content}, labels={"categories": []})
    assert lines(out)[-1] == "… 11 more classes"


def check(out: Path, name: str) -> summary.Check:
    return next(each for each in summary.read(out).checks if each.name == name)


def test_many_labels_outside_their_images_point_to_resizing(tmp_path: Path) -> None:
    regions = [square(1, 1, 5, "dent"), square(400, 300, 9, "dent")]
    content = {name: entry(f"{name}.jpg", regions) for name in "abc"}
    out = stage(tmp_path, IMAGES, {"l.json": content}, labels={"categories": []})
    found = check(out, "rejected_share")
    assert (found.passed, found.numbers["share"]) == (False, 0.5)
    assert "; 3 lie outside their images, as where images were made smaller" in found.description


def test_most_regions_lost_fail_the_check(tmp_path: Path) -> None:
    content = via_file(a=["dent", "", "", ""], b=["dent", "", "", ""], c=["dent", "", "", ""])
    found = check(stage(tmp_path, IMAGES, {"l.json": content}, labels={"categories": ["dent"]}), "rejected_share")
    assert (found.passed, found.numbers["share"]) == (False, 0.75)


def test_a_split_without_instances_fails_the_check(tmp_path: Path) -> None:
    content = via_file(a=["dent"], b=["sky"], c=["dent", "scratch"])
    chosen = {"categories": ["dent", "scratch"]}
    found = check(stage(tmp_path, IMAGES, {"l.json": content}, labels=chosen), "classes_in_every_split")
    assert (found.passed, found.description) == (False, "no instance of any class in val")


def test_classes_that_are_free_texts_fail_the_check(tmp_path: Path) -> None:
    words = [f"text {number}" for number in range(40)]
    out = stage(tmp_path / "texts", IMAGES, {"l.json": via_file(a=words, b=words)}, labels={"categories": []})
    found = check(out, "classes_recur")
    assert (found.passed, found.numbers) == (False, {"classes": 40, "instances": 80})
    assert "labels.class_attribute names the attribute" in found.description
    assert check(out, "classes_in_every_split").passed
    out = stage(tmp_path / "listed", IMAGES, {"l.json": via_file(a=words, b=words)}, labels={"categories": words})
    assert check(out, "classes_recur").passed
