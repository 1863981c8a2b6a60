"""`python -m pipeline.artifacts list|verify|why|compare|release|prune`: the artifact store, kept small."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from pipeline.artifacts import Store, comparison, damage, listing, origins, retention
from pipeline.errors import PipelineError
from pipeline.stages import STAGES

EXIT_FAULT = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Do what the arguments name; return 0, 1 where an artifact is damaged, or 2 after a fault's sentence."""
    arguments = _parser().parse_args(argv)
    store = Store(arguments.data)
    try:
        return _ACTIONS[arguments.action](store, arguments)
    except PipelineError as fault:
        print(fault, file=sys.stderr)
        return EXIT_FAULT


def _list(store: Store, arguments: argparse.Namespace) -> int:
    rows = list(listing.rows(store))
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False, indent=2))
    elif rows:
        print(listing.table([listing.TITLES, *(row.cells() for row in rows)]))
    else:
        print(f"{store.root} holds no artifact")
    return 0


def _verify(store: Store, _: argparse.Namespace) -> int:
    damaged = False
    for artifact in (each for stage in STAGES.values() for each in store.complete(stage)):
        sentences = damage(artifact.folder, hash_files=True)
        damaged = damaged or bool(sentences)
        print(
            "\n".join([f"{artifact.name} {artifact.fingerprint}", *(f"  {each}" for each in sentences or ["intact"])])
        )
    return int(damaged)


def _why(store: Store, arguments: argparse.Namespace) -> int:
    print(origins.tree(store, listing.find(store, arguments.artifact)))
    return 0


def _compare(store: Store, arguments: argparse.Namespace) -> int:
    before, after = (listing.find(store, named) for named in (arguments.before, arguments.after))
    print("\n".join(comparison.lines(store, before, after)))
    return 0


def _prune(store: Store, arguments: argparse.Namespace) -> int:
    removals = retention.prune(store, arguments.keep, arguments.days, arguments.dry_run)
    if removals:
        print(listing.table(listing.removed(store, removals)))
    freed = listing.size(sum(each.freed for each in removals))
    print(f"would free {freed}" if arguments.dry_run else f"freed {freed}")
    return 0


def _release(store: Store, arguments: argparse.Namespace) -> int:
    from pipeline.release import gate

    name, artifact = gate.by_hand(store, arguments.fingerprint)
    print(f"released for recipe {name}: {artifact.folder}")
    return 0


_ACTIONS = {
    "list": _list, "verify": _verify, "why": _why, "compare": _compare, "release": _release, "prune": _prune,
}  # fmt: skip


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m pipeline.artifacts", description="Look at the artifact store, and keep it small."
    )
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--data", type=Path, help="the store's folder (default: $BDD_DATA_DIR, else data)")
    actions = parser.add_subparsers(dest="action", required=True, metavar="list|verify|why|compare|release|prune")
    add = actions.add_parser("list", parents=[common], help="what is there, and why each was built").add_argument
    add("--json", action="store_true", help="as JSON")
    actions.add_parser("verify", parents=[common], help="hash every file again")
    add = actions.add_parser("why", parents=[common], help="what an artifact was made from, and why").add_argument
    add("artifact", help="fingerprint (or how it begins), or folder")
    add = actions.add_parser("compare", parents=[common], help="how an artifact differs from another").add_argument
    add("before", help="fingerprint (or how it begins), or folder")
    add("after", help="another of the same stage: reports and models are compared by mask AP, too")
    add = actions.add_parser("release", parents=[common], help="release a model, whatever the gate says").add_argument
    add("fingerprint", help="of a model, or of a report of it")
    _add_prune(actions.add_parser("prune", parents=[common], help="remove what nothing that is kept needs"))
    return parser


def _add_prune(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--keep", type=int, default=retention.KEEP, help="artifacts of each stage and recipe name (default: 5)")
    days = "how long an interrupted training, and a download that no artifact holds, are kept (default: 7)"
    add("--days", type=float, default=retention.DAYS, help=days)
    add("--dry-run", action="store_true", help="show what would be removed")


if __name__ == "__main__":
    sys.exit(main())
