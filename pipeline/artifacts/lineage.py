"""What artifacts were made from, by the manifests in their store."""

from pathlib import Path

from pipeline.artifacts.manifest import MANIFEST, Artifact, Manifest
from pipeline.errors import ArtifactError
from pipeline.files.digests import sha256_of
from pipeline.recipe.categories import Wanted


def inputs(folder: Path) -> list[Artifact]:
    """Return what the artifact in `folder` of a store was made from; nothing where that isn't known."""
    try:
        made_from = Manifest.read(folder).inputs
    except ArtifactError:
        return []
    root = folder.parent.parent
    return [Artifact(name, fingerprint, root / name / fingerprint) for name, fingerprint in made_from.items()]


def recipe_name(folder: Path) -> str:
    """Return the name of the recipe that an artifact was built for; nothing where its manifest doesn't say it."""
    try:
        manifest = Manifest.read(folder)
    except ArtifactError:
        return ""
    return manifest.recipe_name or str(manifest.recipe.get("name", ""))


def ancestor(artifact: Path, stage: str) -> Path | None:
    """Return the folder of the artifact of `stage` that an artifact in its store is, or was made from."""
    if not (artifact / MANIFEST).is_file():
        return None
    if Manifest.read(artifact).name == stage:
        return artifact
    return next((found for each in inputs(artifact) if (found := ancestor(each.folder, stage))), None)


def categories_of(artifact: Path) -> tuple[str, ...]:
    """Return the categories of the recipe that an artifact in its store was made with; none if that isn't known."""
    labels = ancestor(artifact.resolve(), "filtered_labels")
    return Wanted(Manifest.read(labels).recipe["labels.categories"]).categories if labels else ()


def fingerprint_of(path: Path) -> str:
    """Return the fingerprint of an artifact's folder or of one of its files.

    Of files from elsewhere it is the start of the SHA-256 of the file, of a folder's first .h5 file; else `unknown`.
    """
    folder = path if path.is_dir() else path.parent
    if (folder / MANIFEST).exists():
        return Manifest.read(folder).fingerprint
    files = [path] if path.is_file() else sorted(path.glob("*.h5"))
    return sha256_of(files[0])[:16] if files else "unknown"
