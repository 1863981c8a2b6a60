"""Blocks go to other processes, and what they say comes back, through memory that both have."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from zipfile import ZIP_DEFLATED

import psutil
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import formats
from pipeline.errors import LabelFileError, ProcessError
from pipeline.formats import BlockWorkers, ReadOptions, json_stream
from pipeline.formats.block_process import Room
from pipeline.formats.block_workers import Place
from pipeline.formats.shared_memory import ALIGNED, SharedMemory
from pipeline.instances.label_block import LabelBlock
from tests.pipeline.small_sources import zip_of

PROJECT = Path(__file__).parents[3]


@given(st.lists(st.lists(st.binary(max_size=300), max_size=6), min_size=1, max_size=4))
def test_what_is_put_into_shared_memory_is_what_the_other_one_gets(turns: list[list[bytes]]) -> None:
    memory = SharedMemory()
    other = SharedMemory(os.dup(memory.descriptor))
    for parts in turns:
        got = other.get(memory.put(parts))
        assert [bytes(part) for part in got] == parts
        assert all(pa.py_buffer(part).address % ALIGNED == 0 for part in got if len(part))
    memory.close()
    other.close()


def test_what_lacks_in_shared_memory_is_not_made_up() -> None:
    memory = SharedMemory()
    memory.put([b"a"])
    with pytest.raises(EOFError, match="64 of 128 bytes"):
        memory.get([100])
    memory.close()


def test_blocks_of_any_size_follow_one_another_in_one_room(tmp_path: Path) -> None:
    file = tmp_path / "labels.json"
    file.write_bytes(b'[{"a": 1}, {"b": 2}]')
    room = Room()
    for start, length in ((1, 8), (11, 8), (1, 18), (5, 0)):
        expected = b"[%s]" % file.read_bytes()[start : start + length]
        assert bytes(room.text(Place(str(file), start, length, b"[]"))) == expected
    large = tmp_path / "large.json"
    large.write_bytes(b"1" * (3 * json_stream.BLOCK))
    assert bytes(room.text(Place(str(large), 0, 3 * json_stream.BLOCK, b"{}"))) == b"{%s}" % large.read_bytes()
    with pytest.raises(OSError, match="shorter than it was"):
        room.text(Place(str(file), 11, 9_000, b"[]"))


@pytest.mark.parametrize("packed", [False, True], ids=["file", "zip"])
@pytest.mark.parametrize("block", [1 << 10, json_stream.BLOCK])
def test_processes_read_a_file_and_a_zip_as_this_one_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packed: bool, block: int
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", block)
    text = json.dumps([_frame(at) for at in range(60)], indent=1).encode()
    path, member = tmp_path / "labels.json", None
    path.write_bytes(text)
    if packed:
        path, member = zip_of(tmp_path / "labels.zip", {"labels.json": text}, ZIP_DEFLATED), "labels.json"
    with BlockWorkers(2) as workers:
        helped = list(formats.read_blocks(path, member, ReadOptions(), None, workers))
    alone = list(formats.read_blocks(path, member, ReadOptions()))
    assert sum(len(each.images) for each in helped if isinstance(each, LabelBlock)) == 60
    assert helped == alone


def _written_anew(path: Path) -> None:
    path.with_name("new").write_text("[]")
    path.with_name("new").replace(path)


@pytest.mark.parametrize("change", [_written_anew, Path.unlink, lambda path: os.truncate(path, 300)])
@pytest.mark.parametrize("processes", [1, 2])
def test_a_file_that_changes_while_it_is_read_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, processes: int, change: Callable[[Path], None]
) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", 1 << 10)
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([_frame(at) for at in range(200)], indent=1))
    with BlockWorkers(processes) as workers:
        blocks = formats.read_blocks(path, None, ReadOptions(), None, workers)
        next(blocks)
        change(path)
        with pytest.raises(LabelFileError, match=r"labels\.json: .* (while it was read|is cut short)"):
            list(blocks)


def test_a_process_that_is_ended_from_outside_is_told_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", 1 << 10)
    path = tmp_path / "labels.json"
    path.write_text(json.dumps([_frame(at) for at in range(200)], indent=1))
    with BlockWorkers(2) as workers:
        blocks = formats.read_blocks(path, None, ReadOptions(), None, workers)
        next(blocks)
        for child in psutil.Process().children():
            child.kill()
        with pytest.raises(ProcessError, match=r"labels\.json ended with -9: .* short of memory"):
            list(blocks)


def test_a_process_that_reads_blocks_does_without_pandas() -> None:
    program = (
        "from pipeline.running.without_pandas import do_without_pandas; do_without_pandas(); import sys, pyarrow as pa;"
        "print(pa.array(['a', None]).to_pylist(), 'pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert done.stdout == "['a', None] False\n"


def _frame(number: int) -> dict[str, Any]:
    """A frame; every tenth is larger than a small block."""
    box = {"x1": number, "y1": 2.5, "x2": number + 30, "y2": 40}
    labels = [{"id": at, "category": ("car", "lane")[at % 2], "box2d": box} for at in range(3 if number % 10 else 40)]
    return {"name": f"{number}.jpg", "attributes": {"weather": "clear"}, "labels": labels}


def test_processes_end_with_the_one_that_started_them() -> None:
    program = (
        "import time; from pipeline import readers; from pipeline.formats import BlockWorkers, ReadOptions\n"
        "with BlockWorkers(2) as workers:\n"
        "    workers.spread('x', ReadOptions(), None); print('on', flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, cwd=PROJECT)
    assert parent.stdout is not None
    assert parent.stdout.readline() == b"on\n"
    children = psutil.Process(parent.pid).children(recursive=True)
    os.kill(parent.pid, signal.SIGKILL)
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 20
    while any(child.is_running() and child.status() != psutil.STATUS_ZOMBIE for child in children):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    assert len(children) == 2
