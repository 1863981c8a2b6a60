"""Labels read by the block, in this process or in others, are to the last bit those that are read one by one."""

import json
import sys
import tracemalloc
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pipeline import formats
from pipeline.errors import LabelFileError
from pipeline.formats import json_stream
from pipeline.formats.block_workers import BlockWorkers
from pipeline.instances.label_block import LabelBlock
from pipeline.instances.reasons import OTHER_CATEGORY
from pipeline.instances.rejections import Rejections
from pipeline.instances.store import InstanceStore
from pipeline.instances.tables import SCHEMA
from pipeline.labels import collector as label_frames
from pipeline.labels.collector import FrameCollector
from pipeline.labels.files import LabelSource
from pipeline.labels.matching import ImageNames
from pipeline.labels.records import KnownImage, LabelFile
from pipeline.recipe.sections import Labels
from tests.pipeline.label_texts import REAL
from tests.pipeline.small_sources import zip_of
from tests.pipeline.sound_labels import NOT_NUMBERS, ODD, changed, places

SIZES = {"a.jpg": (1280, 720), "b.jpg": (64, 48), "v-0000001.jpg": (1280, 720), "unlabelled.jpg": (9, 9)}
INDEX = pa.table(
    {
        field.name: pa.array(
            [*SIZES] if field.name == "image" else [SIZES[name][field.name == "height"] for name in SIZES],
            field.type if field.name in ("image", "width", "height") else None,
        )
        for field in SCHEMA
        if field.name in ("image", "width", "height")
    }
)
WIDE = Labels(categories=["car", "person", "drivable area", "traffic sign", "lane"])
WIDTHS = [-3, 0, 1, 2.5, 30.25, 63.9, 64, 64.5, 700, 1279.5, 1280, 1280.6437, 1300, 2e6]
HEIGHTS = [-3, 0, 1, 2.5, 30.25, 47.9, 48, 48.5, 400, 719.5, 720, 721, 800, -2e6]

vertices = st.lists(st.tuples(st.sampled_from(WIDTHS[:-1]), st.sampled_from(HEIGHTS[:-1])), min_size=0, max_size=9)
boxes = st.builds(
    lambda x1, y1, x2, y2: {"x1": x1, "y1": y1, "x2": x2, "y2": y2},
    *(st.sampled_from(sides) for sides in (WIDTHS, HEIGHTS, WIDTHS, HEIGHTS)),
)


@st.composite
def paths(draw: st.DrawFn) -> list[dict[str, Any]]:
    """A poly2d of one or two paths."""
    given = draw(st.lists(vertices, min_size=1, max_size=2))
    letters = [draw(st.sampled_from(["L", "LC", "LCCC", "C"])) for _ in given]
    types = [(letter * 9)[: len(path)] for path, letter in zip(given, letters, strict=True)]
    return [{"vertices": path, "types": kind, "closed": True} for path, kind in zip(given, types, strict=True)]


labels = st.fixed_dictionaries(
    {
        "category": st.sampled_from(["car", "bus", "person", "drivable area", "lane", "other vehicle", "traffic sign"]),
        "id": st.integers(0, 400) | st.sampled_from(["7", "x", "", None]),
    },
    optional={
        "attributes": st.sampled_from(
            [
                None,
                {},
                {"occluded": True, "truncated": False, "trafficLightColor": "none"},
                {"areaType": "direct"},
                {"areaType": "alternative", "crowd": True},
                {"laneType": "crosswalk", "ignored": True, "occluded": "no"},
                [0, "NA"],
            ]
        ),
        "box2d": boxes,
        "poly2d": paths(),
        "rle": st.sampled_from([None, {"counts": "04", "size": [2, 2]}]),
        "score": st.sampled_from([0.5, None]),
        "manualShape": st.just(True),
        "box3d": st.sampled_from([None, {"dimension": [1.5, 2, 4], "location": [0, 1, 20]}]),
        "drawn by": st.just("hand"),
    },
)
AGAIN = "labels, again"
"""Stands for a second key `labels` of a frame."""

frames = st.lists(
    st.fixed_dictionaries(
        {"name": st.sampled_from(["a.jpg", "b.jpg", "b", "gone.jpg", "v-0000001.jpg", ""])},
        optional={
            "labels": st.lists(labels, max_size=6) | st.none(),
            "attributes": st.sampled_from([None, {"weather": "clear"}, {"video": "v"}, {"attributes": '{"scene":1}'}]),
            "videoName": st.sampled_from([None, "v", ""]),
            AGAIN: st.lists(labels, max_size=2) | st.sampled_from([None, 5]),
        },
    ),
    max_size=6,
)


def text_of(content: Any, **layout: Any) -> str:
    return json.dumps(content, **layout).replace(AGAIN, "labels")


def collected(folder: Path, content: bytes, recipe: Labels, one_by_one: bool = False, processes: int = 1) -> Any:
    """All that is learnt of a label file; its fault where it is refused."""
    file = folder / "labels.json"
    file.write_bytes(content)
    known = [KnownImage(name, "images.zip", name, None, str(row)) for row, name in enumerate(SIZES)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(formats, "BlockWorkers", partial(BlockWorkers, processes))
        patch.setattr(label_frames, "WORTH_WORKERS", 0)
        if one_by_one:
            patch.setattr(formats, "read_blocks", lambda *given: formats.read(*given[:4], given[5]))
        with Rejections(folder / "rejected.parquet") as rejections, InstanceStore(folder / "instances") as store:
            sources = [LabelSource("labels.json", (LabelFile(file, None, True),))]
            collector = FrameCollector(recipe, INDEX, ImageNames(known), store, rejections)
            try:
                with label_frames.started_workers(sources) as workers:
                    collector.collect(sources, workers)
            except LabelFileError as fault:
                return str(fault)
            store.finish()
            found = {
                row: (
                    *(getattr(frame, name) for name in ("source", "file", "video", "attributes", "split", "content")),
                    store.take([frame.stored]).to_pylist(),
                )
                for row, frame in collector.frames.items()
            }
    return found, *told(folder / "rejected.parquet"), rejections.by_reason, (rejections.labels, rejections.filtered)


def told(rejected: Path) -> tuple[list[tuple[Any, ...]], list[tuple[Any, ...]]]:
    """The rows in their order, and apart from them those of other categories, which come block by block."""
    others, rest = [], []
    for row in pq.read_table(rejected).to_pylist():
        (others if row["reason"] == OTHER_CATEGORY else rest).append(tuple(row.values()))
    return rest, sorted(others)


@pytest.fixture
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks of a few frames."""
    monkeypatch.setattr(json_stream, "BLOCK", 3000)
    monkeypatch.setattr(json_stream, "LOOK_AHEAD", 1000)


any_recipe = st.builds(
    Labels,
    categories=st.sampled_from([[], ["car"], WIDE.categories, ["drivable area", "direct", "trailer"]]),
    boxes=st.sampled_from(["rectangles", "rectangles", "leave_out"]),
    least_area=st.sampled_from([0, 0, 3, 900]),
    curve_tolerance=st.sampled_from([0.5, 3]),
    occluded=st.sampled_from(["keep", "keep", "ignore", "leave_out"]),
    truncated=st.sampled_from(["keep", "keep", "ignore", "leave_out"]),
)


OUTSIDE = {"category": "car", "attributes": {"occluded": True}, "box2d": {"x1": 1300, "y1": 1, "x2": 1400, "y2": 9}}


@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames, any_recipe)
@example([{"name": "a.jpg", "labels": [OUTSIDE]}], Labels(categories=["car"], occluded="ignore"))
def test_blocks_of_any_frames_say_what_single_labels_say(tmp_path: Path, content: Any, recipe: Labels) -> None:
    text = text_of(content).encode()
    assert collected(tmp_path, text, recipe) == collected(tmp_path, text, recipe, one_by_one=True)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(frames.filter(bool), st.data())
def test_blocks_of_mutated_frames_say_what_single_labels_say(tmp_path: Path, content: Any, data: st.DataObject) -> None:
    path = data.draw(st.sampled_from(places(content)))
    text = text_of(changed(content, path, data.draw(st.sampled_from(["replaced", "gone", "twice"])), data.draw(ODD)))
    if data.draw(st.booleans()):
        text = text.replace("1280", data.draw(st.sampled_from(NOT_NUMBERS)).decode("latin-1"), 1)
    both = [collected(tmp_path, text.encode("latin-1", "replace"), WIDE, slow) for slow in (False, True)]
    assert both[0] == both[1]


def many_frames() -> list[dict[str, Any]]:
    """Frames of all sorts, with what breaks guesses at where a block ends, and what must be mended."""
    car = {"category": "car", "id": 1, "box2d": {"x1": 1, "y1": 2, "x2": 30, "y2": 40}}
    area = {"vertices": [[0, 0], [1280.6437, 20], [1280.6437, 500], [9, 400]], "types": "LLCC", "closed": True}
    road = {"category": "drivable area", "id": 2, "attributes": {"areaType": "direct"}, "poly2d": [area]}
    bus = {"category": "bus", "id": 4, "attributes": {"a": "é"}, "box2d": {"x1": 3, "y1": 3, "x2": 9, "y2": 9}}
    odd = {"category": "car", "id": 3, "box2d": {"x1": 5, "y1": 5, "x2": 5, "y2": 9}}
    trap: dict[str, Any] = {"name": "gone.jpg", "labels": [bus, {**car, "note": '}, {"name": "b.jpg", "labels": []'}]}
    return [
        {
            "name": f"{number}.jpg" if number else "a.jpg",
            "labels": [car, road] if number % 3 else [bus, road, odd, {**bus, "id": 5}, car],
        }
        for number in range(60)
    ] + [
        trap,
        {"name": "gone.jpg", "labels": [car], AGAIN: [odd, road]},
        {"name": "b.jpg", "labels": [car, float("nan")]},
        {"name": "b.jpg", "labels": [road]},
    ] * 7


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", [{}, {"indent": 4}])
@pytest.mark.parametrize("processes", [1, 2, 3])
def test_any_number_of_processes_gives_the_same(tmp_path: Path, layout: dict[str, Any], processes: int) -> None:
    text = text_of(many_frames(), **layout).encode()
    expected = collected(tmp_path, text, WIDE, one_by_one=True)
    assert collected(tmp_path, text, WIDE) == expected
    alone = (tmp_path / "rejected.parquet").read_bytes()
    assert collected(tmp_path, text, WIDE, processes=processes) == expected
    assert (tmp_path / "rejected.parquet").read_bytes() == alone
    assert len(expected[0]) == 2
    assert len(expected[2]) == 20 * 2 + 7
    cut = text[: len(text) // 2]
    assert collected(tmp_path, cut, WIDE, processes=processes) == collected(tmp_path, cut, WIDE, one_by_one=True)


def real_files() -> Iterator[Path]:
    yield from sorted((REAL / "bdd").glob("*/*.json")) if REAL.exists() else ()


@pytest.mark.skipif(not REAL.exists(), reason="../shared/real is absent")
@pytest.mark.parametrize("file", real_files(), ids=lambda file: file.name)
@pytest.mark.parametrize("recipe", [Labels(categories=[]), Labels(), Labels(categories=[], least_area=200)])
def test_real_files_say_the_same_by_the_block(
    tmp_path: Path, file: Path, recipe: Labels, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = {str(frame.get("name")) for frame in _frames_of(json.loads(file.read_bytes())) if isinstance(frame, dict)}
    sizes = dict.fromkeys(names, (1280, 720))
    monkeypatch.setattr(sys.modules[__name__], "SIZES", sizes)
    table = {"image": [*sizes], "width": [1280] * len(sizes), "height": [720] * len(sizes)}
    monkeypatch.setattr(sys.modules[__name__], "INDEX", pa.table(table))
    text = file.read_bytes()
    assert collected(tmp_path, text, recipe) == collected(tmp_path, text, recipe, one_by_one=True)


@pytest.mark.parametrize("packed", [False, True], ids=["file", "zip"])
def test_a_file_is_read_in_memory_that_does_not_grow_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", 1 << 16)
    small, large = (_peak(tmp_path, frames, packed) for frames in (2_000, 10_000))
    assert large < small + (1 << 16)


def _peak(folder: Path, frames: int, packed: bool) -> int:
    """Most bytes that Python held while a file of so many frames (700 bytes each) was read."""
    label = {"category": "car", "attributes": {"occluded": True}, "box2d": {"x1": 1.5, "y1": 2, "x2": 30.25, "y2": 40}}
    content = json.dumps(
        [{"name": f"{n}.jpg", "labels": [{"id": at, **label} for at in range(5)]} for n in range(frames)]
    )
    path, member = folder / "labels.json", None
    path.write_text(content)
    if packed:
        path, member = zip_of(folder / "labels.zip", {"labels.json": content.encode()}, ZIP_DEFLATED), "labels.json"
    count = 0
    tracemalloc.start()
    for block in formats.read_blocks(path, member, formats.ReadOptions()):
        assert isinstance(block, LabelBlock)
        count += len(block.images)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count == frames
    return peak


def _frames_of(content: Any) -> list[Any]:
    if isinstance(content, dict):
        frames_within = content.get("frames")
        return frames_within if isinstance(frames_within, list) else [content]
    return list(content)
