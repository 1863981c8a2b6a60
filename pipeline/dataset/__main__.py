"""`python -m pipeline.dataset`: the stage `dataset_zip` as a program; with `export`, its labels for other tools."""

import sys
from collections.abc import Sequence

EXPORT = "export"


def main(argv: Sequence[str] | None = None) -> int:
    """Run `export …`, or the stage; return the exit status."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments[:1] == [EXPORT]:
        from pipeline.dataset.export import command

        return command.main(arguments[1:])
    from pipeline import program

    if {"-h", "--help"} & set(arguments):
        print("python -m pipeline.dataset export --help: the labels of a finished images.zip for other tools\n")
    return program.main("dataset_zip", arguments)


if __name__ == "__main__":
    sys.exit(main())
