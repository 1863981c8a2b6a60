"""The manifest of an artifact: what it was made from, why, and the files that it must hold."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypedDict

import msgspec

from pipeline.errors import ArtifactError
from pipeline.files.digests import sha256_of
from pipeline.recipe import Recipe
from pipeline.stages import Stage, fingerprint

MANIFEST = "manifest.json"


@dataclass(frozen=True)
class Artifact:
    """A finished result of a stage."""

    name: str
    fingerprint: str
    folder: Path

    @property
    def path(self) -> str:
        """Its path in the store, `<stage>/<fingerprint>`."""
        return f"{self.name}/{self.fingerprint}"


class FileFacts(TypedDict):
    """What a file of an artifact was like when it was built; `size` is in bytes."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What an artifact was made from, why it was built, and the files that it must hold."""

    name: str
    fingerprint: str
    code_version: int
    recipe: dict[str, Any]
    identities: dict[str, Any]
    inputs: dict[str, str]
    files: dict[str, FileFacts] = field(default_factory=dict)
    reasons: list[str] = field(default_factory=list)
    built_at: str = ""
    seconds: float = 0.0
    recipe_name: str = ""
    """Of the recipe that it was first built for."""

    @staticmethod
    def planned(stage: Stage, recipe: Recipe, identities: dict[str, Any], inputs: dict[str, str]) -> "Manifest":
        """Return the manifest of an artifact that is to be made; `inputs` are fingerprints by name."""
        made_from = fingerprint(stage, recipe, identities, inputs)
        part = stage.recipe_part(recipe)
        return Manifest(stage.name, made_from, stage.code_version, part, identities, inputs, recipe_name=recipe.name)

    @staticmethod
    def read(folder: Path) -> "Manifest":
        """Return the manifest of the artifact in `folder`; raises ArtifactError where it is missing or damaged."""
        try:
            return msgspec.json.decode((folder / MANIFEST).read_bytes(), type=Manifest)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise ArtifactError(f"{folder / MANIFEST}: not a manifest of an artifact ({error})") from None


def differences(before: Manifest, after: Manifest) -> list[str]:
    """Return a sentence for each thing that `after` is made from and `before` was not."""
    sentences = []
    if before.code_version != after.code_version:
        sentences.append(f"code version {before.code_version} → {after.code_version}")
    for kind, old, new in (
        ("recipe key", before.recipe, after.recipe),
        ("source", before.identities, after.identities),
        ("input", before.inputs, after.inputs),
    ):
        for key in sorted(old.keys() | new.keys()):
            if old.get(key) != new.get(key):
                sentences.append(f"{kind} {key}: {_short(old.get(key))} → {_short(new.get(key))}")
    return sentences


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= 200 else f"{text[:200]}…"


def damage(folder: Path, hash_files: bool = False) -> list[str]:
    """Return a sentence for each file that is missing or of another size (or content) than when it was built."""
    try:
        manifest = Manifest.read(folder)
    except ArtifactError:
        return [f"damaged: {MANIFEST} can't be read"]
    sentences = []
    for name, facts in manifest.files.items():
        path = folder / name
        if not path.exists():
            sentences.append(f"damaged: {name} is missing")
        elif path.stat().st_size != facts["size"]:
            sentences.append(f"damaged: {name} has {path.stat().st_size:,} bytes instead of {facts['size']:,}")
        elif hash_files and sha256_of(path) != facts["sha256"]:
            sentences.append(f"damaged: {name} has another content than when it was built")
    return sentences
