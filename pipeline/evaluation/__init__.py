"""The stage `evaluation_report`: runs a trained model over a split and writes everything that is known of it.

Measures and pages are made in modules of their own; here they are put in order and into files.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import fingerprint_of, summary
from pipeline.dataset.images_zip import ImageRecord, ImagesZip
from pipeline.errors import ArtifactError
from pipeline.files.atomic import whole_file, write_json
from pipeline.recipe import Recipe

if TYPE_CHECKING:
    from pipeline.evaluation.coco import Figures
    from pipeline.evaluation.detections import Detector
    from pipeline.evaluation.judgement import Judgement
    from pipeline.evaluation.report.page import ModelFacts, Report


LARGEST_PICTURE = 40_000
"""Bytes of a picture that Dagster keeps in its event log."""
PICTURE_WIDTH = 360
PICTURES = 3


def build(recipe: Recipe, trained_model: Path, dataset_zip: Path, out: Path) -> None:
    """Judge the model in a folder on `recipe.evaluation.split` of an `images.zip`; write the report into `out`.

    Raises ArtifactError (no usable model), ArchiveError and LabelFileError (the dataset), EmptyDatasetError (no image
    in the split).
    """
    from pipeline.training.model_file import load_for_detection

    detector, class_names = load_for_detection(
        trained_model,
        DETECTION_MIN_CONFIDENCE=recipe.evaluation.min_confidence,
        DETECTION_MAX_INSTANCES=recipe.evaluation.max_detections,
        IMAGES_PER_GPU=recipe.evaluation.batch_size,
    )
    made_from = {"trained_model": fingerprint_of(trained_model), "dataset_zip": fingerprint_of(dataset_zip)}
    with ImagesZip(dataset_zip, recipe.labels.class_attribute) as archive:
        report = judge(recipe, detector, model_facts(trained_model, class_names), archive, made_from)
        write_files(report, archive, out)


def judge(
    recipe: Recipe,
    detector: "Detector",
    model: "ModelFacts",
    archive: ImagesZip,
    fingerprints: Mapping[str, str],
) -> "Report":
    """Return everything that is measured of `detector` on the split that the recipe names."""
    from pipeline.dataset import facts as dataset_facts
    from pipeline.evaluation import detections, judgement
    from pipeline.evaluation.report.page import Report

    chosen = recipe.evaluation
    records = judged_records(archive, recipe)
    limits = detections.Limits(chosen.min_confidence, chosen.max_detections, chosen.batch_size)
    findings = detections.find(detector, archive, records, model.class_names, limits)
    labelled = {truth.category for image in findings.images for truth in image.truth}
    known = model.class_names[1:]
    categories = (*known, *sorted(labelled - set(known)))
    return Report(
        judgement=judgement.judge(findings, categories, chosen.max_detections),
        facts=dataset_facts.measure(archive, chosen.split, records),
        model=model,
        recipe=recipe,
        fingerprints=fingerprints,
    )


def judged_records(archive: ImagesZip, recipe: Recipe) -> Sequence[ImageRecord]:
    """Return the images of the split; where `evaluation.limit` is smaller, evenly spaced ones."""
    records = archive.records(recipe.evaluation.split)
    limit = recipe.evaluation.limit
    if limit is None or limit >= len(records):
        return records
    return [records[position * len(records) // limit] for position in range(limit)]


def model_facts(model: Path, class_names: Sequence[str]) -> "ModelFacts":
    """Return what the model's folder says of it; raises ArtifactError when model.json can't be read."""
    from pipeline.evaluation.report.figures import read_history
    from pipeline.evaluation.report.page import ModelFacts

    path = model / "model.json"
    try:
        content = json.loads(path.read_text("utf-8"))
        return ModelFacts(
            name=str(content["name"]),
            class_names=tuple(class_names),
            config=dict(content["config"]),
            history=read_history(model / "history.csv"),
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ArtifactError(f"{path}: can't be read as the description of a model: {error!r}") from None


def write_files(report: "Report", archive: ImagesZip, out: Path) -> None:
    """Write every file of the artifact into the folder `out`."""
    from pipeline.evaluation import coco, exports
    from pipeline.evaluation.report import page

    judged = report.judgement
    _write_compact(out / "coco_ground_truth.json", coco.ground_truth(judged.images, judged.categories))
    _write_compact(out / "coco_detections.json", coco.results(judged.images, judged.categories))
    exports.write_parquet(judged.images, out / "detections.parquet")
    exports.write_via(judged, out / "via_region_data.json")
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
        "split": report.facts.judged,
        "seconds_per_image": round(judged.seconds_per_image, 4),
        "seen_in_training": report.facts.seen_in_training,
        "box_share": round(report.facts.box_share, 6),
        "model": report.fingerprints.get("trained_model"),
        "dataset": report.fingerprints.get("dataset_zip"),
        "recipe_name": report.recipe.name,
    }


def _figures(figures: "Figures") -> dict[str, Any]:
    whole = {key: getattr(figures, key) for key in ("AP", "AP50", "AP75", "APs", "APm", "APl", "AR")}
    return {**whole, "per_class": {name: asdict(each) for name, each in figures.per_class.items()}}


def _write_compact(path: Path, value: Any) -> None:
    with whole_file(path) as file:
        file.write(json.dumps(value, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode())


def _summary(report: "Report", archive: ImagesZip, out: Path) -> summary.Summary:
    judged, facts = report.judgement, report.facts
    figures = {
        f"{kind}_{key}": getattr(of_kind, key)
        for kind, of_kind in (("segm", judged.segm), ("bbox", judged.bbox))
        for key in ("AP", "AP50", "AP75")
    }
    table = [
        {
            "class": name,
            "AP50": of_class.AP50,
            "AP": of_class.AP,
            "instances": of_class.instances,
            "threshold": judged.thresholds[name].score,
        }
        for name, of_class in judged.segm.per_class.items()
    ]
    return summary.Summary(
        numbers={
            **{key: value for key, value in figures.items() if value is not None},
            "images": len(judged.images),
            "instances": judged.instances,
            "seconds_per_image": round(judged.seconds_per_image, 4),
        },
        texts={"split": facts.judged, **{f"{name} fingerprint": text for name, text in report.fingerprints.items()}},
        tables={"classes": table},
        pictures=_pictures(judged, archive, report.recipe.seed, out),
        checks=_checks(report),
    )


def _checks(report: "Report") -> list[summary.Check]:
    facts = report.facts
    seen = f"{facts.seen_in_training} of {facts.judged_images} judged images were trained on"
    boxes = f"{facts.boxes} of {facts.judged_instances} judged instances are boxes in place of masks"
    return [
        summary.Check("judged_on_unseen_images", not facts.seen_in_training, seen, {"seen": facts.seen_in_training}),
        summary.Check("judged_on_masks", not facts.boxes, boxes, {"box_share": facts.box_share}),
    ]


def _pictures(judged: "Judgement", archive: ImagesZip, seed: int, out: Path) -> dict[str, str]:
    """Write up to three small pictures, labelled beside detected; return their files by what they show."""
    import numpy as np

    from pipeline.evaluation.report import overlays

    pictures = {}
    for number, chosen in enumerate(overlays.choose(judged, PICTURES, seed)):
        both = np.hstack(overlays.pair(archive, judged, chosen.position, PICTURE_WIDTH))
        file = f"overlay_{number + 1}.jpg"
        with whole_file(out / file) as written:
            written.write(overlays.jpeg(both, LARGEST_PICTURE))
        pictures[f"{judged.images[chosen.position].record.image} (labelled, detected; {chosen.why})"] = file
    return pictures
