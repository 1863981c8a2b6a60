"""`python -m pipeline.labels`: the stage `filtered_labels` as a program."""

if __name__ == "__main__":
    import gc
    import sys

    from pipeline.program import main
    from pipeline.running.without_pandas import do_without_pandas

    gc.set_threshold(2_000_000)  # what is made here by the million holds no cycles, and looking for some takes time
    do_without_pandas()
    sys.exit(main("filtered_labels"))
