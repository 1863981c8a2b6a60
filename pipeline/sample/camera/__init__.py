"""The camera: from points in the world to pixels, lens, light and the canvas that is drawn on."""
