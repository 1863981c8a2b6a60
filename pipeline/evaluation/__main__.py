"""`python -m pipeline.evaluation`: the stage `evaluation_report` as a program."""

import sys

from pipeline.program import main

if __name__ == "__main__":
    sys.exit(main("evaluation_report"))
