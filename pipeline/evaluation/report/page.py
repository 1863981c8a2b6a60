"""The report as one page: what its template shows."""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

import jinja2
import yaml
from PIL import Image

from pipeline import pictures
from pipeline.dataset.facts import DatasetFacts
from pipeline.dataset.images_zip import ImagesZip
from pipeline.evaluation.judgement import Judgement
from pipeline.evaluation.measures import tide
from pipeline.evaluation.measures.resampling import LEAST_IMAGES
from pipeline.evaluation.report import figures, overlays
from pipeline.files.atomic import whole_file
from pipeline.recipe import Recipe
from pipeline.training.model_file import Description

TEMPLATE = "template.html.jinja"
WIDTH = 640
"""Pixels of a picture in the page."""
FEW_IMAGES = 30
"""On fewer images the figures jump with each of them."""


@dataclass(frozen=True)
class Report:
    """Everything that the page is made from."""

    judgement: Judgement
    facts: DatasetFacts
    model: Description
    history: Mapping[str, Sequence[float]]
    """Columns of the model's history.csv; none where it has no such file."""
    recipe: Recipe
    fingerprints: Mapping[str, str]
    failed_checks: Sequence[Mapping[str, str]]
    """Of the images and labels that the dataset is made from: `check` and `description`."""


def write(report: Report, archive: ImagesZip, path: Path) -> None:
    """Write the page to `path`: one file that asks nothing of the network."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "percent": _percent, "thousands": "{:,}".format, "data": _data}
    page = environment.get_template(TEMPLATE).render(_content(report, archive))
    with whole_file(path) as file:
        file.write(page.encode())


def banners(report: Report) -> list[tuple[str, str]]:
    """Return (title, text) of what limits the worth of the figures, gravest first."""
    facts, judged = report.facts, report.facts.judged
    strange = [name for name in report.judgement.categories if name not in report.model.class_names]
    candidates = [
        (
            facts.seen_in_training,
            "Judged on what it was trained on",
            f"{facts.seen_in_training:,} of {judged.images:,} judged images are in the training split, too: the "
            "figures say how well they were learnt by heart.",
        ),
        (
            judged.boxes,
            "Boxes stand in for masks",
            f"{_percent(judged.box_share)} of the judged instances have a box and no mask; a rectangle stands in, so "
            "the mask figures say how well rectangles are drawn.",
        ),
        (
            facts.learnt_box_share and judged.split != "train",
            "Trained on boxes",
            f"{_percent(facts.learnt_box_share)} of the instances that the model learnt from have a box and no mask, "
            "so it was taught to draw that many rectangles.",
        ),
        (
            strange,
            "Labelled classes that the model doesn't know",
            f"The model doesn't know {', '.join(strange)}; all instances of these count as missed.",
        ),
        (
            not report.judgement.thresholds_apart,
            "Thresholds chosen on the same images",
            "The images are too few, or all of one video, to choose score thresholds on one half and to judge on the "
            "other: precision, recall and confusion at the thresholds are better than they will be on new images.",
        ),
        (
            judged.images < FEW_IMAGES,
            "Few images",
            f"On {judged.images} images the figures jump with each of them.",
        ),
    ]
    failed = [(f"Check {each['check']} did not pass", f"{each['description']}.") for each in report.failed_checks]
    return [(title, text) for holds, title, text in candidates if holds] + failed


def _content(report: Report, archive: ImagesZip) -> dict[str, Any]:
    judgement, recipe = report.judgement, report.recipe
    charts = [figures.losses(report.history), figures.loss_parts(report.history)] if "loss" in report.history else []
    return {
        "report": report,
        "judgement": judgement,
        "facts": report.facts,
        "banners": banners(report),
        "colours": {name: pictures.colour(k) for k, name in enumerate(judgement.categories)},
        "pictures": list(overlays.draw(archive, judgement, recipe.evaluation.overlays, recipe.seed, WIDTH)),
        "curves": figures.precision_recall(judgement.segm, judgement.categories),
        "training": charts,
        "confusion": _confusion(judgement),
        "slices": [list(each) for _, each in groupby(judgement.slices, key=lambda each: each.kind)],
        "errors": judgement.errors,
        "meanings": tide.MEANINGS,
        "most_gained": max((each.AP50_gain or 0.0 for each in judgement.errors), default=0.0) or 1.0,
        "reliability": figures.reliability(judgement.calibration),
        "least_images": LEAST_IMAGES,
        "config": dict(sorted(report.model.config.items())),
        "recipe": yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    }


def _data(picture: Image.Image) -> str:
    """Return a picture as the address of its own content."""
    return f"data:image/jpeg;base64,{base64.b64encode(pictures.jpeg(picture)).decode('ascii')}"


def _confusion(judgement: Judgement) -> list[dict[str, Any]]:
    """Return the matrix by rows: name, and for each column its name, the count, and its share of the row."""
    names = [*judgement.categories, "background"]
    rows = []
    for name, counts in zip(names, judgement.confusion.tolist(), strict=True):
        total = sum(counts)
        cells = [
            {"column": column, "count": count, "share": count / total if total else 0.0}
            for column, count in zip(names, counts, strict=True)
        ]
        rows.append({"name": name, "cells": cells, "total": total})
    return rows


def _figure(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f}"


def _percent(share: float) -> str:
    return f"{100 * share:.0f} %" if share == 0 or share >= 0.01 else "less than 1 %"
