"""Plots of images with boxes, masks and captions, the API of matterport's `mrcnn.visualize`.

Functions draw with Matplotlib on `ax`, or on a new figure that is then shown.
"""

import colorsys
import random
from collections.abc import Sequence
from typing import Any

import matplotlib.pyplot as plt
import numpy as np
from matplotlib import patches
from matplotlib.axes import Axes
from numpy.typing import NDArray

from mrcnn.original.plots import class_name, display_table, display_weight_stats, plot_overlaps, plot_precision_recall
from mrcnn.shapes.masks import unmold_mask
from mrcnn.shapes.metrics import compute_matches

__all__ = [
    "apply_mask", "display_differences", "display_images", "display_instances", "display_table", "display_top_masks",
    "display_weight_stats", "draw_box", "draw_boxes",
    "draw_rois", "plot_overlaps", "plot_precision_recall", "random_colors",
]  # fmt: skip

Array = NDArray[Any]
Colour = tuple[float, float, float]
TRANSPARENT = "none"
_NEUTRAL: Colour = (0.5, 0.5, 0.5)


def display_images(
    images: Sequence[Array],
    titles: Sequence[str] | None = None,
    cols: int = 4,
    cmap: Any = None,
    norm: Any = None,
    interpolation: Any = None,
) -> None:
    """Show images [H, W] or [H, W, C] with their titles, `cols` in a row."""
    rows = -(-len(images) // cols)
    plt.figure(figsize=(14, 14 * max(rows, 1) // cols))
    for number, image in enumerate(images):
        plt.subplot(rows, cols, number + 1)
        plt.title(titles[number] if titles is not None else "", fontsize=9)
        plt.axis("off")
        plt.imshow(image.astype(np.uint8), cmap=cmap, norm=norm, interpolation=interpolation)
    plt.show()


def random_colors(N: int, bright: bool = True) -> list[Colour]:  # noqa: N803  (matterport's name)
    """Return N (red, green, blue) in 0 … 1 with evenly spaced hues, shuffled by Python's `random`."""
    value = 1.0 if bright else 0.7
    colours = [colorsys.hsv_to_rgb(number / N, 1, value) for number in range(N)]
    random.shuffle(colours)
    return colours


def apply_mask(image: Array, mask: Array, color: Colour, alpha: float = 0.5) -> Array:
    """Blend `color` into `image` [H, W, 3] (0 … 255) where `mask` [H, W] is 1, in place, and return it."""
    inside = np.asarray(mask) == 1
    image[inside] = image[inside] * (1 - alpha) + alpha * 255 * np.asarray(color)
    return image


def display_instances(  # noqa: PLR0917, PLR0913  (matterport's signature)
    image: Array, boxes: Array, masks: Array, class_ids: Array, class_names: Sequence[str], scores: Array | None = None,
    title: str = "", figsize: tuple[float, float] = (16, 16), ax: Axes | None = None, show_mask: bool = True,
    show_bbox: bool = True, colors: Sequence[Colour] | None = None, captions: Sequence[str] | None = None,
) -> None:  # fmt: skip
    """Draw instances on an image, each with a colour and a caption (class and score).

    Args:
        image: [H, W, 3].
        boxes: [N, 4] (y1, x1, y2, x2) in pixels; rows of zeros are skipped.
        masks: [H, W, N].
        class_ids: [N].
        class_names: names by class id.
        scores: [N], or None.
        title: title of the plot.
        figsize: size of a new figure in inches.
        ax: axes to draw on; the caller shows the figure.
        show_mask: fill masks.
        show_bbox: draw boxes.
        colors: a colour for each instance; default: random colours.
        captions: a caption for each instance; default: class and score.

    Raises:
        ValueError: the numbers of boxes, masks and class ids differ, or there are fewer colours or captions.
    """
    _check_counts(boxes, masks, class_ids)
    palette = _for_each("colors", colors, len(boxes)) or random_colors(len(boxes))
    texts = _for_each("captions", captions, len(boxes))
    axes = _axes(image, title, figsize, ax)
    painted = image.astype(np.uint32).copy()
    for number, colour in enumerate(palette):
        if not np.any(boxes[number]):
            continue
        if show_bbox:
            _add_box(axes, boxes[number], colour, "dashed")
        caption = texts[number] if texts else _caption(class_ids, class_names, scores, number)
        _add_caption(axes, boxes[number], caption)
        if show_mask:
            painted = apply_mask(painted, masks[:, :, number], colour)
        _add_outline(axes, masks[:, :, number], colour)
    axes.imshow(painted.astype(np.uint8))
    _show(own=ax is None)


def _check_counts(boxes: Array, masks: Array, class_ids: Array) -> None:
    if not len(boxes):
        print("\n*** No instances to display *** \n")
    if not len(boxes) == masks.shape[-1] == len(class_ids):
        counts = f"{len(boxes)} boxes, {masks.shape[-1]} masks and {len(class_ids)} class ids"
        raise ValueError(f"{counts}: the numbers must be equal")


def _for_each(name: str, values: Sequence[Any] | None, instances: int) -> list[Any] | None:
    """Return the first `instances` values, or None if there are none."""
    if values is None or not len(values):
        return None
    if len(values) < instances:
        raise ValueError(f"{name} has {len(values)} entries for {instances} instances; give one for each")
    return list(values[:instances])


def _axes(image: Array, title: str, figsize: tuple[float, float], ax: Axes | None) -> Axes:
    """Return axes with the limits of the image and a margin."""
    axes = ax if ax is not None else plt.subplots(1, figsize=figsize)[1]
    height, width = image.shape[:2]
    axes.set_ylim(height + 10, -10)
    axes.set_xlim(-10, width + 10)
    axes.axis("off")
    axes.set_title(title)
    return axes


def _add_box(axes: Axes, box: Any, colour: Any, style: str = "solid", alpha: float = 0.7) -> None:
    y1, x1, y2, x2 = box
    axes.add_patch(
        patches.Rectangle(
            (x1, y1), x2 - x1, y2 - y1, linewidth=2, alpha=alpha, linestyle=style, edgecolor=colour, facecolor="none"
        )
    )


def _add_caption(axes: Axes, box: Any, caption: str) -> None:
    axes.text(box[1], box[0] + 8, caption, color="w", size=11, backgroundcolor=TRANSPARENT)


def _show(own: bool) -> None:
    """Show the figure unless it is the caller's."""
    if own:
        plt.show()


def _add_outline(axes: Axes, mask: Array, colour: Any) -> None:
    """Draw the outlines of a mask [H, W], including parts at the border of the image."""
    import cv2

    contours, _ = cv2.findContours((np.asarray(mask) != 0).astype(np.uint8), cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
    for contour in contours:
        axes.add_patch(patches.Polygon(contour.reshape(-1, 2), closed=True, facecolor="none", edgecolor=colour))


def _caption(class_ids: Any, class_names: Sequence[str], scores: Any, number: int) -> str:
    label = class_name(class_names, class_ids[number])
    return f"{label} {scores[number]:.3f}" if scores is not None and scores[number] else label


def display_differences(  # noqa: PLR0917, PLR0913  (matterport's signature)
    image: Array, gt_box: Array, gt_class_id: Array, gt_mask: Array, pred_box: Array, pred_class_id: Array,
    pred_score: Array, pred_mask: Array, class_names: Sequence[str], title: str = "", ax: Axes | None = None,
    show_mask: bool = True, show_box: bool = True, iou_threshold: float = 0.5, score_threshold: float = 0.5,
) -> None:  # fmt: skip
    """Draw ground truth (green) and detections (red) with captions "score / IoU"."""
    order = np.argsort(-np.asarray(pred_score), kind="stable")
    _, matched, overlaps = compute_matches(
        gt_box, gt_class_id, gt_mask, pred_box, pred_class_id, pred_score, pred_mask, iou_threshold, score_threshold
    )
    best = [
        float(overlaps[number, int(match)] if match >= 0 else overlaps[number].max(initial=0.0))
        for number, match in enumerate(matched)
    ]
    best += [0.0] * (len(order) - len(best))
    captions = [""] * len(gt_class_id)
    captions += [f"{pred_score[number]:.2f} / {overlap:.2f}" for number, overlap in zip(order, best, strict=True)]
    display_instances(
        image,
        np.concatenate([gt_box, np.asarray(pred_box)[order]]),
        np.concatenate([gt_mask, pred_mask[..., order]], axis=-1),
        np.concatenate([gt_class_id, np.asarray(pred_class_id)[order]]),
        class_names,
        title=title or "Ground truth and detections\n green: truth, red: detection, captions: score / overlap",
        ax=ax,
        show_mask=show_mask,
        show_bbox=show_box,
        colors=[(0.0, 1.0, 0.0)] * len(gt_class_id) + [(1.0, 0.0, 0.0)] * len(order),
        captions=captions,
    )


def draw_rois(
    image: Array, rois: Array, refined_rois: Array, mask: Array, class_ids: Array, class_names: Sequence[str],
    limit: int = 10,
) -> None:  # fmt: skip
    """Draw `limit` random regions of interest, dashed, and their refinements, solid; masks are [R, h, w]."""
    painted = image.copy()
    axes = _axes(image, "", (12, 12), None)
    chosen = random.sample(range(len(rois)), min(limit, len(rois)))
    axes.set_title(f"Showing {len(chosen)} of {len(rois)} regions, {int((np.asarray(class_ids) > 0).sum())} positive")
    for number, colour in zip(chosen, random_colors(max(1, len(chosen))), strict=False):
        positive = class_ids[number] > 0
        _add_box(axes, rois[number], colour if positive else _NEUTRAL, "dashed")
        if not positive:
            continue
        y1, x1, y2, x2 = refined_rois[number]
        _add_box(axes, refined_rois[number], colour)
        axes.plot([rois[number][1], x1], [rois[number][0], y1], color=colour)
        _add_caption(axes, refined_rois[number], class_name(class_names, class_ids[number]))
        painted = apply_mask(painted, unmold_mask(mask[number], (y1, x1, y2, x2), image.shape), colour)
    axes.imshow(painted)
    plt.show()


def draw_box(image: Array, box: Any, color: Any) -> Array:
    """Draw a box (y1, x1, y2, x2), two pixels wide, into `image` [H, W, 3] in place, and return it.

    `color` has three values in the image's range.
    """
    y1, x1, y2, x2 = box
    for y in (y1, y2):
        image[y : y + 2, x1:x2] = color
    for x in (x1, x2):
        image[y1:y2, x : x + 2] = color
    return image


def display_top_masks(image: Array, mask: Array, class_ids: Array, class_names: Sequence[str], limit: int = 4) -> None:
    """Show the image [H, W, C], and the masks [H, W, N] of the `limit` classes with the largest area."""
    pictures, titles = [image], [f"H x W={image.shape[0]}x{image.shape[1]}"]
    present = [int(number) for number in np.unique(class_ids) if number > 0]
    area = {number: int(np.sum(mask[:, :, np.asarray(class_ids) == number])) for number in present}
    top = sorted((number for number in present if area[number]), key=lambda number: -area[number])[:limit]
    for number in top:
        members = mask[:, :, np.asarray(class_ids) == number].astype(int)
        pictures.append(np.sum(members * np.arange(1, members.shape[-1] + 1), axis=-1))
        titles.append(class_name(class_names, number))
    pictures += [np.zeros(image.shape[:2])] * (limit - len(top))
    titles += ["-"] * (limit - len(top))
    display_images(pictures, titles=titles, cols=limit + 1, cmap="Blues_r")


def draw_boxes(
    image: Array, boxes: Array | None = None, refined_boxes: Array | None = None, masks: Array | None = None,
    captions: Sequence[str] | None = None, visibilities: Sequence[int] | None = None, title: str = "",
    ax: Axes | None = None,
) -> None:  # fmt: skip
    """Draw boxes [N, 4], refined boxes [N, 4] and masks [H, W, N], each optional.

    `visibilities` has a style for each: 0 dotted and grey, 1 solid (default), 2 bright.

    Raises:
        ValueError: there are neither boxes nor refined boxes.
    """
    reference = boxes if boxes is not None else refined_boxes
    if reference is None:
        raise ValueError("draw_boxes needs boxes or refined_boxes")
    axes = _axes(image, title, (12, 12), ax)
    painted = image.astype(np.uint32).copy()
    for number, bright in enumerate(random_colors(max(1, len(reference)))[: len(reference)]):
        seen = 1 if visibilities is None else int(visibilities[number])
        colour: Any = (_NEUTRAL, bright, bright)[seen]
        if boxes is not None and np.any(boxes[number]):
            style = "dashed" if refined_boxes is not None else ("dotted", "solid", "solid")[seen]
            _add_box(axes, boxes[number], colour, style, (0.5, 0.7, 1.0)[seen])
        if refined_boxes is not None and seen:
            _add_box(axes, refined_boxes[number], colour)
            if boxes is not None:
                axes.plot(*_corner_line(boxes[number], refined_boxes[number]), color=colour)
        if captions is not None:
            y1, x1 = (refined_boxes if refined_boxes is not None else reference)[number][:2]
            axes.text(
                x1, y1, captions[number], size=11, verticalalignment="top", color="w", backgroundcolor=TRANSPARENT
            )
        if masks is not None:
            painted = apply_mask(painted, masks[:, :, number], colour)
            _add_outline(axes, masks[:, :, number], colour)
    axes.imshow(painted.astype(np.uint8))
    _show(own=ax is None)


def _corner_line(box: Any, refined: Any) -> tuple[list[float], list[float]]:
    return [box[1], refined[1]], [box[0], refined[0]]
