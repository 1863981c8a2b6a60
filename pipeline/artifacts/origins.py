"""What an artifact was made from, up the chain, and why it was built."""

import json
import textwrap
from collections.abc import Iterator

from pipeline.artifacts import MANIFEST, Artifact, Manifest, Store
from pipeline.artifacts.lineage import inputs, recipe_name
from pipeline.artifacts.listing import mask_ap

INDENT, WIDTH = "    ", 120


def tree(store: Store, artifact: Artifact) -> str:
    """Return an artifact and, indented below it, those that it was made from; each is described where it comes first.

    Raises ArtifactError where a manifest is damaged.
    """
    return "\n".join(_lines(store, artifact, "", set()))


def _lines(store: Store, artifact: Artifact, indent: str, described: set[str]) -> Iterator[str]:
    if artifact.path in described:
        yield f"{indent}{artifact.name} {artifact.fingerprint} (see above)"
    elif not (artifact.folder / MANIFEST).is_file():
        yield f"{indent}{artifact.name} {artifact.fingerprint} (no longer there)"
    else:
        described.add(artifact.path)
        yield f"{indent}{_headline(store, artifact)}"
        yield from _description(Manifest.read(artifact.folder), f"{indent}  ")
        for each in inputs(artifact.folder):
            yield from _lines(store, each, indent + INDENT, described)


def _headline(store: Store, artifact: Artifact) -> str:
    manifest = Manifest.read(artifact.folder)
    ap = mask_ap(store, artifact)
    name = recipe_name(artifact.folder)
    facts = [
        f"recipe {name}" if name else "",
        f"built {manifest.built_at[:16].replace('T', ' ')} in {manifest.seconds:.0f} s",
        f"code version {manifest.code_version}",
        "" if ap is None else f"mask AP {ap:.3f}",
    ]
    return f"{artifact.name} {artifact.fingerprint}: {', '.join(filter(None, facts))}"


def _description(manifest: Manifest, indent: str) -> Iterator[str]:
    """Yield the reasons, the sources and the recipe keys, where there are any."""
    yield from (f"{indent}why: {reason}" for reason in manifest.reasons)
    for entry, identity in manifest.identities.items():
        yield f"{indent}source {entry}: {json.dumps(identity, ensure_ascii=False)}"
    keys = ", ".join(f"{key} {json.dumps(value, ensure_ascii=False)}" for key, value in manifest.recipe.items())
    if keys:
        yield textwrap.fill(f"recipe: {keys}", WIDTH, initial_indent=indent, subsequent_indent=f"{indent}  ")
