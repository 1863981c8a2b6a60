"""Tables are written in row groups of so many rows, or of so many bytes."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.instances import tables

SCHEMA = pa.schema([("text", pa.string())])


def group_sizes(path: Path, texts: list[list[str]]) -> list[int]:
    """Write tables of these texts one after the other, and return how many rows each row group has."""
    with tables.RowGroupWriter(path, SCHEMA) as writer:
        for each in texts:
            writer.write(pa.table({"text": each}, schema=SCHEMA))
    metadata = pq.read_metadata(path)
    assert pq.read_table(path)["text"].to_pylist() == [text for each in texts for text in each]
    assert writer.rows == metadata.num_rows
    return [metadata.row_group(group).num_rows for group in range(metadata.num_row_groups)]


def test_row_groups_have_a_number_of_rows_however_they_come(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "ROWS_A_GROUP", 5)
    assert group_sizes(tmp_path / "a.parquet", [["x"] * 3, ["y"] * 9, ["z"]]) == [5, 5, 3]
    assert group_sizes(tmp_path / "b.parquet", [["x"] * 13]) == [5, 5, 3]


def test_few_rows_of_much_text_are_a_group_by_themselves(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "BYTES_A_GROUP", 1000)
    assert group_sizes(tmp_path / "a.parquet", [["x" * 400], ["y" * 700], ["z"], ["w" * 2000], ["v"]]) == [2, 2, 1]


def test_a_table_of_no_row_is_a_table(tmp_path: Path) -> None:
    assert group_sizes(tmp_path / "a.parquet", []) == []


def test_a_repeated_id_gets_a_number() -> None:
    assert tables.distinct_ids(["a", "b", "a", "a~2", "a"]) == ["a", "b", "a~3", "a~2", "a~4"]


def test_an_id_that_is_another_label_s_own_is_left_to_it() -> None:
    ids = tables.distinct_ids(["7", "a", "a", "7", "a~2"], [False, True, True, True, True])
    assert ids == ["7~2", "a", "a~3", "7", "a~2"]


some_ids = st.sampled_from(["", "a", "b", "a~2", "a~3", "a~2~2", "1"])


@given(st.lists(st.tuples(some_ids, st.booleans())))
def test_ids_are_distinct_and_own_ones_stay(wishes: list[tuple[str, bool]]) -> None:
    ids = tables.distinct_ids([wish for wish, _ in wishes], [is_own for _, is_own in wishes])
    assert len(set(ids)) == len(wishes)
    firsts = {wish: place for place, (wish, is_own) in reversed(list(enumerate(wishes))) if is_own}
    assert all(ids[place] == wish for wish, place in firsts.items())


def test_a_table_without_row_groups_is_not_asked_for_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert group_sizes(tmp_path / "a.parquet", []) == []
    monkeypatch.setattr(pq.ParquetFile, "read", None)  # PyArrow 18's fails
    assert tables.read_table(tmp_path / "a.parquet", "a stage") == SCHEMA.empty_table()
    assert tables.read_table(tmp_path / "a.parquet", "a stage", ["text"]).num_rows == 0
