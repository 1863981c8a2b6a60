"""Files and archives: atomic writing, digests, zips read and written, headers of images."""
