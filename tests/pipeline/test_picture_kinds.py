"""Pictures of every kind mean the same pixels to each part of the chain, and to a browser that shows them."""

import base64
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from mrcnn.data import decoding
from mrcnn.data.dataset import Dataset, StoredImage
from pipeline import dataset
from pipeline.dataset.images_zip import ImagesZip
from pipeline.files.image_header import read_header
from pipeline.files.image_pixels import check_pixels
from pipeline.pictures import overlay
from pipeline.sources.image_index import read_index
from pipeline.training.data import ZipDataset
from tests.browser import browser_page, needs_chromium
from tests.pipeline.labelled_folders import filtered, recipe_of, via_of
from tests.pipeline.picture_kinds import KINDS, STORED, UPRIGHT, named
from tests.pipeline.small_datasets import entry, square
from tests.pipeline.small_sources import folder_of

MEDIA_TYPES = {"jpg": "image/jpeg", "png": "image/png", "webp": "image/webp", "bmp": "image/bmp"}
SHOWN = """async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = document.createElement('canvas');
    [canvas.width, canvas.height] = [image.naturalWidth, image.naturalHeight];
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    return [canvas.height, canvas.width, Array.from(context.getImageData(0, 0, canvas.width, canvas.height).data)];
}"""


def difference(first: Any, second: Any) -> int:
    """Return the largest difference of two pictures' values; 999 where their sizes differ."""
    return int(np.abs(first.astype(int) - second).max()) if first.shape == second.shape else 999


@pytest.mark.parametrize("name", KINDS)
def test_a_picture_is_decoded_to_what_it_means(name: str) -> None:
    kind = KINDS[name]
    header = read_header(kind.data)
    check_pixels(kind.data, header)
    assert difference(decoding.decode(kind.data, name), kind.pixels) <= kind.tolerance
    assert (header.height, header.width) == decoding.image_size(kind.data, name) == kind.pixels.shape[:2]


@pytest.mark.parametrize("name", KINDS)
def test_a_fraction_of_the_size_is_the_same_picture(name: str) -> None:
    whole, half = (decoding.decode(KINDS[name].data, name, reduce) for reduce in (1, 2))
    height, width = whole.shape[:2]
    assert half.shape[:2] in {(-(-height // 2), -(-width // 2)), (height // 2, width // 2)}
    shrunk = np.asarray(Image.fromarray(whole).resize((half.shape[1], half.shape[0]), Image.Resampling.BOX))
    assert np.abs(half.astype(int) - shrunk).mean() < 6


def test_labels_training_and_evaluation_see_the_same_pixels(tmp_path: Path) -> None:
    pictures = named()
    labels = {name: entry(name, [square(4, 4, 12, "car")]) for name in pictures}
    folder = folder_of(tmp_path / "data", {**pictures, "via_region_data.json": json.dumps(labels).encode()})
    made = recipe_of([folder], [folder], dataset={"split": "all_in_both"})
    labelled = filtered(made, tmp_path / "work")
    raw = tmp_path / "work" / "raw_images"
    dataset.build(made, labelled, *(via_of(made, labelled, split) for split in ("train", "val")), raw, tmp_path)
    index = read_index(raw)
    with ImagesZip(tmp_path / "images.zip") as archive:
        trained = ZipDataset(archive, "train", ["car"])
        judged = {record.image: record for record in archive.records("val")}
        assert [record.image for record in trained.records] == sorted(judged) == sorted(index) == sorted(pictures)
        for number, record in enumerate(trained.records):
            decoded = decoding.decode(pictures[record.image], record.image)
            stored = StoredImage(trained, number)
            for pixels in (stored.pixels_at(None), trained.load_image(number), archive.pixels(judged[record.image])):
                assert np.array_equal(pixels, decoded), record.image
            sizes = [(each.height, each.width) for each in (index[record.image], judged[record.image])]
            assert [*sizes, stored.size] == [decoded.shape[:2]] * 3, record.image
            assert overlay(pictures[record.image], [], tmp_path / "small.jpg")
            with Image.open(tmp_path / "small.jpg") as small:
                assert small.size == decoded.shape[1::-1], record.image


@needs_chromium
def test_a_browser_shows_the_same_pixels() -> None:
    with browser_page(200) as page:
        page.set_content("<html></html>")
        for name, kind in KINDS.items():
            if kind.suffix == "tif":
                continue
            address = f"data:{MEDIA_TYPES[kind.suffix]};base64,{base64.b64encode(kind.data).decode()}"
            height, width, values = page.evaluate(SHOWN, address)
            decoded = decoding.decode(kind.data, name)
            assert (height, width) == decoded.shape[:2], name
            if kind.in_browsers:
                assert difference(np.reshape(values, (height, width, 4))[..., :3], decoded) <= 2, name


@pytest.mark.parametrize("orientation", UPRIGHT)
def test_datasets_of_scripts_read_files_as_stored_as_scikit_image_does(tmp_path: Path, orientation: int) -> None:
    import skimage.io

    (tmp_path / "a.jpg").write_bytes(KINDS[f"JPEG, orientation {orientation}"].data)
    of_script = Dataset()
    of_script.add_image("own", "a", tmp_path / "a.jpg")
    expected = skimage.io.imread(tmp_path / "a.jpg")
    assert difference(expected, STORED) <= 6
    stored = StoredImage(of_script, 0)
    for pixels in (of_script.load_image(0), stored.pixels_at(None)):
        assert np.array_equal(pixels, expected)
    assert stored.size == STORED.shape[:2]
