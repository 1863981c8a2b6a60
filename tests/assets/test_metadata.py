"""What Dagster shows of a finished stage, from what the stage says of itself."""

from pathlib import Path

import dagster as dg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from assets.metadata import _inert, check_specs, result
from pipeline.artifacts import Artifact, Built, summary
from pipeline.recipe import Recipe
from pipeline.stages import STAGES
from tests.pipeline.small_datasets import jpeg

HOSTILE = "a](https://example.org/x.png) <img src=//example.org onerror=x> [b"


@pytest.fixture
def shown(tmp_path: Path) -> dg.MaterializeResult:
    (tmp_path / "picture.jpg").write_bytes(jpeg(16, 9))
    pq.write_table(pa.table({"image": ["a", "b"], "area": [1, 2]}), tmp_path / "labels.parquet")
    said = summary.Summary(
        numbers={"instances": 12, "segm.AP": 0.5},
        texts={"where": "here"},
        tables={
            "classes": [{"class": "car", "instances": 12}],
            "nothing": [],
            "losses": [{"epoch": 1, "loss": 2.0}, {"epoch": 2, "loss": 1.5, "val_loss": 3.0}],
            "thresholds": [{"class": "bus", "threshold": None}, {"class": "car", "threshold": 0.5}],
        },
        pictures={"overlay": "picture.jpg", HOSTILE: "picture.jpg"},
        checks=[
            summary.Check("rejected_share", False, "a tenth of the labels was lost", {"share": 0.1}),
            summary.Check("masks_not_boxes", True, "all are masks", {"share": 0.0}),
        ],
    )
    summary.write(tmp_path, said)
    artifact = Artifact("filtered_labels", "0123456789abcdef", tmp_path)
    return result(
        Built(artifact, False, ["recipe key seed: 1 → 2", "inputs changed"]),
        Recipe(),
        "tiny 1a2b3c4d (tiny.yaml)",
    )


def test_a_check_that_failed_is_a_warning_with_its_numbers(shown: dg.MaterializeResult) -> None:
    checks = {check.check_name: check for check in shown.check_results}
    assert {name: check.passed for name, check in checks.items()} == {"rejected_share": False, "masks_not_boxes": True}
    lost = checks["rejected_share"]
    assert lost.severity == dg.AssetCheckSeverity.WARN
    assert lost.description == "a tenth of the labels was lost"
    assert lost.metadata["share"].value == 0.1
    assert set(checks) <= {spec.name for spec in check_specs(STAGES["filtered_labels"])}


def test_numbers_tables_pictures_and_reasons_are_metadata(shown: dg.MaterializeResult) -> None:
    metadata = dict(shown.metadata or {})
    assert metadata["instances"].value == 12
    assert metadata["segm.AP"].value == 0.5
    assert metadata["where"] == "here"
    assert [record.data for record in metadata["classes"].records] == [{"class": "car", "instances": 12}]
    assert "nothing" not in metadata
    assert metadata["overlay"].value.startswith("![overlay](data:image/jpeg;base64,/9j/")
    assert metadata["changes"] == "recipe key seed: 1 → 2; inputs changed"
    assert metadata["recipe"] == "tiny 1a2b3c4d (tiny.yaml)"
    assert shown.data_version.value == "0123456789abcdef"


def test_a_column_has_the_type_of_what_was_measured(shown: dg.MaterializeResult) -> None:
    columns = (shown.metadata or {})["thresholds"].schema.columns
    assert {column.name: column.type for column in columns} == {"class": "string", "threshold": "float"}


def test_a_field_that_a_row_lacks_is_an_empty_cell(shown: dg.MaterializeResult) -> None:
    losses = (shown.metadata or {})["losses"]
    assert [column.name for column in losses.schema.columns] == ["epoch", "loss", "val_loss"]
    assert [record.data["val_loss"] for record in losses.records] == [None, 3.0]


def test_nothing_of_a_picture_s_name_is_markdown_or_html(shown: dg.MaterializeResult) -> None:
    text = (shown.metadata or {})[HOSTILE].value
    assert text.startswith(
        "![a__https___example.org_x.png_ _img src___example.org onerror_x_ _b](data:image/jpeg;base64,"
    )
    assert (text.count("]("), text.count("<"), text.count("!")) == (1, 0, 1)


def test_rows_and_columns_of_the_table_are_shown(shown: dg.MaterializeResult) -> None:
    metadata = dict(shown.metadata or {})
    assert metadata["dagster/row_count"] == 2
    columns = metadata["dagster/column_schema"].columns
    assert [(column.name, column.type) for column in columns] == [("image", "string"), ("area", "int64")]


def test_the_pictures_of_a_reused_artifact_are_not_stored_again(shown: dg.MaterializeResult, tmp_path: Path) -> None:
    artifact = Artifact("filtered_labels", "0123456789abcdef", tmp_path)
    again = dict(result(Built(artifact, True, []), Recipe(), "tiny").metadata or {})
    assert "overlay" not in again
    assert again["instances"].value == 12


def test_each_check_says_what_it_looks_at() -> None:
    assert all(spec.description for stage in STAGES.values() for spec in check_specs(stage))


def test_a_name_in_a_check_s_description_is_neither_a_link_nor_html() -> None:
    assert _inert(f"set aside: {HOSTILE}") == (
        "set aside: a] (https://example.org/x.png) ‹img src=//example.org onerror=x> [b"
    )
