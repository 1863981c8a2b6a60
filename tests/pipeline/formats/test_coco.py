"""COCO instances files: polygons, run lengths and boxes of the images that their ids mean."""

import json
import random
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from faster_coco_eval import mask as coco_library

from mrcnn.shapes import polygons
from pipeline.errors import LabelFileError
from pipeline.formats import content
from pipeline.geometry import masks
from pipeline.instances import reasons
from tests.pipeline import raw_tables
from tests.pipeline.formats.label_rows import images_of, only, read, tables_of
from tests.pipeline.small_sources import zip_of

CATEGORIES = [{"id": 3, "name": "car"}, {"id": 1, "name": "person", "supercategory": "human"}]
TRIANGLE = [0, 0, 8, 0, 8, 6]


def coco(*annotations: dict[str, Any], **others: Any) -> dict[str, Any]:
    """A COCO file of one image; annotations are of it and of category 3 unless they say otherwise."""
    filled = [{"id": at + 10, "image_id": 7, "category_id": 3, **each} for at, each in enumerate(annotations)]
    images = [{"id": 7, "file_name": "a.jpg", "width": 64, "height": 48}]
    return {"info": {}, "images": images, "annotations": filled, "categories": CATEGORIES, **others}


def read_one(folder: Path, annotation: dict[str, Any]) -> Any:
    return only(folder, coco(annotation))


def test_several_polygons_are_one_instance_at_their_own_coordinates(tmp_path: Path) -> None:
    found = read_one(tmp_path, {"segmentation": [TRIANGLE, [10.25, 10, 20, 10, 20, 20.5, 10.25, 10]], "iscrowd": 0})
    assert [ring.tolist() for ring in found.rings] == [[[0, 0], [8, 0], [8, 6]], [[10.25, 10], [20, 10], [20, 20.5]]]
    assert (found.id, found.category, found.geometry, found.crowd, found.ignored) == (
        "10",
        "car",
        "polygon",
        False,
        False,
    )


def test_categories_are_read_by_their_names(tmp_path: Path) -> None:
    (image,) = read(tmp_path, coco({"segmentation": [TRIANGLE], "category_id": 1}, {"segmentation": [TRIANGLE]}))
    assert [each.category for each in image.labels] == ["person", "car"]


@pytest.mark.parametrize("compressed", [True, False])
def test_a_crowd_s_run_lengths_are_traced(tmp_path: Path, compressed: bool) -> None:
    mask = np.zeros((48, 64), bool)
    mask[5:20, 7:30] = mask[30:40, 50:60] = True
    encoded = coco_library.encode(np.asfortranarray(mask.astype(np.uint8)))
    flat = mask.T.ravel()
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flat, [False]]).astype(int)))
    plain = np.diff([0, *edges.tolist(), flat.size]).tolist()
    counts = encoded["counts"].decode() if compressed else plain
    found = read_one(tmp_path, {"segmentation": {"counts": counts, "size": [48, 64]}, "iscrowd": 1})
    assert (found.geometry, found.crowd, len(found.rings)) == ("rle", True, 2)
    assert (polygons.mask(found.rings, 48, 64) == mask).all()


def test_a_polygon_and_its_own_run_lengths_cover_the_same(tmp_path: Path) -> None:
    polygon = read_one(tmp_path, {"segmentation": [[3, 4, 40, 4, 40, 30, 3, 30]]})
    mask = np.zeros((48, 64), np.uint8)
    mask[4:30, 3:40] = 1
    counts = coco_library.encode(np.asfortranarray(mask))["counts"].decode()
    traced = read_one(tmp_path, {"segmentation": {"counts": counts, "size": [48, 64]}})
    assert (polygons.mask(polygon.rings, 48, 64) == polygons.mask(traced.rings, 48, 64)).all()
    assert masks.trace(polygons.mask(polygon.rings, 48, 64))[0].tolist() == traced.rings[0].tolist()


def test_a_box_alone_is_a_rectangle(tmp_path: Path) -> None:
    found = read_one(tmp_path, {"segmentation": [], "bbox": [1, 2, 4, 5.5]})
    assert (found.geometry, found.rings[0].tolist()) == ("box", [[1, 2], [1, 7.5], [5, 7.5], [5, 2]])


def test_flags_come_from_coco_s_keys_and_from_attributes(tmp_path: Path) -> None:
    said = {"occluded": True, "truncated": False, "color": "red"}
    found = read_one(tmp_path, {"segmentation": [TRIANGLE], "ignore": 1, "score": 0.5, "attributes": said})
    assert (found.ignored, found.crowd, found.occluded, found.truncated) == (True, False, True, False)
    assert found.attributes == {"color": "red", "score": 0.5}
    unclear = read_one(tmp_path, {"segmentation": [TRIANGLE], "iscrowd": "maybe", "ignore": None})
    assert (unclear.crowd, unclear.ignored, unclear.attributes) == (False, False, {"iscrowd": "maybe"})


@pytest.mark.parametrize("nothing", [None, [], {}, [[]], [[], []]])
def test_a_box_is_used_where_there_are_no_polygons(tmp_path: Path, nothing: Any) -> None:
    found = read_one(tmp_path, {"segmentation": nothing, "bbox": [1, 2, 3, 4]})
    assert (found.geometry, found.box[2]) == ("box", 3)


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        ({}, "no box, polygon or mask"),
        ({"segmentation": "x"}, "polygon is malformed"),
        ({"segmentation": [[0, 0, 1]]}, "polygon is malformed"),
        ({"segmentation": [0, 0, 1, "1"]}, "polygon is malformed"),
        ({"segmentation": [[0, 0, 5, 5]]}, "polygon without area"),
        ({"segmentation": [[0, 0, 8, 0, 1e7, 6]]}, "coordinate is not finite or too large"),
        ({"segmentation": {"counts": "x", "size": [2, 2]}}, "run-length mask is malformed"),
        ({"segmentation": {"counts": [1], "size": [100000, 100000]}}, "run-length mask is malformed"),
        ({"segmentation": {"counts": [4], "size": [2, 2]}}, "mask without pixels"),
        ({"bbox": [0, 0, 5]}, "box is not four numbers"),
        ({"bbox": [0, 0, 5, 0]}, "box without area"),
        ({"segmentation": [TRIANGLE], "category_id": 99}, "no category"),
        ({"segmentation": [TRIANGLE], "category_id": None}, "no category"),
        ({"segmentation": [TRIANGLE], "image_id": 99}, "no image has its image_id"),
        ({"segmentation": [TRIANGLE], "image_id": None}, "no image has its image_id"),
    ],
)
def test_an_annotation_that_can_t_be_used_is_kept_with_its_reason(
    tmp_path: Path, annotation: dict[str, Any], reason: str
) -> None:
    images = read(tmp_path, coco(annotation))
    (found,) = [rejected for image in images for rejected in image.rejected]
    assert found.reason == reason
    assert not any(image.labels for image in images)
    assert found.label.items() >= annotation.items()


def test_ids_may_be_whole_numbers_written_as_floats(tmp_path: Path) -> None:
    content = coco({"segmentation": [TRIANGLE], "image_id": 7.0, "category_id": 3.0})
    (image,) = read(tmp_path, content)
    assert [(each.category, image.name) for each in image.labels] == [("car", "a.jpg")]
    content["images"][0]["id"], content["categories"] = 7.0, [{"id": 3.0, "name": "car"}]
    content["annotations"] += [{"id": 1, "image_id": 7, "category_id": 3, "segmentation": [TRIANGLE]}]
    (image,) = read(tmp_path, content)
    assert [each.category for each in image.labels] == ["car", "car"]
    (image, astray) = read(tmp_path, coco({"segmentation": [TRIANGLE], "image_id": 7.5}))
    assert [each.reason for each in astray.rejected] == [reasons.NO_IMAGE_OF_ID]


@pytest.mark.parametrize(("given", "written"), [(7, "7"), ("7", 7), (-7, "-7")])
def test_ids_may_be_numbers_in_one_list_and_texts_in_another(tmp_path: Path, given: Any, written: Any) -> None:
    ids = {"image_id": written, "category_id": written}
    categories = [{"id": given, "name": "car"}]
    images = [{"id": given, "file_name": "a.jpg"}]
    (image,) = read(tmp_path, coco({"bbox": [1, 2, 3, 4], **ids}, images=images, categories=categories))
    assert [each.category for each in image.labels] == ["car"]


def test_a_number_and_a_text_that_are_both_ids_are_two(tmp_path: Path) -> None:
    images = [{"id": given, "file_name": f"{at}.jpg"} for at, given in enumerate((7, "7"))]
    found = read(tmp_path, coco({"bbox": [1, 2, 3, 4]}, {"bbox": [1, 2, 3, 4], "image_id": "7"}, images=images))
    assert [[each.id for each in image.labels] for image in found] == [["10"], ["11"]]


def test_via_s_export_has_the_numbers_of_one_polygon(tmp_path: Path) -> None:
    found = read_one(tmp_path, {"segmentation": TRIANGLE, "image_id": "7"})
    assert [ring.tolist() for ring in found.rings] == [[[0, 0], [8, 0], [8, 6]]]


def test_via_s_export_of_free_text_has_no_classes(tmp_path: Path) -> None:
    info = {"description": "Exported using VGG Image Annotator"}
    content = coco({"segmentation": TRIANGLE}, info=info, categories=[])
    del content["annotations"][0]["category_id"]
    assert [each.category for each in read(tmp_path, content)[0].labels] == [None]
    (image,) = raw_tables.read(tmp_path, content, categories=["kudzu"])
    assert [each.category for each in image.instances] == ["kudzu"]


@pytest.mark.parametrize(
    ("sides", "size"), [((64, 48), (64, 48)), ((64.0, 48), (64, 48)), ((0, 48), (None, None)), ((1e9, 48), (1e6, 48))]
)
def test_an_image_has_the_size_that_its_polygons_and_boxes_were_made_for(
    tmp_path: Path, sides: tuple[float, float], size: Any
) -> None:
    images = [{"id": at, "file_name": f"{name}.jpg"} for at, name in ((7, "a"), (8, "b"))]
    images[0] |= dict(zip(("width", "height"), sides, strict=True))
    with_size, without = read(
        tmp_path, coco({"bbox": [1, 2, 3, 4]}, {"bbox": [1, 2, 3, 4], "image_id": 8}, images=images)
    )
    assert (with_size.size, without.size) == (size, (None, None))


def test_masks_have_a_size_of_their_own(tmp_path: Path) -> None:
    mask = {"segmentation": {"counts": [4, 4], "size": [2, 4]}}
    (image,) = read(tmp_path, coco(mask))
    assert (image.size, image.labels[0].mask_size) == ((None, None), (4, 2))
    (image,) = read(tmp_path, coco(mask, {"bbox": [1, 2, 3, 4]}))
    assert (image.size, [each.mask_size for each in image.labels]) == ((64, 48), [(4, 2), (None, None)])


def test_a_repeated_image_id_is_that_of_the_first_image(tmp_path: Path) -> None:
    images = [{"id": 7, "file_name": "a.jpg"}, {"id": 7, "file_name": "b.jpg"}, {"id": 7, "file_name": "a.jpg"}]
    first, astray = read(tmp_path, coco({"segmentation": [TRIANGLE]}, images=images))
    assert (first.name, len(first.labels)) == ("a.jpg", 1)
    assert [rejected.reason for rejected in astray.rejected] == ["image id given twice"]


def test_lists_may_come_in_any_order_and_annotations_in_any_order_of_images(tmp_path: Path) -> None:
    images = [{"id": str(number), "file_name": f"{number}.jpg"} for number in range(5)]
    annotations = [
        {"id": number, "image_id": str(number % 4), "category_id": 3, "segmentation": [TRIANGLE]}
        for number in range(12)
    ]
    random.Random(1).shuffle(annotations)
    content = {"annotations": annotations, "categories": CATEGORIES, "images": images}
    for keys in (("images", "annotations", "categories"), ("categories", "annotations", "images")):
        found = read(tmp_path, {key: content[key] for key in keys})
        assert [(image.name, sorted(int(each.id) for each in image.labels)) for image in found] == [
            *[(f"{number}.jpg", [number, number + 4, number + 8]) for number in range(4)],
            ("4.jpg", []),
        ]


def test_a_file_is_read_in_less_memory_than_its_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(content, "LARGE", 1 << 16)
    ring = [number * 37 % 101 / 7 for number in range(4000)]
    annotations = [{"id": n, "image_id": n % 50, "category_id": 3, "segmentation": [ring]} for n in range(300)]
    images = [{"id": number, "file_name": f"{number}.jpg"} for number in range(50)]
    file = tmp_path / "labels.json"
    file.write_text(json.dumps(coco(images=images) | {"annotations": annotations}))
    tracemalloc.start()
    count = sum(tables.labels.num_rows for tables in tables_of(file))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == 300
    assert peak < file.stat().st_size


def test_what_is_of_no_image_comes_last_without_a_name(tmp_path: Path) -> None:
    triangle = {"segmentation": [TRIANGLE]}
    image, astray = read(tmp_path, coco(triangle, {**triangle, "image_id": 99}, {**triangle, "image_id": None}))
    assert (image.name, [each.id for each in image.labels]) == ("a.jpg", ["10"])
    assert (astray.name, [(each.id, each.reason) for each in astray.rejected]) == (
        "",
        [("11", reasons.NO_IMAGE_OF_ID), ("12", reasons.NO_IMAGE_OF_ID)],
    )


def test_a_coco_file_is_refused_unless_coco_is_set(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"^labels\.json: is a COCO file, .*: set labels\.coco: true$"):
        read(tmp_path, coco({"segmentation": [TRIANGLE]}), coco=False)
    archive = zip_of(tmp_path / "l.zip", {"val/instances.json": json.dumps(coco()).encode()})
    with pytest.raises(LabelFileError, match=r"^l\.zip/val/instances\.json: is a COCO file"):
        images_of(archive, "val/instances.json", coco=False)
