"""A picture of a run: where it lies, its pixels, or why it can't be used; frames of videos are pictures, too."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.data import decoding
from pipeline.errors import ArtifactError
from pipeline.files.image_header import BadImageError, read_header
from pipeline.files.image_pixels import check_pixels
from pipeline.prediction.video import BadVideoError, Reader

Pixels = NDArray[np.uint8]
FRAME_QUALITY = 95
"""Of the JPEGs of frames, which are labels' pictures later."""


@dataclass(frozen=True)
class Picture:
    """A picture as its source holds it."""

    name: str
    """Its flat name, unique among all pictures of a run."""
    where: str
    """Its file; of a member, archive and path in it."""
    size: int
    """Bytes of the image file."""
    stamp: str
    """Differs where the file has changed, as far as can be told without reading it."""
    read: Callable[[], bytes] = field(repr=False, compare=False)
    is_one_of_its_stem: bool = True
    """Whether no other picture of the run differs in its suffix alone."""
    moment: "Moment | None" = None
    """Where it stands in a video, if it is a frame of one."""

    @property
    def bare_stem(self) -> str:
        """Its name without the suffix."""
        return self.name.rpartition(".")[0] or self.name

    @property
    def stem(self) -> str:
        """Name of the files that are made for it, without their suffix."""
        return self.bare_stem if self.is_one_of_its_stem else self.name


@dataclass(frozen=True)
class Moment:
    """A place in a video."""

    video: str
    """The video's flat name."""
    frame: int
    """From 0 on, counting every frame of the video."""
    time: float
    """Seconds since the first frame."""


@dataclass(frozen=True)
class Loaded:
    """A picture and its pixels, [height, width, 3] uint8 RGB."""

    picture: Picture
    pixels: Pixels


@dataclass(frozen=True)
class Unusable:
    """A picture that can't be used, and why."""

    picture: Picture
    reason: str


@dataclass(frozen=True)
class Known:
    """A picture that was predicted before, and its row then."""

    picture: Picture
    row: dict[str, Any]


def load(picture: Picture | Known) -> Loaded | Unusable | Known:
    """Return a picture with its pixels, or why it can't be used; one that is known is returned as it is."""
    if isinstance(picture, Known):
        return picture
    try:
        data = picture.read()
        check_pixels(data, read_header(data))
        return Loaded(picture, decoding.decode(data, picture.name))
    except (BadImageError, decoding.ImageError, ArtifactError) as error:
        return Unusable(picture, str(error))
    except OSError as error:
        return Unusable(picture, error.strerror or str(error))


def frames_of(video: Picture, reader: Reader) -> Iterator[Loaded | Unusable]:
    """Yield the frames of a video as pictures; where it breaks off, the video itself comes last, with the reason."""
    try:
        for frame in reader:
            name = f"{video.name}_{frame.number:06d}.jpg"
            moment = Moment(video.name, frame.number, frame.time)
            read = partial(_jpeg, frame.pixels)
            yield Loaded(Picture(name, video.where, 0, video.stamp, read, moment=moment), frame.pixels)
    except BadVideoError as error:
        yield Unusable(video, str(error))


def encoded(frame: Picture) -> Picture:
    """Return a frame as the JPEG that it is for VIA."""
    data = frame.read()
    return replace(frame, size=len(data), read=lambda: data)


def frames(video: Picture, every: int = 1, fps: float | None = None) -> Iterator[Loaded | Unusable]:
    """Yield the frames of a video that are wanted, as `Reader` has it, and the video itself where it can't be read."""
    try:
        with Reader(video.where, every, fps) as reader:
            yield from frames_of(video, reader)
    except BadVideoError as error:
        yield Unusable(video, str(error))


def of_array(pixels: Any, number: int) -> Loaded:
    """Return an array, [height, width, 3] uint8 RGB, as a picture that is called by its number."""
    array = np.asarray(pixels, np.uint8)
    return Loaded(Picture(f"image_{number}", "", 0, "", bytes), array)


def _jpeg(pixels: Pixels) -> bytes:
    from simplejpeg import encode_jpeg

    return bytes(encode_jpeg(pixels, FRAME_QUALITY, "RGB", "420"))
