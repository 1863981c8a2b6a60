"""What the header of an image says, and whether its end is there; Exif data that turn it are told of."""

import io

import pytest
from PIL import Image

from pipeline.artifacts import summary
from pipeline.files.image_header import BadImageError, read_header
from tests.pipeline.small_sources import folder_of, index, jpeg, png


def test_bytes_after_the_end_marker_do_no_harm_and_a_thumbnail_s_end_is_not_the_image_s():
    picture = jpeg(40, 30)
    assert read_header(picture + bytes(10)).width == 40
    thumbnail = b"\xff\xe1" + (2 + len(picture)).to_bytes(2, "big") + picture
    with_thumbnail = picture[:2] + thumbnail + picture[2:]
    assert read_header(with_thumbnail).height == 30
    with pytest.raises(BadImageError, match="truncated"):
        read_header(with_thumbnail[:-2])


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("orientation", "turned"), [(None, False), (1, False), (3, True), (6, True), (8, True), (9, False)]
)
def test_images_that_exif_turns_are_told_of(tmp_path, order, orientation, turned, caplog):
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    if orientation:
        exif[0x0112] = orientation
    content = io.BytesIO()
    Image.new("RGB", (40, 30)).save(content, "JPEG", exif=exif)
    header = read_header(content.getvalue())
    assert (header.turned, header.width, header.height) == (turned, 40, 30)
    check = summary.read(index(tmp_path / "raw", folder_of(tmp_path / "a", {"1.jpg": content.getvalue()}))).checks[0]
    assert check.passed is not turned
    assert ("1 are stored turned" in check.description) is ("1 images are stored turned" in caplog.text) is turned


def test_damaged_exif_data_turn_nothing():
    exif = Image.Exif()
    exif[0x0112] = 6
    content = io.BytesIO()
    Image.new("RGB", (40, 30)).save(content, "JPEG", exif=exif)
    whole = content.getvalue()
    start = whole.index(b"Exif")
    for at in range(start, start + 30):
        for byte in (0, 255):
            header = read_header(whole[:at] + bytes([byte]) + whole[at + 1 :])
            assert (header.width, header.height) == (40, 30)


def test_every_prefix_of_an_image_is_refused_and_never_breaks_the_reader():
    for whole in (jpeg(), png()):
        for length in range(len(whole)):
            with pytest.raises(BadImageError):
                read_header(whole[:length])
