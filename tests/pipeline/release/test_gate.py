"""Which model is released: the better one, the one that a person names; and what is said of it."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from pipeline import recipe, release
from pipeline.artifacts import MANIFEST, Artifact, Built, Manifest, Store, released
from pipeline.errors import ArtifactError
from pipeline.evaluation import coco, exports
from pipeline.evaluation.detections import JudgedImage
from pipeline.recipe.sections import Release
from pipeline.release import gate
from tests.pipeline.evaluation.scenes import NAMES, scenes

WORSE, BETTER, FEW = scenes(30, 2, shift=8), scenes(30, 1, shift=4), scenes(3, 1, shift=4)


class Chain:
    """A store in which models and reports appear as if they had been trained and judged."""

    def __init__(self, root: Path) -> None:
        self.store = Store(root)

    def judged(self, name: str, images: Sequence[JudgedImage]) -> dict[str, Artifact]:
        """Add a model, and a report of it on some images."""
        model = self._artifact("trained_model", f"{name}a", {})
        (model.folder / "mask_rcnn_mine.h5").write_text(name)
        described = {"name": "mine", "class_names": ["BG", *NAMES], "backbone": "narrow", "config": {}}
        (model.folder / "model.json").write_text(json.dumps(described))
        report = self._artifact("evaluation_report", f"{name}b", {"trained_model": f"{name}a"})
        (report.folder / "coco_ground_truth.json").write_text(json.dumps(coco.ground_truth(images, NAMES)))
        exports.write_parquet(images, report.folder / "detections.parquet")
        (report.folder / "thresholds.json").write_text('{"classes": {}}')
        figures = [asdict(coco.average_precision(tuple(images), NAMES, kind, 100)) for kind in ("segm", "bbox")]
        segm, bbox = ({key: value for key, value in each.items() if key != "curves"} for each in figures)
        more = {"images": len(images), "instances": 9, "split": "val", "slices": [], "seen_in_training": 0}
        (report.folder / "metrics.json").write_text(json.dumps({"segm": segm, "bbox": bbox, "box_share": 0, **more}))
        return {"trained_model": model, "evaluation_report": report}

    def _artifact(self, stage: str, fingerprint: str, inputs: dict[str, str]) -> Artifact:
        folder = self.store.root / stage / fingerprint
        folder.mkdir(parents=True)
        manifest = Manifest(stage, fingerprint, 1, {"name": "mine"}, {}, inputs, built_at="2026-12-01T02:00:00")
        (folder / MANIFEST).write_text(json.dumps(asdict(manifest)))
        return Artifact(stage, fingerprint, folder)

    def night(self, made: dict[str, Artifact], **bounds: Any) -> Built:
        """Return what a run hands on that has made this model and this report."""
        chosen = recipe.Recipe(name="mine", release=Release(**bounds))
        folders = {name: artifact.folder for name, artifact in made.items()}
        return gate.build(
            self.store, gate.STAGE, chosen, made, lambda out: release.build(chosen, **folders, out=out), {}
        )

    def weights(self) -> str:
        """Return what the released weights are of."""
        artifact = released.released(self.store, "mine")
        assert artifact
        return (artifact.folder / "mask_rcnn_mine.h5").read_text()


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "data")


def verdict(built: Built) -> str:
    return built.summary.texts["verdict"]


def test_only_a_better_model_replaces_the_released_one(chain: Chain) -> None:
    first = chain.night(chain.judged("0", WORSE))
    assert verdict(first).startswith("the first released model of recipe mine: mask AP 0.")
    better = chain.night(chain.judged("1", BETTER))
    assert verdict(better).endswith(f": released in place of {first.artifact.fingerprint}")
    worse = chain.night(chain.judged("2", WORSE))
    assert (worse.artifact, worse.cached) == (better.artifact, True)
    assert verdict(worse).startswith("-0.")
    assert verdict(worse).endswith(f": {better.artifact.fingerprint} stays released")
    assert [each.summary.numbers["released"] for each in (first, better, worse)] == [1, 1, 0]
    assert [each.summary.failed != [] for each in (first, better, worse)] == [False, False, True]
    assert chain.weights() == "1"


def test_a_night_in_which_nothing_is_new_changes_nothing(chain: Chain) -> None:
    made = chain.judged("0", BETTER)
    first = chain.night(made)
    again = chain.night(made)
    assert (again.artifact, again.cached, verdict(again)) == (first.artifact, True, "it is the released model")
    assert again.summary.numbers["released"] == 0
    licensed = chain.night(made, licence="MIT")
    assert (licensed.cached, licensed.summary.numbers["released"]) == (False, 0)
    assert released.released(chain.store, "mine") == licensed.artifact


def test_the_table_says_what_changed_by_class(chain: Chain) -> None:
    chain.night(chain.judged("0", WORSE))
    rows = chain.night(chain.judged("1", BETTER)).summary.tables["against_the_released"]
    assert [row["figure"] for row in rows] == ["AP", "AP50", *sorted(NAMES)]
    assert all(row["low"] <= row["difference"] <= row["high"] for row in rows)


def test_a_margin_lets_an_equal_model_in(chain: Chain) -> None:
    chain.night(chain.judged("0", BETTER))
    equal = chain.judged("1", scenes(30, 5, shift=4))
    assert chain.night(equal).summary.numbers["released"] == 0
    assert chain.night(equal, margin=0.5).summary.numbers["released"] == 1


@pytest.mark.parametrize(
    ("bounds", "words"),
    [({"least_ap": 0.99}, "mask AP is 0."), ({"least_class_ap": {"car": 0.99}}, "AP of car is 0."),
     ({"least_class_ap": {"tram": 0.01}}, "AP of tram is not measurable, below the floor 0.010")],
)  # fmt: skip
def test_a_model_below_a_floor_is_not_released(chain: Chain, bounds: dict[str, Any], words: str) -> None:
    with pytest.raises(ArtifactError, match=words):
        chain.night(chain.judged("0", WORSE), **bounds)
    chain.night(chain.judged("1", WORSE))
    kept = chain.night(chain.judged("2", BETTER), **bounds)
    assert words in verdict(kept)
    assert chain.weights() == "1"


def test_where_too_little_can_be_compared_a_person_decides(chain: Chain) -> None:
    chain.night(chain.judged("0", FEW))
    few = chain.night(chain.judged("1", FEW))
    assert "too few images for an interval" in verdict(few)
    assert "a person has to decide" in verdict(few)
    others = chain.night(chain.judged("2", scenes(30, 1, labels=9)))
    assert "no image in common that has the same labels" in verdict(others)
    assert chain.weights() == "0"


def test_what_a_person_releases_stays_until_a_better_one_comes(chain: Chain) -> None:
    old, new = chain.judged("0", WORSE), chain.judged("1", BETTER)
    chain.night(old)
    chain.night(new)
    name, artifact = gate.by_hand(chain.store, "0a")
    assert (name, chain.weights()) == ("mine", "0")
    kept = chain.night(new)
    assert kept.artifact == artifact
    assert "a person has replaced it by hand" in verdict(kept)
    assert chain.night(chain.judged("2", BETTER)).summary.numbers["released"] == 1
    gate.by_hand(chain.store, "1b")
    assert chain.weights() == "1"


@pytest.mark.parametrize(("fingerprint", "words"), [("9", "no model with a report"), ("", "several models begin so")])
def test_a_fingerprint_that_names_no_one_model_is_refused(chain: Chain, fingerprint: str, words: str) -> None:
    chain.judged("0", WORSE)
    chain.judged("1", BETTER)
    with pytest.raises(ArtifactError, match=words):
        gate.by_hand(chain.store, fingerprint)


def test_each_recipe_has_its_released_model(chain: Chain) -> None:
    made = chain.judged("0", WORSE)
    released.point(chain.store, "other", chain.night(made).artifact, "by test")
    assert list(released.all_released(chain.store)) == ["other", "mine"]
    released.file_of(chain.store, "other").write_text("{")
    with pytest.raises(ArtifactError, match=r"released-other.json: can't be read .* release FINGERPRINT"):
        released.all_released(chain.store)


def test_a_released_model_that_is_gone_is_replaced(chain: Chain) -> None:
    first = chain.night(chain.judged("0", BETTER))
    first.artifact.folder.rename(chain.store.root / "elsewhere")
    assert chain.night(chain.judged("1", WORSE)).summary.numbers["released"] == 1


def test_the_folder_holds_all_that_is_needed_and_its_card_is_inert(chain: Chain) -> None:
    folder = chain.night(chain.judged("0", BETTER), licence="CC BY 4.0").artifact.folder
    card = (folder / release.CARD).read_text()
    assert {"mask_rcnn_mine.h5", "model.json", "thresholds.json", "metrics.json"} < {f.name for f in folder.iterdir()}
    for words in ("mask AP 0.", "`car`", "- model 0a, trained 2026-12-01", "CC BY 4.0"):
        assert words in card
    (chain.store.root / "trained_model/0a/model.json").write_text(
        json.dumps({"name": "mine", "class_names": ["BG", "a`|<img src=x>"], "backbone": "narrow", "config": {}})
    )
    folders = {
        name: chain.store.root / name / f"0{end}" for name, end in (("trained_model", "a"), ("evaluation_report", "b"))
    }
    release.build(recipe.Recipe(name="mine"), **folders, out=folder)
    assert "`a'/<img src=x>`" in (folder / release.CARD).read_text()
