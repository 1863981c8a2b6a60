"""README's commands, one after the other, in a fresh clone.

What an account, a GPU or the web would give is stood in for: the sample's archives for the portal's, a small network
that learns from scratch for COCO's weights.
"""

import os
import re
import shutil
import signal
import subprocess
import time
import zipfile
from collections.abc import Mapping
from pathlib import Path
from urllib.request import urlopen

import pytest
import yaml

from tests.assets import tiny

ROOT = Path(__file__).resolve().parents[1]
PORTAL = {"raw_images": "bdd100k_images_10k.zip", "raw_labels": "bdd100k_ins_seg_labels_trainval.zip"}
MINUTES_FOR_A_COMMAND = 25
NO_GPU = {"make gpu": "make -n gpu"}
"""What is run in the place of a command on a machine without a GPU."""


def blocks(language: str) -> list[str]:
    """Return README's blocks of a language, in order."""
    return re.findall(rf"^```{language}\n(.*?)^```", (ROOT / "README.md").read_text("utf-8"), re.MULTILINE | re.DOTALL)


def commands() -> list[str]:
    """Return the commands of README's shell blocks, in order, without comments."""
    lines = (line.partition(" #")[0].strip() for block in blocks("sh") for line in block.splitlines())
    return [line for line in lines if line]


class Clone:
    """A fresh clone of the last commit, and what a person puts into it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "clone"
        subprocess.run(["git", "clone", "--quiet", ROOT, self.folder], check=True)
        self.environment: Mapping[str, str] = {
            name: value for name, value in os.environ.items() if not name.startswith(("BDD_", "DAGSTER", "MAKE"))
        }

    def put_pictures(self) -> None:
        """Put labelled pictures into my_pictures/, and archives into downloads/ and beside the recipes."""
        archive = self.folder / "data/dataset_zip/latest/images.zip"
        with zipfile.ZipFile(archive) as pictures:
            for member in pictures.namelist():
                target = self.folder / member.replace("images/", "my_pictures/", 1)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(pictures.read(member))
        shutil.copyfile(next(self.folder.glob("my_pictures/val/*.jpg")), self.folder / "street.jpg")
        (self.folder / "downloads").mkdir()
        for stage, name in PORTAL.items():
            (drawn,) = (self.folder / "data" / stage / "latest/files").glob("*.zip")
            shutil.copyfile(drawn, self.folder / "downloads" / name)

    def make_small(self, recipe: str) -> None:
        """Give a recipe the small network."""
        file = self.folder / recipe
        content = yaml.safe_load(file.read_text("utf-8"))
        content["training"] |= {**tiny.TINY["training"], "config": {}}
        file.write_text(yaml.safe_dump(content), "utf-8")

    def run(self, command: str) -> str:
        """Run a command that must end well; return what it said."""
        done = subprocess.run(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, timeout=MINUTES_FOR_A_COMMAND * 60,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout[-4000:]}"
        return done.stdout

    def serve(self, command: str, address: str) -> None:
        """Run a command until the page at `address` is there, and end it."""
        running = subprocess.Popen(
            ["bash", "-c", command], cwd=self.folder, env=self.environment, start_new_session=True
        )
        try:
            for _ in range(120):
                assert running.poll() is None, command
                try:
                    assert urlopen(address, timeout=5).status == 200
                    return
                except OSError:
                    time.sleep(1)
            raise AssertionError(f"{command}: nothing at {address}")
        finally:
            os.killpg(running.pid, signal.SIGTERM)
            running.wait(60)


@pytest.mark.soak
def test_every_command_of_the_readme_works_in_a_fresh_clone(tmp_path: Path) -> None:
    clone = Clone(tmp_path)
    has_gpu = Path("/dev/nvidia0").exists()
    for command in [NO_GPU.get(each, each) if not has_gpu else each for each in commands()]:
        started = time.monotonic()
        if command.startswith("make dev"):
            clone.serve(command, "http://localhost:3000")
        else:
            said = clone.run(command)
            print("\n".join(said.splitlines()[-3:]))
        print(f"{time.monotonic() - started:.0f} s: {command}")
        if command == "make test":  # made small, recipes no longer pass their tests
            clone.put_pictures()
            for recipe in ("recipes/via.yaml", "recipes/bdd100k.yaml"):
                clone.make_small(recipe)
    assert (clone.folder / "data/evaluation_report/latest/index.html").stat().st_size > 10_000
    assert list((clone.folder / "found/overlays").glob("*.jpg"))
    (example,) = blocks("python")
    clone.run(f".venv/bin/python - <<'END'\n{example}\nEND")
    assert (clone.folder / "drawn.jpg").stat().st_size > 10_000
