"""`python -m pipeline.dataset`: the stage `dataset_zip` as a program."""

import sys

from pipeline.program import main

if __name__ == "__main__":
    sys.exit(main("dataset_zip"))
