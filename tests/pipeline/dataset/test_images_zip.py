"""Reading `images.zip`: ours, the 2019 script's, and damaged or hostile ones."""

import json
import zipfile
from dataclasses import astuple
from pathlib import Path

import numpy as np
import pytest

from mrcnn.config import Config
from mrcnn.data.dataset import StoredImage
from mrcnn.data.resizing import frame_for
from mrcnn.data.samples import load_sample
from mrcnn.shapes.polygons import mask
from pipeline import dataset, relabelling
from pipeline.dataset.images_zip import ImagesZip
from pipeline.errors import ArchiveError, EmptyDatasetError, LabelFileError
from pipeline.evaluation.detections import find
from pipeline.instances import reasons
from pipeline.recipe.sections import Evaluation
from pipeline.training.data import ZipDataset
from tests.pipeline.evaluation.test_evaluation import FixedDetector
from tests.pipeline.labelled_folders import SQUARE, area, filtered, folder_with, frame, recipe_of, via_of
from tests.pipeline.raw_tables import bounds
from tests.pipeline.small_datasets import entry, jpeg, numbered, one_image, polygon, square, squares, write


def test_splits_classes_and_images_of_an_archive_of_ours(tmp_path: Path) -> None:
    archive = ImagesZip(squares(tmp_path / "images.zip"))
    assert archive.splits == ("train", "val")
    assert archive.class_names() == ("car", "traffic sign")
    assert [record.image for record in archive.records("val")] == ["val_0.jpg", "val_1.jpg", "val_2.jpg"]
    first = archive.records("val")[0]
    assert (first.width, first.height, first.split) == (160, 90, "val")
    assert first.instances[0].rings[0].tolist() == [[10, 20], [50, 20], [50, 60], [10, 60]]
    assert archive.read(first) == jpeg(160, 90, 0)
    assert archive.pixels(first).shape == (90, 160, 3)


def test_given_classes_come_first_in_their_order(tmp_path: Path) -> None:
    archive = ImagesZip(squares(tmp_path / "images.zip"))
    assert archive.class_names(["traffic sign", "bike"]) == ("traffic sign", "car")


def test_polygons_that_share_an_instance_are_one_instance(tmp_path: Path) -> None:
    regions = [
        square(0, 0, 10, "car", instance="7", crowd="true"),
        square(20, 0, 10, "car", instance="7"),
        square(40, 0, 5, "car", instance="8", ignored="true", geometry="box", occluded="true", truncated="false"),
    ]
    archive = ImagesZip(one_image(tmp_path, numbered(regions), width=60, height=20))
    union, box = archive.records("val")[0].instances
    assert (union.id, len(union.rings), union.crowd, union.ignored, union.geometry) == ("7", 2, True, False, "polygon")
    assert (bounds(union.rings).x, bounds(union.rings).width, union.flags) == (0, 30, {"crowd": True})
    assert (box.geometry, box.flags) == ("box", {"ignored": True, "occluded": True, "truncated": False})


def test_regions_of_two_classes_are_two_instances_whatever_they_share(tmp_path: Path) -> None:
    regions = [square(0, 0, 10, "car", instance="7"), square(20, 0, 10, "bus", instance="7", occluded="true")]
    (record,) = ImagesZip(one_image(tmp_path, numbered(regions), width=60, height=20)).records("val")
    assert [(each.category, len(each.rings)) for each in record.instances] == [("car", 1), ("bus", 1)]


class Unscaled(Config):
    """Images as they are stored, with whole masks."""

    NUM_CLASSES = 2
    IMAGE_RESIZE_MODE = "none"
    USE_MINI_MASK = False


def test_a_label_of_several_polygons_is_one_mask_for_trainer_and_judge(tmp_path: Path) -> None:
    """From the label file through VIA and `images.zip` to what the network learns from, and is judged by."""
    left, right = [(10.0, 10.0), (10.0, 20.0), (20.0, 20.0)], [(30.0, 10.0), (30.0, 20.0), (44.0, 20.0)]
    frames = [frame("a.jpg", area("car", left, right), area("car", SQUARE))]
    folder = folder_with(tmp_path / "data", ["a.jpg"], {"labels.json": frames})
    made = recipe_of([folder], [folder], dataset={"split": "all_in_both"})
    labels = filtered(made, tmp_path / "work")
    sides = {f"via_{split}": via_of(made, labels, split) for split in ("train", "val")}
    (tmp_path / "zip").mkdir()
    dataset.build(made, labels, **sides, raw_images=tmp_path / "work" / "raw_images", out=tmp_path / "zip")
    with ImagesZip(tmp_path / "zip" / "images.zip") as archive:
        cars = ZipDataset(archive, "train", ["car"])
        masks, class_ids = cars.load_mask(0)
        unscaled = frame_for(masks.shape[:2], Unscaled())
        trained = load_sample(StoredImage(cars, 0), Unscaled(), unscaled, np.random.default_rng(0)).masks
        (judged,), _ = find(FixedDetector(lambda _: ()), archive, archive.records("train"), ["BG", "car"], Evaluation())
    assert class_ids.tolist() == [1, 1]
    rings = [np.array(ring) for ring in (left, right)]
    assert (masks[:, :, 0] == mask(rings, *masks.shape[:2])).all()
    assert masks[:, :, 0].any(axis=0)[[12, 42]].all()
    assert (trained == masks).all()
    assert (np.stack([truth.rle.pixels() for truth in judged.truth], axis=-1) == masks).all()


def test_a_file_of_2019_with_list_regions_no_sizes_and_the_class_under_another_name(tmp_path: Path) -> None:
    ring = [(1.0, 1.0), (9.0, 1.0), (9.0, 9.0), (1.0, 1.0)]
    labels = {"a.jpg": {"filename": "a.jpg", "regions": [polygon(ring, type="rice"), polygon(ring, type="rice")]}}
    archive = ImagesZip(write(tmp_path / "images.zip", {"train": labels}, {"train/a.jpg": jpeg(32, 16)}))
    record = archive.records("train")[0]
    assert (record.width, record.height) == (32, 16)
    assert [instance.category for instance in record.instances] == ["rice", "rice"]
    assert len({instance.id for instance in record.instances}) == 2
    assert len(record.instances[0].rings[0]) == 3, "the repeated last vertex is dropped"


def test_the_class_attribute_can_be_given(tmp_path: Path) -> None:
    path = one_image(tmp_path, [square(0, 0, 9, "x", kind="bus", instance="1")])
    assert ImagesZip(path, class_attribute="kind").class_names() == ("bus",)
    assert ImagesZip(path, class_attribute="colour").class_names() == ("x",), "this pipeline writes it as name"


def test_round_shapes_are_areas(tmp_path: Path) -> None:
    circle = {"name": "circle", "cx": 16, "cy": 8, "r": 6}
    ellipse = {"name": "ellipse", "cx": 16, "cy": 8, "rx": 6, "ry": 3, "theta": 1.5707963}
    nothing = {"name": "circle", "cx": 16, "cy": 8, "r": 0}
    regions = [
        {"shape_attributes": each, "region_attributes": {"class": "sign"}} for each in (circle, ellipse, nothing)
    ]
    archive = ImagesZip(one_image(tmp_path, regions))
    boxes = [astuple(bounds(each.rings)) for each in archive.records("val")[0].instances]
    assert boxes == [pytest.approx((10, 2, 12, 12), abs=0.5), pytest.approx((13, 2, 6, 12), abs=0.5)]
    assert [reason for *_, reason in archive.left_out] == [reasons.SHAPE_WITHOUT_AREA]


def test_a_rectangle_is_a_ring_and_a_point_is_left_out_with_its_reason(tmp_path: Path) -> None:
    rectangle = {"shape_attributes": {"name": "rect", "x": 2, "y": 3, "width": 4, "height": 5}}
    regions = [
        {**rectangle, "region_attributes": {"class": "car"}},
        {"shape_attributes": {"name": "point", "cx": 1, "cy": 1}, "region_attributes": {"class": "car"}},
        {**rectangle, "region_attributes": {}},
    ]
    labels = {"a": entry("a.jpg", regions), "gone": entry("gone.jpg", [])}
    archive = ImagesZip(write(tmp_path / "images.zip", {"val": labels}, {"val/a.jpg": jpeg(32, 16)}))
    (instance,) = archive.records("val")[0].instances
    assert instance.rings[0].tolist() == [[2, 3], [2, 8], [6, 8], [6, 3]]
    assert archive.left_out == [
        ("a.jpg", "1", reasons.SHAPE_WITHOUT_AREA),
        ("a.jpg", "2", reasons.NO_CLASS),
        ("gone.jpg", "", "the image is not in the archive"),
    ]


def test_the_metadata_of_a_whole_via_project_is_read(tmp_path: Path) -> None:
    project = {"_via_settings": {}, "_via_img_metadata": {"a": entry("a.jpg", [square(0, 0, 9, "car")])}}
    content = b"\xef\xbb\xbf" + json.dumps(project).encode()
    path = write(tmp_path / "images.zip", {"val": content}, {"val/a.jpg": jpeg(32, 16)}, folder="my/images")
    assert ImagesZip(path).class_names() == ("car",)


@pytest.mark.parametrize("filename", ["../../etc/a.jpg", "C:\\photos\\a.jpg", "https://host/x/a.jpg"])
def test_a_name_with_a_path_means_the_image_beside_the_label_file(tmp_path: Path, filename: str) -> None:
    labels = {"a": entry(filename, [square(0, 0, 9, "car")])}
    path = write(tmp_path / "images.zip", {"val": labels}, {"val/a.jpg": jpeg(32, 16)})
    assert ImagesZip(path).records("val")[0].member == "images/val/a.jpg"


@pytest.mark.parametrize(
    ("labels", "sentence"),
    [
        (b'{"a": {"filename": "a.jp', "is cut short"),
        (b"[]", "isn't a file of VIA 1 or 2, but list of BDD frames"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested too deep"),
        (b'{"project": {"pid": "x"}, "file": {}, "metadata": {}}', "isn't a file of VIA 1 or 2, but"),
        (b'{"images": [], "annotations": [], "categories": []}', "isn't a file of VIA 1 or 2, but COCO instances"),
    ],
)
def test_a_label_file_that_is_not_vias_is_refused_by_name(tmp_path: Path, labels: bytes, sentence: str) -> None:
    path = write(tmp_path / "images.zip", {"val": labels}, {"val/a.jpg": jpeg(32, 16)})
    with pytest.raises(LabelFileError, match=sentence) as refusal:
        ImagesZip(path).records("val")
    assert "images.zip/images/val/via_region_data.json" in str(refusal.value)


def test_an_archive_that_is_absent_cut_or_another_is_refused_by_name(tmp_path: Path) -> None:
    whole = squares(tmp_path / "images.zip")
    (tmp_path / "cut.zip").write_bytes(whole.read_bytes()[:-200])
    write(tmp_path / "other.zip", {}, {"x/a.jpg": b""})
    content = whole.read_bytes().replace(b"train_0.jpg", b"train_\xff.jpg")  # declared as UTF-8, which it is not
    entry = content.rindex(b"train_\xff.jpg") - len("images/train/") - 46
    (tmp_path / "names.zip").write_bytes(content[: entry + 9] + b"\x08" + content[entry + 10 :])
    for name, sentence in [
        ("none.zip", "No such file"),
        ("names.zip", "can't be read"),
        ("cut.zip", "can't be read"),
        ("other.zip", "holds no images"),
    ]:
        with pytest.raises(ArchiveError, match=f"{name}.*{sentence}"):
            ImagesZip(tmp_path / name)


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(EmptyDatasetError, match="images/test"):
        ImagesZip(squares(tmp_path / "images.zip")).records("test")


def test_a_damaged_image_a_bomb_and_a_wrong_size_are_refused_by_name(tmp_path: Path) -> None:
    names = ["flat.jpg", "text.jpg", "wide.jpg"]
    labels = {name: entry(name, [], width=32, height=16) for name in names}
    files = {"val/text.jpg": b"hello" * 100, "val/wide.jpg": jpeg(64, 16)}
    path = write(tmp_path / "images.zip", {"val": labels}, files)
    with zipfile.ZipFile(path, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images/val/flat.jpg", bytes(70_000_000))
    archive = ImagesZip(path)
    sentences = ["not believable", "not an image", "isn't 32x16 as its labels say"]
    for record, sentence in zip(archive.records("val"), sentences, strict=True):
        with pytest.raises(ArchiveError, match=f"{record.image}.*{sentence}"):
            archive.pixels(record)


def test_a_flipped_byte_in_an_image_is_found(tmp_path: Path) -> None:
    path = squares(tmp_path / "images.zip")
    content = bytearray(path.read_bytes())
    content[content.index(jpeg(160, 90, 0)) + 700] ^= 255
    path.write_bytes(bytes(content))
    archive = ImagesZip(path)
    with pytest.raises(ArchiveError, match=r"train_0\.jpg: is damaged"):
        archive.read(archive.records("train")[0])


def test_pixels_are_red_green_blue(tmp_path: Path) -> None:
    import io

    from PIL import Image

    content = io.BytesIO()
    Image.new("RGB", (16, 16), (250, 0, 0)).save(content, "JPEG", quality=95)
    labels = {"a": entry("a.jpg", [])}
    archive = ImagesZip(write(tmp_path / "images.zip", {"val": labels}, {"val/a.jpg": content.getvalue()}))
    pixels = archive.pixels(archive.records("val")[0])
    assert pixels.dtype == np.uint8
    assert pixels[8, 8, 0] > 240
    assert pixels[8, 8, 2] < 10


REAL = Path(__file__).parents[3].parent / "shared/real/via/tzelalouzeir_rice_via1/val"


@pytest.mark.skipif(not REAL.is_dir(), reason="../shared/real is absent")
def test_a_real_via_1_folder_zipped_up_is_read_whole(tmp_path: Path) -> None:
    labels = json.loads((REAL / "via_region_data.json").read_text("utf-8-sig"))
    images = {f"val/{path.name}": path.read_bytes() for path in REAL.iterdir() if path.suffix != ".json"}
    archive = ImagesZip(write(tmp_path / "images.zip", {"val": labels}, images))
    regions = sum(len(image["regions"]) for image in labels.values())
    records = archive.records("val")
    assert sum(len(record.instances) for record in records) + len(archive.left_out) == regions


def test_what_can_t_be_used_hinders_nothing_else(tmp_path: Path) -> None:
    sound = square(0, 0, 9, "car")
    rectangle = {"name": "rect", "x": "1", "y": 1, "width": 4, "height": 4}
    unusable = [None, {"shape_attributes": rectangle, "region_attributes": {"name": "car"}}, "x", square(1, 1, 9, "")]
    labels = {
        "a": entry("a.jpg", [*unusable, sound]),
        "b": {"filename": "b.jpg", "regions": None},
        "again": entry("a.jpg", [sound]),
        "c.jpg": None,
        "d": {"filename": "d.jpg", "regions": 5},
    }
    images = {f"val/{name}.jpg": jpeg(32, 16) for name in "abcd"}
    archive = ImagesZip(write(tmp_path / "images.zip", {"val": labels}, images))
    counts = [(each.image, len(each.instances)) for each in archive.records("val")]
    assert counts == [("a.jpg", 1), ("b.jpg", 0), ("c.jpg", 0), ("d.jpg", 0)]
    assert archive.left_out == [
        ("a.jpg", "0", reasons.NO_CLASS),
        ("a.jpg", "1", reasons.SHAPE_MALFORMED),
        ("a.jpg", "2", reasons.NO_CLASS),
        ("a.jpg", "3", reasons.NO_CLASS),
        ("a.jpg", "", "labelled twice: the first labels count"),
        ("c.jpg", "", reasons.FRAME_NOT_OBJECT),
        ("d.jpg", "", reasons.LABELS_NOT_LIST),
    ]


@pytest.mark.parametrize(
    ("regions", "classes"),
    [
        ([{"Class": "car"}], ["car"]),
        ([{"car": "yes"}, {"bus": "yes"}], ["bus", "car"]),
        ([{"name": "not_defined"}, {"name": "bike"}], ["bike"]),
        ([{"kind": "1"}, {"kind": "2"}], ["dent", "scratch"]),
    ],
)
def test_classes_are_found_as_in_labels_of_other_hands(
    tmp_path: Path, regions: list[dict[str, str]], classes: list[str]
) -> None:
    outlined = [{**square(0, 0, 9, ""), "region_attributes": each} for each in regions]
    kinds = {"kind": {"type": "radio", "options": {"1": "dent", "2": "scratch"}}}
    labels = {"_via_img_metadata": {"a": entry("a.jpg", outlined)}, "_via_attributes": {"region": kinds}}
    path = write(tmp_path / "images.zip", {"val": labels}, {"val/a.jpg": jpeg(32, 16)})
    assert list(ImagesZip(path).class_names()) == classes


def test_names_with_backslashes_or_none_at_all_are_no_hindrance(tmp_path: Path) -> None:
    path = tmp_path / "images.zip"
    labels = json.dumps({"a": entry("a.jpg", [square(0, 0, 9, "car")])})
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("images\\val\\a.jpg", jpeg(32, 16))
        archive.writestr("images\\val\\via_region_data.json", labels)
        nameless = zipfile.ZipInfo("x")
        nameless.filename = ""
        archive.writestr(nameless, b"")
    with ImagesZip(path) as images:
        (record,) = images.records("val")
        assert images.pixels(record).shape == (16, 32, 3)
    assert relabelling.make_folder(path, tmp_path / "look") == 1
    assert (tmp_path / "look/a.jpg").read_bytes() == jpeg(32, 16)


def test_flags_are_those_that_labels_of_other_hands_have(tmp_path: Path) -> None:
    attributes = {"name": "bike", "Crowd": "yes", "OCCLUDED": "0"}
    path = one_image(tmp_path, [{**square(0, 0, 9, ""), "region_attributes": attributes}])
    (instance,) = ImagesZip(path).records("val")[0].instances
    assert (instance.category, instance.flags) == ("bike", {"crowd": True, "occluded": False})


def test_images_keep_what_their_label_file_says_of_them_in_texts(tmp_path: Path) -> None:
    given = {"weather": "clear", "checked": {"yes": True}, "speed": 12}
    texts = {"a.jpg": given, "b.jpg": 3}
    labels = {name: entry(name, {}, width=8, height=8, file_attributes=of) for name, of in texts.items()}
    archive = write(tmp_path / "images.zip", {"val": labels}, {f"val/{name}": jpeg(8, 8) for name in labels})
    assert [record.attributes for record in ImagesZip(archive).records("val")] == [{"weather": "clear"}, {}]


def test_labels_of_free_texts_are_refused_before_pairs_of_classes_fill_the_memory(tmp_path: Path) -> None:
    archive = ImagesZip(one_image(tmp_path, [square(1, 1, 9, f"class {at}") for at in range(2001)]))
    with pytest.raises(LabelFileError, match=r"images\.zip: its labels have 2,001 classes, and 2,000 are the most"):
        archive.class_names()
