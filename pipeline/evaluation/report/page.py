"""Puts the report together: what the template shows, as records, and the page as one file.

Charts are drawn in `figures`, pictures in `overlays`; how the page looks stands in the template.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jinja2
import yaml
from markupsafe import Markup

from pipeline import pictures as palette
from pipeline.dataset.facts import DatasetFacts
from pipeline.dataset.images_zip import ImagesZip
from pipeline.evaluation.judgement import Judgement
from pipeline.evaluation.report import figures, overlays
from pipeline.files.atomic import whole_file
from pipeline.recipe import Recipe

TEMPLATE = "template.html.jinja"
FEW_IMAGES = 30
"""On fewer images the figures jump with each of them."""


@dataclass(frozen=True)
class ModelFacts:
    """What the model's folder says of it."""

    name: str
    class_names: tuple[str, ...]
    """Background first."""
    config: Mapping[str, Any]
    history: Mapping[str, Sequence[float]]


@dataclass(frozen=True)
class Report:
    """Everything that the page is made from."""

    judgement: Judgement
    facts: DatasetFacts
    model: ModelFacts
    recipe: Recipe
    fingerprints: Mapping[str, str]


@dataclass(frozen=True)
class Banner:
    """Something that a reader must know before the figures."""

    title: str
    text: str


@dataclass(frozen=True)
class Picture:
    """Ground truth beside detections of one image, as data addresses."""

    image: str
    caption: str
    labelled: str
    detected: str
    width: int
    height: int


def write(report: Report, archive: ImagesZip, path: Path) -> None:
    """Write the page to `path`: one file that asks nothing of the network."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"figure": _figure, "percent": _percent, "thousands": "{:,}".format}
    page = environment.get_template(TEMPLATE).render(_content(report, archive))
    with whole_file(path) as file:
        file.write(page.encode())


def banners(report: Report) -> list[Banner]:
    """Return what limits the worth of the figures, gravest first."""
    facts, known = report.facts, set(report.model.class_names)
    found = []
    if facts.seen_in_training:
        share = f"{facts.seen_in_training:,} of {facts.judged_images:,} judged images"
        text = f"{share} are in the training split, too: the figures say how well they were learnt by heart."
        found.append(Banner("Judged on what it was trained on", text))
    if facts.boxes:
        text = (
            f"{_percent(facts.box_share)} of the judged instances have a box and no mask; a rectangle stands in, "
            "so the mask figures say how well rectangles are drawn."
        )
        found.append(Banner("Boxes stand in for masks", text))
    if facts.learnt_box_share and facts.judged != "train":
        text = (
            f"{_percent(facts.learnt_box_share)} of the instances that the model learnt from have a box and no mask, "
            "so it was taught to draw that many rectangles."
        )
        found.append(Banner("Trained on boxes", text))
    strange = [name for name in report.judgement.categories if name not in known]
    if strange:
        text = f"The model doesn't know {', '.join(strange)}; all instances of these count as missed."
        found.append(Banner("Labelled classes that the model doesn't know", text))
    if facts.judged_images < FEW_IMAGES:
        found.append(Banner("Few images", f"On {facts.judged_images} images the figures jump with each of them."))
    return found


def _content(report: Report, archive: ImagesZip) -> dict[str, Any]:
    judgement = report.judgement
    return {
        "report": report,
        "judgement": judgement,
        "facts": report.facts,
        "banners": banners(report),
        "colours": {name: palette.of_class(k) for k, name in enumerate(judgement.categories)},
        "pictures": _pictures(report, archive),
        "curves": _svg(figures.precision_recall(judgement.segm, judgement.categories)),
        "training": [_svg(chart) for chart in _training(report.model.history)],
        "confusion": _confusion(judgement),
        "config": {key: _short(value) for key, value in sorted(report.model.config.items())},
        "recipe": yaml.safe_dump(report.recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True),
    }


def _svg(chart: str) -> Markup:
    """Return a chart as markup; the names in it were escaped when it was drawn."""
    return Markup(chart)  # noqa: S704


def _training(history: Mapping[str, Sequence[float]]) -> list[str]:
    if "loss" not in history:
        return []
    charts = [figures.losses(history), figures.loss_parts(history)]
    return [chart for chart in charts if chart]


def _pictures(report: Report, archive: ImagesZip) -> dict[str, list[Picture]]:
    """Return the pictures by why they were chosen."""
    chosen = overlays.choose(report.judgement, report.recipe.evaluation.overlays, report.recipe.seed)
    pictures: dict[str, list[Picture]] = {}
    for each in chosen:
        labelled, detected = overlays.pair(archive, report.judgement, each.position)
        quality = each.quality
        picture = Picture(
            image=report.judgement.images[each.position].record.image,
            caption=f"{quality.found} found · {quality.missed} missed · {quality.false} false",
            labelled=_data(overlays.jpeg(labelled)),
            detected=_data(overlays.jpeg(detected)),
            width=labelled.shape[1],
            height=labelled.shape[0],
        )
        pictures.setdefault(each.why, []).append(picture)
    return pictures


def _data(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"


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


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 120 else f"{text[:117]}…"
