"""From images and labels to training batches: datasets, resizing, augmentation, targets."""
