"""Frames of videos, streams and cameras, and annotated videos, through PyAV (the libraries of FFmpeg)."""

import errno
import math
import os
import re
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np
from numpy.typing import NDArray

from pipeline.files.atomic import sync
from pipeline.files.image_header import MOST_PIXELS

if TYPE_CHECKING:
    import av

Pixels = NDArray[np.uint8]

SUFFIXES = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm")
STREAMS = ("rtsp", "rtsps", "rtmp", "rtmps")
HTTP_STREAMS = (*SUFFIXES, ".m3u8", ".mjpg", ".mjpeg")

FILE_OPTIONS = {"format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,asf", "protocol_whitelist": "file"}
"""FFmpeg would also read pictures, and playlists that name other files."""
STREAM_OPTIONS = {
    "format_whitelist": "mov,matroska,avi,mpegts,mpeg,flv,hls,mpjpeg,mjpeg,rtsp,sdp,rtp",
    "protocol_whitelist": "http,https,tls,tcp,udp,rtp,rtsp,rtmp,rtmps,crypto",
}
PATIENCE = 20.0
"""Seconds to wait for a stream."""
USUAL_RATE, HIGHEST_RATE = Fraction(25), 240
"""Frames a second of a video that doesn't say how many, and the most that are believed."""
LONGEST_PAUSE = 10.0
"""Seconds for which an annotated video holds a frame; a longer step between two times is a clock that was set."""
QUALITY = {"preset": "veryfast", "crf": "20"}
BT709, LIMITED_RANGE = 1, 1
"""ITU-T H.273, which players assume where a video doesn't say."""


class BadVideoError(ValueError):
    """A video can't be read, or not to its end; the message is a short phrase for `rejected.parquet`."""


@dataclass(frozen=True)
class Frame:
    """A frame of a video."""

    number: int
    """From 0 on, counting every frame of the video."""
    time: float
    """Seconds since the first frame."""
    decoded: "av.VideoFrame"

    @cached_property
    def pixels(self) -> Pixels:
        """The picture as a player shows it, turned as the video's display matrix says: [height, width, 3] uint8 RGB."""
        stored = np.asarray(self.decoded.to_ndarray(format="rgb24"), np.uint8)
        matrix: Any = self.decoded.side_data.get("DISPLAYMATRIX")
        return stored if matrix is None else turned(stored, np.frombuffer(matrix, np.int32))


def turned(pixels: Pixels, matrix: NDArray[np.int32]) -> Pixels:
    """Return a picture turned and mirrored by a display matrix, [9] int32, to the nearest quarter turn.

    (x, y) goes to (ax + cy, bx + dy), a, b, c and d being the matrix's elements 0, 1, 3 and 4 (libavutil's display.h).
    """
    a, b, c, d = (int(matrix[place]) for place in (0, 1, 3, 4))
    if abs(b) > abs(a):
        pixels, right, down = pixels.transpose(1, 0, 2), c, b
    else:
        right, down = a, d
    return np.ascontiguousarray(pixels[:: -1 if down < 0 else 1, :: -1 if right < 0 else 1])


def is_video(path: str | Path) -> bool:
    """Return whether a file's name is that of a video."""
    return Path(path).suffix.lower() in SUFFIXES


def is_stream(text: str) -> bool:
    """Return whether a source is a stream's address or a camera's index."""
    parts = urlsplit(text)
    if parts.scheme in ("http", "https"):
        return PurePosixPath(parts.path).suffix.lower() in HTTP_STREAMS
    return parts.scheme in STREAMS or re.fullmatch(r"\d{1,3}", text) is not None


class Reader(AbstractContextManager["Reader"]):
    """The frames of a video, a few in memory at a time: `with Reader(source) as frames: for frame in frames`."""

    def __init__(self, source: str | Path, every: int = 1, fps: float | None = None) -> None:
        """Open a video file, a stream's address, or a camera's index.

        Of the frames, each `every`th is wanted; or with `fps` at most so many a second, by their times, so that a
        variable frame rate is thinned evenly. Raises BadVideoError where there is no video.
        """
        self._live = is_stream(str(source))
        self._every, self._fps = every, fps
        self._is_damaged = False
        self._container = _opened_stream(str(source)) if self._live else _opened_file(Path(source))
        try:
            self._stream = self._video_stream()
        except BaseException:
            self._container.close()
            raise
        rate = self._stream.average_rate or self._stream.guessed_rate
        self._rate = Fraction(rate).limit_denominator(1001) if rate and 0 < rate <= HIGHEST_RATE else USUAL_RATE

    @property
    def rate(self) -> Fraction:
        """Frames that are wanted of each second; the mean where it varies."""
        if self._fps is not None:
            return min(Fraction(self._fps).limit_denominator(1001), self._rate)
        return self._rate / self._every

    @property
    def expected(self) -> int | None:
        """About how many frames are wanted in all, where the video says how long it is."""
        return None if self._seconds is None else max(1, round(self._seconds * self.rate))

    def __iter__(self) -> Iterator[Frame]:
        """Yield the wanted frames.

        Raises BadVideoError after the last that is whole, where the video is damaged or ends too early; of a stream,
        damaged frames are passed over.
        """
        due = 0
        for frame in self._frames():
            if self._fps is None:
                wanted = frame.number % self._every == 0
            else:
                ticks = math.floor(frame.time * self._fps + 1e-6)
                wanted, due = ticks >= due, max(due, ticks + 1)
            if wanted:
                yield frame

    def __exit__(self, *exc: object) -> None:
        self._container.close()

    def _video_stream(self) -> Any:
        from av.stream import Disposition

        streams = [each for each in self._container.streams.video if not each.disposition & Disposition.attached_pic]
        if not streams:
            sound = bool(self._container.streams.audio)
            raise BadVideoError("sound without a video" if sound else "no video in it: cut off, or not complete")
        codec = streams[0].codec_context
        if codec is None:
            raise BadVideoError("a codec that isn't read")
        if codec.width * codec.height > MOST_PIXELS:
            raise BadVideoError("frames over 100 megapixels")
        streams[0].thread_type = "SLICE"  # threads of whole frames lose some before a damaged one
        return streams[0]

    @cached_property
    def _seconds(self) -> float | None:
        """How long the video says it is; None where it doesn't say, or may mean its sound."""
        stream = self._stream
        if stream.duration is not None:
            return float(stream.duration * stream.time_base)
        if match := re.fullmatch(r"(\d+):(\d+):(\d+\.?\d*)", stream.metadata.get("DURATION", "")):  # Matroska
            hours, minutes, seconds = map(float, match.groups())
            return 3600 * hours + 60 * minutes + seconds
        whole = self._container.duration
        return None if whole is None or self._live or self._container.streams.audio else whole / 1e6

    def _frames(self) -> Iterator[Frame]:
        """Yield all frames."""
        number, end, first = 0, 0.0, None
        for decoded in self._decoded():
            time = float(number / self._rate) if decoded.time is None else decoded.time
            first = time if first is None else first
            yield Frame(number, time - first, decoded)
            number, end = number + 1, time - first + float(1 / self._rate)
        if not number:
            raise BadVideoError("no frame in it can be decoded")
        missing = (self._seconds or 0.0) - end > max(0.5, float(2 / self._rate))
        if self._is_damaged or missing:
            fault = "damaged" if self._is_damaged else "cut off"
            whole = f" of {self._seconds:.1f} s" if self._seconds else ""
            raise BadVideoError(f"{fault} after frame {number - 1}, {end:.1f} s{whole}")

    def _decoded(self) -> Iterator["av.VideoFrame"]:
        """Yield decoded frames up to the first damaged one; those of a stream are passed over."""
        from av import FFmpegError

        try:
            for packet in self._container.demux(self._stream):
                for frame in _frames_of(packet):
                    if frame is not None:
                        yield frame
                    elif not self._live:
                        self._is_damaged = True
                        return
        except FFmpegError:  # the file's structure is damaged, or the stream has broken off
            self._is_damaged = True


class Writer(AbstractContextManager["Writer"]):
    """An MP4 with H.264 at a constant frame rate, which appears under its name when it is complete.

    `with Writer(path, rate) as writer: writer.write(pixels, time)`. After a KeyboardInterrupt it holds what was
    written; after any other error, or without a frame, there is no file.
    """

    def __init__(self, path: Path, rate: Fraction) -> None:
        self._path, self._rate = path, rate
        self._partial = path.with_name(f".{path.name}.part")
        self._container: Any = None
        self._stream: Any = None
        self._last: Any = None
        self._count, self._time, self._clock = 0, 0.0, 0.0

    def write(self, pixels: Pixels, time: float) -> None:
        """Append a picture, [height, width, 3] uint8 RGB, that is shown from `time` on, in seconds.

        The first gives the size, to which others are scaled; an odd side is one pixel longer in the video.
        """
        import av

        if self._container is None:
            self._open(pixels.shape[0], pixels.shape[1])
        padded = np.pad(pixels, ((0, pixels.shape[0] % 2), (0, pixels.shape[1] % 2), (0, 0)), mode="edge")
        frame = av.VideoFrame.from_ndarray(padded, format="rgb24").reformat(
            self._stream.width, self._stream.height, "yuv420p", dst_colorspace="ITU709"
        )
        step = time - self._time
        self._clock += step if 0 <= step <= LONGEST_PAUSE else float(1 / self._rate)
        self._time = time
        while self._last is not None and self._count < round(self._clock * self._rate):
            self._append(self._last)
        self._last = frame

    def __exit__(self, kind: type[BaseException] | None, *exc: object) -> None:
        if self._container is None:
            return
        try:
            if kind in (None, KeyboardInterrupt):
                self._append(self._last)
                self._container.mux(self._stream.encode(None))
        finally:
            self._container.close()
        if kind in (None, KeyboardInterrupt):
            sync(self._partial)
            self._partial.replace(self._path)
            sync(self._path.parent)
        else:
            self._partial.unlink(missing_ok=True)

    def _open(self, height: int, width: int) -> None:
        import av

        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._container = av.open(os.path.abspath(self._partial), "w", format="mp4")
        self._stream = self._container.add_stream("h264", rate=self._rate, options=QUALITY)
        self._stream.height, self._stream.width, self._stream.pix_fmt = (
            height + height % 2,
            width + width % 2,
            "yuv420p",
        )
        codec = self._stream.codec_context
        codec.colorspace = codec.color_primaries = codec.color_trc = BT709
        codec.color_range = LIMITED_RANGE

    def _append(self, frame: "av.VideoFrame") -> None:
        frame.pts, frame.time_base = self._count, 1 / self._rate
        self._container.mux(self._stream.encode(frame))
        self._count += 1


def _frames_of(packet: Any) -> list["av.VideoFrame | None"]:
    """Return the frames of a packet, None in the place of one that is damaged."""
    from av import FFmpegError

    try:
        frames = [None] if packet.is_corrupt else packet.decode()
    except FFmpegError:
        return [None]
    return [None if frame is None or frame.is_corrupt else frame for frame in frames]


def _opened_file(path: Path) -> Any:
    """Return a file's container; raises BadVideoError for what is no video file."""
    try:
        if not path.stat().st_size:
            raise BadVideoError("an empty file")
    except OSError as error:
        raise BadVideoError(error.strerror or str(error)) from None
    return _opened(os.path.abspath(path), container_options=FILE_OPTIONS)


def _opened_stream(text: str) -> Any:
    """Return the container of a stream's address or a camera's index; raises BadVideoError where there is none."""
    if text.isdecimal():
        return _opened(f"/dev/video{int(text)}", format="v4l2", timeout=PATIENCE)
    options = STREAM_OPTIONS | ({"rtsp_transport": "tcp"} if text.startswith("rtsp") else {})
    return _opened(text, container_options=options, timeout=PATIENCE)


def _opened(place: str, **options: Any) -> Any:
    import av

    try:
        return av.open(place, **options)
    except av.error.InvalidDataError:
        raise BadVideoError("no video, or one with a damaged header") from None
    except av.error.ArgumentError:  # a format that is known, and not wanted
        raise BadVideoError("not an MP4, MOV, AVI, Matroska or WebM video") from None
    except av.FFmpegError as error:
        cut = error.errno == errno.EIO
        raise BadVideoError("cut off in its header, or a disk that can't be read" if cut else error.strerror) from None
