"""`python -m pipeline.via open`: what may be opened, which images and classes are shown, what releases of VIA need."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

from pipeline import dataset, relabelling, via
from pipeline.artifacts import Artifact, Store
from pipeline.dataset.images_zip import ImagesZip
from pipeline.errors import ArtifactError, LabelFileError, PipelineError
from pipeline.stages import STAGES
from pipeline.via import __main__
from tests.pipeline.labelled_folders import SQUARE, area, filtered, folder_with, frame, recipe_of
from tests.pipeline.small_datasets import entry, jpeg, numbered, polygon, square, write
from tests.pipeline.via_folders import archive_of, labelled, opened, options, regions

WANTED = ["car", "bike", "person"]
CLOSED = polygon([(1, 1), (9, 1), (9, 5), (1, 1)], name="car")


class Chain:
    """An artifact store with everything up to images.zip, of the recipe that wants `WANTED`; all is labelled a car."""

    def __init__(self, work: Path, images: list[str]) -> None:
        labels = {"labels.json": [frame(Path(image).name, area("car", SQUARE)) for image in images]}
        data = folder_with(work / "pictures", images, labels)
        sections = {"labels": {"categories": WANTED}, "dataset": {"split": "path"}}
        self.recipe = recipe_of([data], [data / "labels.json"], **sections)
        self.store = Store(work.parent / "store")
        folder = filtered(self.recipe, work)
        raw = {name: Artifact(name, work.name, folder.parent / name) for name in ("raw_labels", "raw_images")}
        self._inputs = raw
        self.add("filtered_labels", lambda out: shutil.copytree(folder, out, dirs_exist_ok=True))
        for split in ("train", "val"):
            self.add(
                f"via_{split}", lambda out, split=split: via.build(self.recipe, self["filtered_labels"], split, out)
            )
        names = ("filtered_labels", "via_train", "via_val", "raw_images")
        self.add("dataset_zip", lambda out: dataset.build(self.recipe, *(self[name] for name in names), out))

    def __getitem__(self, name: str) -> Path:
        return self._inputs[name].folder

    def add(self, name: str, make: Any) -> Path:
        """Build an artifact, and return its folder."""
        self._inputs[name] = self.store.build(STAGES[name], self.recipe, self._inputs, make).artifact
        return self[name]

    def report(self) -> Path:
        """Add a model, and its report of a detected car in v.jpg."""
        model = Artifact("trained_model", "m" * 16, self.store.root / "trained_model" / ("m" * 16))
        self._inputs["trained_model"] = model

        def make(out: Path) -> None:
            for file in STAGES["evaluation_report"].files:
                (out / file).touch()
            (out / "via_region_data.json").write_text(json.dumps(labelled(CLOSED, name="v.jpg")))

        return self.add("evaluation_report", make)


@pytest.fixture
def chain(tmp_path: Path) -> Chain:
    return Chain(tmp_path / "first", ["train/t.jpg", "val/v.jpg"])


@pytest.mark.parametrize("name", ["dataset_zip", "via_val", "via_train", "evaluation_report"])
def test_an_artifact_in_its_store_is_opened_with_the_classes_of_its_recipe(
    chain: Chain, tmp_path: Path, name: str
) -> None:
    chain.report()
    assert relabelling.make_folder(chain.store.root / name / "latest", tmp_path / "look") == 1
    image = "t.jpg" if name == "via_train" else "v.jpg"
    assert [each["region_attributes"]["name"] for each in regions(tmp_path / "look", image)] == ["car"]
    assert (tmp_path / "look" / image).read_bytes() == next(tmp_path.glob(f"first/pictures/*/{image}")).read_bytes()
    assert options(tmp_path / "look") == ["car", "bicycle", "pedestrian"]


@pytest.mark.parametrize("name", ["via_val", "evaluation_report"])
def test_an_older_artifact_is_opened_with_the_images_that_belong_to_it(chain: Chain, tmp_path: Path, name: str) -> None:
    older = chain.report() if name == "evaluation_report" else chain[name]
    newer = Chain(tmp_path / "second", ["train/t.jpg", "val/other.jpg"])
    assert (newer.store.root / "dataset_zip" / "latest").resolve() == newer["dataset_zip"]
    assert relabelling.make_folder(older, tmp_path / "look") == 1
    assert (tmp_path / "look/v.jpg").exists()


def test_labels_whose_images_are_gone_say_how_to_name_them(chain: Chain, tmp_path: Path) -> None:
    Chain(tmp_path / "second", ["train/t.jpg", "val/other.jpg"])
    shutil.rmtree(chain["dataset_zip"])
    with pytest.raises(ArtifactError, match=r"has no images beside its labels; name their images.zip with --pictures"):
        relabelling.make_folder(chain["via_val"], tmp_path / "look")
    assert not (tmp_path / "look").exists()


def test_all_classes_of_all_splits_are_offered(tmp_path: Path) -> None:
    train = labelled(square(1, 1, 4, "sign"), {"region_attributes": {"kind": {"old": True}}}, square(1, 1, 4, "car"))
    val = {**labelled(square(1, 1, 4, "car")), **labelled(square(1, 1, 4, "bus"), name="b.jpg")}
    path = archive_of(tmp_path, train=train, val=val)
    assert relabelling.make_folder(path, tmp_path / "look", images=1) == 1
    assert options(tmp_path / "look") == ["sign", "car", "bus"]
    assert options(tmp_path / "look", "kind") == ["old"]


def test_detections_are_corrected_with_the_classes_of_the_images_they_were_made_from(tmp_path: Path) -> None:
    path = archive_of(tmp_path, train=labelled(square(1, 1, 4, "sign")), val=labelled(square(1, 1, 4, "bus")))
    (tmp_path / "report").mkdir()
    (tmp_path / "report/via_region_data.json").write_text(json.dumps(labelled(square(1, 1, 4, "car"))))
    assert relabelling.make_folder(tmp_path / "report", tmp_path / "look", pictures=path) == 1
    assert options(tmp_path / "look") == ["sign", "bus", "car"]


def test_every_flag_may_be_set_also_where_no_region_has_one(tmp_path: Path) -> None:
    path = archive_of(tmp_path, val=labelled(square(1, 1, 4, "car")))
    relabelling.make_folder(path, tmp_path / "look")
    for flag in ("crowd", "ignored", "occluded", "truncated"):
        assert options(tmp_path / "look", flag) == ["true", "false"]


def test_polygons_end_with_their_first_vertex_in_via_1_only(tmp_path: Path) -> None:
    plain, line = polygon([(1, 1), (9, 1), (9, 5)], name="car"), polygon([(1, 1), (9, 1), (9, 5)], name="car")
    line["shape_attributes"]["name"] = "polyline"
    path = archive_of(tmp_path, val=labelled(plain, CLOSED, line))
    relabelling.make_folder(path, tmp_path / "look")
    (annotations,) = json.loads((tmp_path / "look/via_region_data.json").read_bytes()).values()
    assert [each["shape_attributes"] for each in annotations["regions"].values()] == [
        CLOSED["shape_attributes"],
        CLOSED["shape_attributes"],
        line["shape_attributes"],
    ]
    assert [each["shape_attributes"] for each in regions(tmp_path / "look")] == [
        plain["shape_attributes"],
        plain["shape_attributes"],
        line["shape_attributes"],
    ]
    via3 = json.loads((tmp_path / "look/via3_project.json").read_bytes())["metadata"].values()
    assert [each["xy"] for each in via3] == [[7, 1, 1, 9, 1, 9, 5], [7, 1, 1, 9, 1, 9, 5], [6, 1, 1, 9, 1, 9, 5]]


def test_a_via_2_project_is_opened_with_the_options_that_it_declares(tmp_path: Path) -> None:
    kinds = {"type": "dropdown", "options": {"1": "a &lt; b", "2": "dent", "4": ""}, "default_options": {}}
    given = labelled(polygon([(1, 1), (9, 1), (9, 5)], kind="2"), polygon([(1, 1), (9, 1), (9, 5)], kind="3"))
    project = {"_via_settings": {}, "_via_img_metadata": given, "_via_attributes": {"region": {"kind": kinds}}}
    path = archive_of(tmp_path, val=project)
    assert relabelling.make_folder(path, tmp_path / "look") == 1
    declared = opened(tmp_path / "look")["_via_attributes"]["region"]["kind"]
    texts = {"a < b": "a &lt; b", "dent": "dent", "4": "4", "3": "3"}
    assert (declared["type"], declared["options"]) == ("dropdown", texts)
    assert [each["region_attributes"] for each in regions(tmp_path / "look")] == [{"kind": "dent"}, {"kind": "3"}]
    (annotations,) = json.loads((tmp_path / "look/via_region_data.json").read_bytes()).values()
    assert [each["region_attributes"]["kind"] for each in annotations["regions"].values()] == ["dent", "3"]


@pytest.mark.parametrize("as_dict", [True, False])
def test_what_is_null_is_empty(tmp_path: Path, as_dict: bool, caplog: pytest.LogCaptureFixture) -> None:
    bare = [{"shape_attributes": None, "region_attributes": None}, None, square(1, 1, 4, "car")]
    nothing = {"a.jpg": entry("a.jpg", numbered(bare) if as_dict else bare, width=None, file_attributes=None)}
    path = archive_of(tmp_path, val={**nothing, "b.jpg": {"filename": "b.jpg", "regions": None}, "c.jpg": None})
    relabelling.make_folder(path, tmp_path / "look")
    project = json.loads((tmp_path / "look/via_project.json").read_bytes())["_via_img_metadata"]
    empty = {"shape_attributes": {}, "region_attributes": {}}
    assert [each["regions"] for each in project.values()] == [[empty, empty, square(1, 1, 4, "car")], []]
    assert [each["file_attributes"] for each in project.values()] == [{}, {}]
    assert "1 labelled images are not in" in caplog.text


def test_an_image_that_is_labelled_twice_is_shown_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    twice = {"a": entry("a.jpg", [CLOSED]), "b": entry("x/a.jpg", []), "c": entry("b.jpg", [])}
    assert relabelling.make_folder(archive_of(tmp_path, val=twice), tmp_path / "look") == 2
    assert len(regions(tmp_path / "look")) == 1
    assert "1 labelled images are labelled twice" in caplog.text


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ([{"name": "a.jpg", "labels": []}], "isn't a file of VIA 1 or 2, but list of BDD frames"),
        ({"images": [], "annotations": [], "categories": []}, "isn't a file of VIA 1 or 2, but COCO instances"),
        ({"shapes": []}, "holds no labels"),
    ],
)
def test_labels_that_are_not_vias_are_refused_by_name(tmp_path: Path, content: Any, complaint: str) -> None:
    with pytest.raises(LabelFileError, match=rf"images\.zip/images/val/via_region_data\.json: {complaint}"):
        relabelling.make_folder(archive_of(tmp_path, val=content), tmp_path / "look")


@pytest.mark.parametrize("folder", ["mine/images", "./images"])
def test_an_archive_that_was_packed_with_the_folder_around_it_is_opened(tmp_path: Path, folder: str) -> None:
    labels = {"val": labelled(square(1, 1, 5, "car"))}
    archive = write(tmp_path / "images.zip", labels, {"val/a.jpg": jpeg(20, 10)}, folder=folder)
    with ImagesZip(archive) as images:
        assert len(images.records("val")) == 1
    assert relabelling.make_folder(archive, tmp_path / "out") == 1
    assert len(regions(tmp_path / "out")) == 1


@pytest.mark.parametrize("place", ["n" * 256, "file/out"])
def test_a_folder_that_can_t_be_made_is_named(tmp_path: Path, place: str, capsys: pytest.CaptureFixture[str]) -> None:
    archive = archive_of(tmp_path, val=labelled())
    (tmp_path / "file").touch()
    assert __main__.main(["open", str(archive), "--out", str(tmp_path / place)]) == 2
    message = capsys.readouterr().err
    assert message.startswith(f"{tmp_path}/{place[:4]}")
    assert "Traceback" not in message


def test_what_was_corrected_can_be_opened_again(tmp_path: Path) -> None:
    archive, june = archive_of(tmp_path, val=labelled(name="b.jpg")), tmp_path / "june.json"
    june.write_text(json.dumps(labelled(square(1, 1, 4, "car"))))
    assert relabelling.make_folder(june, tmp_path / "look", pictures=archive) == 1
    assert regions(tmp_path / "look") == [square(1, 1, 4, "car")]


@pytest.mark.parametrize(
    ("source", "pictures", "complaint"),
    [
        ("june.json", None, r"june\.json: has no images beside its labels; .* --pictures"),
        ("june.json", "may.zip", r"--pictures: .*may\.zip does not exist"),
        ("may.json", None, r"may\.json: does not exist"),
        ("images.zip", "images.zip", r"--pictures: .*images\.zip has its own images"),
        ("cut.zip", None, r"cut\.zip: can't be read as a zip archive"),
    ],
)
def test_what_can_t_be_opened_is_refused_by_name(
    tmp_path: Path, source: str, pictures: str | None, complaint: str
) -> None:
    archive_of(tmp_path, val=labelled())
    (tmp_path / "june.json").write_text(json.dumps(labelled()))
    (tmp_path / "cut.zip").write_bytes((tmp_path / "images.zip").read_bytes()[:100])
    with pytest.raises(PipelineError, match=complaint):
        relabelling.make_folder(tmp_path / source, tmp_path / "look", pictures=pictures and tmp_path / pictures)


def test_an_artifact_outside_of_its_store_knows_neither_classes_nor_images(chain: Chain, tmp_path: Path) -> None:
    alone = shutil.copytree(chain["via_val"], tmp_path / "elsewhere/here")
    assert relabelling.categories_of(alone) == ()
    assert relabelling.make_folder(alone, tmp_path / "look", pictures=chain["dataset_zip"]) == 1


def test_open_makes_a_folder_that_via_opens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    val = {**labelled(CLOSED), **labelled(CLOSED, CLOSED, name="b.jpg")}
    out = tmp_path / "look"
    assert __main__.main(["open", str(archive_of(tmp_path, val=val).parent), "--images", "2", "--out", str(out)]) == 0
    assert re.match(r"2 images: load .*/look/via_project.json in VIA 2", capsys.readouterr().out)
    files = ["a.jpg", "b.jpg", "via3_project.json", "via_project.json", "via_region_data.json"]
    assert sorted(path.name for path in out.iterdir()) == files
    project = opened(out)
    assert project["_via_settings"]["core"]["default_filepath"] == f"{out}/"
    assert [len(image["regions"]) for image in project["_via_img_metadata"].values()] == [1, 2]


def test_open_makes_a_project_of_a_dataset_of_other_hands(tmp_path: Path) -> None:
    shape = {"name": "rect", "x": 1, "y": 2, "width": 3, "height": 4}
    given = [{"class_id": 3, "kind": {"a": True}}, {"class_id": None, "kind": {"b": False}}, None, {"name": "x"}]
    labels = labelled(*({"shape_attributes": shape, "region_attributes": each} for each in given))
    labels["a.jpg"]["file_attributes"] = {"n": 2}
    assert relabelling.make_folder(archive_of(tmp_path, train=labels), tmp_path / "look") == 1
    assert [region["region_attributes"] for region in regions(tmp_path / "look")] == [
        {"class_id": "3", "kind": {"a": True}},
        {"class_id": "", "kind": {"b": False}},
        {},
        {"name": "x"},
    ]


@pytest.mark.parametrize(
    ("splits", "complaint"),
    [
        (("train", "val"), "has no images/test/via_region_data.json; it has train, val"),
        ((), "it is no images.zip"),
    ],
)
def test_open_lists_the_splits_that_there_are(
    tmp_path: Path, splits: tuple[str, ...], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = archive_of(tmp_path, **{split: labelled() for split in splits})
    assert __main__.main(["open", str(archive), "--split", "test", "--out", str(tmp_path / "look")]) == 2
    assert complaint in capsys.readouterr().err


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    archive = archive_of(tmp_path, val=labelled())
    with pytest.raises(ArtifactError, match="isn't empty"):
        relabelling.make_folder(archive, tmp_path)
    with pytest.raises(ArtifactError, match=r"images\.zip: is a file; name a new folder with --out"):
        relabelling.make_folder(archive, archive)


def test_no_image_is_written_outside_the_folder(tmp_path: Path) -> None:
    labels = {"val": labelled(name="../../evil.jpg")}
    write(tmp_path / "images.zip", labels, {"val/../../evil.jpg": b"evil", "val/evil.jpg": b"harmless"})
    relabelling.make_folder(tmp_path / "images.zip", tmp_path / "deep/look")
    assert (tmp_path / "deep/look/evil.jpg").read_bytes() == b"harmless"
    assert not list(tmp_path.glob("evil.jpg"))


def test_images_that_browsers_do_not_show_are_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = {f"val/{name}": jpeg(20, 10) for name in ("a.TIF", "b.jpg")}
    labels = {name: entry(name, [CLOSED]) for name in ("a.TIF", "b.jpg")}
    relabelling.make_folder(write(tmp_path / "images.zip", {"val": labels}, images), tmp_path / "out", "val")
    assert [record.message for record in caplog.records] == [
        "1 images are TIFFs, which browsers, and so VIA, don't show: convert them to .png"
    ]
