"""`make bench-mrcnn`: our network beside the original and torchvision's, step by step in turn, in one run."""
