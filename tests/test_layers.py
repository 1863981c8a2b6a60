"""The direction of imports that DESIGN asks for: assets → pipeline → mrcnn; Dagster in assets alone."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
FORBIDDEN = {
    "mrcnn": {"pipeline", "assets", "dagster", "dagster_pipes"},
    "pipeline": {"assets", "dagster"},
    "assets": set(),
}
"""What no file of a package imports, not even inside a function."""
FILES = [path for package in FORBIDDEN for path in sorted((ROOT / package).rglob("*.py"))]


def imported(source: str) -> set[str]:
    """Return the first names of all modules that a file imports, at any depth."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and not node.level:
            names.add(node.module or "")
    return {name.partition(".")[0] for name in names}


@pytest.mark.parametrize("file", FILES, ids=lambda file: str(file.relative_to(ROOT)))
def test_a_package_imports_only_what_lies_below_it(file):
    package = file.relative_to(ROOT).parts[0]
    assert not imported(file.read_text("utf-8")) & FORBIDDEN[package]


def test_imports_are_seen_wherever_they_stand():
    assert imported(
        "import a.b\ndef f():\n    from c.d import e\n    if f:\n        import g as h\nfrom . import i"
    ) == {
        "a",
        "c",
        "g",
    }
