"""What Dagster keeps of a real run: the tiny chain's counts, classes, thumbnails, AP, and what it said on the way."""

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
import pytest

from assets.chain import ASSETS
from assets.console import last_lines
from assets.definitions import build_definitions
from assets.metadata import LARGEST_PICTURE
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import LATEST
from tests.assets import tiny

CLASSES = ["drivable area", "traffic sign", "car", "bicycle"]


@dataclass(frozen=True)
class Run:
    """A run that is over: its data folder, each asset's metadata, and its messages by asset, in order."""

    data: Path
    metadata: dict[str, dict[str, Any]]
    said: list[tuple[str | None, str]]
    live: list[dict[str, Any]]
    """What was observed of the training."""

    def table(self, asset: str, name: str) -> list[dict[str, Any]]:
        return [record.data for record in self.metadata[asset][name].records]

    def number(self, asset: str, name: str) -> float:
        return self.metadata[asset][name].value

    def file(self, asset: str, name: str) -> Path:
        return self.data / asset / LATEST / name


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Iterator[Run]:
    """The tiny chain, run once."""
    folder = tmp_path_factory.mktemp("shown")
    resource = RecipeResource(file=str(tiny.write(folder)))
    with pytest.MonkeyPatch.context() as patch, dg.DagsterInstance.ephemeral() as instance:
        patch.setenv("BDD_DATA_DIR", str(folder / "data"))
        result = dg.materialize(ASSETS, resources=dict(build_definitions(recipe=resource).resources), instance=instance)
        events = result.get_asset_materialization_events()
        metadata = {event.asset_key.path[-1]: dict(event.materialization.metadata) for event in events}
        yield Run(
            folder / "data",
            metadata,
            [(entry.step_key, entry.user_message) for entry in instance.all_logs(result.run_id)],
            [
                {name: value.value for name, value in record.asset_observation.metadata.items()}
                for record in instance.fetch_observations(dg.AssetKey("trained_model"), limit=10).records
            ],
        )


def test_the_losses_of_each_epoch_were_seen_while_it_trained(run):
    assert [seen["live_epoch"] for seen in run.live] == [1]
    assert run.live[0]["live_images_per_second"] > 0
    assert run.live[0]["live_loss"] == pytest.approx(run.table("trained_model", "losses")[0]["loss"], abs=1e-4)


def instances(run: Run) -> list[dict[str, Any]]:
    return pq.read_table(run.file("filtered_labels", "labels.parquet")).to_pylist()


def test_counts_are_those_of_the_tables(run):
    labels = instances(run)
    images = pq.read_table(run.file("filtered_labels", "images.parquet")).to_pylist()
    for split in ("train", "val"):
        in_split = sum(label["split"] == split for label in labels)
        assert run.number("filtered_labels", f"instances_{split}") == in_split > 0
        assert run.number(f"via_{split}", "instances") == in_split
        assert run.number("filtered_labels", f"images_{split}") == sum(image["split"] == split for image in images)
    assert run.number("dataset_zip", "bytes") == run.file("dataset_zip", "images.zip").stat().st_size


def test_the_class_table_counts_each_class_in_each_split(run):
    labels = instances(run)
    table = run.table("filtered_labels", "classes")
    assert [row["category"] for row in table] == CLASSES
    for row in table:
        for split in ("train", "val"):
            of_both = [label for label in labels if (label["category"], label["split"]) == (row["category"], split)]
            assert row[split] == len(of_both)


@pytest.mark.parametrize(("asset", "least"), [("filtered_labels", 4), ("evaluation_report", 3)])
def test_thumbnails_are_small_jpegs_in_markdown(run, asset, least):
    pictures = [value.value for value in run.metadata[asset].values() if isinstance(value, dg.MarkdownMetadataValue)]
    assert len(pictures) >= least
    for picture in pictures:
        title, data = picture.removesuffix(")").split("](data:image/jpeg;base64,")
        assert ".jpg" in title
        content = base64.b64decode(data, validate=True)
        assert content.startswith(b"\xff\xd8")
        assert content.endswith(b"\xff\xd9")
        assert len(content) <= LARGEST_PICTURE


def test_the_report_s_ap_is_that_of_its_metrics(run):
    metrics = json.loads(run.file("evaluation_report", "metrics.json").read_text())
    for kind in ("segm", "bbox"):
        for key in ("AP", "AP50", "AP75"):
            assert run.number("evaluation_report", f"{kind}_{key}") == metrics[kind][key]
    assert [row["class"] for row in run.table("evaluation_report", "classes")] == CLASSES
    assert run.number("evaluation_report", "instances") == run.number("filtered_labels", "instances_val")
    lines = last_lines([(run.data / "evaluation_report" / LATEST).resolve()])
    assert lines[-1].endswith(f"mask AP {metrics['segm']['AP']:.3f}")


def test_what_a_program_says_while_it_runs_is_in_the_run_s_log_before_its_asset_is(run):
    told = [message for step, message in run.said if step == "trained_model"]
    epoch = next(number for number, message in enumerate(told) if message.startswith("epoch 1 of 1: loss "))
    made = next(number for number, message in enumerate(told) if message.startswith("Materialized value"))
    assert epoch < made
