"""Where images and labels come from: stages `raw_images` and `raw_labels`, downloads, folders, archives."""
