"""Parts of matterport's package that only old scripts need: old names, plots, the data generator."""
