"""`python -m pipeline.release`: the stage `released_model` as a program."""

import sys

from pipeline.program import main

if __name__ == "__main__":
    sys.exit(main("released_model"))
