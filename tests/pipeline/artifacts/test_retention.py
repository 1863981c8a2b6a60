"""Which artifacts are kept, what else is removed, and that nothing in use is."""

import errno
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipeline import recipe
from pipeline.artifacts import Artifact, Store, damage, retention, usage
from pipeline.errors import ArtifactError
from pipeline.files import DOWNLOADS
from pipeline.running import locks
from pipeline.stages import STAGES, Stage

LABELS = Stage("raw_labels", 1, "", reads=("seed",), files=("a.txt",))
MODEL = Stage("trained_model", 1, "", reads=("name", "seed", "training.learning_rate"), inputs=("raw_labels",))
RESUMED = Stage("trained_model", 1, "", resumes_from="checkpoint")
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    for stage in (LABELS, MODEL):
        monkeypatch.setitem(STAGES, stage.name, stage)
    return Store(tmp_path / "data")


def write(folder: Path) -> None:
    (folder / "a.txt").write_text("123456789\n")


def built(store: Store, name: str = "mine", seed: int = 1, rate: float = 0.1) -> tuple[Artifact, Artifact]:
    """Build labels and a model of them; return both."""
    chosen = recipe.load(recipe.RECIPES / "sample.yaml", {"name": name, "seed": seed, "training.learning_rate": rate})
    labels = store.build(LABELS, chosen, {}, write).artifact
    return labels, store.build(MODEL, chosen, {"raw_labels": labels}, write).artifact


def end_of_this_process() -> None:
    """Let go of all that this process uses."""
    usage._file_of_this_process.cache_clear()


def there(store: Store) -> set[str]:
    return {each.path for stage in (LABELS, MODEL) for each in store.complete(stage)}


def test_the_newest_of_each_recipe_name_are_kept_and_what_they_were_made_from(store):
    labels, model = built(store, "mine", 1)
    others = [built(store, "other", 1), built(store, "mine", 2), built(store, "mine", 3)]
    assert others[0][0] == labels
    end_of_this_process()
    removed = retention.prune(store, keep=2)
    assert [(each.path, each.why) for each in removed] == [(model.folder, "2 newer ones of recipe mine are kept")]
    assert there(store) == {each.path for pair in others for each in pair}


def test_going_back_to_an_artifact_makes_it_the_newest(store):
    first, second = built(store, seed=1), built(store, seed=2)
    built(store, seed=1)
    end_of_this_process()
    retention.prune(store, keep=1)
    assert there(store) == {each.path for each in first}
    assert not (store.root / second[1].path).exists()
    assert (store.root / "trained_model/latest").resolve() == first[1].folder


def test_artifacts_of_older_code_which_named_no_recipe_make_room_for_newer_ones(store):
    labels = built(store, seed=1)[0]
    manifest = labels.folder / "manifest.json"
    manifest.write_text(manifest.read_text().replace('"recipe_name": "mine"', '"recipe_name": ""'))
    built(store, "mine", seed=2)
    built(store, "other", seed=3)
    end_of_this_process()
    assert retention.prune(store, keep=3) == []
    os.utime(manifest, (1, 1))
    shutil.rmtree(store.root / "trained_model")
    assert [(each.path, each.why) for each in retention.prune(store, keep=2)] == [
        (labels.folder, "2 newer ones are kept")
    ]


def test_a_released_artifact_and_its_origins_are_kept(store, monkeypatch):
    released = Stage("released_model", 1, "", reads=("name",), inputs=("trained_model",))
    monkeypatch.setitem(STAGES, "released_model", released)
    labels, model = built(store, seed=1)
    artifact = store.build(released, recipe.Recipe(), {"trained_model": model}, write).artifact
    (artifact.folder.parent / "released-mine.json").write_text(
        f'{{"fingerprint": "{artifact.fingerprint}", "at": "2026-12-01T00:00:00+0000", "verdict": ""}}'
    )
    newer = store.build(released, recipe.load(None, {"name": "mine"}), {"trained_model": model}, write).artifact
    built(store, seed=2)
    os.utime(newer.folder / "manifest.json", (4e9, 4e9))
    end_of_this_process()
    assert retention.prune(store, keep=1) == []
    assert {labels.path, model.path} <= there(store)
    assert artifact.folder.is_dir()


def test_a_dry_run_removes_nothing_and_says_what_a_real_one_does(store):
    before = built(store, seed=1)
    built(store, seed=2)
    end_of_this_process()
    said = retention.prune(store, keep=1, dry_run=True)
    assert {each.path for each in said} == {each.folder for each in before}
    assert before[0].path in there(store)
    assert retention.prune(store, keep=1) == said
    assert before[0].path not in there(store)
    assert retention.prune(store, keep=1) == []


READING = """
import sys
from pathlib import Path
from pipeline.artifacts import hold
hold(Path(sys.argv[1]))
print("reading", flush=True)
sys.stdin.read()
"""


def test_what_another_process_reads_is_kept_with_its_origins_until_that_process_ends(store):
    labels, model = built(store, seed=1)
    built(store, seed=2)
    end_of_this_process()
    command = [sys.executable, "-c", READING, str(model.folder / "a.txt")]
    reader = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert reader.stdout is not None
    assert reader.stdout.readline() == "reading\n"
    assert retention.prune(store, keep=1) == []
    reader.kill()
    reader.wait()
    assert {each.path for each in retention.prune(store, keep=1)} == {labels.folder, model.folder}
    assert list((store.root / usage.FOLDER).iterdir()) == []


def test_a_build_keeps_what_it_reads_and_what_it_fills(store):
    labels, _ = built(store, seed=1)
    built(store, seed=2)
    end_of_this_process()

    def make(folder: Path) -> None:
        write(folder)
        assert [each.path.parent.name for each in retention.prune(store, keep=1, days=0)] == ["trained_model"]
        assert labels.folder.is_dir()

    chosen = recipe.load(recipe.RECIPES / "sample.yaml", {"seed": 5})
    assert store.build(MODEL, chosen, {"raw_labels": labels}, make).artifact.folder.is_dir()


def left_behind(store: Store, *files: str) -> Path:
    partial = store.root / "trained_model/.partial-0123456789abcdef"
    partial.mkdir(parents=True)
    for name in files:
        (partial / name).write_bytes(bytes(1000))
    return partial


def test_the_folder_of_a_build_that_died_is_removed(store):
    partial = left_behind(store, "half.h5")
    assert retention.prune(store) == [retention.Removal(partial, "its build has ended without it", 1000)]
    assert list(partial.parent.iterdir()) == []


def test_an_interrupted_training_is_kept_for_some_days(store, monkeypatch):
    monkeypatch.setitem(STAGES, "trained_model", RESUMED)
    partial = left_behind(store, "checkpoint")
    assert retention.prune(store, days=7) == []
    week = time.time() - 7 * 86_400
    for path in (partial / "checkpoint", partial):
        os.utime(path, (week, week))
    assert [each.why for each in retention.prune(store, days=7)] == ["nobody has resumed it for 7 days"]
    assert not partial.exists()


def test_a_build_of_older_code_that_only_holds_its_lock_is_left_alone(store):
    partial = left_behind(store, "half.h5")
    lock = partial.parent / ".lock-0123456789abcdef"
    with locks.held(lock, "a build"):
        assert retention.prune(store) == []
    assert partial.is_dir()
    retention.prune(store)
    assert not lock.exists()


def test_a_prune_that_was_stopped_is_ended_by_the_next(store, monkeypatch):
    old = built(store, seed=1)[0]
    built(store, seed=2)
    end_of_this_process()

    def stop(folder: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("shutil.rmtree", stop)
        with pytest.raises(KeyboardInterrupt):
            retention.prune(store, keep=1)
    assert old.path not in there(store)
    assert {each.why for each in retention.prune(store, keep=1)} == {"left by a prune that was stopped"}
    assert list(old.folder.parent.glob(".removed-*")) == []


def linked_download(store: Store, name: str, artifact: Artifact | None) -> Path:
    """Return a download of 1,000 bytes from long ago, of which an artifact holds the file."""
    folder = store.root / DOWNLOADS / name
    folder.mkdir(parents=True)
    (folder / "images.zip").write_bytes(bytes(1000))
    if artifact:
        (artifact.folder / "files").mkdir(exist_ok=True)
        os.link(folder / "images.zip", artifact.folder / "files" / name)
    for path in (folder / "images.zip", folder):
        os.utime(path, (1, 1))
    return folder


def test_a_download_is_kept_as_long_as_an_artifact_holds_its_file(store):
    old, new = built(store, seed=1)[0], built(store, seed=2)[0]
    gone, held, unused = (
        linked_download(store, name, each) for name, each in (("gone", old), ("held", new), ("unused", None))
    )
    end_of_this_process()
    removed = retention.prune(store, keep=1)
    freed = {each.path: each.freed for each in removed if each.path.parent.name == DOWNLOADS}
    assert freed == {gone: 1000, unused: 1000}
    assert [path.exists() for path in (gone, held, unused)] == [False, True, False]


def test_downloads_are_left_alone_while_files_of_them_are_taken(store):
    unused = linked_download(store, "unused", None)
    usage.hold_names(store.root, DOWNLOADS)
    assert retention.prune(store) == []
    end_of_this_process()
    assert [each.path for each in retention.prune(store)] == [unused]


def test_a_full_disk_does_not_keep_prune_from_freeing_some_of_it(store, monkeypatch):
    left_behind(store, "half.h5")
    opened = locks._opened

    class Full:
        def __init__(self, path: Path) -> None:
            self.file = opened(path)

        def __getattr__(self, name: str) -> object:
            return getattr(self.file, name)

        def __enter__(self) -> "Full":
            return self

        def __exit__(self, *exc: object) -> None:
            self.file.close()

        def write(self, content: bytes) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(locks, "_opened", Full)
    assert len(retention.prune(store)) == 1


def test_a_store_that_is_not_there_is_not_made(store):
    with pytest.raises(ArtifactError, match=f"{store.root}: there is no such folder"):
        retention.prune(store)
    assert not store.root.exists()


def test_at_least_one_is_kept(store):
    store.root.mkdir()
    with pytest.raises(ArtifactError, match="keep: 0 is less than 1"):
        retention.prune(store, keep=0)


BUILDING = """
import random, sys
from pathlib import Path
from pipeline import recipe
from pipeline.artifacts import Store
from tests.pipeline.artifacts.test_retention import LABELS, MODEL, write
store, chance = Store(sys.argv[1]), random.Random(sys.argv[2])
while True:
    chosen = recipe.Recipe(name="mine", seed=chance.randrange(12))
    labels = store.build(LABELS, chosen, {}, write).artifact
    def make(folder):
        write(folder)
        for _ in range(20):
            (labels.folder / "a.txt").read_text()
    model = store.build(MODEL, chosen, {"raw_labels": labels}, make).artifact
    for artifact in (labels, model):
        (artifact.folder / "a.txt").read_text()
"""


def builder(store: Store, number: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", BUILDING, str(store.root), str(number)], cwd=ROOT, stderr=subprocess.PIPE, text=True
    )


def test_builds_that_are_killed_and_prunes_at_the_same_time_leave_whole_artifacts(store):
    store.root.mkdir()
    removed, number, builders = 0, 2, [builder(store, 0), builder(store, 1)]
    deadline = time.monotonic() + 20
    while removed < 20 and time.monotonic() < deadline:
        removed += len(retention.prune(store, keep=1, days=0))
        if len(there(store)) > 8:
            victim = builders.pop(0)
            assert victim.poll() is None, victim.stderr.read()
            victim.kill()
            victim.wait()
            builders.append(builder(store, number))
            number += 1
    for each in builders:
        assert each.poll() is None, each.stderr.read()
        each.kill()
        each.wait()
    assert removed >= 20
    retention.prune(store, keep=1, days=0)
    for stage in (LABELS, MODEL):
        folder = store.root / stage.name
        assert damage((folder / "latest").resolve()) == []
        names = {path.name for path in folder.iterdir() if not path.name.startswith(".latest-")}
        assert names == {"latest", *(each.fingerprint for each in store.complete(stage))}
    assert len(there(store)) <= 3
