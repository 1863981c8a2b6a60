"""BDD label files of every release: lists, wrappers, single frames, and the files of one image each."""

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.formats import Format, format_of
from pipeline.instances import reasons
from tests.pipeline.formats.label_rows import images_of, read
from tests.pipeline.label_texts import polygon_label


def test_an_id_may_come_any_number_of_times(tmp_path: Path) -> None:
    labels = [polygon_label() | {"id": 0} for _ in range(5000)]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.labels] == ["0", *(f"0~{number}" for number in range(2, 5001))]


def test_an_id_that_another_label_has_is_left_to_it(tmp_path: Path) -> None:
    labels = [polygon_label() | {"id": each} for each in ("7", "7", 7, "7~2", None, "")]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.labels] == ["7", "7~3", "7~4", "7~2", "#4", "#5"]


def test_ids_of_as_many_digits_as_64_bits_hold_stay_as_they_are(tmp_path: Path) -> None:
    ids = [-(2**63), 2**64 - 1, 1234567890123456789]
    frame = {"name": "a.jpg", "labels": [polygon_label() | {"id": each} for each in ids]}
    for text in (json.dumps([frame]), json.dumps([frame | {"timestamp": float("nan")}])):
        (image,) = read(tmp_path, text.encode())
        assert [each.id for each in image.labels] == [*map(str, ids)]


def test_one_bad_label_leaves_its_neighbours_alone(tmp_path: Path) -> None:
    labels = [polygon_label(), {"category": "car", "box2d": {"x1": "?"}}, 5, polygon_label()]
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": labels}])
    assert [each.id for each in image.labels] == ["7", "7~2"]
    assert [each.id for each in image.rejected] == ["#1", ""]


@pytest.mark.parametrize("absent", [{}, {"labels": None}, {"labels": []}])
def test_an_image_without_labels_is_an_image(tmp_path: Path, absent: dict[str, Any]) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "timestamp": 1, **absent}])
    assert (image.name, image.labels, image.rejected) == ("a.jpg", [], [])


def test_frames_that_are_none_are_rejected_and_the_others_read(tmp_path: Path) -> None:
    frames = [{"name": "a.jpg", "labels": [polygon_label()]}, None, 7, {"labels": [polygon_label()]}, {"timestamp": 1}]
    images = read(tmp_path, frames)
    assert [len(image.labels) for image in images] == [1, 0, 0, 0, 0]
    found = [(rejected.reason, rejected.id) for image in images for rejected in image.rejected]
    assert found == [*[(reasons.FRAME_NOT_OBJECT, "")] * 2, (reasons.NO_IMAGE_NAME, "7"), (reasons.NO_IMAGE_NAME, "")]


def test_labels_that_are_no_list_are_rejected_whole(tmp_path: Path) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", "labels": {"0": polygon_label()}}])
    assert [(each.reason, each.label) for each in image.rejected] == [(reasons.LABELS_NOT_LIST, {"0": polygon_label()})]


def test_an_image_is_named_by_its_url_where_it_has_no_name(tmp_path: Path) -> None:
    (image,) = read(tmp_path, [{"name": None, "url": "https://x.org/v/a.jpg", "videoName": "v", "attributes": None}])
    assert (image.name, image.video, image.attributes) == ("https://x.org/v/a.jpg", "v", {})


@pytest.mark.parametrize("labels_first", [False, True])
def test_a_single_frame_may_be_named_by_its_url_alone(tmp_path: Path, labels_first: bool) -> None:
    named, labelled = {"url": "https://x.org/v/a.jpg"}, {"labels": [polygon_label()]}
    (image,) = read(tmp_path, labelled | named if labels_first else named | labelled)
    assert (image.name, len(image.labels)) == ("https://x.org/v/a.jpg", 1)


@pytest.mark.parametrize(
    ("said", "video", "attributes"),
    [
        ({"videoName": "v", "attributes": {"video": "w", "scene": "city"}}, "v", {"scene": "city"}),
        ({"videoName": "", "attributes": {"video": "w"}}, "w", {}),
        ({"attributes": {"attributes": '{"scene":1}', "weather": "clear"}}, None, {"scene": 1, "weather": "clear"}),
        ({"attributes": {"attributes": ""}}, None, {}),
        ({"attributes": {"attributes": "[1"}}, None, {"attributes": "[1"}),
        ({"attributes": [1]}, None, {}),
    ],
)
def test_what_is_said_of_the_image(tmp_path: Path, said: Any, video: str | None, attributes: Any) -> None:
    (image,) = read(tmp_path, [{"name": "a.jpg", **said}])
    assert (image.video, image.attributes) == (video, attributes)


def test_wrapper_single_frame_and_list_say_the_same(tmp_path: Path) -> None:
    frame = {"name": "a.jpg", "labels": [polygon_label()], "attributes": {"scene": "city"}}
    shapes = [[frame], {"config": {"a": [1]}, "frames": [frame], "groups": None}, frame, {"frames": [frame]}]
    ids = [[(image.name, image.attributes, image.labels[0].id) for image in read(tmp_path, shape)] for shape in shapes]
    assert ids == [[("a.jpg", {"scene": "city"}, "7")]] * 4


def test_a_2018_file_of_one_image_has_flat_paths_and_words_of_its_own(tmp_path: Path) -> None:
    flat = [[0, 0, "L"], [40, 0, "L"], [40, 40, "C"], [0, 40, "C"]]
    content = {
        "name": "1cd5d614-35d63896",
        "attributes": {"weather": "rainy"},
        "frames": [{"timestamp": 1, "objects": [{"category": "area/drivable", "id": 4, "poly2d": flat}, 9]}],
    }
    (image,) = read(tmp_path, content)
    assert (image.name, image.attributes) == ("1cd5d614-35d63896", {"weather": "rainy"})
    assert [(each.id, each.category) for each in image.labels] == [("4", "area/drivable")]
    assert len(image.labels[0].rings[0]) > 4
    assert [(each.reason, each.label) for each in image.rejected] == [(reasons.NO_OBJECT, 9)]


@pytest.mark.parametrize("category", ["direct", "crosswalk", "vegetation", "person"])
@pytest.mark.parametrize("wrapped", [False, True])
def test_the_layouts_of_2020_that_aren_t_of_the_benchmark_s_ten_classes(
    tmp_path: Path, category: str, wrapped: bool
) -> None:
    """Ids are strings, keys may be null, `closed` isn't to be trusted, and a lane's type is its category."""
    label = {
        "id": "0000001-3",
        "category": category,
        "attributes": None,
        "box2d": None,
        "rle": None,
        "poly2d": [{"vertices": [[10, 10], [50, 10], [50, 30]], "types": "LLL", "closed": False}],
    }
    frames = [{"name": "a.jpg", "videoName": None, "attributes": None, "timestamp": None, "labels": [label]}]
    (image,) = read(tmp_path, {"frames": frames, "groups": None, "config": None} if wrapped else frames)
    (found,) = image.labels
    assert (found.id, found.category) == ("0000001-3", category)
    assert found.geometry == ("line" if category == "crosswalk" else "polygon")
    assert found.rings[0].tolist() == [[10, 10], [50, 10], [50, 30]]
    assert not image.rejected


def test_of_a_key_that_comes_again_the_last_one_counts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    text = json.dumps([{"name": "a.jpg", "labels": [polygon_label()] * 2, "more": [polygon_label()]}])
    text = text.replace('"more"', '"labels"')
    (image,) = read(tmp_path, text.encode())
    assert len(image.labels) == 1
    assert not caplog.text
    (image,) = read(tmp_path, text.replace('"name"', '"timestamp": NaN, "name"').encode())
    assert len(image.labels) == 1
    assert "of keys that come again in an object the last one counts: labels" in caplog.text


def test_a_member_of_a_zip_is_read_and_named_by_its_path(tmp_path: Path) -> None:
    archive = tmp_path / "labels.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("bdd100k/labels/a.json", json.dumps([{"name": "a.jpg", "labels": [polygon_label()]}]))
    (image,) = images_of(archive, "bdd100k/labels/a.json")
    assert len(image.labels) == 1
    assert format_of(archive, "bdd100k/labels/a.json") is Format.FRAMES
