"""The stage `evaluation_report`: runs a trained model over a split and writes everything that is known of it."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import fingerprint_of, summary
from pipeline.dataset import FAILED_BEFORE
from pipeline.dataset.images_zip import ImageRecord, ImagesZip
from pipeline.files.atomic import whole_file, write_json
from pipeline.formats.via.writing import REGION_DATA
from pipeline.recipe import Recipe
from pipeline.running.tensorflow_start import start_tensorflow

if TYPE_CHECKING:
    from pipeline.evaluation.coco import Figures
    from pipeline.evaluation.detections import Detector
    from pipeline.evaluation.report.page import Report

PICTURES, PICTURE_WIDTH = 3, 360
"""How many small pictures the summary has, and pixels of each of their two halves."""


def build(recipe: Recipe, trained_model: Path, dataset_zip: Path, out: Path) -> None:
    """Judge the model in a folder on `recipe.evaluation.split` of an `images.zip`; write the report into `out`.

    Raises ArtifactError (no usable model), ArchiveError and LabelFileError (the dataset), EmptyDatasetError (no image
    in the split).
    """
    start_tensorflow()
    from pipeline.training.model_file import load_for_detection

    detector = load_for_detection(
        trained_model,
        DETECTION_MIN_CONFIDENCE=recipe.evaluation.min_confidence,
        DETECTION_MAX_INSTANCES=recipe.evaluation.max_detections,
        IMAGES_PER_GPU=recipe.evaluation.batch_size,
    )
    made_from = {"trained_model": fingerprint_of(trained_model), "dataset_zip": fingerprint_of(dataset_zip)}
    with ImagesZip(dataset_zip, recipe.labels.class_attribute) as archive:
        write_files(judge(recipe, detector, trained_model, archive, made_from), archive, out)


def judge(
    recipe: Recipe, detector: "Detector", trained_model: Path, archive: ImagesZip, fingerprints: Mapping[str, str]
) -> "Report":
    """Return everything that is measured of `detector`, the model in a folder, on the split that the recipe names."""
    from pipeline.dataset import facts
    from pipeline.evaluation import detections, judgement
    from pipeline.evaluation.report.figures import read_history
    from pipeline.evaluation.report.page import Report
    from pipeline.training import model_file

    model = model_file.read(trained_model)
    records = judged_records(archive, recipe)
    images, seconds = detections.find(detector, archive, records, model.class_names, recipe.evaluation)
    labelled = {truth.category for image in images for truth in image.truth}
    known = model.class_names[1:]
    categories = (*known, *sorted(labelled - set(known)))
    return Report(
        judgement=judgement.judge(images, seconds, categories, recipe.evaluation.max_detections),
        facts=facts.measure(archive, recipe.evaluation.split, records),
        model=model,
        history=read_history(trained_model / "history.csv"),
        recipe=recipe,
        fingerprints=fingerprints,
        failed_checks=_failed_checks(archive.path),
    )


def _failed_checks(images_zip: Path) -> list[dict[str, str]]:
    """Return the checks of images and labels that did not pass; none where the archive is not in its artifact."""
    is_ours = (images_zip.parent / summary.FILE).exists()
    return summary.read(images_zip.parent).tables.get(FAILED_BEFORE, []) if is_ours else []


def judged_records(archive: ImagesZip, recipe: Recipe) -> Sequence[ImageRecord]:
    """Return the images of the split; where `evaluation.limit` is smaller, evenly spaced ones."""
    records = archive.records(recipe.evaluation.split)
    limit = recipe.evaluation.limit
    if limit is None or limit >= len(records):
        return records
    return [records[position * len(records) // limit] for position in range(limit)]


def write_files(report: "Report", archive: ImagesZip, out: Path) -> None:
    """Write every file of the artifact into the folder `out`."""
    from pipeline.evaluation import coco, exports
    from pipeline.evaluation.report import page

    judged = report.judgement
    _write_compact(out / "coco_ground_truth.json", coco.ground_truth(judged.images, judged.categories))
    _write_compact(out / "coco_detections.json", coco.results(judged.images, judged.categories))
    exports.write_parquet(judged.images, out / "detections.parquet")
    exports.write_via(judged, out / REGION_DATA)
    write_json(out / "thresholds.json", {"iou": 0.5, "classes": {n: asdict(t) for n, t in judged.thresholds.items()}})
    write_json(out / "metrics.json", metrics(report))
    page.write(report, archive, out / "index.html")
    summary.write(out, _summary(report, archive, out))


def metrics(report: "Report") -> dict[str, Any]:
    """Return the content of metrics.json; a figure that can't be measured is null."""
    judged = report.judgement
    return {
        "segm": _figures(judged.segm),
        "bbox": _figures(judged.bbox),
        "images": len(judged.images),
        "instances": judged.instances,
        "split": report.facts.judged.split,
        "slices": [asdict(each) for each in judged.slices],
        "errors": [asdict(each) for each in judged.errors],
        "calibration": {
            "all": asdict(judged.calibration),
            "classes": {name: asdict(each) for name, each in judged.class_calibration.items()},
        },
        "at_thresholds": {name: asdict(each) for name, each in judged.reached.items()},
        "thresholds_apart": judged.thresholds_apart,
        "bdd": judged.bdd and asdict(judged.bdd),
        "seconds_per_image": round(judged.seconds_per_image, 4),
        "seen_in_training": report.facts.seen_in_training,
        "box_share": round(report.facts.judged.box_share, 6),
        "model": report.fingerprints.get("trained_model"),
        "dataset": report.fingerprints.get("dataset_zip"),
        "recipe_name": report.recipe.name,
    }


def _figures(figures: "Figures") -> dict[str, Any]:
    return {key: value for key, value in asdict(figures).items() if key != "curves"}


def _write_compact(path: Path, value: Any) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def _summary(report: "Report", archive: ImagesZip, out: Path) -> summary.Summary:
    judged = report.judgement
    figures = {
        f"{kind}_{key}": getattr(of_kind, key)
        for kind, of_kind in (("segm", judged.segm), ("bbox", judged.bbox))
        for key in ("AP", "AP50", "AP75")
    }
    table = [
        {
            "class": name,
            **{key: getattr(of_class, key) for key in ("AP50", "AP", "instances")},
            "threshold": judged.thresholds[name].score,
        }
        for name, of_class in judged.segm.per_class.items()
    ]
    whole = judged.slices[0].interval
    more = {"segm_AP_low": whole and whole.low, "segm_AP_high": whole and whole.high, "ECE": judged.calibration.ECE}
    figures |= more | {"bdd_AP": judged.bdd and judged.bdd.AP}
    made_from = {f"{name} fingerprint": text for name, text in report.fingerprints.items()}
    return summary.Summary(
        numbers={
            **{key: value for key, value in figures.items() if value is not None},
            "images": len(judged.images),
            "instances": judged.instances,
            "seconds_per_image": round(judged.seconds_per_image, 4),
        },
        texts={"split": report.facts.judged.split, **made_from},
        tables={"classes": table, "errors": [asdict(each) for each in judged.errors]},
        pictures=_pictures(report, archive, out),
        checks=_checks(report),
    )


def _checks(report: "Report") -> list[summary.Check]:
    seen, judged = report.facts.seen_in_training, report.facts.judged
    trained_on = f"{seen} of {judged.images} judged images were trained on"
    boxes = f"{judged.boxes} of {judged.counted} judged instances are boxes in place of masks"
    return [
        summary.Check("judged_on_unseen_images", not seen, trained_on, {"seen": seen}),
        summary.Check("judged_on_masks", not judged.boxes, boxes, {"box_share": judged.box_share}),
    ]


def _pictures(report: "Report", archive: ImagesZip, out: Path) -> dict[str, str]:
    """Write up to three small pictures, labelled beside detected; return their files by what they show."""
    import numpy as np
    from PIL import Image

    from pipeline import pictures
    from pipeline.evaluation.report import overlays

    files = {}
    shown = overlays.draw(archive, report.judgement, PICTURES, report.recipe.seed, PICTURE_WIDTH)
    for number, picture in enumerate(shown, 1):
        file = f"overlay_{number}.jpg"
        both = Image.fromarray(np.hstack([np.asarray(picture.labelled), np.asarray(picture.detected)]))
        with whole_file(out / file) as written:
            written.write(pictures.jpeg(both, pictures.LARGEST))
        files[f"{picture.image} (labelled, detected; {picture.why})"] = file
    return files
