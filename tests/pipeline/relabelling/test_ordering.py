"""`python -m pipeline.via open --order uncertain`: which detections are taken, the order in each file, the way back."""

import csv
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline import relabelling
from pipeline.artifacts import Artifact, Store
from pipeline.errors import ArtifactError, PipelineError
from pipeline.evaluation import coco, exports
from pipeline.evaluation.detections import Detection, JudgedImage, Rle
from pipeline.formats.label_values import SUSPECTS, image_attributes
from pipeline.relabelling import ordering
from pipeline.via import __main__
from tests.pipeline.judged_images import SIDE, found, judged, truth
from tests.pipeline.small_datasets import entry, jpeg, square, write
from tests.pipeline.via_folders import opened

NAMES = ["10.jpg", "9.jpg", "a.jpg"]
"""In the order of the labels; the labels of the last lack a car, and those of the second are at another place."""
FIRST = ["a.jpg", "9.jpg", "10.jpg"]
CAR = found("car", 0.9, 20, 20, 40)


def report(folder: Path, names: list[str], detections: list[Detection], threshold: float = 0.5) -> Path:
    """Write the files of a report that found these in each of the pictures."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[JudgedImage] = [judged([truth("car", 20, 20, 40)], detections, name) for name in names]
    exports.write_parquet(images, folder / "detections.parquet")
    (folder / "coco_ground_truth.json").write_text(json.dumps(coco.ground_truth(images, ["car", "sign"])))
    (folder / "thresholds.json").write_text(json.dumps({"iou": 0.5, "classes": {"car": {"score": threshold}}}))
    return folder


def with_counts(path: Path, counts: str) -> None:
    """Give each mask in detections.parquet these run lengths."""
    table = pq.read_table(path)
    rows = [row | {"rle": row["rle"] | {"counts": counts}} for row in table.to_pylist()]
    pq.write_table(pa.Table.from_pylist(rows, table.schema), path)


def archive(path: Path, **of_image: Any) -> Path:
    """Write an images.zip whose val has these pictures: all with a labelled car but a.jpg; 9.jpg has a small one."""
    car = square(20, 20, 40, "car")
    labels = {"10.jpg": [car], "9.jpg": [square(20, 20, 31, "car")], "a.jpg": []}
    entries = {name: entry(name, regions, **of_image) for name, regions in labels.items()}
    return write(path / "images.zip", {"val": entries}, {f"val/{name}": jpeg(SIDE, SIDE) for name in labels})


def order_of(folder: Path) -> list[list[str]]:
    """Return the pictures as VIA 2 lists them, as VIA 3 does, and as suspects.csv first names them."""
    project = opened(folder)
    via3 = json.loads((folder / "via3_project.json").read_bytes())
    files = {number: via3["file"][via3["view"][number]["fid_list"][0]]["fname"] for number in via3["view"]}
    rows = list(csv.DictReader((folder / "suspects.csv").read_text().splitlines()))
    assert [float(row["score"]) for row in rows] == sorted((float(row["score"]) for row in rows), reverse=True)
    metadata = project["_via_img_metadata"]
    assert list(metadata) == project["_via_image_id_list"]
    return [
        [metadata[key]["filename"] for key in project["_via_image_id_list"]],
        [files[number] for number in via3["project"]["vid_list"]],
        list(dict.fromkeys(row["picture"] for row in rows)),
    ]


def test_the_likeliest_errors_are_first_in_every_file_whatever_the_names(tmp_path: Path) -> None:
    found_in = report(tmp_path / "report", NAMES, [CAR])
    out = tmp_path / "look"
    command = ["open", str(archive(tmp_path)), "--order", "uncertain", "--detections", str(found_in), "--out", str(out)]
    assert __main__.main(command) == 0
    assert order_of(out) == [FIRST, FIRST, FIRST]
    images = opened(out)["_via_img_metadata"].values()
    assert {each["filename"]: each["file_attributes"] for each in images} == {
        "a.jpg": {SUSPECTS: "car 0.90 without a label"},
        "9.jpg": {},
        "10.jpg": {},
    }


def test_of_an_order_the_first_pictures_are_taken(tmp_path: Path) -> None:
    found_in = report(tmp_path / "report", NAMES, [CAR])
    path = archive(tmp_path)
    assert relabelling.make_folder(path, tmp_path / "1", images=1, order="uncertain", detections=found_in) == 1
    assert order_of(tmp_path / "1") == [["a.jpg"]] * 3


def test_why_a_picture_is_first_is_neither_kept_as_a_label_nor_shown_again(tmp_path: Path) -> None:
    assert image_attributes({SUSPECTS: "car", "weather": "rain"}) == (None, '{"weather":"rain"}')
    path = archive(tmp_path, file_attributes={SUSPECTS: "of last week"})
    relabelling.make_folder(path, tmp_path / "look")
    assert all(each["file_attributes"] == {} for each in opened(tmp_path / "look")["_via_img_metadata"].values())


def test_the_newest_report_that_judged_the_pictures_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    reports = [
        report(tmp_path / "of train", ["t.jpg"], [CAR]),
        report(tmp_path / "of val", NAMES, [CAR]),
        report(tmp_path / "of others", NAMES, []),
    ]
    inputs = ["dataset", "dataset", "other"]
    for folder, dataset in zip(reports, inputs, strict=True):
        manifest = {"name": "evaluation_report", "fingerprint": "f", "code_version": 1, "recipe": {}, "identities": {}}
        (folder / "manifest.json").write_text(json.dumps(manifest | {"inputs": {"dataset_zip": dataset}}))
    artifacts = [Artifact("evaluation_report", folder.name, folder) for folder in reports]
    monkeypatch.setattr(Store, "complete", lambda self, stage: artifacts)
    (tmp_path / "dataset").mkdir()
    (tmp_path / "dataset/manifest.json").touch()
    assert ordering.found_for({"a.jpg"}, tmp_path / "dataset", None)[1] == reports[1]


def test_predictions_are_opened_with_their_own_pictures_the_unsure_first(tmp_path: Path) -> None:
    folder = tmp_path / "found"
    (folder / "pictures").mkdir(parents=True)
    scores = {"10.jpg": 0.99, "9.jpg": 0.8, "a.jpg": 0.6}
    images = [judged([], [replace(CAR, score=score)], name) for name, score in scores.items()]
    exports.write_parquet(images, folder / "detections.parquet")
    pq.write_table(pa.table({"image": NAMES, "width": [SIDE] * 3, "height": [SIDE] * 3}), folder / "images.parquet")
    labels = {name: entry(name, [square(20, 20, 40, "car")]) for name in NAMES}
    (folder / "via_region_data.json").write_text(json.dumps(labels))
    for name in NAMES:
        (folder / "pictures" / name).write_bytes(jpeg(SIDE, SIDE))
    assert relabelling.make_folder(folder, tmp_path / "look", order="uncertain") == 3
    assert order_of(tmp_path / "look") == [FIRST, FIRST, FIRST]
    assert relabelling.make_folder(folder, tmp_path / "by name") == 3


@pytest.mark.parametrize(
    ("damage", "complaint"),
    [
        (lambda folder: (folder / "detections.parquet").unlink(), "has no detections.parquet: it is neither a report"),
        (lambda folder: (folder / "coco_ground_truth.json").unlink(), r"has no images\.parquet"),
        (lambda folder: (folder / "detections.parquet").write_bytes(b"PAR1"), "its detections can't be read"),
        (lambda folder: (folder / "coco_ground_truth.json").write_text("{}"), "its detections can't be read"),
        (lambda folder: report(folder, ["x.jpg"], [CAR]), "holds none of the pictures"),
        (
            lambda folder: report(folder, NAMES, [replace(CAR, rle=Rle.of(np.ones((10, 10), bool)))]),
            "a mask of 10.jpg has another size than the picture",
        ),
        (lambda folder: with_counts(folder / "detections.parquet", "~~~~"), "its detections can't be read"),
    ],
)
def test_detections_that_do_not_fit_are_refused_by_name(tmp_path: Path, damage: Any, complaint: str) -> None:
    found_in = report(tmp_path / "report", NAMES, [CAR])
    damage(found_in)
    with pytest.raises(PipelineError, match=complaint):
        relabelling.make_folder(archive(tmp_path), tmp_path / "look", order="uncertain", detections=found_in)
    assert not (tmp_path / "look").exists()


def test_a_dataset_without_a_report_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"no report in its store judged these pictures; .* by --detections"):
        relabelling.make_folder(archive(tmp_path), tmp_path / "look", order="uncertain")
    with pytest.raises(ArtifactError, match="--detections: is for --order uncertain"):
        relabelling.make_folder(archive(tmp_path), tmp_path / "look", detections=tmp_path)


def test_pictures_that_the_model_has_not_seen_come_last(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    found_in = report(tmp_path / "report", ["9.jpg", "10.jpg"], [CAR])
    relabelling.make_folder(archive(tmp_path), tmp_path / "look", order="uncertain", detections=found_in)
    assert order_of(tmp_path / "look")[0] == ["9.jpg", "10.jpg", "a.jpg"]
    assert "1 pictures are not in" in caplog.text
