"""The embedded sample: street scenes drawn from a seed, packed as the BDD100K portal packs its releases.

Nothing here reads labels; the rest of the chain treats what comes out as it treats a real download.
"""

from pipeline.sample.archives import GENERATOR_VERSION, IMAGES_ARCHIVE, LABELS_ARCHIVE, generate

__all__ = ["GENERATOR_VERSION", "IMAGES_ARCHIVE", "LABELS_ARCHIVE", "generate"]
