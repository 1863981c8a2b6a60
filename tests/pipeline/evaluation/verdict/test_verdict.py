"""The verdict on two reports in a store: figures on the same images, and what is new in what they were made from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.artifacts import MANIFEST
from pipeline.errors import ArtifactError
from pipeline.evaluation.measures import resampling
from pipeline.evaluation.measures.matches import MatchTable
from pipeline.evaluation.verdict import compare
from tests.pipeline.evaluation.scenes import NAMES
from tests.pipeline.judged_images import judged
from tests.pipeline.stored_reports import BETTER, WORSE, artifact, labels, report


def test_a_sentence_says_what_changed(tmp_path: Path) -> None:
    before, after = report(tmp_path, "0a", WORSE), report(tmp_path, "0b", BETTER, rate=0.002)
    labels(tmp_path / "filtered_labels/0bf", {"a": "train", "c": "train", "d": "train"}, {"a": 9, "c": 4})
    verdict = compare(before, after)
    found = resampling.differences(MatchTable.of(WORSE, sorted(NAMES)), MatchTable.of(BETTER, sorted(NAMES)))
    assert verdict.mask == found
    low, high = found.AP.interval.low, found.AP.interval.high
    assert 0 < low < found.AP.difference < high
    assert verdict.sentence == (
        f"{found.AP.difference:+.3f} AP, interval {low:+.3f} to {high:+.3f}; "
        "learning rate 0.003 → 0.002, 2 new images, 1 image gone, 1 image labelled anew"
    )


def test_a_model_made_from_the_same_differs_by_nothing(tmp_path: Path) -> None:
    folder = report(tmp_path, "0a", BETTER)
    verdict = compare(folder, folder)
    assert verdict.sentence == "+0.000 AP, interval +0.000 to +0.000; made from the same"
    assert (verdict.before, verdict.after, verdict.images) == ("0a", "0a", 30)


def test_images_whose_labels_differ_are_left_out_and_counted(tmp_path: Path) -> None:
    relabelled = judged(list(BETTER[0].truth[:-1]), list(BETTER[0].detections), BETTER[0].record.image)
    assert BETTER[0].truth
    before, after = report(tmp_path, "0a", BETTER), report(tmp_path, "0b", [relabelled, *BETTER[1:-1]])
    verdict = compare(before, after)
    assert (verdict.images, verdict.left_out) == (28, 2)
    assert "on 28 images that both judge with the same labels; 2 left out" in verdict.sentence


def test_reports_of_other_images_are_refused(tmp_path: Path) -> None:
    renamed = [replace(each, record=replace(each.record, image=f"x{each.record.image}")) for each in BETTER]
    before, after = report(tmp_path, "0a", BETTER), report(tmp_path, "0b", renamed)
    with pytest.raises(ArtifactError, match="no image in common that has the same labels"):
        compare(before, after)


def test_a_class_that_one_model_does_not_know_counts_as_missed(tmp_path: Path) -> None:
    cars = [
        judged(list(each.truth), [found for found in each.detections if found.category == "car"], each.record.image)
        for each in BETTER
    ]
    verdict = compare(report(tmp_path, "0a", cars, ("car", "bike")), report(tmp_path, "0b", BETTER, ("bike", "car")))
    assert (verdict.mask.per_class["car"].difference, verdict.mask.per_class["bike"].before) == (0, 0)


def test_few_images_have_no_interval_and_what_is_gone_is_named(tmp_path: Path) -> None:
    before, after = report(tmp_path, "0a", WORSE[:5]), report(tmp_path, "0b", BETTER[:5])
    (tmp_path / "trained_model/0am" / MANIFEST).unlink()
    verdict = compare(before, after)
    assert "too few images for an interval" in verdict.sentence
    assert verdict.sentence.endswith("trained_model no longer there to compare")
    assert list(verdict.mask.by_name) == ["AP", "AP50", "bike", "car"]


@pytest.mark.parametrize("content", ["", "{}", '{"images": [{"id": "one"}], "categories": [], "annotations": []}'])
def test_a_damaged_report_is_refused_by_name(tmp_path: Path, content: str) -> None:
    folder = report(tmp_path, "0a", BETTER[:2])
    (folder / "coco_ground_truth.json").write_text(content)
    with pytest.raises(ArtifactError, match="0a: not a whole evaluation_report"):
        compare(folder, folder)


def test_sources_code_and_many_changes_are_listed(tmp_path: Path) -> None:
    def made(name: str, code: int, **recipe: Any) -> Path:
        artifact(tmp_path, "trained_model", f"{name}m", {}, recipe=recipe, identities={"w.h5": name}, code_version=code)
        return artifact(tmp_path, "evaluation_report", name, {"trained_model": f"{name}m"})

    from pipeline.evaluation.verdict.changes import between

    before, after = made("0a", 1, seed=1), made("0b", 2, seed=2)
    assert between(before, after) == ["seed 1 → 2", "1 changed source of trained_model", "code of trained_model 1 → 2"]
    many = made("0c", 2, **{f"key{number}": number for number in range(12)})
    assert between(before, many)[-1] == "7 more changes"
