"""`python -m pipeline.via open|train|val`: a folder that VIA opens, or the stages `via_train` and `via_val`."""

import sys
from collections.abc import Sequence

USAGE = """usage: python -m pipeline.via open SOURCE ...    make a folder that VIA opens (open --help)
       python -m pipeline.via train|val ...      the stages via_train and via_val, without Dagster (train --help)"""
EXIT_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run `open …`, or the stage as a program (`train …`, `val …`); return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] in ([], ["-h"], ["--help"]):
        print(USAGE)
        return 0 if arguments else EXIT_USAGE
    if arguments[:1] == ["open"]:
        from pipeline.relabelling import command

        return command.main(arguments[1:])
    from pipeline import program

    split = arguments.pop(0) if arguments[:1] in (["train"], ["val"]) else "train"
    return program.main(f"via_{split}", arguments)


if __name__ == "__main__":
    sys.exit(main())
