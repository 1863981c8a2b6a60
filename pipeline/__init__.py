"""From raw BDD100K or VIA labels to a trained Mask R-CNN and its report: plain functions from files to files.

Nothing here knows of Dagster, but for `dagster_pipes` in `program.py`. In the order in which data flows: sources,
raw images and labels, filtered labels, VIA, dataset, training, evaluation.
"""
