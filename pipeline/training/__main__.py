"""`python -m pipeline.training`: the stage `trained_model` as a program."""

import sys

from pipeline.program import main

if __name__ == "__main__":
    sys.exit(main("trained_model"))
