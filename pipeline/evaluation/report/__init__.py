"""The evaluation report: a page that holds everything it shows, to be opened, sent and printed.

Nothing is measured here: that is done in `pipeline.evaluation.judgement` and `pipeline.dataset.facts`.
"""
