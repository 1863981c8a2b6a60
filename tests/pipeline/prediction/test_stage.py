"""The stage `predictions`: none by default, a picture once for each model, and what an interruption leaves."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from pipeline import prediction
from pipeline.artifacts import LATEST, summary
from pipeline.errors import SourceError
from pipeline.prediction.model import Model
from pipeline.recipe import parse
from pipeline.stages import STAGES
from tests.pipeline.small_datasets import jpeg


@pytest.fixture
def released(tmp_path, model_folder):
    """Return the folder of a released model that shows every detection."""
    folder = tmp_path / "released"
    shutil.copytree(model_folder, folder)
    classes = {name: {"score": 0.0} for name in ("car", "traffic sign")}
    (folder / "thresholds.json").write_text(json.dumps({"iou": 0.5, "classes": classes}))
    return folder


@pytest.fixture
def stage(tmp_path, released):
    """Return a function that builds the stage as the store does, with `latest` at the end; it returns the folder."""
    store = tmp_path / "predictions"

    def build(name, images, **keys):
        out = store / name
        out.mkdir(parents=True, exist_ok=True)
        recipe = parse({"prediction": {"images": [str(each) for each in images], **keys}})
        prediction.build(recipe, released, out)
        (store / LATEST).unlink(missing_ok=True)
        (store / LATEST).symlink_to(name)
        return out

    return build


@pytest.fixture
def detected(monkeypatch):
    """Return the list of how many pictures each call of the network had."""
    detect, calls = Model.detect, []
    monkeypatch.setattr(Model, "detect", lambda model, images: calls.append(len(images)) or detect(model, images))
    return calls


def contents(folder):
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_without_pictures_it_says_so_and_leaves_its_files(stage, detected):
    out = stage("none", [])
    assert {*STAGES["predictions"].files} <= {path.name for path in out.iterdir()}
    assert summary.read(out).lines == ["prediction.images names no pictures: nothing was predicted"]
    assert pq.read_table(out / "detections.parquet").num_rows == 0
    assert detected == []


def test_a_folder_is_predicted_with_the_thresholds_of_the_report(stage, drive):
    out = stage("first", [drive])
    found = summary.read(out)
    assert found.numbers["pictures"] == 5
    assert found.numbers["detections"] == pq.read_table(out / "detections.parquet").num_rows > 0
    assert not found.failed
    assert all((out / file).exists() for file in found.pictures.values())
    assert not (out / ".parts").exists()
    assert (
        json.loads((out / "via_project.json").read_text())["_via_settings"]["core"]["default_filepath"] == "pictures/"
    )


def test_only_pictures_that_arrived_are_predicted_and_the_files_are_those_of_a_run_from_scratch(
    stage, drive, tmp_path, detected
):
    stage("first", [drive])
    detected.clear()
    (drive / "00.jpg").write_bytes(jpeg(120, 80, 7))  # between the others
    (drive / "3.jpg").unlink()
    (drive / "9.jpg").write_bytes(b"")
    second = stage("second", [drive])
    assert sum(detected) == 1
    (tmp_path / "predictions" / LATEST).unlink()
    scratch = stage("scratch", [drive])
    taken, made = contents(second), contents(scratch)
    for left_out in ("summary.json",):  # it says how fast it was
        taken.pop(left_out), made.pop(left_out)
    assert taken == made
    for folder in ("overlays", "pictures"):
        assert contents(second / folder) == contents(scratch / folder)


def test_other_thresholds_predict_all_pictures_again(stage, drive, detected):
    stage("first", [drive])
    detected.clear()
    stage("second", [drive], min_score=0.5)
    assert sum(detected) == 5


def test_a_picture_that_cannot_be_used_fails_the_check(stage, drive):
    (drive / "2.jpg").write_bytes(b"no picture")
    found = summary.read(stage("first", [drive]))
    assert [check.description for check in found.failed] == ["1 pictures could not be used; rejected.parquet says why"]


def test_an_absent_source_is_named():
    with pytest.raises(SourceError, match=r"prediction\.images: .*nowhere does not exist"):
        prediction.identities(parse({"prediction": {"images": ["nowhere"]}}))
