"""Plots of precision and recall and of overlaps, and tables of weights, for `mrcnn.visualize`."""

import itertools
from collections.abc import Sequence
from html import escape
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from numpy.typing import NDArray


def display_table(table: Sequence[Sequence[Any]]) -> None:
    """Show rows of cells: as HTML in a notebook, else as text."""
    try:
        from IPython import display, get_ipython
    except ImportError:
        in_notebook = False
    else:
        in_notebook = get_ipython() is not None
    if not in_notebook:
        print("\n".join("\t".join(str(cell) for cell in row) for row in table))
        return
    rows = "".join("<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in table)
    display.display(display.HTML(f"<table>{rows}</table>"))


def class_name(class_names: Sequence[str], class_id: Any) -> str:
    """Return the name of a class id (negative: a crowd).

    Raises:
        ValueError: there are too few names.
    """
    number = abs(int(class_id))
    if number >= len(class_names):
        raise ValueError(
            f"class id {number} has no name in class_names {list(class_names)}; "
            "it must name the background first, then all classes of the network"
        )
    return str(class_names[number])


def plot_precision_recall(AP: float, precisions: NDArray[Any], recalls: NDArray[Any]) -> None:  # noqa: N803
    """Plot precisions [P] over recalls [P], with AP at IoU 0.5 as title."""
    _, axes = plt.subplots(1)
    axes.set_title(f"Precision-Recall Curve. AP@50 = {AP:.3f}")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.1), ylim=(0, 1.1))
    axes.plot(recalls, precisions)


def plot_overlaps(
    gt_class_ids: NDArray[Any],
    pred_class_ids: NDArray[Any],
    pred_scores: NDArray[Any],
    overlaps: NDArray[Any],
    class_names: Sequence[str],
    threshold: float = 0.5,
) -> None:
    """Plot the overlaps [P, G] of detections with ground truth as a grid; "match" is printed for the same class."""
    gt_ids, ids = np.asarray(gt_class_ids)[np.asarray(gt_class_ids) != 0], np.asarray(pred_class_ids)
    ids = ids[ids != 0]
    plt.figure(figsize=(12, 10))
    plt.imshow(overlaps, interpolation="nearest", cmap="Blues")
    plt.yticks(np.arange(len(ids)), [f"{class_name(class_names, c)} ({pred_scores[i]:.2f})" for i, c in enumerate(ids)])
    plt.xticks(np.arange(len(gt_ids)), [class_name(class_names, c) for c in gt_ids], rotation=90)
    dark = overlaps.max() / 2.0 if overlaps.size else 0.5
    for row, column in itertools.product(range(overlaps.shape[0]), range(overlaps.shape[1])):
        text = ""
        if overlaps[row, column] > threshold:
            text = "match" if gt_ids[column] == ids[row] else "wrong"
        colour = "white" if overlaps[row, column] > dark else "black"
        plt.text(
            column, row, f"{overlaps[row, column]:.3f}\n{text}", horizontalalignment="center", color=colour, fontsize=9
        )
    plt.tight_layout()
    plt.xlabel("Ground Truth")
    plt.ylabel("Predictions")


def display_weight_stats(model: Any) -> None:
    """Show name, shape, minimum, maximum and standard deviation of the weights of a `MaskRCNN` or Keras model."""
    table: list[list[Any]] = [["WEIGHT NAME", "SHAPE", "MIN", "MAX", "STD"]]
    for weight in getattr(model, "keras_model", model).weights:
        values = np.asarray(weight)
        alarm = "*** dead?" if values.size and values.min() == values.max() and "kernel" in weight.path else ""
        stats = (
            [f"{number:+9.4f}" for number in (values.min(), values.max(), values.std())] if values.size else [""] * 3
        )
        table.append([weight.path + alarm, weight.shape, *stats])
    display_table(table)
