"""Charts as SVG that stands in a page: it takes the page's text colour, so that it suits light and dark."""

# ruff: noqa: TID253 - nothing imports this module before a report is made

import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pipeline import pictures
from pipeline.evaluation.coco import Figures
from pipeline.evaluation.measures.calibration import Calibration

INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
SIZE = (5.0, 3.5)
"""Inches; at 72 points an inch a phone shows text of 10 points about as it is."""
RECALL = np.linspace(0, 1, 101)
MOST_CURVES = 10
DASHES = ("-", (0, (6, 2)), (0, (2, 2)), (0, (7, 2, 2, 2)))
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "text.parse_math": False,
    "text.color": INK,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "grid.color": INK,
    "grid.alpha": 0.15,
    "axes.grid": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "legend.frameon": False,
    "lines.linewidth": 2,
    "lines.solid_capstyle": "round",
}


def precision_recall(figures: Figures, categories: Sequence[str]) -> Markup:
    """Return precision over recall at mask IoU 0.5: a curve a class (the ten with most instances), and their mean."""
    names = sorted(figures.curves, key=lambda name: -figures.per_class[name].instances)[:MOST_CURVES]
    with _style("precision_recall"):
        figure = Figure(SIZE, layout="constrained")
        axes = figure.add_subplot(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
        for name in sorted(names, key=categories.index):
            label = f"{name}  {_two(figures.per_class[name].AP50)}"
            axes.plot(RECALL, figures.curves[name], **_line(categories.index(name)), label=label)
        if len(figures.curves) > 1:
            mean = np.mean(list(figures.curves.values()), axis=0)
            axes.plot(RECALL, mean, color=INK, linewidth=3, label=f"mean  {_two(figures.AP50)}")
        if figures.curves:
            figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return _svg(figure)


def reliability(calibration: Calibration) -> Markup:
    """Return the share of right detections over their score, a bar a tenth, as wide as many detections lie in it."""
    bins = [each for each in calibration.bins if each.detections]
    most = max((each.detections for each in bins), default=1)
    with _style("reliability"):
        figure = Figure(SIZE, layout="constrained")
        axes = figure.add_subplot(xlabel="score", ylabel="share that is right", xlim=(0, 1), ylim=(0, 1.03))
        middles = [(each.low + each.high) / 2 for each in bins]
        widths = [0.09 * max(0.15, (each.detections / most) ** 0.5) for each in bins]
        axes.bar(middles, [each.right or 0.0 for each in bins], widths, color=pictures.colour(0), alpha=0.8)
        axes.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle=DASHES[1], label="scores that say what they mean")
        axes.plot(
            [each.score or 0.0 for each in bins], [each.right or 0.0 for each in bins], "o", color=INK, markersize=4
        )
        axes.legend(loc="upper left", fontsize=9)
        return _svg(figure)


def losses(history: Mapping[str, Sequence[float]]) -> Markup:
    """Return the loss of training and validation over epochs, from `read_history`."""
    named = {"training": "loss", "validation": "val_loss"}
    return _over_epochs("loss", {label: history[column] for label, column in named.items() if column in history})


def loss_parts(history: Mapping[str, Sequence[float]]) -> Markup:
    """Return each part of the training loss over epochs."""
    parts = {
        name.removesuffix("_loss").replace("_", " "): values
        for name, values in history.items()
        if name.endswith("_loss") and not name.startswith("val_")
    }
    return _over_epochs("part of the training loss", parts)


def _over_epochs(quantity: str, lines: Mapping[str, Sequence[float]]) -> Markup:
    """Return a line for each label, over epochs, which are whole numbers; epochs without a value are left out."""
    with _style(quantity):
        figure = Figure(SIZE, layout="constrained")
        axes: Any = figure.add_subplot(xlabel="epoch", ylabel=quantity)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        for number, (label, values) in enumerate(lines.items()):
            measured = pd.Series(values, range(1, len(values) + 1)).dropna()
            marker = "o" if len(measured) <= MOST_CURVES else ""
            axes.plot(measured, **_line(number), label=label, marker=marker)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)
        return _svg(figure)


def _line(number: int) -> dict[str, Any]:
    """Return how the line of the class, or of the quantity, at `number` is drawn."""
    return {"linestyle": DASHES[number % len(DASHES)], "color": pictures.colour(number)}


def read_history(path: Path) -> dict[str, list[float]]:
    """Return the columns of the model's history.csv, a value an epoch, NaN where a cell is empty."""
    columns = pd.read_csv(path) if path.exists() else pd.DataFrame()
    return {str(name): column.tolist() for name, column in columns.items()}


def _two(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.2f}"


def _style(salt: str) -> AbstractContextManager[None]:
    """Return the context in which a figure is drawn; `salt` keeps its ids from those of other figures of the page."""
    rules: Any = STYLE | {"svg.hashsalt": salt}
    return mpl.rc_context(rules)


def _svg(figure: Figure) -> Markup:
    """Return the figure as an `<svg>` element without fixed size, its ink the page's text colour; names are escaped."""
    content = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(content, format="svg", transparent=True, metadata=nothing)
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    opening = r'<svg viewBox="\1" aria-hidden="true" focusable="false">'
    return Markup(re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', opening, svg, count=1))  # noqa: S704
