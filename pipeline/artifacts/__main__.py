"""`python -m pipeline.artifacts list|verify`: show the artifacts, or hash every file again."""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from pipeline.artifacts import Artifact, Manifest, Store, damage
from pipeline.errors import ArtifactError
from pipeline.stages import STAGES


def main(argv: Sequence[str] | None = None) -> int:
    """List or verify the artifacts; return 0, or 1 where one is damaged."""
    parser = argparse.ArgumentParser(prog="python -m pipeline.artifacts", description="Look at the artifact store.")
    parser.add_argument("action", choices=("list", "verify"), help="what is there; or hash every file again")
    parser.add_argument("--data", type=Path, help="the store's folder (default: $BDD_DATA_DIR, else data)")
    arguments = parser.parse_args(argv)
    damaged = 0
    for stage in STAGES.values():
        for artifact in Store(arguments.data).complete(stage):
            print(f"{stage.name} {artifact.fingerprint}  {_history(artifact)}")
            if arguments.action == "verify":
                sentences = damage(artifact.folder, hash_files=True)
                damaged += bool(sentences)
                print("\n".join(f"  {sentence}" for sentence in sentences or ["intact"]))
    return 1 if damaged else 0


def _history(artifact: Artifact) -> str:
    """Return when and why an artifact was built."""
    try:
        manifest = Manifest.read(artifact.folder)
    except ArtifactError as error:
        return str(error)
    return f"{manifest.built_at}  {'; '.join(manifest.reasons)}"


if __name__ == "__main__":
    sys.exit(main())
