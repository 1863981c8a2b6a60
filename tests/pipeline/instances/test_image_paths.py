"""What the path of an image or label file says of its split and its video."""

import pytest

from pipeline.instances.image_paths import split_in_path, video_in_name


@pytest.mark.parametrize(
    ("name", "video"),
    [
        ("00091078-875c1f73-0000166.jpg", "00091078-875c1f73"),
        ("b1c66a42-6f7d68ca.jpg", None),
        ("b1c66a42-61782345.jpg", None),
        ("drive_frame_12.jpg", "drive"),
        ("drive-frame12.png", "drive"),
        ("town_000123.jpg", "town"),
        ("Bacterial_leaf_blight28.JPG", None),
        ("IMG_1234.jpg", None),
        ("1.jpg", None),
        ("0000123.jpg", None),
    ],
)
def test_a_frame_is_known_by_its_name(name: str, video: str | None) -> None:
    assert video_in_name(name) == video


@pytest.mark.parametrize(
    ("path", "split"),
    [
        ("bdd100k/labels/bdd100k_labels_images_train.json", "train"),
        ("det_20/det_val.json", "val"),
        ("dataset/val/via_region_data.json", "val"),
        ("train/val/labels.json", "val"),
        ("bdd100k_ins_seg_labels_trainval.zip/x.json", None),
        ("training/x.json", "train"),
        ("train_val.json", None),
        ("constrained/x.json", None),
        ("test_drive/x.json", None),
        ("labels_val.zip/labels/x.json", "val"),
    ],
)
def test_a_path_speaks_of_a_split_by_whole_words(path: str, split: str | None) -> None:
    assert split_in_path(path.split("/")) == split
