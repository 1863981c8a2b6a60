"""When the sensor starts the chain: a recipe or a source that changed, however deep in its folder."""

import os
import re
from pathlib import Path

import dagster as dg
import pytest
import yaml

from assets.automation import nightly, pictures_arrived, sources_changed, when
from assets.recipe_resource import RecipeResource


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a folder with a recipe, and the pictures and labels that it names from the home folder on."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "pictures/train").mkdir(parents=True)
    (tmp_path / "pictures/train/1.jpg").write_bytes(b"1")
    (tmp_path / "pictures/train/via_region_data.json").write_text("{}")
    content = {"source": {"images": ["~/pictures", "sample"], "labels": ["~/pictures", "~/corrected.json"]}}
    (tmp_path / "mine.yaml").write_text(yaml.safe_dump(content))
    return tmp_path


def tick(folder: Path, cursor: str | None) -> tuple[int, str | None, str]:
    """Return how many runs the sensor asks for, its cursor then, and why it skips."""
    context = dg.build_sensor_context(cursor=cursor, resources={"recipe": RecipeResource(file=f"{folder}/mine.yaml")})
    said = sources_changed(context)
    if isinstance(said, dg.SkipReason):
        return 0, context.cursor, said.skip_message
    return len(said.run_requests), said.cursor, ""


def test_the_first_tick_and_one_without_a_change_start_nothing(mine):
    runs, cursor, why = tick(mine, None)
    assert (runs, why) == (0, "watching from now on")
    assert tick(mine, cursor) == (0, cursor, "neither the recipe nor a source has changed")


def test_a_run_is_asked_for_with_the_recipe_as_it_is_then(mine):
    resource = RecipeResource(file=f"{mine}/mine.yaml", set={"seed": "7"})
    at_night = nightly(dg.build_schedule_context(resources={"recipe": resource}))
    changed = sources_changed(dg.build_sensor_context(cursor="another", resources={"recipe": resource})).run_requests[0]
    for request in (at_night, changed):
        asked = RecipeResource(**request.run_config["resources"]["recipe"]["config"])
        assert (asked.file, asked.content["seed"]) == (f"{mine}/mine.yaml", 7)
        assert asked.load() == resource.load()


def add_a_picture(folder):
    (folder / "pictures/train/2.jpg").write_bytes(b"2")


def correct_a_label(folder):
    (folder / "pictures/train/via_region_data.json").write_text('{"a": 1}')


def touch_a_picture(folder):
    os.utime(folder / "pictures/train/1.jpg", ns=(1, 1))


def rename_a_picture(folder):
    (folder / "pictures/train/1.jpg").rename(folder / "pictures/train/one.jpg")


def add_the_source_that_was_missing(folder):
    (folder / "corrected.json").write_text("{}")


def edit_the_recipe(folder):
    with (folder / "mine.yaml").open("a") as file:
        file.write("seed: 5\n")


@pytest.mark.parametrize(
    "change",
    [
        add_a_picture,
        correct_a_label,
        touch_a_picture,
        rename_a_picture,
        add_the_source_that_was_missing,
        edit_the_recipe,
    ],
)
def test_a_change_starts_one_run(mine, change):
    _, before, _ = tick(mine, None)
    change(mine)
    runs, after, _ = tick(mine, before)
    assert runs == 1
    assert after != before
    assert tick(mine, after)[0] == 0


def test_what_no_stage_reads_starts_nothing(mine):
    _, before, _ = tick(mine, None)
    (mine / "pictures/notes.txt").write_text("remember")
    (mine / "pictures/train/.1.jpg.swp").write_bytes(b"")
    assert tick(mine, before)[0] == 0


def test_a_source_that_can_t_be_read_is_said(mine):
    (mine / "pictures/train/elsewhere.jpg").symlink_to("/etc/hostname")
    with pytest.raises(dg.Failure, match=r"elsewhere\.jpg is a link that leads out"):
        tick(mine, None)


def test_the_cursor_stays_small_however_many_files_there_are(mine):
    for number in range(500):
        (mine / f"pictures/train/{number}.jpg").write_bytes(b"")
    assert len(tick(mine, None)[1] or "") < 1000


def test_pictures_that_arrive_are_predicted_once(mine):
    content = yaml.safe_load((mine / "mine.yaml").read_text())
    (mine / "mine.yaml").write_text(yaml.safe_dump(content | {"prediction": {"images": ["~/drop"]}}))
    (mine / "drop").mkdir()

    def arrived(cursor: str | None) -> tuple[int, str]:
        resource = RecipeResource(file=f"{mine}/mine.yaml")
        said = pictures_arrived(dg.build_sensor_context(cursor=cursor, resources={"recipe": resource}))
        return (0, cursor or "") if isinstance(said, dg.SkipReason) else (len(said.run_requests), said.cursor)

    runs, cursor = arrived(None)
    assert runs == 1
    assert arrived(cursor) == (0, cursor)
    (mine / "drop/1.jpg").write_bytes(b"1")
    runs, cursor = arrived(cursor)
    assert runs == 1
    assert arrived(cursor) == (0, cursor)


def test_without_pictures_to_predict_the_sensor_says_so(mine):
    resource = RecipeResource(file=f"{mine}/mine.yaml")
    said = pictures_arrived(dg.build_sensor_context(resources={"recipe": resource}))
    assert said.skip_message == "prediction.images of the recipe names no pictures"


@pytest.mark.parametrize(
    ("variable", "value", "sentence"),
    [
        ("BDD_SCHEDULE", "at night", "'at night' is no cron expression"),
        ("BDD_TIMEZONE", "Europe/Berln", "'Europe/Berln' is no time zone; did you mean Europe/Berlin?"),
    ],
)
def test_a_schedule_that_cannot_be_is_one_sentence(variable, value, sentence, monkeypatch):
    monkeypatch.setenv(variable, value)
    with pytest.raises(SystemExit, match=re.escape(sentence)):
        when()


def test_the_schedule_follows_the_environment(monkeypatch):
    monkeypatch.setenv("BDD_SCHEDULE", "30 4 * * *")
    monkeypatch.setenv("BDD_TIMEZONE", "Europe/Berlin")
    assert when() == ("30 4 * * *", "Europe/Berlin")
