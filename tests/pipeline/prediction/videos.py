"""Small videos, made by PyAV."""

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np

CODECS = {".mp4": "h264", ".mov": "mpeg4", ".avi": "mjpeg", ".mkv": "h264", ".webm": "libvpx", ".m4v": "h264"}
WIDTH, HEIGHT, RATE = 64, 48, 10


def picture(number: int) -> np.ndarray:
    """Return the picture of a frame: soft noise that moves, and a left upper corner as bright as its number says."""
    noise = np.random.default_rng(0).integers(0, 255, (6, 8, 3), np.uint8)
    pixels = np.roll(cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR), 3 * number, axis=1)
    pixels[:16, :16] = 10 * (number % 25)
    return pixels


def number_in(pixels: np.ndarray) -> int:
    """Return the number of the frame that a picture shows."""
    return round(float(pixels[4:12, 4:12].mean()) / 10)


def write(path: Path, times: list[float] | None = None, rate: int = RATE, degrees: float = 0, frames: int = 20) -> Path:
    """Write a video of 20 frames, or one frame for each time in seconds; its index stands in front."""
    times = [number / rate for number in range(frames)] if times is None else times
    with av.open(str(path), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream(CODECS[path.suffix], rate=rate)
        stream.width, stream.height = WIDTH, HEIGHT
        stream.pix_fmt = "yuvj420p" if path.suffix == ".avi" else "yuv420p"
        stream.gop_size = 5
        stream.codec_context.thread_count, stream.codec_context.max_b_frames = 1, 0  # the same bytes in every run
        stream.codec_context.time_base = Fraction(1, rate if path.suffix in (".avi", ".mov") else 1000)
        if degrees:
            stream.set_display_rotation(degrees)
        for number, time in enumerate(times):
            frame = av.VideoFrame.from_ndarray(picture(number), format="rgb24")
            frame.time_base = stream.codec_context.time_base
            frame.pts = round(time / frame.time_base)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    """Write a file that holds a second of silence and no video."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 8000), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 8000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path
