"""`python -m pipeline.prediction` from arguments to files."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from faster_coco_eval import COCO
from PIL import Image

from pipeline import evaluation, prediction
from pipeline.formats import bitmasks
from pipeline.prediction.__main__ import main
from pipeline.prediction.model import Model
from pipeline.recipe import parse
from tests.pipeline.small_datasets import jpeg, squares


@pytest.fixture
def predict(model_folder, tmp_path, capsys):
    """Return a function that runs the command with the tiny model; it returns the folder and what was printed."""

    def run(*arguments, code=0):
        out = tmp_path / "found"
        options = ["--model", str(model_folder), "--out", str(out)]
        assert main([*map(str, arguments), *options]) == code
        return out, capsys.readouterr()

    return run


def rows(out, file="detections.parquet"):
    return pq.read_table(out / file).to_pylist()


def test_the_files_of_a_folder_of_pictures(predict, drive):
    out, printed = predict(drive, "--min-score", 0, "--save", "coco,via,overlays,crops,masks,bitmasks")
    found = rows(out)
    assert {row["image"] for row in found} == {f"{number}.jpg" for number in range(5)}
    assert [row["detections"] for row in rows(out, "images.parquet")] == [
        sum(row["image"] == f"{number}.jpg" for row in found) for number in range(5)
    ]
    assert f"5 pictures, {len(found)} detections" in printed.out
    assert len(list((out / "crops").iterdir())) == len(list((out / "masks").iterdir())) == len(found)
    for folder in ("overlays", "bitmasks", "pictures"):
        assert len(list((out / folder).iterdir())) == 5
    assert (out / "pictures" / "0.jpg").read_bytes() == (drive / "0.jpg").read_bytes()


def test_coco_s_results_name_their_images(predict, drive):
    out, _ = predict(drive, "--min-score", 0)
    truth = json.loads((out / "coco_images.json").read_text())
    results = json.loads((out / "coco_detections.json").read_text())
    read = COCO({**truth, "annotations": []}).loadRes(results)
    by_id = {image["id"]: image["file_name"] for image in truth["images"]}
    assert [by_id[each["image_id"]] for each in read.dataset["annotations"]] == [row["image"] for row in rows(out)]


def test_via_s_files_hold_every_picture_and_its_regions(predict, drive):
    out, _ = predict(drive, "--min-score", 0)
    project = json.loads((out / "via_project.json").read_text())
    assert project["_via_settings"]["core"]["default_filepath"] == f"{out}/pictures/"
    regions = [each for entry in project["_via_img_metadata"].values() for each in entry["regions"]]
    assert {each["region_attributes"]["name"] for each in regions} <= {"car", "traffic sign"}
    for entry in project["_via_img_metadata"].values():
        assert entry["size"] == (out / "pictures" / entry["filename"]).stat().st_size


def test_a_bitmask_holds_the_instances(predict, drive):
    out, _ = predict(drive / "0.jpg", "--min-score", 0, "--save", "bitmasks,masks")
    pixels = np.asarray(Image.open(out / "bitmasks" / "0.png"))
    best = rows(out)[0]
    mask = np.asarray(Image.open(next((out / "masks").glob("0_001_*")))) > 0
    category = {"car": 3, "traffic sign": 10}[best["category"]]
    assert (pixels[mask] == bitmasks.rgba(category, 0, 1)).all()


def test_predictions_are_those_of_the_report(predict, tmp_path, model_folder):
    archive = squares(tmp_path / "images.zip")
    report = tmp_path / "report"
    report.mkdir()
    evaluation.build(parse({"evaluation": {"min_confidence": 0}}), model_folder, archive, report)
    out, _ = predict(archive, "--min-score", 0, "--split", "val")
    expected, found = rows(report), rows(out)
    assert len(expected) == len(found) > 0
    for judged, predicted in zip(expected, found, strict=True):
        assert predicted["score"] == pytest.approx(judged["score"], abs=1e-5)
        assert list(predicted["box"].values()) == pytest.approx(list(judged["box"].values()), abs=1e-3)
        assert (predicted["image"], predicted["category"], predicted["rle"]) == (
            judged["image"],
            judged["category"],
            judged["rle"],
        )


def test_an_interrupted_run_goes_on(predict, drive, monkeypatch):
    for number in range(10, 20):
        (drive / f"{number}.jpg").write_bytes(jpeg(120, 80, number))
    detect, seen = Model.detect, []

    def interrupted(model, images):
        if len(seen) == 10:
            raise KeyboardInterrupt
        seen.append(1)
        return detect(model, images)

    monkeypatch.setattr(Model, "detect", interrupted)
    out, printed = predict(drive, "--min-score", 0, code=130)
    assert "the same command goes on from there" in printed.err
    finished = len(rows(out, "images.parquet"))
    assert 0 < finished <= 10
    again = []
    monkeypatch.setattr(Model, "detect", lambda model, images: again.append(len(images)) or detect(model, images))
    predict(drive, "--min-score", 0)
    assert sum(again) == 15 - finished
    assert [row["image"] for row in rows(out, "images.parquet")] == sorted(path.name for path in drive.iterdir())


def test_nothing_is_predicted_twice_and_new_pictures_are_added(predict, drive, monkeypatch):
    predict(drive)
    (drive / "new.jpg").write_bytes(jpeg(100, 60, 9))
    detect, again = Model.detect, []
    monkeypatch.setattr(Model, "detect", lambda model, images: again.append(len(images)) or detect(model, images))
    out, _ = predict(drive)
    assert again == [1]
    assert len(rows(out, "images.parquet")) == 6


def test_a_broken_picture_is_named_and_ends_nothing(predict, drive, caplog):
    (drive / "2.jpg").write_bytes(b"no picture")
    (drive / "phone.heic").write_bytes(b"")
    out, printed = predict(drive)
    broken = {row["image"]: row["reason"] for row in rows(out, "rejected.parquet")}
    assert broken["2.jpg"] == "not a JPEG, PNG, BMP, WebP or TIFF image"
    assert "a type that is not read" in broken["phone.heic"]
    assert len(rows(out, "images.parquet")) == 4
    assert "2 pictures could not be used" in printed.out
    assert f"{drive / '2.jpg'} is left out" in caplog.text


def test_other_settings_need_force(predict, drive):
    predict(drive)
    _, printed = predict(drive, "--classes", "car", code=2)
    assert "holds predictions with another classes or scores" in printed.err
    out, _ = predict(drive, "--classes", "car", "--min-score", 0, "--force")
    assert {row["category"] for row in rows(out)} == {"car"}


def test_a_changed_picture_needs_force(predict, drive):
    predict(drive)
    (drive / "1.jpg").write_bytes(jpeg(60, 60, 8))
    _, printed = predict(drive, code=2)
    assert "1.jpg: has changed since it was predicted" in printed.err


def test_a_pattern_an_archive_and_a_file_are_sources(predict, drive, tmp_path):
    archive = squares(tmp_path / "images.zip", images=1)
    out, _ = predict(f"{drive}/[01].jpg", archive, drive / "4.jpg")
    assert {row["image"] for row in rows(out, "images.parquet")} == {
        "0.jpg", "1.jpg", "4.jpg", "train_0.jpg", "val_0.jpg"
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["nowhere"], "nowhere does not exist"),
        (["s3://bucket"], "is no source that we read"),
        (["DRIVE", "--classes", "cart"], "no class 'cart'; did you mean car?"),
    ],
)
def test_what_cannot_be_predicted_gives_a_sentence(predict, drive, arguments, sentence):
    _, printed = predict(*[drive if each == "DRIVE" else each for each in arguments], code=2)
    assert sentence in printed.err


def test_without_a_model_it_says_how_to_get_one(drive, tmp_path, capsys):
    assert main([str(drive), "--out", str(tmp_path / "found")]) == 2
    assert "train one (make demo), or name one with --model" in capsys.readouterr().err


def test_a_batch_gives_the_same(predict, drive, tmp_path):
    one = rows(predict(drive, "--min-score", 0, "--save", "none")[0])
    three = rows(predict(drive, "--min-score", 0, "--save", "none", "--batch", 3, "--force")[0])
    assert [(row["image"], row["category"], row["rle"]) for row in one] == [
        (row["image"], row["category"], row["rle"]) for row in three
    ]


def test_what_is_saved_is_what_was_asked_for():
    assert set(prediction.BY_DEFAULT) < set(prediction.FORMS)
