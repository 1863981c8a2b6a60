"""An artifact's summary as Dagster shows it: numbers that plot over time, tables, small pictures, checks."""

import base64
import re
from typing import Any

import dagster as dg

from assets.console import REPORT
from assets.keys import key_of
from pipeline.artifacts import Artifact, Built, summary
from pipeline.recipe import Recipe
from pipeline.stages import STAGES, Stage

REPORT_PAGE = "/report/"
"""Where the UI's server has the report of a fingerprint (`assets.web.reports`)."""
LARGEST_PICTURE = 50_000
"""Bytes; pictures live in the event log."""


def check_specs(stage: Stage) -> list[dg.AssetCheckSpec]:
    """Return the specifications of an asset's checks."""
    return [
        dg.AssetCheckSpec(name, asset=key_of(stage.name), description=text, blocking=True)
        for name, text in stage.checks.items()
    ]


def result(built: Built, recipe: Recipe, label: str) -> dg.MaterializeResult[Artifact]:
    """Return what the asset function hands to Dagster, the fingerprint as data version; `label` names the recipe."""
    found, stage = built.summary, STAGES[built.artifact.name]
    return dg.MaterializeResult(
        value=built.artifact,
        data_version=dg.DataVersion(built.artifact.fingerprint),
        metadata={"recipe": label, **_of_the_build(built), **_of_the_summary(found, built), **_of_the_table(built)},
        check_results=[
            dg.AssetCheckResult(
                passed=check.passed,
                check_name=check.name,
                severity=_severity(summary.blocks(stage, check, recipe)),
                description=_inert(check.description),
                metadata=_of_the_check(check),
            )
            for check in found.checks
        ],
    )


def _severity(blocks: bool) -> dg.AssetCheckSeverity:
    return dg.AssetCheckSeverity.ERROR if blocks else dg.AssetCheckSeverity.WARN


def _of_the_check(check: summary.Check) -> dict[str, Any]:
    numbers: dict[str, Any] = {name: float(value) for name, value in check.numbers.items()}
    return numbers | ({"examples": _table(check.examples)} if check.examples else {})


def _of_the_build(built: Built) -> dict[str, Any]:
    fingerprint = built.artifact.fingerprint
    facts = {
        "cached": built.cached,
        "changes": "; ".join(built.reasons) or "none",
        "fingerprint": fingerprint,
        "folder": dg.MetadataValue.path(built.artifact.folder),
    }
    return facts | (
        {"report": dg.MetadataValue.url(REPORT_PAGE + fingerprint)} if built.artifact.name == REPORT else {}
    )


def _of_the_table(built: Built) -> dict[str, Any]:
    """Return how many rows the artifact's table has, and its columns, under the names by which Dagster shows them."""
    stage = STAGES[built.artifact.name]
    if not stage.table:
        return {}
    import pyarrow.parquet as pq

    with pq.ParquetFile(built.artifact.folder / stage.table) as file:
        columns = [dg.TableColumn(field.name, str(field.type)) for field in file.schema_arrow]
        rows = file.metadata.num_rows
    return {"dagster/row_count": rows, "dagster/column_schema": dg.TableSchema(columns)}


def _of_the_summary(found: summary.Summary, built: Built) -> dict[str, Any]:
    """Return numbers, texts, tables and small pictures; the pictures of an artifact are stored once."""
    facts: dict[str, Any] = {**{name: _number(value) for name, value in found.numbers.items()}, **found.texts}
    for name, rows in found.tables.items():
        if rows:
            facts[name] = _table(rows)
    pictures = {} if built.cached else found.pictures
    for name, path in pictures.items():
        content = (built.artifact.folder / path).read_bytes()
        if len(content) <= LARGEST_PICTURE:
            facts[name] = _picture(name, content)
    return facts


def _picture(name: str, content: bytes) -> dg.MetadataValue:
    """Return a JPEG as Markdown; names come from outside, and nothing of them may be read as Markdown or HTML."""
    inert = re.sub(r"[^\w .,-]", "_", name)
    return dg.MetadataValue.md(f"![{inert}](data:image/jpeg;base64,{base64.b64encode(content).decode('ascii')})")


def _inert(text: str) -> str:
    """Return a text, with names from outside, that shown as Markdown is no link, no picture and no HTML."""
    return text.replace("](", "] (").replace("<", "‹")


def _number(value: float) -> dg.MetadataValue:
    return dg.MetadataValue.int(value) if isinstance(value, int) else dg.MetadataValue.float(float(value))


def _table(rows: list[dict[str, Any]]) -> dg.MetadataValue:
    """Return a table with the fields of all rows; where a row lacks one (an epoch without validation), None."""
    names = dict.fromkeys(name for row in rows for name in row)
    columns = [dg.TableColumn(name, _column_type([row.get(name) for row in rows])) for name in names]
    records = [dg.TableRecord({name: row.get(name) for name in names}) for row in rows]
    return dg.MetadataValue.table(records, dg.TableSchema(columns))


def _column_type(values: list[Any]) -> str:
    """Return the type of a column's first value; what could not be measured is None and has none."""
    first = next((value for value in values if value is not None), "")
    return {bool: "bool", int: "int", float: "float"}.get(type(first), "string")
