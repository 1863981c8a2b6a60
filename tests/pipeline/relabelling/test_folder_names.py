"""Images of any name in a folder for VIA: letters that mean something in addresses, accents, very long ones."""

import json
from pathlib import Path
from unicodedata import normalize
from urllib.parse import unquote, urlsplit

from pipeline import relabelling
from pipeline.dataset.images_zip import ImagesZip
from pipeline.labels.matching import ImageNames
from pipeline.sources.label_files import LabelFile
from pipeline.via import __main__
from tests.pipeline.raw_tables import index_of
from tests.pipeline.small_datasets import entry, jpeg, square, write
from tests.pipeline.via_folders import ODD_NAMES, labelled, regions

CORRECTIONS = LabelFile("corrections.json", "corrections.json")


def test_names_that_mean_something_in_an_address_are_written_as_one(tmp_path: Path) -> None:
    labels = {name: entry(name, [square(1, 1, 5, "car")]) for name in ODD_NAMES}
    images = {f"val/{name}": jpeg(20, 10) for name in ODD_NAMES}
    out = tmp_path / "100% #1"
    __main__.main(["open", str(write(tmp_path / "images.zip", {"val": labels}, images)), "--out", str(out)])
    assert sorted(file.name for file in out.glob("*.jpg")) == sorted(ODD_NAMES)
    project = json.loads((out / "via_project.json").read_bytes())
    prefix = project["_via_settings"]["core"]["default_filepath"]
    addresses = [urlsplit("file://" + prefix + each["filename"]) for each in project["_via_img_metadata"].values()]
    assert [(unquote(each.path), each.query, each.fragment) for each in addresses] == [
        (str(out / name), "", "") for name in ODD_NAMES
    ]
    files = list(json.loads((out / "via3_project.json").read_bytes())["file"].values())
    assert [unquote(each["fname"]) for each in files] == ODD_NAMES
    assert [unquote(each["src"]) for each in files] == ODD_NAMES
    names = ImageNames(index_of(*ODD_NAMES, source=""))
    for written in (*project["_via_img_metadata"].values(), *({"filename": each["fname"]} for each in files)):
        row = names.find(written["filename"], CORRECTIONS)
        assert isinstance(row, int)
        assert ODD_NAMES[row] == unquote(written["filename"])


def test_letters_with_accents_are_the_same_however_they_are_written(tmp_path: Path) -> None:
    composed, apart = (normalize(form, "früh.jpg") for form in ("NFC", "NFD"))
    archive = write(tmp_path / "images.zip", {"val": labelled(name=composed)}, {f"val/{apart}": jpeg(20, 10)})
    assert relabelling.make_folder(archive, tmp_path / "out") == 1
    names = ImageNames(index_of(apart, source=""))
    assert [names.find(name, CORRECTIONS) for name in (composed, apart)] == [0, 0]
    with ImagesZip(archive) as images:
        assert [record.image for record in images.records("val")] == [composed]


def test_two_images_whose_names_differ_in_the_writing_of_accents_are_two(tmp_path: Path) -> None:
    names = [normalize(form, "früh.jpg") for form in ("NFC", "NFD")]
    labels = {name: entry(name, [square(1, 1, side, "car")]) for side, name in enumerate(names, start=4)}
    images = {f"val/{name}": jpeg(20, 10, seed) for seed, name in enumerate(names)}
    archive = write(tmp_path / "images.zip", {"val": labels}, images)
    assert relabelling.make_folder(archive, tmp_path / "out") == 2
    for name in names:
        assert (tmp_path / "out" / name).read_bytes() == images[f"val/{name}"]
        assert regions(tmp_path / "out", name) == labels[name]["regions"]


def test_an_image_may_have_the_longest_of_names(tmp_path: Path) -> None:
    name = "n" * 251 + ".jpg"
    archive = write(tmp_path / "images.zip", {"val": labelled(name=name)}, {f"val/{name}": jpeg(20, 10)})
    assert relabelling.make_folder(archive, tmp_path / "out") == 1
    assert (tmp_path / "out" / name).is_file()
