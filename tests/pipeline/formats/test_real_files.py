"""Every label file under ../shared/real, against readings of the tests' own: plain JSON, and masks by matplotlib.

The official toolkit draws with matplotlib, too: snapped to whole pixels, not antialiased, every touched pixel.
"""

import json
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import PathPatch
from matplotlib.path import Path as Outline
from PIL import Image

from mrcnn.shapes import polygons
from pipeline.errors import NotLabelsError
from pipeline.recipe.categories import canonical, kind_of
from tests.pipeline.formats.label_rows import Label, images_of, read
from tests.pipeline.label_texts import REAL

pytestmark = pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")

SEG_TRACK = "bdd/seg_track_20/00091078-875c1f73.json"
INS_SEG = "bdd/ins_seg_10k/det+ins_seg.json"
BITMASK = "bdd/bitmasks/insseg_bitmask.png"
VARIANTS = "bdd/label_variants"
DETECTION = {3: "car"}
"""Official category ids, as far as the real bitmask has any."""

BARE = ("poly2ds.json", "consolidated_label_fragments_REAL.json")
"""Polygons and labels alone, which say nothing of images."""


def label_files() -> list[str]:
    """All files under ../shared/real that could be read as labels."""
    found = sorted([*REAL.rglob("*.json"), *(REAL / "bdd/bitmasks").rglob("*.png")])
    return [file.relative_to(REAL).as_posix() for file in found]


def holds_labels(file: str) -> bool:
    return Path(file).name not in BARE and not Path(file).stem.endswith("attributes")


def of_via(content: dict[str, Any], attribute: str) -> Counter[str | None]:
    """Count regions by class; points have no area."""
    counts: Counter[str | None] = Counter()
    for entry in content.get("_via_img_metadata", content).values():
        regions = entry["regions"]
        for region in regions.values() if isinstance(regions, dict) else regions:
            if region["shape_attributes"]["name"] != "point":
                counts[region["region_attributes"].get(attribute)] += 1
    return counts


def of_bdd(content: Any) -> Counter[str]:
    """Count labels by the file's own word."""
    frames = content["frames"] if isinstance(content, dict) else content
    return Counter(label["category"] for frame in frames for label in frame.get("labels") or frame.get("objects") or [])


def of_pixels(file: Path) -> Counter[str]:
    """Count the pairs of category and instance that pixels have."""
    red, _, blue, alpha = np.moveaxis(np.asarray(Image.open(file)).astype(int), 2, 0)
    values = np.unique(red << 16 | blue << 8 | alpha).tolist()
    return Counter(DETECTION[value >> 16] for value in values if value >> 16)


@pytest.mark.parametrize("file", [file for file in label_files() if holds_labels(file)])
def test_each_category_has_as_many_labels_as_a_plain_reading_finds(file: str) -> None:
    attribute = "class_id" if "rice" in file else "name"
    labels = [label for image in images_of(REAL / file) for label in image.labels]
    if file.endswith(".png"):
        expected: Counter[Any] = of_pixels(REAL / file)
    else:
        content = json.loads((REAL / file).read_bytes())
        expected = of_via(content, attribute) if "via" in file else of_bdd(content)
    words = [label.attributes.get(attribute) if label.category is None else label.category for label in labels]
    assert Counter(words) == expected
    assert expected.total() > 0
    if "kudzu" in file:
        assert expected == {None: 349}


@pytest.mark.parametrize("file", [file for file in label_files() if not holds_labels(file)])
def test_a_file_without_images_is_refused_by_name(file: str) -> None:
    with pytest.raises(NotLabelsError, match=rf"^{Path(file).name}: holds no labels"):
        images_of(REAL / file)


def outline(vertices: list[list[float]], types: str) -> Outline:
    """The closed outline; one that ends in two controls of a curve returns along it to its start."""
    codes, at = [Outline.MOVETO], 1
    while at < len(types):
        step = 3 if types[at] == "C" else 1
        codes += [Outline.CURVE4 if step == 3 else Outline.LINETO] * step
        at += step
    if len(codes) == len(vertices):
        codes.append(Outline.CLOSEPOLY)
    return Outline([*vertices, vertices[0]], codes)


def official(poly2d: list[dict[str, Any]]) -> np.ndarray:
    """[720, 1280] bool, drawn as the official toolkit does."""
    figure = Figure(figsize=(12.8, 7.2), dpi=100, facecolor="black")
    axes = figure.add_axes((0, 0, 1, 1), xlim=(0, 1280), ylim=(720, 0))
    axes.axis("off")
    for each in poly2d:
        path = outline(each["vertices"], each["types"])
        axes.add_patch(PathPatch(path, facecolor="white", lw=0, antialiased=False, snap=True))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return np.asarray(canvas.buffer_rgba())[..., 0] > 127


def run_lengths(rle: dict[str, Any]) -> np.ndarray:
    """[height, width] bool, decoded by the COCO library."""
    from faster_coco_eval import mask as library

    return library.decode({"counts": rle["counts"].encode(), "size": rle["size"]}).astype(bool)


@cache
def both(file: str) -> list[tuple[dict[str, Any], np.ndarray]]:
    """Labels with polygons as the file has them, and the mask of what the reader makes of each."""
    content = json.loads((REAL / file).read_text())
    frames = content["frames"] if isinstance(content, dict) else content
    found = []
    for image, frame in zip(images_of(REAL / file), frames, strict=True):
        for instance, label in zip(image.labels, frame["labels"], strict=True):
            if label.get("poly2d"):
                found.append((label, drawn(instance)))
    return found


def drawn(instance: Label) -> np.ndarray:
    return polygons.mask(instance.rings, 720, 1280)


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    ("file", "count"),
    [
        (SEG_TRACK, 87),
        (INS_SEG, 4),
        (f"{VARIANTS}/scalabel_ins_seg.json", 2),
        (f"{VARIANTS}/insseg_rle.json", 4),
    ],
)
def test_polygons_and_curves_cover_what_the_official_rule_draws(file: str, count: int) -> None:
    """Measured: seg_track_20 0.994 median, 0.961 least; ins_seg 1.000 and 1.000; insseg_rle 0.999 and 0.998."""
    shares = [iou(mask, official(label["poly2d"])) for label, mask in both(file)]
    assert len(shares) == count
    assert np.median(shares) >= 0.99
    assert min(shares) >= 0.95


@pytest.mark.parametrize("file", [SEG_TRACK, f"{VARIANTS}/scalabel_ins_seg.json", f"{VARIANTS}/insseg_rle.json"])
def test_polygons_cover_their_own_run_lengths(file: str) -> None:
    """Measured: seg_track_20 0.992 median, 0.961 least; scalabel_ins_seg 1.000 twice; insseg_rle 0.998 and 0.993."""
    shares = [iou(mask, run_lengths(label["rle"])) for label, mask in both(file)]
    assert np.median(shares) >= 0.99
    assert min(shares) >= 0.95


def test_the_official_rule_of_these_tests_is_the_one_that_published_masks_follow() -> None:
    """Measured: 1.000 median, 0.979 least, where overlaps were taken out."""
    shares = [iou(official(label["poly2d"]), run_lengths(label["rle"])) for label, _ in both(SEG_TRACK)]
    assert np.median(shares) >= 0.999
    assert min(shares) >= 0.97


def test_a_bitmask_s_instances_are_the_polygons_that_it_was_made_from() -> None:
    """Measured, label by label: 0.999, 0.993 (beside an overlap, which bitmasks don't have), 0.999, 0.998."""
    (image,) = images_of(REAL / BITMASK)
    polygons = both(f"{VARIANTS}/insseg_rle.json")
    assert len(image.labels) == len(polygons) == 4
    by_id = sorted(image.labels, key=lambda each: int(each.id))
    for instance, (label, mask) in zip(by_id, polygons, strict=True):
        assert iou(drawn(instance), mask) >= 0.99
        flags = {name: getattr(instance, name) for name in ("crowd", "occluded", "truncated")}
        assert flags == {name: bool(label["attributes"].get(name)) for name in flags}


def test_a_bitmask_s_outlines_drawn_again_are_its_pixels() -> None:
    """Measured: the same but for pixels that are enclosed."""
    pixels = np.asarray(Image.open(REAL / BITMASK)).astype(int)
    (image,) = images_of(REAL / BITMASK)
    for instance in image.labels:
        mask = pixels[..., 2] * 256 + pixels[..., 3] == int(instance.id)
        assert not (mask & ~drawn(instance)).any()
        assert iou(drawn(instance), mask) > 0.999


def test_the_2018_frame_reads_the_same_in_both_of_its_layouts() -> None:
    layouts = ("DERIVED_per_image_1cd5d614.json", "bdd100k_labels_images_REALframe_1cd5d614.json")
    files = (REAL / "bdd/legacy_2018" / name for name in layouts)
    one, other = (next(iter(images_of(file))) for file in files)
    meant = [[kind_of(canonical(str(each.category)), each.kind) for each in image.labels] for image in (one, other)]
    assert meant[0] == meant[1]
    for here, there in zip(one.labels, other.labels, strict=True):
        assert all(np.array_equal(a, b) for a, b in zip(here.rings, there.rings, strict=True))


def test_boxes_of_segmentation_labels_are_the_extent_of_their_masks() -> None:
    """`box2d` there is inclusive; overlaps are removed from it, so it may be smaller than the polygon."""
    frames = json.loads((REAL / SEG_TRACK).read_text())
    given = {(frame["name"], label["id"]): label["box2d"] for frame in frames for label in frame["labels"]}
    off = [
        abs(each.box[2] - (given[image.name, each.id]["x2"] - given[image.name, each.id]["x1"] + 1))
        for image in images_of(REAL / SEG_TRACK)
        for each in image.labels
    ]
    assert np.median(off) < 1


def test_run_lengths_alone_give_the_same_pixels(tmp_path: Path) -> None:
    frames = json.loads((REAL / SEG_TRACK).read_text())[:1]
    for label in frames[0]["labels"]:
        del label["poly2d"]
    (image,) = read(tmp_path, frames)
    assert {each.geometry for each in image.labels} == {"rle"}
    for instance, label in zip(image.labels, frames[0]["labels"], strict=True):
        pixels = run_lengths(label["rle"])
        assert not (pixels & ~drawn(instance)).any()
        assert iou(drawn(instance), pixels) > 0.99  # but for pixels that are enclosed
