"""The whole stage with a detector of given detections: files, figures, and a page that stands alone."""

import csv
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline import dataset, evaluation
from pipeline.artifacts import summary
from pipeline.dataset.images_zip import ImagesZip
from pipeline.errors import ArtifactError, EmptyDatasetError
from pipeline.evaluation.detections import Detector, Image, Rle
from pipeline.evaluation.report import figures
from pipeline.recipe import Recipe, parse
from pipeline.training import model_file
from tests.browser import browser_page, needs_chromium
from tests.pipeline.small_datasets import entry, jpeg, numbered, one_image, square, squares, write

CLASSES = ("BG", "car", "traffic sign")
FINGERPRINTS = {"trained_model": "0123456789abcdef", "dataset_zip": "fedcba9876543210"}

Find = tuple[int, float, int, int, int]
"""Class id, score, and a square: left, top, side."""


class FixedDetector:
    """Finds in each image what `find` gives for its position in the sequence of images."""

    def __init__(self, find: Callable[[int], Sequence[Find]]) -> None:
        self.find = find
        self.batches: list[int] = []

    def detect(self, images: list[Image], verbose: int = 0, masks: str = "arrays") -> list[dict[str, Any]]:
        assert masks == "rle"
        start = sum(self.batches)
        self.batches.append(len(images))
        return [self._result(image, self.find(start + position)) for position, image in enumerate(images)]

    def _result(self, image: Image, finds: Sequence[Find]) -> dict[str, Any]:
        rles = []
        for _, _, left, top, side in finds:
            mask = np.zeros(image.shape[:2], bool)
            mask[top : top + side, left : left + side] = True
            rles.append({**Rle.of(mask).coco, "counts": Rle.of(mask).counts.encode()})
        return {
            "rois": np.array([[y, x, y + side, x + side] for _, _, x, y, side in finds], np.int32).reshape(-1, 4),
            "class_ids": np.array([each[0] for each in finds], np.int32),
            "scores": np.array([each[1] for each in finds], np.float32),
            "rles": rles,
        }


def everything(position: int) -> list[Find]:
    """Find both objects of `small_datasets.squares`, and one that is not there, with a low score."""
    return [(1, 0.9, 10, 20, 40), (2, 0.8, 100, 30, 24), (1, 0.3, 120, 60, 20)]


def described(model: Path, **config: Any) -> Path:
    """Write the model.json of a model, and return the model's folder."""
    model.mkdir()
    content = {"name": "things", "class_names": CLASSES, "backbone": "narrow", "config": config}
    (model / "model.json").write_text(json.dumps(content))
    return model


def evaluate(
    tmp_path: Path, archive: Path, find: Callable[[int], Sequence[Find]] = everything, **options: Any
) -> tuple[Path, Detector]:
    """Run the stage; return its folder and the detector."""
    out = tmp_path / "out"
    out.mkdir()
    recipe = parse({"evaluation": options})
    model = described(tmp_path / "model", NAME="things", RPN_ANCHOR_SCALES=[8, 16])
    detector = FixedDetector(find)
    with ImagesZip(archive) as opened:
        report = evaluation.judge(recipe, detector, model, opened, FINGERPRINTS)
        evaluation.write_files(report, opened, out)
    return out, detector


@pytest.fixture(scope="module")
def perfect(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a run in which everything was found."""
    folder = tmp_path_factory.mktemp("perfect")
    return evaluate(folder, squares(folder / "images.zip"), overlays=3)[0]


def page_of(tmp_path: Path, archive: Path, find: Callable[[int], Sequence[Find]]) -> str:
    """Return the page of a run."""
    return (evaluate(tmp_path, archive, find)[0] / "index.html").read_text("utf-8")


def read(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def test_a_perfect_detector_has_ap_1_in_every_file(perfect: Path) -> None:
    metrics = read(perfect / "metrics.json")
    assert (metrics["segm"]["AP"], metrics["segm"]["AP50"], metrics["bbox"]["AP75"]) == (1, 1, 1)
    assert metrics["segm"]["per_class"]["car"] == {"AP": 1, "AP50": 1, "AP75": 1, "AR": 1, "instances": 3}
    assert (metrics["images"], metrics["instances"], metrics["split"]) == (3, 6, "val")
    assert (metrics["model"], metrics["dataset"]) == ("0123456789abcdef", "fedcba9876543210")
    assert metrics["seconds_per_image"] >= 0
    whole, *slices = metrics["slices"]
    assert (whole["AP"], whole["images"], whole["instances"], whole["interval"]) == (1, 3, 6, None)
    assert sum(each["instances"] for each in slices if each["kind"] == "size") == 6
    assert {each["kind"]: each["count"] for each in metrics["errors"]} == {
        **dict.fromkeys(("class", "localisation", "both", "duplicate", "missed"), 0),
        "background": 3,
    }
    assert metrics["calibration"]["classes"]["traffic sign"]["ECE"] == pytest.approx(0.2, abs=1e-6)
    assert metrics["at_thresholds"]["car"] == {"precision": 1, "recall": 1, "f1": 1}
    assert (metrics["thresholds_apart"], metrics["bdd"]) == (False, None)
    thresholds = read(perfect / "thresholds.json")["classes"]
    assert thresholds["car"]["score"] == pytest.approx(0.9)
    assert thresholds["traffic sign"]["f1"] == 1


def test_nothing_found_and_nothing_labelled_give_null_and_never_nan(tmp_path: Path) -> None:
    out = evaluate(tmp_path, one_image(tmp_path, {}, width=64, height=48), lambda _: [])[0]
    assert read(out / "metrics.json")["segm"]["AP"] is None
    assert read(out / "thresholds.json")["classes"]["car"]["score"] is None
    for file in out.glob("*.json"):
        assert "NaN" not in file.read_text("utf-8")


def test_the_table_holds_every_detection_with_its_mask(perfect: Path) -> None:
    rows = pq.read_table(perfect / "detections.parquet").to_pylist()
    assert [row["image"] for row in rows[:4]] == ["val_0.jpg"] * 3 + ["val_1.jpg"]
    first = rows[0]
    assert (first["category"], first["area"]) == ("car", 1600)
    assert first["box"] == {"x": 10, "y": 20, "width": 40, "height": 40}
    mask = Rle(*first["rle"]["size"], first["rle"]["counts"]).pixels()
    assert mask[20:60, 10:50].all()
    assert mask.sum() == 1600


def test_the_via_file_holds_what_reaches_its_threshold_and_can_be_read_back(tmp_path: Path, perfect: Path) -> None:
    via = read(perfect / "via_region_data.json")
    size = len(jpeg(160, 90, 0))
    regions = via[f"val_0.jpg{size}"]["regions"]
    assert [regions[key]["region_attributes"]["name"] for key in ("0", "1")] == ["car", "traffic sign"]
    assert regions["0"]["region_attributes"]["score"] == "0.900"
    images = {f"val/val_{number}.jpg": jpeg(160, 90, number) for number in range(3)}
    again = ImagesZip(write(tmp_path / "again.zip", {"val": via}, images)).records("val")[0]
    assert sorted(map(tuple, again.instances[0].rings[0].tolist())) == [(10, 20), (10, 60), (50, 20), (50, 60)]


def test_the_coco_files_belong_together(perfect: Path) -> None:
    truth, found = read(perfect / "coco_ground_truth.json"), read(perfect / "coco_detections.json")
    assert [image["file_name"] for image in truth["images"]] == ["val_0.jpg", "val_1.jpg", "val_2.jpg"]
    assert (len(truth["annotations"]), len(found)) == (6, 9)
    assert {each["image_id"] for each in found} == {image["id"] for image in truth["images"]}


def test_the_summary_says_the_figures_and_has_small_pictures(perfect: Path) -> None:
    made = summary.read(perfect)
    assert made.numbers["segm_AP50"] == 1
    assert [row["class"] for row in made.tables["classes"]] == ["car", "traffic sign"]
    assert len(made.pictures) == 3
    assert all((perfect / file).stat().st_size <= 40_000 for file in made.pictures.values())
    assert {check.name: check.passed for check in made.checks} == {
        "judged_on_unseen_images": False,  # train and val of `squares` hold the same files
        "judged_on_masks": True,
    }


def test_the_page_says_everything_and_asks_nothing_of_the_network(perfect: Path) -> None:
    page = (perfect / "index.html").read_text("utf-8")
    texts = (*FINGERPRINTS.values(), "traffic sign", "val_2.jpg", "Judged on what it was trained on")
    texts += ("Thresholds chosen on the same images", "lies on nothing that is labelled", "expected calibration error")
    assert all(text in page for text in texts)
    assert page.count("data:image/jpeg;base64,") == 6
    assert not re.search(r"""(src|href|srcset|action|data)\s*=\s*["']?\s*(https?:)?//""", page)
    assert not re.search(r"url\(\s*[\"']?https?:|@import|<script|<link[^>]+stylesheet", page)
    assert all(re.search(r'alt="[^"]+"', image) for image in re.findall(r"<img[^>]*>", page))


def test_the_page_says_which_checks_of_the_labels_did_not_pass(tmp_path: Path) -> None:
    failed = {"check": "rejected_share", "description": "half of the labels lie <outside>"}
    summary.write(tmp_path, summary.Summary(tables={dataset.FAILED_BEFORE: [failed]}))
    page = page_of(tmp_path, squares(tmp_path / "images.zip"), everything)
    assert "Check rejected_share did not pass.</strong> half of the labels lie &lt;outside&gt;." in page


def test_class_and_image_names_are_text_and_never_markup(tmp_path: Path) -> None:
    name = '<img src=x onerror="alert(1)">$\\frac{'
    archive = one_image(tmp_path, [square(10, 10, 30, name)], "a<b>&'.jpg", 64, 48)
    page = page_of(tmp_path, archive, lambda _: [(1, 0.9, 10, 10, 30)])
    assert "<img src=x" not in page
    assert "<b>&'" not in page
    assert "doesn&#39;t know &lt;img" in page


def test_boxes_that_stand_in_for_masks_are_reported(tmp_path: Path) -> None:
    regions = [square(10, 10, 30, "car", geometry="box"), square(50, 10, 10, "car")]
    page = page_of(tmp_path, one_image(tmp_path, regions, width=64, height=48), lambda _: [])
    assert read(tmp_path / "out/metrics.json")["box_share"] == 0.5
    assert "Boxes stand in for masks" in page
    assert "50 % of the judged instances" in page


def test_boxes_that_were_learnt_from_are_reported(tmp_path: Path) -> None:
    boxes = numbered([square(1, 1, 9, "car", geometry="box"), square(20, 1, 9, "car", crowd="true")])
    masks = numbered([square(10, 10, 30, "car")])
    splits = {
        split: {"a": entry(f"{split}.jpg", regions, width=64, height=48)}
        for split, regions in (("train", boxes), ("val", masks))
    }
    images = {f"{split}/{split}.jpg": jpeg(64, 48) for split in splits}
    archive = write(tmp_path / "images.zip", splits, images)
    page = page_of(tmp_path, archive, lambda _: [])
    assert "100 % of the instances that the model learnt from" in page
    assert "Boxes stand in for masks" not in page


def test_ignored_instances_count_nowhere(tmp_path: Path) -> None:
    regions = [square(10, 10, 30, "car", ignored="true"), square(50, 10, 10, "car", crowd="true")]
    archive = one_image(tmp_path, regions, width=64, height=48)
    out, _ = evaluate(tmp_path, archive, lambda _: [(1, 0.9, 12, 12, 20)])
    metrics = read(out / "metrics.json")
    assert (metrics["instances"], metrics["segm"]["AP50"]) == (0, None)


def test_batches_are_filled_up_and_the_fill_is_not_judged(tmp_path: Path) -> None:
    out, detector = evaluate(tmp_path, squares(tmp_path / "images.zip", images=3), batch_size=2)
    assert isinstance(detector, FixedDetector)
    assert detector.batches == [2, 2]
    assert read(out / "metrics.json")["images"] == 3


def test_a_limit_takes_evenly_spaced_images_and_scores_below_the_least_are_dropped(tmp_path: Path) -> None:
    out, _ = evaluate(tmp_path, squares(tmp_path / "images.zip", images=6), limit=2, min_confidence=0.5)
    rows = pq.read_table(out / "detections.parquet").to_pylist()
    assert {row["image"] for row in rows} == {"val_0.jpg", "val_3.jpg"}
    assert min(row["score"] for row in rows) > 0.5


def test_the_same_detections_give_the_same_bytes(tmp_path: Path) -> None:
    folders = []
    for run in ("one", "two"):
        (tmp_path / run).mkdir()
        folders.append(evaluate(tmp_path / run, squares(tmp_path / run / "images.zip"))[0])
    timed = {"metrics.json", "index.html", summary.FILE}
    for file in sorted(path.name for path in folders[0].iterdir()):
        if file not in timed:
            assert (folders[0] / file).read_bytes() == (folders[1] / file).read_bytes(), file


def test_training_curves_stand_in_the_page_when_there_is_a_history(tmp_path: Path) -> None:
    rows = [["epoch", "loss", "mrcnn_mask_loss", "val_loss"], [1, 2.5, 1, 2.6], [2, 1.5, 0.5, ""]]
    with (tmp_path / "history.csv").open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    history = figures.read_history(tmp_path / "history.csv")
    assert history["loss"] == [2.5, 1.5]
    assert np.isnan(history["val_loss"][1])
    assert "training" in figures.losses(history)
    assert "mrcnn mask" in figures.loss_parts(history)


def test_the_stage_asks_the_model_for_what_the_recipe_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = tmp_path / "out"
    out.mkdir()
    asked: dict[str, Any] = {}

    def load(folder: Path, **changes: Any) -> Detector:
        asked.update(changes, folder=folder)
        return FixedDetector(everything)

    monkeypatch.setattr(model_file, "load_for_detection", load)
    recipe = parse({"evaluation": {"min_confidence": 0.1, "max_detections": 7, "batch_size": 3, "overlays": 0}})
    model = described(tmp_path / "model")
    evaluation.build(recipe, model, squares(tmp_path / "images.zip"), out)
    assert asked == {
        "folder": model,
        "DETECTION_MIN_CONFIDENCE": 0.1,
        "DETECTION_MAX_INSTANCES": 7,
        "IMAGES_PER_GPU": 3,
    }
    assert read(out / "metrics.json")["segm"]["AP50"] == 1
    assert "things" in (out / "index.html").read_text("utf-8")


def test_a_model_folder_without_a_description_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ArtifactError, match=r"model\.json"):
        model_file.read(tmp_path)


def test_a_split_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with ImagesZip(squares(tmp_path / "images.zip")) as archive, pytest.raises(EmptyDatasetError, match="test"):
        evaluation.judged_records(archive, Recipe.model_validate({"evaluation": {"split": "test"}}))


@needs_chromium
@pytest.mark.parametrize("width", [1280, 390])
def test_a_browser_shows_the_page_without_a_complaint_and_without_scrolling_sideways(perfect: Path, width: int) -> None:
    complaints: list[str] = []
    requests: list[str] = []
    with browser_page(width) as page:
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: requests.append(request.url))
        page.goto((perfect / "index.html").as_uri())
        sides = page.evaluate("[document.documentElement.scrollWidth, window.innerWidth]")
        broken = page.evaluate("[...document.images].filter(image => !image.naturalWidth).length")
    assert complaints == []
    assert [url for url in requests if not url.startswith(("file:", "data:"))] == []
    assert sides[0] <= sides[1]
    assert broken == 0


def test_images_of_bdd100k_have_its_score_and_slices_by_what_it_says_of_them(tmp_path: Path) -> None:
    described = {"weather": "rainy", "scene": "highway", "timeofday": "night"}
    labels = {"a.jpg": entry("a.jpg", numbered([square(10, 10, 20, "car")]), file_attributes=described)}
    archive = write(tmp_path / "images.zip", {"val": labels}, {"val/a.jpg": jpeg(64, 48)})
    out, _ = evaluate(tmp_path, archive, lambda _: [(1, 0.9, 10, 10, 20)])
    metrics, page = read(out / "metrics.json"), (out / "index.html").read_text("utf-8")
    assert metrics["bdd"]["per_class"] == {"car": pytest.approx(metrics["segm"]["AP"])}
    found = {(each["kind"], each["name"]) for each in metrics["slices"]}
    assert {("time of day", "night"), ("weather", "rainy"), ("scene", "highway")} <= found
    assert all(text in page for text in ("time of day", "rainy", "BDD100K's score"))


def test_names_of_classes_are_text_in_the_report_s_figures() -> None:
    names = ["</text><script>alert(1)</script>", "<img src=x onerror=alert(1)>", r"$\frac{"]
    curves = {name: np.ones(101) for name in names}
    per_class = {name: SimpleNamespace(instances=1, AP50=0.5) for name in names}
    drawn = str(figures.precision_recall(SimpleNamespace(curves=curves, per_class=per_class, AP50=0.5), names))
    assert "<script" not in drawn
    assert "<img" not in drawn
    assert r"$\frac{" in drawn
