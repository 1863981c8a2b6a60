"""What the header of an image says, whether its end is there, and which size it has as its Exif data turn it."""

import io
import logging

import pytest
from PIL import Image

from mrcnn.data.decoding import decode, image_size
from pipeline.artifacts import summary
from pipeline.files.image_header import BadImageError, read_header
from pipeline.sources import raw_images
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
    ("stated", "size"), [(None, (40, 30)), (1, (40, 30)), (3, (40, 30)), (6, (30, 40)), (9, (40, 30))]
)
def test_images_that_exif_turns_have_their_upright_size(tmp_path, order, stated, size, caplog):
    caplog.set_level(logging.INFO)
    turned = with_exif("JPEG", stated, order)
    header = read_header(turned)
    assert (header.width, header.height) == size
    assert header.orientation == (stated if stated in (3, 6) else 1)
    check = summary.read(index(tmp_path / "raw", folder_of(tmp_path / "a", {"1.jpg": turned}))).checks[0]
    assert check.passed
    assert (f"1 images are {raw_images.TURNED}" in caplog.messages) is (header.orientation > 1)


def test_webp_images_that_exif_turns_are_told_of_since_browsers_don_t_turn_them(tmp_path, caplog):
    turned = with_exif("WEBP", 6)
    assert (read_header(turned).width, read_header(turned).orientation) == (40, 6)
    check = summary.read(index(tmp_path / "raw", folder_of(tmp_path / "a", {"1.webp": turned}))).checks[0]
    assert not check.passed
    assert check.description == f"1 are {raw_images.NOT_TURNED}"
    assert raw_images.NOT_TURNED in caplog.text


def test_damaged_exif_data_break_nothing():
    whole = with_exif("JPEG", 6)
    start = whole.index(b"Exif")
    for at in range(start, start + 30):
        for byte in (0, 255):
            damaged = whole[:at] + bytes([byte]) + whole[at + 1 :]
            header = read_header(damaged)
            assert {header.width, header.height} == {40, 30}
            assert image_size(damaged, "a") == decode(damaged, "a").shape[:2] == (header.height, header.width)


def test_every_prefix_of_an_image_is_refused_and_never_breaks_the_reader():
    for whole in (jpeg(), png()):
        for length in range(len(whole)):
            with pytest.raises(BadImageError):
                read_header(whole[:length])


def with_exif(kind, orientation, order="<"):
    """Return a picture of 40 x 30 pixels, with Exif data."""
    exif = Image.Exif()
    exif.endian = order
    exif[0x010F] = "a camera"
    if orientation:
        exif[0x0112] = orientation
    content = io.BytesIO()
    Image.new("RGB", (40, 30)).save(content, kind, exif=exif)
    return content.getvalue()


def test_a_jpeg_of_fill_bytes_is_refused_at_once_and_padding_is_none_of_it():
    with pytest.raises(BadImageError, match="fill bytes"):
        read_header(b"\xff\xd8" + b"\xff" * (100 << 20) + b"\xff\xd9")
    assert read_header(jpeg() + b"\xff" * (4 << 20)).kind == "JPEG"
