"""The layout of the packages: folders that one can look over, and one place for each name in the documents."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
MOST_MODULES = 12
FOLDERS = sorted({file.parent for name in ("assets", "pipeline", "mrcnn") for file in (ROOT / name).rglob("*.py")})


@pytest.mark.parametrize("folder", FOLDERS, ids=lambda folder: str(folder.relative_to(ROOT)))
def test_a_folder_holds_at_most_12_modules(folder: Path) -> None:
    assert len(list(folder.glob("*.py"))) <= MOST_MODULES


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", "docs/architecture.md"])
def test_the_files_that_a_document_names_exist(document: Path) -> None:
    text = (ROOT / document).read_text("utf-8")
    for name in re.findall(r"`((?:assets|pipeline|mrcnn|tests|recipes|benchmarks|docs)/[\w./-]+)`", text):
        assert (ROOT / name).exists(), name
