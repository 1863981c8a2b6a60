"""Walking through JSON of any layout in blocks, and saying where it is broken."""

import io
import json
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import LabelFileError
from pipeline.formats import json_stream
from pipeline.formats.json_stream import JsonStream, decode

LAYOUTS: list[dict[str, Any]] = [{}, {"indent": 1}, {"indent": 4}, {"separators": (",", ":")}, {"indent": "\t"}]

scalars = st.none() | st.booleans() | st.integers(-(2**60), 2**60) | st.floats(allow_nan=False, allow_infinity=False)
texts = st.text() | st.sampled_from(['}, {"name": 1', "]", '"', "\\", "},\n    {", "é", '":{"a":'])
values = st.recursive(
    scalars | texts, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4), max_leaves=8
)
frames = st.lists(st.fixed_dictionaries({"name": texts}, optional={"labels": values, "other": values}), max_size=12)


def stream_of(text: bytes) -> JsonStream:
    """A stream whose name is `x.json`."""
    return JsonStream(io.BytesIO(text).read, "x.json")


def through_blocks(text: bytes) -> Any:
    """The whole value of `text`, put together from its blocks."""
    stream = stream_of(text)
    parts = list(stream.blocks(msgspec.json.decode))
    stream.end()
    if text.lstrip().startswith(b"["):
        return [element for part in parts for element in part]
    return {key: value for part in parts for key, value in part.items()}


@pytest.fixture(params=[7, 40, 300, 1 << 20])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    """Blocks of a few bytes, so that everything happens at their borders."""
    monkeypatch.setattr(json_stream, "BLOCK", request.param)
    monkeypatch.setattr(json_stream, "LOOK_AHEAD", 4 * request.param)
    return int(request.param)


EXAMPLES: list[Any] = [
    [],
    {},
    [{"name": f"{number}.jpg", "labels": [{"name": "}, {"}, {"name": number}]} for number in range(40)],
    [{"name": f"{number}.jpg"} if number % 3 else {"labels": [1], "name": 2} for number in range(40)],
    [1, "two", None, [3], {"four": 5}] * 9,
    {f"{number}.jpg{number}": {"filename": f"{number}", "regions": [{"a": {}}]} for number in range(40)},
    {'quote " in key': {"a": 1}, "comma, in key": {"a": 2}, "": {"a": {}}},
    {str(number): number for number in range(40)},
]


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("value", EXAMPLES)
def test_blocks_together_are_the_whole_in_any_layout(value: Any, layout: dict[str, Any]) -> None:
    assert through_blocks(json.dumps(value, **layout).encode()) == value


@pytest.mark.parametrize("block", [5, 64])
@given(value=frames | st.dictionaries(texts, values, max_size=6), layout=st.sampled_from(LAYOUTS))
def test_blocks_of_any_json_together_are_the_whole(block: int, value: Any, layout: dict[str, Any]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_stream, "BLOCK", block)
        assert through_blocks(json.dumps(value, **layout).encode()) == value
        assert through_blocks(json.dumps(value, ensure_ascii=False, **layout).encode()) == value


def test_a_large_regular_file_is_decoded_in_few_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "BLOCK", 10_000)
    text = json.dumps([{"name": f"{number}", "labels": [{"name": 1}] * 5} for number in range(2000)], indent=4).encode()
    assert len(list(stream_of(text).blocks(msgspec.json.decode))) < 2 * len(text) / 10_000
    text = json.dumps({f"{number}.jpg": {"filename": "a", "regions": [{"b": {}}]} for number in range(2000)}).encode()
    assert len(list(stream_of(text).blocks(msgspec.json.decode))) < 2 * len(text) / 10_000 + 2


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("value", [[[0, "x"]] * 500_000, "x" * 8_000_000, 10**4000])
def test_a_large_value_that_comes_in_small_pieces_is_not_copied_with_each(value: Any) -> None:
    """An archive gives some kilobytes at a time: copied with each of them, 8 MB are 30 GB."""
    text = json.dumps(value).encode()
    file = io.BytesIO(text)
    stream = JsonStream(lambda _: file.read(1000), "x.json")
    assert stream.value() == text
    stream.end()


def test_members_can_be_passed_over() -> None:
    stream = stream_of(b' { "a" : [1, {"]": "}"}] , "b":-1.5e3,"c":null , "d": "x\\"y" } ')
    assert [(key, decode(stream.value(), stream)) for key in stream.members()] == [
        ("a", [1, {"]": "}"}]),
        ("b", -1500.0),
        ("c", None),
        ("d", 'x"y'),
    ]
    stream.end()


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize(
    ("text", "value"),
    [
        (b'[{"a": NaN, "b": [Infinity, -Infinity]}]', [{"a": None, "b": [None, None]}]),
        (b'[{"a": 1e999}]', [{"a": None}]),
        (b'[{"a": 1' + b"0" * 5000 + b"}]", [{"a": None}]),
        ('[{"a": "é"}]'.encode("cp1252"), [{"a": "é"}]),
        (b'[{"a": "\\ud800"}]', [{"a": "?"}]),
        (b'[{"a": "tab\there"}]', [{"a": "tab\there"}]),
    ],
)
def test_what_only_some_parsers_take_is_mended(text: bytes, value: Any) -> None:
    assert through_blocks(text) == value


@given(frames, st.data())
def test_a_text_cut_anywhere_is_said_to_be_cut_short(value: list[Any], data: st.DataObject) -> None:
    text = json.dumps(value).encode()
    cut = data.draw(st.integers(0, len(text) - 1))
    with pytest.raises(LabelFileError, match=r"^x\.json: (the label file is (empty|cut short)|not JSON at byte)"):
        through_blocks(text[:cut])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (b"", "x.json: the label file is empty"),
        (b"  \n", "the label file is cut short"),
        (b'[{"a": 1}, {"a"', "unfinished after byte 15"),
        (b'[{"a": 1} {"a": 2}]', "not JSON at byte 10: expected ',]', found '{'"),
        (b'[{"a": 1},, {"a": 2}]', "expected a value, found ','"),
        (b'[{"a": 1},]', "expected a value, found ']'"),
        (b'[{"a" 1}]', "not JSON at byte 6"),
        (b'[{"a": tru}]', "not JSON at byte"),
        (b'{"a": 1, b: 2}', "expected a key in quotes"),
        (b"[1] [2]", "not JSON at byte 4: something follows"),
        (b"[" * 100_000, "cut short"),
        (b'[{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}]", "nested too deep"),
    ],
)
def test_a_fault_is_said_with_file_and_byte(text: bytes, sentence: str) -> None:
    with pytest.raises(LabelFileError) as caught:
        through_blocks(text)
    assert str(caught.value).startswith("x.json: ")
    assert sentence in str(caught.value)
