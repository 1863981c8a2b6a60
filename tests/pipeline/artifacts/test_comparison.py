"""How two artifacts of a stage differ: figures where a report has them, recipe keys, data."""

import pytest

from pipeline.artifacts import Store
from pipeline.artifacts.comparison import lines
from pipeline.artifacts.listing import find
from pipeline.errors import ArtifactError
from pipeline.evaluation.verdict import compare
from tests.pipeline.stored_reports import BETTER, WORSE, labels, report


@pytest.fixture
def store(tmp_path) -> Store:
    report(tmp_path, "0a", WORSE)
    report(tmp_path, "0b", BETTER, rate=0.002)
    labels(tmp_path / "filtered_labels/0bf", {"a": "train", "b": "train", "c": "train"}, {"a": 3, "b": 4, "c": 4})
    return Store(tmp_path)


CHANGES = ["learning rate 0.003 → 0.002", "1 new image"]


@pytest.mark.parametrize("of", ["", "m"])
def test_reports_and_models_are_compared_on_the_images_that_both_judge(store, of):
    mask = compare(store.root / "evaluation_report/0a", store.root / "evaluation_report/0b").mask
    before, after = (store.root / ("trained_model" if of else "evaluation_report") / f"0{each}{of}" for each in "ab")
    found = lines(store, find(store, str(before)), find(store, str(after)))
    assert found[:3] == [
        f"{before.parent.name} {before.name} → {after.name}",
        "mask AP on 30 images that both judge:",
        f"  {mask.AP.text('AP')}",
    ]
    assert found[-2:] == CHANGES
    assert len(found) == 3 + 1 + len(mask.per_class) + 2


def test_other_stages_are_compared_by_what_they_were_made_from(store):
    before, after = (find(store, str(store.root / "dataset_zip" / name)) for name in ("0ad", "0bd"))
    assert lines(store, before, after) == ["dataset_zip 0ad → 0bd", "1 new image"]
    assert lines(store, after, after) == ["dataset_zip 0bd → 0bd", "made from the same"]


def test_reports_that_can_t_be_compared_say_so_and_what_differs_is_still_told(store):
    (store.root / "evaluation_report/0a/coco_ground_truth.json").unlink()
    found = lines(store, find(store, "0am"), find(store, "0bm"))
    assert "not a whole evaluation_report" in found[1]
    assert found[2:] == CHANGES


def test_two_stages_can_t_be_compared(store):
    with pytest.raises(ArtifactError, match=r"trained_model/0am and dataset_zip/0bd are of two stages"):
        lines(store, find(store, "0am"), find(store, "0bd"))
