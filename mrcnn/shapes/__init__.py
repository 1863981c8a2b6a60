"""Boxes, anchors, masks, polygons and run lengths as NumPy arrays; average precision."""
