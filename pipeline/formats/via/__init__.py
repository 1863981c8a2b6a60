"""VIA (VGG Image Annotator), releases 1 to 3: annotations and projects, read and written."""
