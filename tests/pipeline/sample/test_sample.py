"""The embedded sample: its archives are laid out like the portal's, reproducible, hard enough, and labelled exactly."""

import json
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from pipeline.sample import IMAGES_ARCHIVE, LABELS_ARCHIVE, generate
from pipeline.sample.drawing import SceneKey
from pipeline.sample.labels import describe
from pipeline.sample.painting import paint
from pipeline.sample.scene import sample_scene
from pipeline.sample.street.road import _cubic_through

SEED, TRAIN, VAL = 2019, 48, 48
WANTED = ("drivable area", "traffic sign", "car", "bike")
SMALL = 64


class Archives:
    """The two archives of one sample, read as anyone would."""

    def __init__(self, folder: Path) -> None:
        self.images = zipfile.ZipFile(folder / IMAGES_ARCHIVE)
        self.labels = zipfile.ZipFile(folder / LABELS_ARCHIVE)

    def frames(self, split: str) -> list[dict]:
        return json.loads(self.labels.read(f"bdd100k/labels/bdd100k_labels_images_{split}.json"))

    def instances(self, split: str) -> Iterator[tuple[dict, dict]]:
        """Yield (frame, label) for the labels of the recipe's categories that have a mask."""
        for frame in self.frames(split):
            for label in frame["labels"] or []:
                if label["category"] in WANTED and label.get("poly2d"):
                    yield frame, label

    def paths(self) -> set[str]:
        return set(self.images.namelist())


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Archives:
    folder = tmp_path_factory.mktemp("sample")
    generate(folder, SEED, TRAIN, VAL)
    return Archives(folder)


def extent(label: dict) -> tuple[float, float]:
    """Return the width and height of a label's polygons."""
    points = np.concatenate([np.array(polygon["vertices"]) for polygon in label["poly2d"]])
    width, height = np.ptp(points, axis=0) + 1
    return float(width), float(height)


def test_images_are_stored_jpegs_of_1280_by_720_in_the_portals_folders(sample):
    entries = sample.images.infolist()
    assert {entry.compress_type for entry in entries} == {zipfile.ZIP_STORED}
    assert {entry.date_time for entry in entries} == {(1980, 1, 1, 0, 0, 0)}
    assert Counter(entry.filename.split("/")[3] for entry in entries) == {"train": TRAIN + 2, "val": VAL}
    assert [entry.filename for entry in entries] == sorted(entry.filename for entry in entries)
    assert all(entry.filename.startswith("bdd100k/images/100k/") for entry in entries)
    for entry in entries[::20]:
        picture = cv2.imdecode(np.frombuffer(sample.images.read(entry), np.uint8), cv2.IMREAD_COLOR)
        assert picture.shape == (720, 1280, 3)


def test_frames_have_the_keys_of_the_2018_release(sample):
    numbers = []
    for split in ("train", "val"):
        for frame in sample.frames(split):
            assert set(frame) == {"name", "attributes", "timestamp", "labels"}
            assert set(frame["attributes"]) == {"weather", "scene", "timeofday"}
            for label in frame["labels"] or []:
                assert {"category", "attributes", "manualShape", "manualAttributes", "id"} <= set(label)
                assert "box2d" in label or "poly2d" in label
                numbers.append(label["id"])
    assert numbers == list(range(len(numbers)))


@pytest.mark.parametrize("split", ["train", "val"])
def test_the_exam_is_not_easy(sample, split):
    labels = [label for _, label in sample.instances(split)]
    labelled = sum(bool(frame["labels"]) for frame in sample.frames(split))
    assert len(labels) / labelled >= 8
    assert np.mean([max(extent(label)) < SMALL for label in labels]) >= 0.25
    assert np.mean([label["attributes"].get("occluded", False) for label in labels]) >= 0.20
    shares = Counter(label["category"] for label in labels)
    assert all(shares[category] / len(labels) >= 0.05 for category in WANTED)


def test_nothing_is_labelled_that_is_too_small_to_be_seen(sample):
    assert min(min(extent(label)) for _, label in sample.instances("val")) >= 10


def test_most_val_frames_have_one_area_to_drive_on_and_none_lacks_other_things(sample):
    areas = Counter(frame["name"] for frame, label in sample.instances("val") if label["category"] == "drivable area")
    assert sum(count == 1 for count in areas.values()) >= 0.6 * VAL
    assert len(areas) >= 0.9 * VAL
    assert {frame["name"] for frame, label in sample.instances("val") if label["category"] != "drivable area"} == {
        frame["name"] for frame in sample.frames("val")
    }


def test_day_dusk_night_and_all_weathers_occur(sample):
    frames = sample.frames("train") + sample.frames("val")
    assert {frame["attributes"]["timeofday"] for frame in frames} == {"daytime", "dawn/dusk", "night"}
    assert {frame["attributes"]["weather"] for frame in frames} >= {"clear", "overcast", "rainy", "partly cloudy"}


def test_drivable_areas_are_bounded_by_runs_of_three_curve_letters(sample):
    for _, label in sample.instances("train"):
        if label["category"] != "drivable area":
            continue
        (polygon,) = label["poly2d"]
        assert polygon["types"].startswith("LCCCCCCLCCCCCC")
        assert len(polygon["types"]) == len(polygon["vertices"])
        assert polygon["closed"]
        assert label["attributes"]["areaType"] in ("direct", "alternative")


def test_the_faults_of_real_files_are_there(sample):
    frames = sample.frames("train")
    labels = [label for frame in frames for label in frame["labels"] or []]
    assert sum(frame["labels"] is None for frame in frames) == 1
    assert any(label["box2d"]["x1"] == label["box2d"]["x2"] for label in labels if "box2d" in label)
    vertices = [vertex for label in labels for polygon in label.get("poly2d", []) for vertex in polygon["vertices"]]
    assert 1280 < max(u for u, _ in vertices) < 1281
    images = {path.split("/")[-1] for path in sample.paths() if "/train/" in path}
    named = {frame["name"] for frame in frames}
    assert len(images - named) == 1
    assert len(named - images) == 1


def test_val_scenes_are_none_of_train_and_do_not_depend_on_how_many_those_are(sample, tmp_path):
    generate(tmp_path, SEED, train=1, val=2, processes=1)
    few = Archives(tmp_path)
    wanted = [path for path in few.paths() if "/val/" in path]
    assert {few.images.read(path) for path in wanted} == {sample.images.read(path) for path in wanted}
    contents = [sample.images.read(path) for path in sample.paths()]
    assert len(set(contents)) == len(contents)


def test_the_same_seed_gives_the_same_bytes_with_any_number_of_processes(tmp_path):
    for name, seed, processes in (("one", 5, 1), ("two", 5, 2), ("other", 6, 1)):
        generate(tmp_path / name, seed, train=2, val=1, processes=processes)
    for archive in (IMAGES_ARCHIVE, LABELS_ARCHIVE):
        content = {name: (tmp_path / name / archive).read_bytes() for name in ("one", "two", "other")}
        assert content["one"] == content["two"]
        assert content["one"] != content["other"]


@pytest.mark.parametrize("number", range(4))
def test_polygons_cover_what_is_seen_of_a_thing_and_nothing_else(number):
    rng = SceneKey(SEED, "val", number).generator(1)
    scene = sample_scene(rng)
    canvas, _ = paint(scene, rng)
    labels = [label for label in describe("x.jpg", scene, canvas)["labels"] if "box2d" in label]
    masks = [canvas.owners == instance.number for instance in canvas.instances]
    assert labels
    for label in labels:
        filled = np.zeros(canvas.owners.shape, np.uint8)
        for polygon in label["poly2d"]:
            cv2.fillPoly(filled, [np.rint(polygon["vertices"]).astype(np.int32)], 1)
        overlaps = [np.count_nonzero(mask & (filled > 0)) / np.count_nonzero(mask | (filled > 0)) for mask in masks]
        assert max(overlaps) > 0.8


def test_a_cubic_through_four_points_of_a_line_has_its_controls_at_the_thirds():
    points = np.array([[0.0, 0.0], [1.0, 2.0], [2.0, 4.0], [3.0, 6.0]])
    assert np.array(_cubic_through(points)) == pytest.approx(points)
