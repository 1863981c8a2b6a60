"""What an artifact was made from, as a tree."""

from pipeline.artifacts import Store
from pipeline.artifacts.listing import find
from pipeline.artifacts.origins import tree
from tests.pipeline.stored_reports import artifact


def test_each_origin_is_described_once_and_what_is_gone_is_said(tmp_path):
    built = {"built_at": "2026-12-01T05:52:57+0000", "seconds": 9.6}
    artifact(tmp_path, "raw_images", "0a", {}, identities={"0: sample": {"seed": 7}}, **built)
    artifact(tmp_path, "filtered_labels", "0b", {"raw_labels": "0c", "raw_images": "0a"}, **built)
    reasons = ["recipe key seed: 1 → 2", "input raw_images: 0 → 0a"]
    recipe = {"seed": 2, "training.stages": ["all"]}
    both = {"filtered_labels": "0b", "raw_images": "0a"}
    artifact(tmp_path, "dataset_zip", "0d", both, recipe=recipe, reasons=reasons, recipe_name="mine", **built)
    store = Store(tmp_path)
    assert tree(store, find(store, "0d")).splitlines() == [
        "dataset_zip 0d: recipe mine, built 2026-12-01 05:52 in 10 s, code version 1",
        "  why: recipe key seed: 1 → 2",
        "  why: input raw_images: 0 → 0a",
        '  recipe: seed 2, training.stages ["all"]',
        "    filtered_labels 0b: built 2026-12-01 05:52 in 10 s, code version 1",
        "        raw_labels 0c (no longer there)",
        "        raw_images 0a: built 2026-12-01 05:52 in 10 s, code version 1",
        '          source 0: sample: {"seed": 7}',
        "    raw_images 0a (see above)",
    ]
