"""Whether the pixels of an image file can be decoded, and all of them are there."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from io import BytesIO

from PIL.TiffImagePlugin import TiffImageFile

from mrcnn.data import decoding
from pipeline.files.image_header import FAULTS, BadImageError, ImageHeader

HARMLESS = (
    *("extraneous bytes before marker", "unknown JFIF revision", "bad ICC marker", "Unknown Adobe color transform"),
    "Could not determine subsampling level",
)
"""Messages after which all pixels may be there: libjpeg's warnings (JWRN_* in its jerror.h) JWRN_EXTRANEOUS_DATA (fill
bytes, which many dashcams write), JWRN_JFIF_MAJOR, JWRN_BOGUS_ICC and JWRN_ADOBE_XFORM, and TurboJPEG's error for
unusual chroma subsampling. Its other warnings say that pixels are lost, which libjpeg fills with grey: JWRN_HIT_MARKER
("premature end of data segment"), JWRN_JPEG_EOF, JWRN_MUST_RESYNC, JWRN_HUFF_BAD_CODE, JWRN_ARITH_BAD_CODE,
JWRN_BOGUS_PROGRESSION, JWRN_NOT_SEQUENTIAL."""

SILENT = 0
"""OpenCV's LOG_LEVEL_SILENT."""


@contextmanager
def quiet_decoders() -> Iterator[None]:
    """Silence what OpenCV logs and Pillow warns of, in all threads: it names no file, and `check_pixels` raises."""
    import cv2

    logger = cv2 if hasattr(cv2, "setLogLevel") else cv2.utils.logging  # OpenCV 4, or 5
    level = logger.setLogLevel(SILENT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLogLevel(level)


def check_pixels(data: bytes, header: ImageHeader) -> None:
    """Decode an image once as the network's input pipeline does, but strictly; `header` is that of `data`.

    Raises BadImageError where pixels are damaged or missing, or can't be decoded to 8 bits.
    """
    if header.kind == "JPEG" and _checked_jpeg(data):
        return
    if header.kind == "TIFF":
        _check_tiff(data)
    try:
        pixels = decoding.decode(data, "")
    except decoding.ImageError:
        raise BadImageError(f"a damaged {header.kind} image, or one of a variant that OpenCV can't decode") from None
    if pixels.shape[:2] != (header.height, header.width):
        raise BadImageError("pixels of another size than the header says")


def _checked_jpeg(data: bytes) -> bool:
    """Decode a JPEG to an eighth of its size: all of the data is read, and most of the time saved.

    Returns False for one that only OpenCV may decode; raises BadImageError where pixels are damaged.
    """
    from simplejpeg import decode_jpeg

    decode = partial(decode_jpeg, data, "GRAY", min_height=1, min_width=1, min_factor=8)
    try:
        decode()
    except ValueError as error:
        if not any(message in str(error) for message in HARMLESS):
            raise BadImageError("a damaged JPEG image: pixels are missing or wrong") from None
        try:
            decode(strict=False)
        except ValueError:  # warnings about the header are errors all the same
            return False
    return True


def _check_tiff(data: bytes) -> None:
    """Raise BadImageError for a TIFF that Pillow can't decode: OpenCV fills strips that are damaged."""
    try:
        TiffImageFile(BytesIO(data)).load()
    except FAULTS:
        raise BadImageError("a damaged TIFF image, or one of a variant that can't be decoded") from None
