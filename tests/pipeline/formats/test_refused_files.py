"""Files that are no label files, or not whole: refused in one sentence that says what they are."""

import gzip
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from pipeline.errors import ArchiveError, LabelFileError, NotLabelsError, PipelineError
from tests.pipeline.formats.label_rows import images_of, read
from tests.pipeline.label_texts import FRAMES, SOUND


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"images": [], "annotations": []}, "a COCO file without categories"),
        ({"info": {}, "images": [], "categories": []}, "a COCO file without annotations"),
        ({"annotations": [{"image_id": 1}]}, "a COCO file without images and categories"),
        ([{"image_id": 1, "category_id": 2, "score": 1}], "a list of COCO results"),
    ],
)
def test_half_a_coco_file_is_refused_with_what_is_missing(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(
        NotLabelsError, match=rf"^labels\.json: holds no labels: it is {complaint}.*give COCO's instances"
    ):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "content",
    [{"region": {"name": {}}, "file": {}}, {"a": 1}, {}, 5, "x", None, [1, 2], [{"vertices": []}], {"shapes": []}],
)
def test_json_without_labels_differs_from_broken_label_files(tmp_path: Path, content: Any) -> None:
    with pytest.raises(NotLabelsError, match=r"^labels\.json: holds no labels"):
        read(tmp_path, content)


@pytest.mark.parametrize(
    "start", ["filename,file_size,file_attributes", "#filename,file_size", "# Exported using VGG Image Annotator"]
)
def test_via_s_csv_is_called_so(tmp_path: Path, start: str) -> None:
    with pytest.raises(NotLabelsError, match="it is VIA's CSV; export the annotations as JSON"):
        read(tmp_path, f'{start}\na.jpg,99,"{{}}",1,0,"{{}}","{{}}"\n'.encode())


def test_what_is_packed_is_called_so(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"^labels\.json: is packed by gzip; unpack it, or give a zip"):
        read(tmp_path, gzip.compress(b"[]"))


@pytest.mark.parametrize("text", [b"# a: 1\n", b"#", b"# Exporting", b"# ,", b"#:"])
def test_what_begins_with_a_hash_is_no_json(tmp_path: Path, text: bytes) -> None:
    with pytest.raises(LabelFileError, match=r"^labels\.json: not JSON"):
        read(tmp_path, text)


@pytest.mark.parametrize("value", SOUND)
@pytest.mark.parametrize("part", [0.3, 0.5, 0.9, 0.999])
def test_a_file_cut_short_is_refused(tmp_path: Path, value: Any, part: float) -> None:
    text = json.dumps(value, indent=1).encode()
    with pytest.raises(LabelFileError, match=r"labels\.json: (the label file is cut short.*byte \d+|not JSON)"):
        read(tmp_path, text[: int(len(text) * part)])


def test_an_empty_file_and_an_image_are_refused(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match="is empty"):
        read(tmp_path, b"")
    with pytest.raises(LabelFileError, match="not JSON"):
        read(tmp_path, b"\xff\xd8\xff\xe0JFIF")


def test_a_missing_file_and_a_missing_member_are_named(tmp_path: Path) -> None:
    with pytest.raises(LabelFileError, match=r"absent\.json"):
        images_of(tmp_path / "absent.json")
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("b.json", "[]")
    with pytest.raises(ArchiveError, match=r"no c\.json"):
        images_of(tmp_path / "a.zip", "c.json")


def test_a_damaged_zip_is_refused(tmp_path: Path) -> None:
    archive = tmp_path / "a.zip"
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("a.json", json.dumps(FRAMES * 50, indent=4))
    content = archive.read_bytes()
    for broken in (content[: len(content) // 2], content[:60] + b"\0" * 20 + content[80:], b"PK\3\4"):
        archive.write_bytes(broken)
        with pytest.raises(PipelineError, match=r"a\.zip"):
            images_of(archive, "a.json")
