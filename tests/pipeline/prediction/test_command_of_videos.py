"""`python -m pipeline.prediction` with videos, tiles and suppression."""

import functools
import itertools
import json

import pyarrow.parquet as pq
import pytest

from pipeline.prediction import opening
from pipeline.prediction.__main__ import main
from pipeline.prediction.model import Model
from pipeline.prediction.video import Reader
from tests.pipeline.prediction import videos
from tests.pipeline.prediction.test_video import BROKEN, UNREADABLE


@pytest.fixture(scope="module", autouse=True)
def _models_are_opened_once():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(opening, "load_model", functools.cache(opening.load_model))
        yield


@pytest.fixture
def predict(model_folder, tmp_path, capsys):
    """Return a function that runs the command with the tiny model; it returns the folder and what was printed."""

    def run(*arguments, code=0, out="found"):
        options = ["--model", str(model_folder), "--out", str(tmp_path / out), "--min-score", "0"]
        assert main([*map(str, arguments), *options]) == code
        return tmp_path / out, capsys.readouterr()

    return run


def rows(out, file="detections.parquet"):
    return pq.read_table(out / file).to_pylist()


def read(path, **options):
    with Reader(path, **options) as frames:
        return list(frames)


def test_a_video_gives_a_picture_a_frame_and_an_annotated_video(predict, tmp_path):
    clip = videos.write(tmp_path / "clip.mp4", frames=6)
    out, printed = predict(clip, "--tracks", "--save", "coco,via,overlays,video,crops")
    images = rows(out, "images.parquet")
    assert [(row["image"], row["source"], row["video"], row["frame"], row["time"]) for row in images] == [
        (f"clip.mp4_{number:06d}.jpg", str(clip), "clip.mp4", number, pytest.approx(number / 10)) for number in range(6)
    ]
    found = rows(out)
    assert [(row["video"], row["frame"]) for row in found] == [
        ("clip.mp4", image["frame"]) for image in images for _ in range(image["detections"])
    ]
    assert all(row["track"] >= 1 and row["time"] == pytest.approx(row["frame"] / 10) for row in found)
    for _, of_frame in itertools.groupby(found, key=lambda row: row["frame"]):
        tracks = [row["track"] for row in of_frame]
        assert len(set(tracks)) == len(tracks)
    assert f"6 pictures, {len(found)} detections" in printed.out
    assert [frame.time for frame in read(out / "videos" / "clip.mp4")] == pytest.approx([n / 10 for n in range(6)])
    project = json.loads((out / "via_project.json").read_text())
    for entry in project["_via_img_metadata"].values():
        assert entry["size"] == (out / "pictures" / entry["filename"]).stat().st_size
    assert len(list((out / "crops").iterdir())) == len(found)
    assert not list((out / "overlays").iterdir())


@pytest.mark.parametrize(
    ("options", "numbers", "rate"),
    [(["--every", 4], [0, 4, 8, 12, 16], 2.5), (["--fps", 5], [0, 2, 4, 6, 8, 10, 12, 14, 16, 18], 5)],
)
def test_some_frames_of_a_video(predict, tmp_path, options, numbers, rate):
    out, _ = predict(videos.write(tmp_path / "clip.avi"), *options, "--save", "video")
    assert [row["frame"] for row in rows(out, "images.parquet")] == numbers
    with Reader(out / "videos" / "clip.avi.mp4") as annotated:
        assert float(annotated.rate) == rate
        assert len(list(annotated)) == len(numbers)


def test_pictures_and_videos_of_a_folder(predict, drive):
    (drive / "a").mkdir()
    (drive / "b").mkdir()
    for path in (drive / "a" / "clip.mp4", drive / "b" / "clip.mp4"):
        videos.write(path, frames=2)
    out, _ = predict(drive, "--save", "overlays")
    images = [row["image"] for row in rows(out, "images.parquet")]
    assert images == [f"{n}.jpg" for n in range(5)] + [f"{p}__clip.mp4_00000{n}.jpg" for p in "ab" for n in range(2)]
    assert len(list((out / "overlays").iterdir())) == 9


def test_an_interrupted_video_goes_on_where_it_was(predict, tmp_path, monkeypatch):
    clip = videos.write(tmp_path / "clip.mp4")
    arguments = (clip, "--tracks", "--save", "video,masks")
    whole, _ = predict(*arguments, out="whole")
    detect, seen = Model.detect, []

    def interrupted(self, images):
        if len(seen) == 12:
            raise KeyboardInterrupt
        seen.append(1)
        return detect(self, images)

    monkeypatch.setattr(Model, "detect", interrupted)
    out, _ = predict(*arguments, code=130)
    finished = len(rows(out, "images.parquet"))
    assert 5 <= finished <= 12
    assert abs(len(read(out / "videos" / "clip.mp4")) - finished) <= 1
    monkeypatch.setattr(Model, "detect", lambda self, images: seen.append(1) or detect(self, images))
    seen.clear()
    predict(*arguments)
    assert len(seen) == 20 - finished
    assert rows(out) == rows(whole)
    assert rows(out, "images.parquet") == rows(whole, "images.parquet")
    assert len(read(out / "videos" / "clip.mp4")) == 20
    assert len(list((out / "masks").iterdir())) == len(rows(out))
    seen.clear()
    _, printed = predict(*arguments)
    assert not seen
    assert "all of them predicted before" in printed.out


def test_a_changed_video_needs_force(predict, tmp_path):
    clip = videos.write(tmp_path / "clip.mp4", frames=2)
    predict(clip)
    videos.write(clip, frames=3)
    _, printed = predict(clip, code=2)
    assert "clip.mp4: has changed since it was predicted" in printed.err
    _, printed = predict(clip, "--every", 2, code=2)
    assert "another choice of frames or tracks" in printed.err
    out, _ = predict(clip, "--every", 2, "--force")
    assert [row["frame"] for row in rows(out, "images.parquet")] == [0, 2]


def test_unreadable_and_broken_videos_end_nothing(predict, tmp_path):
    folder = tmp_path / "clips"
    folder.mkdir()
    files = {name: make for name, (make, _) in UNREADABLE.items() if name != "folder.mp4"} | BROKEN
    for name, make in files.items():
        make(folder / name)
    videos.write(folder / "whole.mkv", frames=3)
    out, printed = predict(folder, "--save", "video")
    reasons = {row["image"]: row["reason"] for row in rows(out, "rejected.parquet")}
    assert set(reasons) == set(files)
    for name, (_, sentence) in UNREADABLE.items():
        assert name == "folder.mp4" or sentence in reasons[name]
    frames = {name: sum(1 for _ in of_video) for name, of_video in itertools.groupby(
        rows(out, "images.parquet"), key=lambda row: row["video"]
    )}  # fmt: skip
    assert set(frames) == {*BROKEN, "whole.mkv"}
    assert frames["whole.mkv"] == 3
    for name in BROKEN:
        assert f"after frame {frames[name] - 1}, " in reasons[name]
    assert f"{len(files)} pictures could not be used" in printed.out
    annotated = {path.name for path in (out / "videos").iterdir()}
    assert annotated == {name if name.endswith(".mp4") else f"{name}.mp4" for name in frames}


def test_a_stream_that_is_not_there(predict):
    out, _ = predict("http://127.0.0.1:9/live.mjpg", "77")
    reasons = {row["source"]: row["reason"] for row in rows(out, "rejected.parquet")}
    assert reasons == {"http://127.0.0.1:9/live.mjpg": "Connection refused", "77": "No such file or directory"}


def test_tiles_and_suppression(predict, drive):
    plain = rows(predict(drive / "0.jpg", "--save", "none")[0])
    options = ("--tile", 64, "--overlap", 0.25, "--agnostic-nms")
    tiled = rows(predict(drive / "0.jpg", "--save", "none", *options, "--force")[0])
    assert {tuple(row["rle"]["size"]) for row in tiled} == {(80, 120)}
    assert len(tiled) != len(plain)


def test_videos_from_python(model_folder, tmp_path):
    clip = videos.write(tmp_path / "clip.mp4")
    found = list(opening.load_model(model_folder, min_score=0).predict(clip, fps=5, tracks=True))
    assert [each.picture.moment.frame for each in found] == list(range(0, 20, 2))
    assert found[0].to_pandas()["track"].tolist() == [each.track for each in found[0].detections]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--every", "0"], "must be at least 1"),
        (["--fps", "nan"], "must be above 0"),
        (["--every", "2", "--fps", "2"], "not allowed with"),
        (["--overlap", "1"], "must be from 0 to 0.9"),
    ],
)
def test_options_that_make_no_sense(capsys, arguments, sentence):
    with pytest.raises(SystemExit):
        main(["clip.mp4", *arguments])
    assert sentence in capsys.readouterr().err
