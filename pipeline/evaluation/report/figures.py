"""Charts as SVG that stands in a page: it takes the page's text colour, so that it suits light and dark.

Tables, bars and pictures are no charts: the page's template and `pipeline.evaluation.report.overlays` make them.
"""

# ruff: noqa: TID253 - nothing imports this module before a report is made

import csv
import re
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from io import StringIO
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from pipeline import pictures
from pipeline.evaluation.coco import Figures

INK = "#010203"
"""Stands for the page's text colour until the SVG is written."""
SIZE = (5.0, 3.5)
"""Inches; at 72 points an inch a phone shows text of 10 points about as it is."""
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


def precision_recall(figures: Figures, categories: Sequence[str]) -> str:
    """Return precision over recall at mask IoU 0.5: a curve a class (the ten with most instances), and their mean."""
    names = sorted(figures.curves, key=lambda name: -figures.per_class[name].instances)[:MOST_CURVES]
    with _style("precision_recall"):
        figure = Figure(SIZE, layout="constrained")
        axes = figure.add_subplot(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.03))
        for name in sorted(names, key=categories.index):
            number = categories.index(name)
            _curve(axes, figures.curves[name], f"{name}  {_two(figures.per_class[name].AP50)}", number)
        if len(figures.curves) > 1:
            mean = np.mean(list(figures.curves.values()), axis=0)
            axes.plot(np.linspace(0, 1, len(mean)), mean, color=INK, linewidth=3, label=f"mean  {_two(figures.AP50)}")
        if figures.curves:
            figure.legend(loc="outside lower center", ncols=3, fontsize=9)
        return _svg(figure)


def _curve(axes: Any, precision: NDArray[np.float64], label: str, number: int) -> None:
    recall = np.linspace(0, 1, len(precision))
    axes.plot(recall, precision, linestyle=_dashes(number), color=pictures.of_class(number), label=label)


def losses(history: Mapping[str, Sequence[float]]) -> str:
    """Return the loss of training and validation over epochs, from `read_history`."""
    with _style("losses"):
        figure = Figure(SIZE, layout="constrained")
        axes = _epochs(figure, "loss")
        for column, label, number in (("loss", "training", 0), ("val_loss", "validation", 1)):
            if column in history:
                _line(axes, history[column], label, number)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)
        return _svg(figure)


def loss_parts(history: Mapping[str, Sequence[float]]) -> str | None:
    """Return each part of the training loss over epochs; None where the history holds no parts."""
    parts = [name for name in history if name.endswith("_loss") and not name.startswith("val_")]
    if not parts:
        return None
    with _style("loss_parts"):
        figure = Figure(SIZE, layout="constrained")
        axes = _epochs(figure, "part of the training loss")
        for number, name in enumerate(parts):
            _line(axes, history[name], name.removesuffix("_loss").replace("_", " "), number)
        axes.set_ylim(bottom=0)
        axes.legend(fontsize=9)
        return _svg(figure)


def _line(axes: Any, values: Sequence[float], label: str, number: int) -> None:
    measured = [(epoch, value) for epoch, value in enumerate(values, 1) if np.isfinite(value)]
    if not measured:
        return
    epochs, heights = zip(*measured, strict=True)
    marker = "o" if len(measured) <= MOST_CURVES else ""
    axes.plot(epochs, heights, linestyle=_dashes(number), color=pictures.of_class(number), label=label, marker=marker)


def _epochs(figure: Figure, label: str) -> Any:
    """Return axes of a quantity over epochs, which are whole numbers."""
    axes = figure.add_subplot(xlabel="epoch", ylabel=label)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    return axes


def _dashes(number: int) -> Any:
    return DASHES[number % len(DASHES)]


def read_history(path: Path) -> dict[str, list[float]]:
    """Return the columns of the model's history.csv, a value an epoch, NaN where a cell is empty or no number."""
    if not path.exists():
        return {}
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {column: [_number(row[column]) for row in rows] for column in (rows[0] if rows else [])}


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")


def _two(figure: float | None) -> str:
    return "–" if figure is None else f"{figure:.2f}"


def _style(salt: str) -> AbstractContextManager[None]:
    """Return the context in which a figure is drawn; `salt` keeps its ids from those of other figures of the page."""
    rules: Any = STYLE | {"svg.hashsalt": salt}
    return mpl.rc_context(rules)


def _svg(figure: Figure) -> str:
    """Return the figure as an `<svg>` element without fixed size, its ink being the page's text colour."""
    content = StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(content, format="svg", transparent=True, metadata=nothing)
    svg = content.getvalue()
    svg = svg[svg.index("<svg") :].replace(INK, "currentColor")
    opening = r'<svg viewBox="\1" aria-hidden="true" focusable="false">'
    return re.sub(r'<svg[^>]*?viewBox="([^"]+)"[^>]*>', opening, svg, count=1)
