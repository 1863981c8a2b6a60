"""What only scripts written for matterport's package need: old names, plots, the data generator."""
