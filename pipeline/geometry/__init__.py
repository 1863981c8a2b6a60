"""Shapes as numbers: curves to lines, clipping, areas, masks to rings, COCO run lengths.

Points are [K, 2] float64, (x, y) in pixels, where pixel i spans i to i + 1; nothing here knows a label format.
"""
