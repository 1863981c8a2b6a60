"""JSON found by its elements, repaired where it is not strict, and read in batches by any number of processes."""

import json
import logging
import os
import signal
import subprocess
import sys
import time
import tracemalloc
from codecs import BOM_UTF8
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import msgspec
import psutil
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabelFileError, ProcessError
from pipeline.formats import LabelReader, content, json_batches, json_text, table_builder
from pipeline.formats.content import Content
from pipeline.formats.json_batches import as_list, batches, batches_of_file
from pipeline.formats.json_text import load
from tests.pipeline.formats.label_rows import tables_of, together
from tests.pipeline.small_sources import zip_of

PROJECT = Path(__file__).parents[3]
LAYOUTS: list[dict[str, Any]] = [{}, {"indent": 4}, {"separators": (",", ":")}, {"indent": "\t"}]

scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text() | st.sampled_from(['}, {"name": 1', "]", '"', "\\", "},\n    {", "é", '":{"a":'])
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)


def loaded(text: bytes) -> Any:
    """The value of a text, put together from its parts; elements of lists from batches of few bytes."""
    whole = load(Content("x.json", text))
    if whole.members:
        return {key: msgspec.json.decode(value) for key, value in whole.members.items()}
    if whole.parts is None:
        return msgspec.json.decode(whole.text)
    found = [json.loads(batch) for batch in batches(whole.parts)]
    return [element for batch in found for element in batch] if isinstance(whole.parts, list) else {}


@pytest.mark.parametrize("batch", [1, 64, 1 << 20])
@given(value=values, layout=st.sampled_from(LAYOUTS))
def test_parts_together_are_the_whole_in_any_layout(batch: int, value: Any, layout: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_batches, "BATCH", batch)
        for ascii_only in (True, False):
            text = json.dumps(value, ensure_ascii=ascii_only, **layout).encode("utf-8", "replace")
            assert loaded(text) == json.loads(text)


@pytest.mark.parametrize("batch", [1, 64, 1 << 20])
@given(value=st.lists(st.dictionaries(texts, values, max_size=3), max_size=9), layout=st.sampled_from(LAYOUTS))
def test_batches_of_a_file_are_its_elements_in_any_layout(batch: int, value: Any, layout: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_batches, "BATCH", batch)
        text = json.dumps(value, **layout).encode()
        if listed := batches_of_file(Content("x.json", text)):
            assert [each for place in listed[1] for each in json.loads(as_list(text[place]))] == value


@pytest.mark.parametrize("layout", LAYOUTS)
def test_batches_of_a_file_of_frames_are_found_in_any_layout(small: None, layout: dict[str, Any]) -> None:
    frames = [frame(number) for number in range(100)]
    for start, end in ((b"", b""), (BOM_UTF8 + b" ", b"\n ")):
        text = start + json.dumps(frames, **layout).encode() + end
        listed = batches_of_file(Content("x.json", text))
        assert listed is not None
        assert [each for place in listed[1] for each in json.loads(as_list(text[place]))] == frames
        assert len(listed[1]) > 10


@pytest.mark.parametrize("change", [(b"32", b"NaN"), (b"clear", b"\xe9"), (b"}]", b"}"), (b"[", b'{"frames": [', 1)])
def test_batches_of_a_file_that_is_no_strict_list_are_not_found(small: None, change: tuple[Any, ...]) -> None:
    text = json.dumps([frame(number) for number in range(100)]).encode()
    assert batches_of_file(Content("x.json", text.replace(*change))) is None


def test_a_large_file_is_decoded_in_few_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_batches, "BATCH", 10_000)
    text = json.dumps([{"name": f"{number}", "labels": [{"name": 1}] * 5} for number in range(2000)], indent=4).encode()
    whole = load(Content("x.json", text))
    assert len(list(batches(whole.parts))) <= len(text) / 10_000 + 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'[{"a": NaN, "b": [Infinity, -Infinity]}]', [{"a": None, "b": [None, None]}]),
        ('[{"a": "é"}]'.encode("cp1252"), [{"a": "é"}]),
        ('[{"a": "é"}]'.encode("utf-16"), [{"a": "é"}]),
        (b'[{"a": "\\ud800"}]', [{"a": "?"}]),
        (b'[{"a": "tab\there"}]', [{"a": "tab\there"}]),
        (b'[{"a": NaN, "b": 1e999, "c": 1' + b"0" * 5000 + b"}]", [{"a": None, "b": None, "c": None}]),
        (b'[{"a": NaN, "b": 1, "b": 2}]', [{"a": None, "b": 2}]),
        (b"NaN", None),
    ],
)
def test_what_only_some_parsers_take_is_repaired_with_one_warning(
    text: bytes, value: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert loaded(text) == value
    (record,) = caplog.records
    assert record.levelno == logging.WARNING
    assert record.getMessage().startswith("x.json: not strict JSON")


@pytest.mark.parametrize("text", [b'\xef\xbb\xbf[{"a": "\xc3\xa9"}]', b'  [{"a": "\xc3\xa9"}] \n'])
def test_strict_json_is_read_without_a_word(text: bytes, caplog: pytest.LogCaptureFixture) -> None:
    assert loaded(text) == [{"a": "é"}]
    assert not caplog.records


@given(st.lists(st.fixed_dictionaries({"name": texts, "other": values}), max_size=12), st.data())
def test_a_text_cut_anywhere_is_reported_as_cut_short(value: list[Any], data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(LabelFileError, match=r"^x\.json: (the label file is (empty|cut short)|not JSON at byte)"):
        loaded(text[:cut])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "x.json: the label file is empty"),
        (b"  \n", "the label file is cut short"),
        (b'[{"a": 1}, {"a"', "unfinished after byte 15"),
        (b'[{"a": "x', "unfinished after byte 9"),
        (b'[{"a": 1} {"a": 2}]', "not JSON at byte 10: Expecting ',' delimiter"),
        (b'[{"a": 1},, {"a": 2}]', "not JSON at byte 10: Expecting value"),
        (b'[{"a": 1},]', "not JSON at byte"),
        (b'[{"a" 1}]', "not JSON at byte 6"),
        (b'[{"a": tru}]', "not JSON at byte 7"),
        (b'{"a": 1, b: 2}', "Expecting property name enclosed in double quotes"),
        (b"[1] [2]", "not JSON at byte 4: something follows"),
        (b"[" * 100_000, "nested too deep"),
        (b'[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "nested too deep"),
    ],
)
def test_a_fault_is_reported_with_file_and_byte(text: bytes, sentence: str) -> None:
    with pytest.raises(LabelFileError) as caught:
        loaded(text)
    assert str(caught.value).startswith("x.json: ")
    assert sentence in str(caught.value)


def frame(number: int) -> dict[str, Any]:
    """A frame; every tenth is larger than a small batch, some have faults or are none."""
    box = {"x1": number, "y1": 2.5, "x2": number + 30, "y2": 40}
    path = {"vertices": [[0, 0], [1280.6437, 20], [1280.6437, 500], [9, 400]], "types": "LLCC", "closed": True}
    labels: list[Any] = [
        {"id": at, "category": ("car", "lane")[at % 2], "box2d": box, "attributes": {"note": '}, {"name": "b"'}}
        for at in range(3 if number % 10 else 40)
    ]
    labels += [{"category": "drivable area", "poly2d": [path]}, {"category": "car", "box2d": {**box, "x2": number}}]
    return {"name": f"{number}.jpg", "attributes": {"weather": "clear"}, "labels": labels if number % 7 else None}


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Small files are mapped, and read in small batches by processes."""
    monkeypatch.setattr(json_batches, "BATCH", 3000)
    monkeypatch.setattr(json_batches, "WORTH_PROCESSES", 0)
    monkeypatch.setattr(content, "LARGE", 0)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("packed", [False, True], ids=["file", "zip"])
def test_any_number_of_processes_gives_the_same(tmp_path: Path, packed: bool) -> None:
    text = (b"" if packed else BOM_UTF8) + json.dumps(
        [*map(frame, range(60)), None, {"name": "x", "labels": [5]}], indent=1
    ).encode()
    path, member = tmp_path / "labels.json", None
    path.write_bytes(text)
    if packed:
        path, member = zip_of(tmp_path / "labels.zip", {"labels.json": text}, ZIP_DEFLATED), "labels.json"
    alone, helped = (tables_of(path, member, processes) for processes in (1, 2))
    assert len(alone) == 1
    assert len(helped) > 5
    for one, other in zip(together(alone), together(helped), strict=True):
        assert one.combine_chunks().equals(other.combine_chunks())
    assert helped[0].images.num_rows < alone[0].images.num_rows == 62


def _written_anew(path: Path) -> None:
    path.with_name("new").write_text("[]")
    path.with_name("new").replace(path)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("change", [_written_anew, Path.unlink, lambda path: os.truncate(path, 300)])
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: Callable[[Path], None]) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([frame(at) for at in range(200)], indent=1))
    before = path.stat().st_size

    def change_once(_: Any) -> None:
        if path.exists() and path.stat().st_size == before:
            change(path)

    with (
        LabelReader(change_once, processes=2) as reader,
        pytest.raises(LabelFileError, match=r"labels\.json: .* while it was read"),
    ):
        reader.read(0, path, None, "labels.json")


@pytest.mark.usefixtures("small")
def test_a_process_ended_from_outside_is_reported(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([frame(at) for at in range(400)], indent=1))

    def kill(_: Any) -> None:
        for server in psutil.Process().children():
            for child in server.children():
                with suppress(psutil.NoSuchProcess):  # the pool ends the others when the first is gone
                    child.kill()

    with (
        LabelReader(kill, processes=2) as reader,
        pytest.raises(ProcessError, match=r"labels\.json was ended from outside: .* short of memory"),
    ):
        reader.read(0, path, None, "labels.json")


@pytest.mark.parametrize("packed", [False, True], ids=["file", "zip"])
def test_a_file_is_read_in_less_memory_than_its_text(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool
) -> None:
    monkeypatch.setattr(json_batches, "BATCH", 1 << 16)
    monkeypatch.setattr(json_text, "WINDOW", 1 << 16)
    monkeypatch.setattr(content, "LARGE", 1 << 16)
    monkeypatch.setattr(table_builder, "ENOUGH_LABELS", 500)
    _peak(tmp_path, 10, packed)  # what is imported
    assert _peak(tmp_path, 8_000, packed) < 0.6 * (tmp_path / "labels.json").stat().st_size


def _peak(folder: Path, frames: int, packed: bool) -> int:
    """Most bytes that Python held while a file of so many frames (700 bytes each) was read."""
    label = {"category": "car", "attributes": {"occluded": True}, "box2d": {"x1": 1.5, "y1": 2, "x2": 30.25, "y2": 40}}
    frames_of_file = [{"name": f"{n}.jpg", "labels": [{"id": at, **label} for at in range(5)]} for n in range(frames)]
    path, member = folder / "labels.json", None
    path.write_text(json.dumps(frames_of_file))
    if packed:
        path, member = zip_of(folder / "labels.zip", {"l.json": path.read_bytes()}, ZIP_DEFLATED), "l.json"
    del frames_of_file
    counts: list[int] = []
    tracemalloc.start()
    with LabelReader(lambda tables: counts.append(tables.images.num_rows), processes=1) as reader:
        reader.read(0, path, member, "l")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert sum(counts) == frames
    return peak


PROGRAM = """
import sys, time
from pathlib import Path
from pipeline.formats import LabelReader, content, json_batches
if __name__ == "__main__":
    content.LARGE = json_batches.WORTH_PROCESSES = 0
    with LabelReader(lambda _: (print("on", flush=True), time.sleep(60)), processes=2) as reader:
        reader.read(0, Path(sys.argv[1]), None, "labels.json")
"""


def test_processes_end_with_the_one_that_started_them(tmp_path: Path) -> None:
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([frame(at) for at in range(3)]))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    parent = subprocess.Popen([sys.executable, program, path], stdout=subprocess.PIPE, env=environment)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"on\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    assert children
    deadline = time.monotonic() + 20
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
