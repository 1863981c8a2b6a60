"""The identity of a recipe's entry: it changes with what is read in it, and with nothing else."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline import sample
from pipeline.artifacts import Built, Store
from pipeline.files import digests
from pipeline.recipe import Recipe
from pipeline.sources.resolve import identify
from pipeline.stages import STAGES
from tests.pipeline.file_server import Behaviour, serving
from tests.pipeline.small_sources import folder_of, jpeg, recipe_of, zip_of


def test_a_file_s_identity_changes_with_its_content_only(tmp_path):
    path = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg()})
    first = identify(str(path), recipe_of(path))
    os.utime(path, ns=(1, 1))
    assert identify(str(path), recipe_of(path)) == first
    path.write_bytes(path.read_bytes() + b" ")
    assert identify(str(path), recipe_of(path)) != first


def test_a_folder_s_identity_is_that_of_what_is_read_in_it(tmp_path):
    folder = folder_of(tmp_path / "set", {"1.jpg": jpeg(), "via_region_data.json": b"{}", "notes.txt": b""})
    recipe = recipe_of(folder)

    def both():
        return [identify(str(folder), recipe, role)["sha256"] for role in ("images", "labels")]

    images, labels = both()
    folder_of(folder, {"notes.txt": b"changed", ".hidden.json": b"{}"})
    assert both() == [images, labels]
    folder_of(folder, {"via_region_data.json": b'{"corrected": 1}'})
    assert both()[0] == images
    assert both()[1] != labels
    (folder / "1.jpg").rename(folder / "2.jpg")
    assert both()[0] != images


def test_an_unchanged_file_is_hashed_once(tmp_path, monkeypatch):
    folder = folder_of(tmp_path / "set", {f"{n}.jpg": jpeg(grey=n) for n in range(3)})
    for path in folder.iterdir():
        os.utime(path, ns=(10**18, 10**18))
    first = identify(str(folder), recipe_of(folder))
    read = []
    real = digests._read
    monkeypatch.setattr(digests, "_read", lambda path, *rest: read.append(path.name) or real(path, *rest))
    assert identify(str(folder), recipe_of(folder)) == first
    assert read == []
    (folder / "1.jpg").write_bytes(jpeg(grey=99))
    assert identify(str(folder), recipe_of(folder)) != first
    assert read == ["1.jpg"]


def test_a_file_changed_a_moment_ago_is_not_trusted_to_stay(tmp_path):
    path = folder_of(tmp_path, {"a.json": b"[1]"}) / "a.json"
    first = digests.digest(path)
    stamp = path.stat().st_mtime_ns
    path.write_bytes(b"[2]")
    os.utime(path, ns=(stamp, stamp))
    assert digests.digest(path) != first


def test_the_sample_s_identity_is_what_it_is_drawn_from(monkeypatch):
    first = identify("sample", recipe_of("sample", seed=1))
    assert first == {"kind": "sample", "seed": 1, "train": 2, "val": 1, "generator": sample.GENERATOR_VERSION}
    assert identify("sample", recipe_of("sample", seed=2)) != first


def test_an_address_s_identity_is_what_the_server_says_of_it():
    with serving(Behaviour(content=b"12345")) as server:
        address = f"{server}/a.zip"
        identity = identify(address, recipe_of(address))
    assert identity == {"kind": "https", "address": address, "etag": '"one"', "last_modified": None, "size": 5}


PROGRAM = """
import sys
from pipeline import program
from pipeline.sources import download
download.RETRY = download.RETRY.new(total=2, backoff_factor=0.01)
sys.exit(program.main("raw_images", sys.argv[1:]))
"""


@dataclass(frozen=True)
class Runs:
    """Runs of `raw_images` as Dagster does them: this process asks the source, another one fetches it."""

    recipe: Recipe
    folder: Path
    server: Behaviour

    def build(self, between=lambda: None) -> Built:
        """Build the artifact; `between` is what happens after this process has asked, before the other one fetches."""
        stage = STAGES["raw_images"]
        identities = stage.identities(self.recipe)
        between()
        return Store().build(stage, self.recipe, {}, lambda partial: self._fetch(identities, partial), identities)

    def _fetch(self, identities, out):
        files = {"--recipe": self.recipe.model_dump(mode="json"), "--identities": identities}
        command = [sys.executable, "-c", PROGRAM, "--out", str(out)]
        for option, content in files.items():
            file = self.folder / f"{option}.json"
            file.write_text(json.dumps(content))
            command += [option, str(file)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            raise AssertionError(done.stderr.splitlines()[-1])

    def change(self, number, statuses=()):
        """Let the server have another picture, and answer so the next requests."""
        self.server.content, self.server.etag = jpeg(grey=number), f'"{number}"'
        self.server.statuses = list(statuses)
        self.server.requests.clear()

    def stored(self):
        """Return the pictures of all artifacts, the newest first."""
        return [(found.folder / "files/a.jpg").read_bytes() for found in Store().complete(STAGES["raw_images"])]


@pytest.fixture
def runs(tmp_path, behaviour):
    with serving(behaviour) as server:
        first = Runs(recipe_of(f"{server}/a.jpg"), tmp_path, behaviour)
        first.change(1)
        assert not first.build().cached
        yield first


def test_an_old_copy_is_not_stored_as_the_new_file_that_can_t_be_had(runs):
    runs.change(2, statuses=[200, *[503] * 9])
    with pytest.raises(AssertionError, match=r"source\.images: .*/a\.jpg answered 503 .*; try again later"):
        runs.build()
    assert runs.stored() == [jpeg(grey=1)]


def test_a_file_that_changes_after_it_was_asked_for_is_not_stored_as_the_one_before(runs):
    runs.change(2)
    with pytest.raises(AssertionError, match="has changed since it was looked at; run it again"):
        runs.build(between=lambda: runs.change(3))
    assert runs.stored() == [jpeg(grey=1)]
    runs.build()
    assert runs.stored() == [jpeg(grey=3), jpeg(grey=1)]


def test_the_program_is_told_what_a_source_is_and_doesn_t_ask_again(runs):
    assert len(runs.server.requests) == 2  # one to ask, one to fetch
    assert runs.build().cached
    assert len(runs.server.requests) == 3
    (artifact,) = Store().complete(STAGES["raw_images"])
    (artifact.folder / "images.parquet").unlink()
    runs.change(1, statuses=[503] * 9)
    assert runs.build().reasons == ["damaged: images.parquet is missing"]
    assert runs.stored() == [jpeg(grey=1)]
