"""Input pipeline: datasets, decoding, resizing, augmentation, RPN targets, batches."""
