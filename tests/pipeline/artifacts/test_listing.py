"""What is shown of the store, and how an artifact is found by what a person calls it."""

import json
import os
from pathlib import Path

import pytest

from pipeline.artifacts import Store, __main__, listing
from pipeline.errors import ArtifactError
from tests.pipeline.stored_reports import artifact


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store with a model and its report, which is in use, and a released model."""
    built = {"built_at": "2026-12-01T05:52:57+0000", "recipe_name": "mine", "reasons": ["first time"]}
    artifact(tmp_path, "trained_model", "0a", {}, recipe={"name": "mine"}, **built)
    report = artifact(tmp_path, "evaluation_report", "0b", {"trained_model": "0a"}, **built)
    (report / "metrics.json").write_text('{"segm": {"AP": 0.4226}}')
    (report.parent / "latest").symlink_to("0b")
    return Store(tmp_path)


def test_a_row_says_what_a_person_asks_of_an_artifact(store):
    model, report = listing.rows(store)
    assert (model.stage, model.recipe, model.mask_ap, model.latest) == ("trained_model", "mine", 0.4226, False)
    assert (report.mask_ap, report.latest, report.released) == (0.4226, True, False)
    assert report.bytes == sum(file.stat().st_size for file in Path(report.folder).iterdir())
    size = listing.size(report.bytes)
    assert report.cells() == (
        "evaluation_report", "0b", "mine", size, "2026-12-01 05:52", "0.423", "latest", "first time",
    )  # fmt: skip


def test_the_columns_are_aligned(store, capsys):
    assert __main__.main(["list", "--data", str(store.root)]) == 0
    titles, model, report = capsys.readouterr().out.splitlines()
    assert titles.index("mask AP") == model.index("0.423") == report.index("0.423")
    assert titles.index("why") == report.index("first time")


def test_the_list_as_json_holds_the_same(store, capsys):
    assert __main__.main(["list", "--json", "--data", str(store.root)]) == 0
    assert [row["fingerprint"] for row in json.loads(capsys.readouterr().out)] == ["0a", "0b"]


def test_an_empty_store_says_so(tmp_path, capsys):
    assert __main__.main(["list", "--data", str(tmp_path)]) == 0
    assert capsys.readouterr().out == f"{tmp_path} holds no artifact\n"


def test_a_damaged_manifest_is_a_row_like_any_other(store):
    (store.root / "trained_model/0a/manifest.json").write_text("[")
    row = next(listing.rows(store))
    assert (row.recipe, row.built_at) == ("", "")
    assert "not a manifest of an artifact" in row.reasons[0]


def test_an_artifact_is_found_by_its_fingerprint_or_folder(store):
    by_fingerprint = listing.find(store, "0b")
    assert by_fingerprint.path == "evaluation_report/0b"
    assert listing.find(store, str(store.root / "evaluation_report/latest")) == by_fingerprint


@pytest.mark.parametrize(
    ("named", "sentence"),
    [("0c", "0c: no artifact under"), ("0", "0: begins the fingerprints of trained_model/0a, evaluation_report/0b")],
)
def test_what_names_no_artifact_or_several_is_one_sentence(store, named, sentence, capsys):
    with pytest.raises(ArtifactError, match=sentence):
        listing.find(store, named)
    assert __main__.main(["why", named, "--data", str(store.root)]) == 2
    assert sentence in capsys.readouterr().err


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0 B"), (999, "999 B"), (28_443_137, "28.4 MB"), (5.3e12, "5300.0 GB")]
)
def test_sizes_are_in_powers_of_a_thousand(count, text):
    assert listing.size(count) == text


def test_the_newest_report_of_a_model_counts(store):
    newer = artifact(store.root, "evaluation_report", "0d", {"trained_model": "0a"})
    (newer / "metrics.json").write_text('{"segm": {"AP": null}}')
    os.utime(newer / "manifest.json", (4e9, 4e9))
    assert listing.mask_ap(store, listing.find(store, "0a")) is None


def test_prune_prints_what_it_frees(store, capsys):
    partial = store.root / "trained_model/.partial-0123456789abcdef"
    partial.mkdir()
    (partial / "half.h5").write_bytes(bytes(2000))
    for option, last in (("--dry-run", "would free 2.0 kB"), ("--keep=5", "freed 2.0 kB"), ("--days=7", "freed 0 B")):
        assert __main__.main(["prune", option, "--data", str(store.root)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == last
