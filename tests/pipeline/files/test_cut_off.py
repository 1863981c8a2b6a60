"""Files that lack their end: known by what they hold, whatever they are called."""

import codecs
import io
import json

import h5py
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from pipeline.errors import SourceError
from pipeline.files import cut_off
from pipeline.files.cut_off import closes_what_it_opens, is_whole, refuse_cut_off
from tests.pipeline.small_sources import jpeg, png, zip_of

WHAT = "source.images: http://there/export"
LABELS = json.dumps([{"name": 'a "quoted" [name\\', "labels": ["}", {"\\\\": "]]"}]}, {}])


def written(tmp_path, content):
    file = tmp_path / "export"
    file.write_bytes(content)
    return file


def accepted(file, name="export"):
    refuse_cut_off(file, name, WHAT)


def refused(file, name="export"):
    with pytest.raises(SourceError) as caught:
        refuse_cut_off(file, name, WHAT)
    assert str(caught.value).startswith(f"{WHAT} gave {file.stat().st_size:,} bytes that ")
    assert str(file) not in str(caught.value)


def hdf5(path, **how):
    """Return a file of weights as h5py writes it."""
    with h5py.File(path, "w", **how) as file:
        file["conv1/kernel"] = np.arange(100.0)
    return path.read_bytes()


def hdf5_of_version_1(path):
    """Return the same with the superblock that h5py never writes: two more numbers stand before its addresses."""
    content = hdf5(path)
    end = int.from_bytes(content[40:48], "little") + 4
    return (
        content[:8] + b"\1" + content[9:24] + b"\x20\0\0\0" + content[24:40] + end.to_bytes(8, "little") + content[48:]
    )


def jpeg_with_thumbnail():
    """Return a JPEG whose header holds another, with an end marker of its own."""
    content = jpeg()
    inner = b"Exif\0\0" + jpeg()
    return content[:2] + b"\xff\xe1" + (len(inner) + 2).to_bytes(2, "big") + inner + content[2:]


@pytest.mark.parametrize(
    "encoded",
    [
        LABELS.encode(),
        b"\r\n\t " + LABELS.encode(),
        codecs.BOM_UTF8 + LABELS.encode(),
        codecs.BOM_UTF16_LE + LABELS.encode("utf-16-le"),
        codecs.BOM_UTF16_BE + LABELS.encode("utf-16-be"),
    ],
    ids=["utf-8", "behind spaces", "utf-8 with mark", "utf-16-le", "utf-16-be"],
)
@pytest.mark.parametrize("at_once", [1, 5, 1 << 22])
def test_a_json_is_refused_at_every_length_but_its_own(tmp_path, monkeypatch, encoded, at_once):
    monkeypatch.setattr(cut_off, "READ_AT_ONCE", at_once)
    for length in range(encoded.index(b"[") + 2, len(encoded)):
        refused(written(tmp_path, encoded[:length]))
    accepted(written(tmp_path, encoded))


def test_a_json_may_end_in_a_new_line_but_not_in_half_of_one(tmp_path):
    content = "[]\n".encode("utf-16")
    accepted(written(tmp_path, content))
    refused(written(tmp_path, content[:-1]))


def test_signs_whose_utf_16_has_the_bytes_of_brackets_are_none(tmp_path):
    accepted(written(tmp_path, '{"name": "孛ś∢屢"}'.encode("utf-16")))  # 5b5b, 015b, 2222, 5c62


def test_text_that_is_not_utf_8_is_judged_too(tmp_path):
    accepted(written(tmp_path, '{"name": "Straße"}'.encode("cp1252")))
    refused(written(tmp_path, '{"name": "Straße"'.encode("cp1252")))


@pytest.mark.parametrize("end", ['{"na', '{"name": "b.jpg", "labels": [], "attributes": {}', '{"name": "]}', "["])
def test_a_json_that_ends_behind_a_brace_in_its_middle_is_refused(tmp_path, end):
    refused(written(tmp_path, b'[{"name": "a.jpg", "labels": []}, ' + end.encode()), "labels.json")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(
    value=st.recursive(st.text() | st.none(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)),
    at_once=st.integers(1, 9),
    ascii_only=st.booleans(),
    data=st.data(),
)
def test_any_json_is_whole_and_none_of_its_beginnings_is(tmp_path, value, at_once, ascii_only, data):
    text = json.dumps([value], ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    length = data.draw(st.integers(1, len(text) - 1))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cut_off, "READ_AT_ONCE", at_once)
        assert closes_what_it_opens(written(tmp_path, text))
        assert not closes_what_it_opens(written(tmp_path, text[:length]))


def test_a_zip_is_refused_at_every_length_but_its_own(tmp_path):
    content = zip_of(tmp_path / "a.zip", {"1.jpg": jpeg(), "2.jpg": jpeg(grey=3)}).read_bytes()
    for length in range(4, len(content)):
        refused(written(tmp_path, content[:length]))
    accepted(written(tmp_path, content))


@pytest.mark.parametrize("content", [jpeg(), png(), jpeg_with_thumbnail()], ids=["jpeg", "png", "thumbnail"])
def test_an_image_is_refused_at_every_length_but_its_own(tmp_path, content):
    for length in range(8, len(content)):
        refused(written(tmp_path, content[:length]))
    accepted(written(tmp_path, content))


@pytest.mark.parametrize("behind", [b"\0" * 16, b"a maker's notes" * 10_000, jpeg()])
def test_what_a_camera_appends_to_an_image_is_no_fault(tmp_path, behind):
    accepted(written(tmp_path, jpeg() + behind))
    accepted(written(tmp_path, png() + behind))


def test_a_progressive_image_ends_behind_its_last_scan(tmp_path):
    file = io.BytesIO()
    Image.effect_noise((64, 64), 80).save(file, "JPEG", progressive=True)
    accepted(written(tmp_path, file.getvalue()))
    refused(written(tmp_path, file.getvalue()[:-1]))


@pytest.mark.parametrize("version", [0, 1, 2, 3])
def test_hdf5_is_refused_below_the_length_that_its_superblock_gives(tmp_path, version):
    path = tmp_path / "weights.h5"
    bounds = {0: "earliest", 2: ("v108", "v108"), 3: ("v110", "v110")}
    content = hdf5_of_version_1(path) if version == 1 else hdf5(path, libver=bounds[version])
    assert content[8] == version
    lengths = [*range(8, 200), len(content) // 2, len(content) - 1]
    for length in lengths:
        refused(written(tmp_path, content[:length]))
    accepted(written(tmp_path, content))
    accepted(written(tmp_path, content + b"more than it needs"))


def test_hdf5_of_a_version_to_come_is_not_judged(tmp_path):
    content = bytearray(hdf5(tmp_path / "weights.h5"))
    content[8] = 4
    accepted(written(tmp_path, bytes(content[:100])))


@pytest.mark.parametrize("name", ["export", "labels.json", "images.zip"])
def test_an_empty_file_is_refused(tmp_path, name):
    refused(written(tmp_path, b""), name)


def test_what_is_of_no_known_kind_is_as_long_as_it_came_unless_its_name_says_what_it_is(tmp_path):
    file = written(tmp_path, b"id,name\n1,a.jp")
    assert is_whole(file, "export")
    refused(file, "labels.json")
    refused(file, "images.zip")
