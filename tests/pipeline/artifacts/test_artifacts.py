"""The artifact store: whole or not at all, reused when nothing changed, and always with the reason why it built."""

import errno
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import artifacts, recipe
from pipeline.artifacts import Artifact, Manifest, Store, __main__
from pipeline.errors import ArtifactError, PipelineError
from pipeline.recipe.sections import Labels, Training
from pipeline.stages import STAGES, Stage, fingerprint

FIRST = Stage("via_train", 1, "", reads=("labels.categories",), files=("a.txt",))
SECOND = Stage("via_val", 1, "", reads=("training.learning_rate",), inputs=("via_train",), files=("a.txt",))
BASE = recipe.Recipe()


def write(text: str):
    def make(folder: Path) -> None:
        (folder / "a.txt").write_text(text)

    return make


def never(folder: Path) -> None:
    raise AssertionError("built again")


@pytest.fixture
def store(tmp_path, monkeypatch) -> Store:
    monkeypatch.setitem(STAGES, "via_train", FIRST)
    monkeypatch.setitem(STAGES, "via_val", SECOND)
    return Store(tmp_path / "data")


def changed(**changes) -> recipe.Recipe:
    return recipe.load(recipe.RECIPES / "sample.yaml", changes)


def test_the_first_build_says_first_time_and_the_second_is_reused(store):
    built = store.build(FIRST, BASE, {}, write("x"))
    assert (built.cached, built.reasons) == (False, ["first time"])
    again = store.build(FIRST, BASE, {}, never)
    assert again.cached
    assert again.artifact == built.artifact
    assert (store.root / "via_train" / "latest" / "a.txt").read_text() == "x"


def test_a_changed_recipe_key_is_named_with_both_values(store):
    store.build(FIRST, BASE, {}, write("x"))
    fewer = BASE.model_copy(update={"labels": Labels(categories=["car"])})
    built = store.build(FIRST, fewer, {}, write("y"))
    assert len(built.reasons) == 1
    assert built.reasons[0].startswith("recipe key labels.categories:")
    assert built.reasons[0].endswith('→ ["car"]')
    assert Manifest.read(built.artifact.folder).reasons == built.reasons


def test_a_changed_input_is_named(store):
    first = store.build(FIRST, BASE, {}, write("x")).artifact
    store.build(SECOND, BASE, {"via_train": first}, write("x"))
    other = Artifact("via_train", "f" * 16, first.folder)
    assert store.build(SECOND, BASE, {"via_train": other}, write("y")).reasons == [
        f'input via_train: "{first.fingerprint}" → "{"f" * 16}"'
    ]


def test_a_key_that_the_stage_does_not_read_rebuilds_nothing(store):
    store.build(FIRST, BASE, {}, write("x"))
    slower = BASE.model_copy(update={"training": Training(learning_rate=0.5)})
    assert store.build(FIRST, slower, {}, never).cached


def test_an_ignored_key_changes_no_fingerprint():
    stage = STAGES["trained_model"]
    two = BASE.model_copy(update={"training": Training(threads=2)})
    assert fingerprint(stage, BASE, {}, {}) == fingerprint(stage, two, {}, {})


def test_a_raised_code_version_rebuilds(store):
    store.build(FIRST, BASE, {}, write("x"))
    newer = Stage("via_train", 2, "", reads=FIRST.reads, files=FIRST.files)
    assert store.build(newer, BASE, {}, write("y")).reasons == ["code version 1 → 2"]


@pytest.mark.parametrize("harm", [lambda p: p.write_text("longer"), Path.unlink])
def test_a_damaged_artifact_is_built_again(store, harm):
    folder = store.build(FIRST, BASE, {}, write("x")).artifact.folder
    harm(folder / "a.txt")
    built = store.build(FIRST, BASE, {}, write("x"))
    assert built.reasons[0].startswith("damaged: a.txt")
    assert (folder / "a.txt").read_text() == "x"


def test_verify_sees_a_changed_byte(store):
    artifact = store.build(FIRST, BASE, {}, write("x")).artifact
    assert artifacts.damage(artifact.folder, hash_files=True) == []
    (artifact.folder / "a.txt").write_text("y")
    assert artifacts.damage(artifact.folder, hash_files=True) == [
        "damaged: a.txt has another content than when it was built"
    ]


def test_a_failed_build_leaves_nothing_behind(store):
    def fail(folder: Path) -> None:
        (folder / "a.txt").write_text("half")
        raise PipelineError("bad input")

    with pytest.raises(PipelineError, match="bad input"):
        store.build(FIRST, BASE, {}, fail)
    assert [path for path in (store.root / "via_train").iterdir() if not path.name.startswith(".lock")] == []


def test_a_stage_that_resumes_finds_what_it_left(store):
    resuming = Stage("via_train", 1, "", files=("a.txt",), resumes_from="**/checkpoint")

    def stop_half_way(folder: Path) -> None:
        (folder / "checkpoint").write_text("7")
        raise KeyboardInterrupt

    def go_on(folder: Path) -> None:
        (folder / "a.txt").write_text((folder / "checkpoint").read_text())

    with pytest.raises(KeyboardInterrupt):
        store.build(resuming, BASE, {}, stop_half_way)
    assert (store.build(resuming, BASE, {}, go_on).artifact.folder / "a.txt").read_text() == "7"


def test_a_stage_that_resumes_leaves_nothing_where_there_is_nothing_to_go_on_from(store):
    resuming = Stage("via_train", 1, "", files=("a.txt",), resumes_from="**/checkpoint")
    left = [store.root / "via_train", []]

    def stop_early(folder: Path) -> None:
        left[1] = [path.name for path in folder.iterdir()]
        (folder / "log").write_text("started")
        raise PipelineError("bad input")

    for _ in range(2):
        with pytest.raises(PipelineError):
            store.build(resuming, BASE, {}, stop_early)
        assert left[1] == []
        assert [path for path in left[0].iterdir() if not path.name.startswith(".lock")] == []


def test_an_artifact_without_its_files_is_refused(store):
    with pytest.raises(ArtifactError, match=r"without its files: a\.txt"):
        store.build(FIRST, BASE, {}, lambda folder: None)
    assert [path for path in (store.root / "via_train").iterdir() if not path.name.startswith(".lock")] == []


@pytest.mark.parametrize("text", ["", '{"name": "via_', "[]", '{"name": 3}', "[" * 100_000])
def test_a_manifest_that_can_t_be_read_is_damage_like_any_other(store, text, capsys):
    artifact = store.build(FIRST, BASE, {}, write("x")).artifact
    (artifact.folder / "manifest.json").write_text(text)
    other = store.build(FIRST, changed(**{"labels.categories": "[car]"}), {}, write("y"))
    assert other.reasons == ["first time"]
    assert artifacts.damage(artifact.folder, hash_files=True) == ["damaged: manifest.json can't be read"]
    assert __main__.main(["verify", "--data", str(store.root)]) == 1
    assert "damaged: manifest.json can't be read" in capsys.readouterr().out
    assert store.build(FIRST, BASE, {}, write("x")).reasons == ["damaged: manifest.json can't be read"]
    assert artifacts.damage(artifact.folder, hash_files=True) == []


def test_going_back_to_an_earlier_recipe_is_instant(store):
    store.build(FIRST, BASE, {}, write("x"))
    store.build(FIRST, changed(**{"labels.categories": "[car]"}), {}, write("y"))
    built = store.build(FIRST, BASE, {}, never)
    assert built.cached
    assert (store.root / "via_train" / "latest").resolve() == built.artifact.folder


def test_a_partial_run_takes_the_artifact_whose_whole_ancestry_fits(store):
    first = store.build(FIRST, BASE, {}, write("x")).artifact
    second = store.build(SECOND, BASE, {"via_train": first}, write("x")).artifact
    fewer = changed(**{"labels.categories": "[car]", "training.learning_rate": BASE.training.learning_rate})
    assert store.matching(SECOND, BASE) == second
    with pytest.raises(ArtifactError, match="materialise via_val with it first"):
        store.matching(SECOND, fewer)


def test_a_partial_run_takes_the_artifact_of_its_own_sources(tmp_path):
    store, images = Store(tmp_path), STAGES["raw_images"]
    few, many = (changed(**{"source.sample": {"train": train, "val": 1}}) for train in (2, 3))

    def make(folder: Path) -> None:
        for name in images.files:
            (folder / name).write_text("x")

    first, last = (store.build(images, each, {}, make).artifact for each in (few, many))
    assert first != last
    assert [store.matching(images, each) for each in (few, many)] == [first, last]


def test_an_artifact_that_was_made_of_a_source_s_earlier_state_is_not_taken(tmp_path):
    store, weights = Store(tmp_path), tmp_path / "given.h5"
    learning = Stage("trained_model", 1, "pipeline.training", reads=("name",), outside=True, files=("a.txt",))
    given = changed(**{"training.weights": str(weights)})
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(STAGES, "trained_model", learning)
        weights.write_bytes(b"first")
        artifact = store.build(learning, given, {}, write("x")).artifact
        assert store.matching(learning, given) == artifact
        weights.write_bytes(b"changed")
        with pytest.raises(ArtifactError, match="made from its sources as they are now"):
            store.matching(learning, given)


def test_what_is_new_is_told_of_a_reused_artifact_too(store):
    store.build(FIRST, BASE, {}, write("x"))
    fewer = BASE.model_copy(update={"labels": Labels(categories=["car"])})
    store.build(FIRST, fewer, {}, write("y"))
    again = store.build(FIRST, BASE, {}, never)
    assert again.cached
    assert again.reasons[0].startswith('recipe key labels.categories: ["car"] →')
    assert store.build(FIRST, BASE, {}, never).reasons == []


def _build_and_wait(root: str) -> None:
    def make(folder: Path) -> None:
        (folder / "a.txt").write_text("x")
        (Path(root) / "building").write_text("")
        time.sleep(60)

    Store(root).build(FIRST, BASE, {}, make)


def test_a_killed_build_does_not_hold_up_the_next(store):
    store.root.mkdir()
    process = multiprocessing.get_context("fork").Process(target=_build_and_wait, args=(str(store.root),))
    process.start()
    while not (store.root / "building").exists():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    started = time.monotonic()
    assert not store.build(FIRST, BASE, {}, write("y")).cached
    assert time.monotonic() - started < 2


def test_two_processes_build_an_artifact_once(tmp_path):
    script = (
        "import sys, time; from pathlib import Path; from pipeline import recipe\n"
        "from pipeline.artifacts import Store; from pipeline.stages import Stage\n"
        "stage = Stage('via_train', 1, '', files=('a.txt',))\n"
        "def make(f): time.sleep(1); (f / 'a.txt').write_text('x')\n"
        "print(Store(sys.argv[1]).build(stage, recipe.Recipe(), {}, make).cached)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert sorted(process.communicate()[0].strip() for process in both) == ["False", "True"]


def test_a_file_system_without_links_has_no_latest(store, monkeypatch, caplog):
    def refuse(path, target):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(Path, "symlink_to", refuse)  # Google Drive in Colab
    caplog.set_level("INFO")
    built = store.build(FIRST, BASE, {}, write("x"))
    assert store.build(FIRST, BASE, {}, never).cached
    assert not (store.root / "via_train" / "latest").exists()
    assert f"the newest is {built.artifact.folder}" in caplog.text
