"""Dataset, and decoding of its files."""

import cv2
import numpy as np
import pytest

from mrcnn.data import decoding
from mrcnn.data.dataset import Dataset
from mrcnn.utils import Dataset as OldName


def test_classes_and_images_are_numbered_in_the_order_they_were_added():
    dataset = OldName()
    dataset.add_class("shop", 7, "apple, red")
    dataset.add_class("street", 7, "car")
    dataset.add_class("shop", 7, "again")
    dataset.add_image("street", "a.jpg", "/tmp/a.jpg", width=3)
    dataset.prepare()
    assert dataset.class_names == ["BG", "apple", "car"]
    assert dataset.map_source_class_id("street.7") == 2
    assert dataset.get_source_class_id(2, "street") == 7
    assert dataset.source_class_ids == {"": [0], "shop": [0, 1], "street": [0, 2]}
    assert dataset.image_ids.tolist() == [0]
    assert dataset.image_info[0]["width"] == 3
    assert dataset.source_image_link(0) == "/tmp/a.jpg"
    assert dataset.num_classes == 3


def test_a_source_with_a_dot_is_refused():
    with pytest.raises(ValueError, match="dot"):
        Dataset().add_class("a.b", 1, "car")


@pytest.mark.parametrize("channels", [1, 3, 4])
def test_images_are_loaded_as_rgb(tmp_path, channels):
    pixels = np.full((4, 6, channels), 50, np.uint8)
    pixels[..., 0] = 200 if channels > 1 else 50
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    dataset = Dataset()
    dataset.add_image("x", "a", tmp_path / "a.png")
    dataset.prepare()
    image = dataset.load_image(0)
    assert image.shape == (4, 6, 3)
    assert image[0, 0].tolist() == ([50, 50, 200] if channels > 1 else [50, 50, 50])
    assert dataset.encoded_image(0) == (tmp_path / "a.png").read_bytes()


def test_a_dataset_without_load_mask_has_no_instances(tmp_path):
    cv2.imwrite(str(tmp_path / "a.png"), np.zeros((4, 6, 3), np.uint8))
    dataset = Dataset()
    dataset.add_image("x", "a", tmp_path / "a.png")
    dataset.prepare()
    masks, class_ids = dataset.load_mask(0)
    assert masks.shape == (4, 6, 0)
    assert not len(class_ids)


def test_polygons_without_load_mask_give_masks():
    class Drawn(Dataset):
        def polygons(self, image_id):
            return [[np.array([[1.0, 1], [4, 1], [4, 3], [1, 3]])]], np.array([2])

    dataset = Drawn()
    dataset.add_image("x", "a", None, width=6, height=5)
    dataset.prepare()
    masks, class_ids = dataset.load_mask(0)
    assert masks.sum() == 6
    assert masks[1:3, 1:4, 0].all()
    assert class_ids.tolist() == [2]


def test_files_that_are_no_images_are_named():
    with pytest.raises(ValueError, match=r"a\.jpg"):
        decoding.image_size(b"no", "a.jpg")
    with pytest.raises(ValueError, match=r"a\.jpg"):
        decoding.decode(b"no", "a.jpg")


def test_an_image_with_too_many_pixels_is_rejected(monkeypatch):
    monkeypatch.setattr(decoding, "LARGEST_IMAGE", 10)
    data = cv2.imencode(".png", np.zeros((4, 6, 3), np.uint8))[1].tobytes()
    with pytest.raises(ValueError, match="6×4 pixels"):
        decoding.image_size(data, "bomb.png")


def test_decoding_at_half_size_preserves_colours():
    pixels = np.zeros((32, 48, 3), np.uint8)
    pixels[..., 2] = 220
    data = cv2.imencode(".jpg", pixels)[1].tobytes()
    half = decoding.decode(data, "a", 2)
    assert half.shape == (16, 24, 3)
    assert half[8, 8, 0] > 200
    assert decoding.reduction((720, 1280), (216, 384)) == 2
    assert decoding.reduction((720, 1280), (576, 1024)) == 1
