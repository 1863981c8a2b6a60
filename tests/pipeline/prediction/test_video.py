"""Frames out of videos and into them."""

import functools
import http.server
import os
import threading
import tracemalloc
from fractions import Fraction

import av
import numpy as np
import pytest

from pipeline.prediction import video
from pipeline.prediction.video import BadVideoError, Reader, Writer
from tests.pipeline.prediction import videos
from tests.pipeline.prediction.videos import HEIGHT, WIDTH, number_in
from tests.pipeline.small_datasets import jpeg


def read(source, **options):
    with Reader(source, **options) as frames:
        return list(frames)


@pytest.mark.parametrize("suffix", videos.CODECS)
def test_every_frame_with_its_number_time_and_picture(tmp_path, suffix):
    frames = read(videos.write(tmp_path / f"a{suffix}"))
    assert [frame.number for frame in frames] == [number_in(frame.pixels) for frame in frames] == list(range(20))
    assert [frame.time for frame in frames] == pytest.approx([number / 10 for number in range(20)], abs=1e-3)
    assert np.abs(frames[7].pixels.astype(int) - videos.picture(7)).mean() < 15


def test_a_capital_suffix_and_an_odd_name(tmp_path):
    path = videos.write(tmp_path / "a.mp4").rename(tmp_path / "http:&%03d ü.MP4")
    assert video.is_video(path)
    assert len(read(path)) == 20


@pytest.mark.parametrize(
    ("options", "numbers", "rate"),
    [
        ({"every": 1}, range(20), 10),
        ({"every": 7}, [0, 7, 14], Fraction(10, 7)),
        ({"fps": 2}, [0, 5, 10, 15], 2),
        ({"fps": 4}, [0, 3, 5, 8, 10, 13, 15, 18], 4),
        ({"fps": 30}, range(20), 10),
    ],
)
def test_fewer_frames(tmp_path, options, numbers, rate):
    with Reader(videos.write(tmp_path / "a.mp4"), **options) as frames:
        assert (frames.rate, frames.expected) == (rate, round(2 * rate))
        assert [frame.number for frame in frames] == list(numbers)


def test_a_variable_frame_rate_is_thinned_by_time(tmp_path):
    times = [0, 0.1, 0.2, 0.3, 1.0, 1.9, 2.0, 2.05, 2.1]
    path = videos.write(tmp_path / "a.mp4", times)
    assert [frame.time for frame in read(path)] == pytest.approx(times, abs=1e-3)
    assert [frame.time for frame in read(path, fps=1)] == pytest.approx([0, 1.0, 2.0], abs=1e-3)


@pytest.mark.parametrize(("degrees", "turns"), [(90, 1), (180, 2), (-90, 3)])
def test_frames_are_turned_as_players_do(tmp_path, degrees, turns):
    """libavutil's degrees run counter-clockwise, as those of np.rot90."""
    upright = np.rot90(videos.picture(3), turns)
    frame = read(videos.write(tmp_path / "a.mp4", degrees=degrees))[3]
    assert frame.pixels.shape == upright.shape
    assert np.abs(frame.pixels.astype(int) - upright).mean() < 15


def test_a_display_matrix_may_mirror():
    pixels = np.arange(12, dtype=np.uint8).reshape(2, 2, 3)
    one = 1 << 16
    assert (video.turned(pixels, np.array([-one, 0, 0, 0, one, 0, 0, 0, 1 << 30])) == pixels[:, ::-1]).all()
    assert (video.turned(pixels, np.array([0, one, 0, one, 0, 0, 0, 0, 1 << 30])) == pixels.transpose(1, 0, 2)).all()


def cut(path, share):
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def with_noise(path):
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 400] = np.random.default_rng(1).integers(0, 255, 400, np.uint8).tobytes()
    path.write_bytes(content)
    return path


def of_bytes(path, content):
    path.write_bytes(content)
    return path


UNREADABLE = {
    "empty.mp4": (lambda path: of_bytes(path, b""), "an empty file"),
    "text.mp4": (lambda path: of_bytes(path, b"no video\n" * 100), "no video, or one with a damaged header"),
    "noise.avi": (lambda path: of_bytes(path, bytes(range(256)) * 40), "no video, or one with a damaged header"),
    "picture.mp4": (lambda path: of_bytes(path, jpeg(64, 48)), "not an MP4, MOV, AVI, Matroska or WebM video"),
    "playlist.mp4": (
        lambda path: of_bytes(path, b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/hostname\n"),
        "no video, or one with a damaged header",
    ),
    "zip.mkv": (lambda path: of_bytes(path, b"PK\x03\x04" + bytes(999)), "no video, or one with a damaged header"),
    "sound.mp4": (videos.write_sound, "sound without a video"),
    "headless.mp4": (lambda path: of_bytes(path, videos.write(path).read_bytes()[2000:]), "no video"),
    "header.mkv": (lambda path: cut(videos.write(path), 0.02), "cut off in its header"),
    "folder.mp4": (lambda path: path.mkdir() or path, "Is a directory"),
}


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_is_no_video_says_so(tmp_path, name):
    make, sentence = UNREADABLE[name]
    with pytest.raises(BadVideoError, match=sentence):
        read(make(tmp_path / name))


BROKEN = {
    "cut.mp4": lambda path: cut(videos.write(path), 0.6),
    "cut.mov": lambda path: cut(videos.write(path), 0.8),
    "cut.avi": lambda path: cut(videos.write(path), 0.6),
    "cut.mkv": lambda path: cut(videos.write(path), 0.6),
    "cut.webm": lambda path: cut(videos.write(path), 0.6),
    "noise.mp4": lambda path: with_noise(videos.write(path)),
    "noise.mkv": lambda path: with_noise(videos.write(path)),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_video_that_breaks_off_gives_its_frames_up_to_there(tmp_path, name):
    path, numbers = BROKEN[name](tmp_path / name), []
    with Reader(path) as frames, pytest.raises(BadVideoError, match=r"(damaged|cut off) after frame \d+, .* s"):
        numbers.extend(number_in(frame.pixels) for frame in frames)
    assert numbers == list(range(len(numbers)))
    assert 3 <= len(numbers) <= 17


def test_a_video_that_is_mislabelled_is_read_as_what_it_is(tmp_path):
    assert len(read(videos.write(tmp_path / "a.mkv").rename(tmp_path / "a.mp4"))) == 20


def test_memory_is_that_of_a_few_frames(tmp_path):
    path = videos.write(tmp_path / "a.mp4", frames=300)
    tracemalloc.start()
    with Reader(path) as frames:
        for frame in frames:
            assert frame.pixels.nbytes == WIDTH * HEIGHT * 3
    assert tracemalloc.get_traced_memory()[1] < 10 * WIDTH * HEIGHT * 3
    tracemalloc.stop()


def test_an_address_is_a_stream(tmp_path):
    videos.write(tmp_path / "a.mp4")
    handler = functools.partial(http.server.SimpleHTTPRequestHandler, directory=tmp_path)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        address = f"http://127.0.0.1:{server.server_port}"
        assert len(read(f"{address}/a.mp4")) == 20
        with pytest.raises(BadVideoError, match="404"):
            read(f"{address}/b.mp4")
        server.shutdown()


@pytest.mark.parametrize(
    ("text", "stream"),
    [
        ("rtsp://camera/1", True),
        ("https://host/a/b.MP4?key=1", True),
        ("http://host/live.m3u8", True),
        ("0", True),
        ("https://host/a.zip", False),
        ("a.mp4", False),
        ("gdrive:1", False),
    ],
)
def test_what_is_a_stream(text, stream):
    assert video.is_stream(text) == stream


def test_a_camera_that_is_not_there():
    assert not os.path.exists("/dev/video77")
    with pytest.raises(BadVideoError, match="No such file"):
        read("77")


def test_a_written_video_holds_the_pictures_at_their_times(tmp_path):
    path = tmp_path / "a.mp4"
    with Writer(path, Fraction(10)) as writer:
        for number, time in enumerate((0, 0.1, 0.4, 0.5)):
            writer.write(videos.picture(number)[:-1, :-1], time)
        assert not path.exists()
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.width, stream.height, stream.average_rate) == (WIDTH, HEIGHT, 10)
    frames = read(path)
    assert [number_in(frame.pixels) for frame in frames] == [0, 1, 1, 1, 2, 3]
    assert np.abs(frames[0].pixels[:-1, :-1].astype(int) - videos.picture(0)[:-1, :-1]).mean() < 15
    assert [each.name for each in tmp_path.iterdir()] == ["a.mp4"]


def test_a_clock_that_is_set_makes_no_endless_video(tmp_path):
    with Writer(tmp_path / "a.mp4", Fraction(10)) as writer:
        for time in (0, 0.1, 1e9, 1e9 + 0.1, 5, 5.1):
            writer.write(videos.picture(1), time)
    assert len(read(tmp_path / "a.mp4")) == 6


@pytest.mark.parametrize(("error", "files"), [(KeyboardInterrupt, ["a.mp4"]), (ValueError, [])])
def test_an_interrupted_video_is_kept_and_a_failed_one_is_not(tmp_path, error, files):
    writer = Writer(tmp_path / "a.mp4", Fraction(10))
    writer.write(videos.picture(0), 0)
    writer.__exit__(error)
    assert [each.name for each in tmp_path.iterdir()] == files


def test_without_a_frame_there_is_no_video(tmp_path):
    with Writer(tmp_path / "a.mp4", Fraction(10)):
        pass
    assert not list(tmp_path.iterdir())
