"""Plots of matterport's notebooks, drawn without a display."""

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
import pytest

from mrcnn import visualize

NAMES = ["BG", "car", "sign"]
IMAGE = np.full((40, 60, 3), 120, np.uint8)
BOXES = np.array([[5, 5, 20, 30], [22, 30, 39, 59]])
CLASSES = np.array([1, 2])
MASKS = np.zeros((40, 60, 2), bool)
MASKS[5:20, 5:30, 0] = MASKS[22:39, 30:59, 1] = True


@pytest.fixture(autouse=True)
def _close_figures():
    yield
    plt.close("all")


def test_instances_are_drawn_in_their_colour_with_class_and_score():
    _, axes = plt.subplots()
    scores = np.array([0.9, 0.5])
    visualize.display_instances(
        IMAGE, BOXES, MASKS, CLASSES, NAMES, scores, ax=axes, colors=[(1.0, 0.0, 0.0), (0.0, 0.0, 1.0)]
    )
    painted = axes.images[0].get_array()
    assert painted[10, 10].tolist() == [187, 60, 60]
    assert painted[0, 0].tolist() == [120, 120, 120]
    assert [text.get_text() for text in axes.texts] == ["car 0.900", "sign 0.500"]


RED, BLUE, GREEN = (1.0, 0.0, 0.0), (0.0, 0.0, 1.0), (0.0, 1.0, 0.0)


def painted_and_captions(**arguments):
    _, axes = plt.subplots()
    visualize.display_instances(IMAGE, BOXES, MASKS, CLASSES, NAMES, ax=axes, **arguments)
    return axes.images[0].get_array(), [text.get_text() for text in axes.texts]


def test_a_palette_may_be_longer_than_there_are_instances():
    """The original took `colors[i]`, so that scripts pass a fixed palette."""
    painted, captions = painted_and_captions(colors=np.array([RED, BLUE, GREEN]))
    assert painted[10, 10].tolist() == [187, 60, 60]
    assert painted[25, 40].tolist() == [60, 60, 187]
    assert captions == ["car", "sign"]


def test_too_few_colours_or_captions_are_rejected():
    with pytest.raises(ValueError, match="colors has 1 entries for 2 instances"):
        painted_and_captions(colors=[RED])
    with pytest.raises(ValueError, match="captions has 1 entries for 2 instances"):
        painted_and_captions(captions=["one"])


def test_class_ids_without_a_name_are_named():
    scores = np.array([0.9, 0.5])
    for draw in (
        lambda: visualize.display_instances(IMAGE, BOXES, MASKS, CLASSES, NAMES[:2]),
        lambda: visualize.display_top_masks(IMAGE, MASKS, CLASSES, NAMES[:2]),
        lambda: visualize.draw_rois(IMAGE, BOXES, BOXES + 1, np.ones((2, 28, 28)), CLASSES, NAMES[:2]),
        lambda: visualize.plot_overlaps(CLASSES, CLASSES, scores, np.eye(2), NAMES[:2]),
    ):
        with pytest.raises(ValueError, match=r"class id 2 has no name in class_names \['BG', 'car'\]"):
            draw()


@pytest.mark.parametrize("nothing", [None, []])
def test_empty_colours_and_captions_are_the_default(nothing):
    assert painted_and_captions(colors=nothing, captions=nothing)[1] == ["car", "sign"]


def test_captions_replace_class_and_score():
    assert painted_and_captions(captions=["first", ""])[1] == ["first", ""]


def test_a_box_is_drawn_into_the_pixels():
    drawn = visualize.draw_box(IMAGE.copy(), BOXES[0], (255, 0, 0))
    assert (drawn != IMAGE).any(axis=2).sum() == 4 * 25 + 4 * 15 - 4
    assert drawn[5, 10].tolist() == drawn[21, 10].tolist() == [255, 0, 0]


def test_an_image_without_instances_is_shown_with_a_message(capsys):
    visualize.display_instances(IMAGE, BOXES[:0], MASKS[..., :0], CLASSES[:0], NAMES)
    assert "No instances to display" in capsys.readouterr().out


def test_different_numbers_are_rejected():
    with pytest.raises(ValueError, match="1 boxes, 2 masks"):
        visualize.display_instances(IMAGE, BOXES[:1], MASKS, CLASSES, NAMES)


def test_colours_differ():
    assert len(set(visualize.random_colors(7))) == 7


def test_the_other_plots_are_drawn():
    scores = np.array([0.9, 0.5])
    visualize.display_top_masks(IMAGE, MASKS, CLASSES, NAMES)
    visualize.draw_boxes(IMAGE, BOXES, BOXES + 1, MASKS, ["a", "b"], [0, 2])
    visualize.draw_boxes(IMAGE, BOXES)
    visualize.display_differences(IMAGE, BOXES, CLASSES, MASKS, BOXES, CLASSES, scores, MASKS, NAMES)
    visualize.draw_rois(IMAGE, BOXES, BOXES + 1, np.ones((2, 28, 28)), np.array([1, 0]), NAMES)
    visualize.plot_precision_recall(0.5, np.array([1, 0.5]), np.array([0, 1]))
    visualize.plot_overlaps(CLASSES, CLASSES, scores, np.eye(2), NAMES)
    assert len(plt.get_fignums()) == 7


def test_weights_are_listed(capsys):
    import keras

    visualize.display_weight_stats(keras.Sequential([keras.Input((2,)), keras.layers.Dense(3, name="head")]))
    assert "head/kernel" in capsys.readouterr().out
