"""Labels of the raw tables given to the images of the index: which are wanted, which count, where the others are."""

import json
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pyarrow.parquet as pq
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.instances.reasons import BOX_LEFT_OUT
from pipeline.instances.rejections import Rejections
from pipeline.labels import image_names
from pipeline.labels.clipping import OUTSIDE
from pipeline.labels.collector import Collected, collect
from pipeline.labels.files import read_sources
from pipeline.recipe.sections import Labels
from pipeline.sources.image_index import read_index_table
from tests.pipeline.raw_tables import box_label, region, ring_label, write_raw_images, write_raw_labels

IMAGES = ("a.jpg", "b.jpg")
SQUARE = [(10.0, 10.0), (10.0, 20.0), (20.0, 20.0), (20.0, 10.0)]


def collected(folder: Path, *sources: Any, rejected: Any = (), **recipe: Any) -> tuple[Collected, list[dict[str, Any]]]:
    """What becomes of labels, and the rows of those that are left out."""
    raw_labels = write_raw_labels(folder / "raw_labels", *sources, rejected=rejected)
    raw_images = write_raw_images(folder / "raw_images", IMAGES)
    index = read_index_table(raw_images)
    names = image_names(index, raw_images)
    with Rejections(folder / "rejected.parquet") as rejections:
        found = collect(Labels(**recipe), raw_labels, read_sources(raw_labels), index, names, rejections)
    return found, pq.read_table(folder / "rejected.parquet").to_pylist()


def kept(found: Collected) -> list[dict[str, Any]]:
    return found.labels_of(list(found.frames.values())).to_pylist()


def test_labels_are_chosen_by_category_and_kind(tmp_path: Path) -> None:
    labels = [
        ring_label(SQUARE, "drivable area", kind="direct"),
        ring_label(SQUARE, "drivable area", kind="alternative"),
        ring_label(SQUARE, "other vehicle"),
        ring_label(SQUARE, "bus"),
    ]
    found, rejected = collected(tmp_path, [("a.jpg", labels)], categories=["direct", "car"])
    assert [(row["category"], row["source_category"], row["ignored"]) for row in kept(found)] == [
        ("direct", "drivable area", False),
        ("car", "other vehicle", True),
    ]
    assert (found.unwanted, rejected) == (Counter({"alternative": 1, "bus": 1}), [])


def test_a_line_becomes_an_area_along_it(tmp_path: Path) -> None:
    lane = ring_label([(0.0, 10.0), (10.0, 10.0)], "lane", kind="crosswalk", geometry="line")
    area = ring_label(SQUARE, "lane")
    found, _ = collected(tmp_path, [("a.jpg", [lane, area])], categories=["lane"])
    first, second = kept(found)
    corners = {(point["x"], point["y"]) for point in first["polygons"][0]}
    assert (corners, first["geometry"]) == ({(0, 8), (0, 12), (10, 12), (10, 8)}, "polygon")
    assert second["polygons"] == area["polygons"]


def test_what_reaches_over_the_border_ends_there_and_what_lies_outside_is_left_out(tmp_path: Path) -> None:
    rings = [[{"x": x + 50.0, "y": y} for x, y in SQUARE], [{"x": x, "y": y} for x, y in SQUARE]]
    both = ring_label([(x + 60, y) for x, y in SQUARE], label_id="2") | {"polygons": rings}
    labels = [box_label(50, 1, 80, 9), both, box_label(70, 1, 80, 9, label_id="3")]
    found, rejected = collected(tmp_path, [("a.jpg", labels)])
    first, second = kept(found)
    assert first["box"] == {"x": 50, "y": 1, "width": 14, "height": 8}
    assert second["box"] == {"x": 10, "y": 10, "width": 54, "height": 10}
    assert len(second["polygons"]) == 2
    assert [(row["label_id"], row["reason"]) for row in rejected] == [("3", OUTSIDE)]


def test_a_label_that_could_not_be_read_counts_by_its_category(tmp_path: Path) -> None:
    told = {"source": "0.json", "image": "a", "label_id": "7", "reason": "box without area", "label": "{}", "row": 0}
    rejected = [{**told, "category": category} for category in ("car", "bus", None)]
    rejected.append({**told, "attributes": '{"name":"bus"}'})
    rejected.append({**told, "row": None, "reason": "not a label file"})
    source = [("a.jpg", [region({"name": "car"})])]
    found, rows = collected(tmp_path, source, rejected=rejected, categories=["car"])
    assert [(row["image"], row["reason"]) for row in rows] == [
        ("a", "not a label file"),
        ("a.jpg", "box without area"),
        ("a.jpg", "box without area"),
    ]
    assert found.unwanted == Counter(bus=2)


def test_boxes_that_the_recipe_leaves_out_do_not_stand_in_the_way_of_masks(tmp_path: Path) -> None:
    source = [("a.jpg", [box_label(1, 1, 9, 9)]), ("a.jpg", [ring_label(SQUARE)])]
    found, rejected = collected(tmp_path, source, boxes="leave_out")
    assert [row["geometry"] for row in kept(found)] == ["polygon"]
    assert [row["reason"] for row in rejected] == [BOX_LEFT_OUT]


places = st.sampled_from([-20.0, -3.0, 0.0, 5.5, 30.0, 47.0, 48.0, 60.0, 64.0, 70.0])
labels = st.one_of(
    st.builds(
        ring_label,
        st.lists(st.tuples(places, places), min_size=3, max_size=6).filter(lambda ring: len(set(ring)) > 2),
        st.sampled_from(["car", "bus", "other vehicle", "lane"]),
        geometry=st.sampled_from(["polygon", "line", "rle", "bitmask"]),
        occluded=st.none() | st.booleans(),
        mask_width=st.none() | st.just(64),
        mask_height=st.just(48),
    ),
    st.builds(lambda x, y: box_label(x, y, x + 6, y + 6), places, places),
    st.builds(
        lambda left, name, instance: region({"name": name, **instance}, left),
        st.sampled_from([0.0, 5.5, 30.0]),
        st.sampled_from(["car", "bus", ""]),
        st.sampled_from([{}, {"instance": "x"}, {"instance": "y"}]),
    ),
)
images = st.lists(st.tuples(st.sampled_from(["a.jpg", "b", "gone.jpg", ""]), st.lists(labels, max_size=5)), max_size=5)
recipes = st.fixed_dictionaries(
    {
        "categories": st.sampled_from([[], ["car"], ["car", "lane"]]),
        "boxes": st.sampled_from(["rectangles", "leave_out"]),
        "occluded": st.sampled_from(["keep", "leave_out", "ignore"]),
        "least_area": st.sampled_from([0, 40]),
    }
)


@settings(max_examples=150, deadline=None)
@given(st.lists(images, min_size=1, max_size=3), recipes)
def test_every_label_is_kept_left_out_or_not_wanted(sources: Any, recipe: dict[str, Any]) -> None:
    """Regions that are parts of one instance count once each by their rings, all others have one."""
    with TemporaryDirectory() as name:
        found, rejected = collected(Path(name), *sources, **recipe)
    told = [json.loads(row["label"]) for row in rejected]
    in_images = [label for each in told for label in each.get("labels", ()) if "reason" not in label]
    alone = [each for each in told if "rings" in each]
    inside = [json.loads(label["label"]) for each in told for label in each.get("labels", ()) if "reason" in label]
    rings = sum(len(row["polygons"]) for row in kept(found))
    rings += sum(len(label["rings"]) for label in (*in_images, *alone, *inside))
    assert rings + found.unwanted.total() == sum(len(its) for source in sources for _, its in source)
    assert all(row["box"]["x"] >= 0 and row["box"]["x"] + row["box"]["width"] <= 64 for row in kept(found))
