"""What a run writes: its parts, the files of each picture, and the files of all."""
