"""COCO instances files."""
