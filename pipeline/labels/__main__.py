"""`python -m pipeline.labels`: the stage `filtered_labels` as a program."""

if __name__ == "__main__":
    import sys

    from pipeline.program import main

    sys.exit(main("filtered_labels"))
