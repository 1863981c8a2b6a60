"""The entries of a recipe: what each is by its form."""

import re

import pytest

from pipeline.errors import RecipeError, SourceError
from pipeline.recipe.source_entry import parse
from tests.pipeline.small_sources import recipe_of

DRIVE_ID = "1aB-cD_eF0123456789"


@pytest.mark.parametrize(
    ("entry", "kind", "place"),
    [
        ("sample", "sample", ""),
        ("./sample", "path", "./sample"),
        ("data/images.zip", "path", "data/images.zip"),
        ("https://example.org/a.zip?x=1", "https", "https://example.org/a.zip?x=1"),
        (f"gdrive:{DRIVE_ID}", "gdrive", DRIVE_ID),
        (f"https://drive.google.com/file/d/{DRIVE_ID}/view?usp=sharing", "gdrive", DRIVE_ID),
        (f"https://drive.google.com/open?id={DRIVE_ID}", "gdrive", DRIVE_ID),
        (f"https://drive.usercontent.google.com/download?id={DRIVE_ID}&confirm=t", "gdrive", DRIVE_ID),
        (f"https://drive.google.com/uc?export=download&id={DRIVE_ID}", "gdrive", DRIVE_ID),
    ],
)
def test_an_entry_is_known_by_its_form(entry, kind, place):
    source = parse(entry)
    assert (source.kind, source.place) == (kind, place)


@pytest.mark.parametrize(
    "entry", ["ftp://example.org/a.zip", "s3://bucket/a.zip", "", "gdrive:", "gdrive:../../x", "a\0b.zip"]
)
def test_an_entry_of_no_known_form_is_refused_with_its_key(entry):
    with pytest.raises(SourceError, match=r"^source\.labels: "):
        parse(entry, "source.labels")


@pytest.mark.parametrize(
    "entry",
    [
        "http://[x/a.zip", "https://℀.org/a.zip", "http://[1::2/a.zip", "https://", "https:a.zip",
        "https://example.org:port/a.zip",
    ],
)  # fmt: skip
def test_an_entry_that_is_no_address_is_refused_in_one_sentence_with_its_key(entry):
    said = rf"^source\.labels: '{re.escape(entry)}' is no address \(.*\); check its host$"
    with pytest.raises(SourceError, match=said):
        parse(entry, "source.labels")
    with pytest.raises(RecipeError, match=rf"source\.images\.0: '{re.escape(entry)}' is no address"):
        recipe_of(entry)


def test_a_path_may_look_like_half_an_address(tmp_path):
    assert parse("//[old]/[labels.json").kind == "path"
    assert parse("//[labels.json").kind == "path"


def test_a_share_link_to_a_drive_folder_is_refused():
    with pytest.raises(SourceError, match="names no Drive file"):
        parse("https://drive.google.com/drive/folders/1aB-cD_eF0123456789?usp=sharing")
