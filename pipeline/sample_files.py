"""The embedded sample as files: its two archives, drawn once for a seed and size, kept among the downloads.

What the scenes look like is `pipeline.sample`'s.
"""

from pathlib import Path
from typing import Literal

from pipeline.download_cache import whole_folder
from pipeline.recipe import Recipe

ARCHIVES = {"images": "bdd100k_images_100k.zip", "labels": "bdd100k_labels_release.zip"}


def sample_archive(recipe: Recipe, role: Literal["images", "labels"], downloads: Path) -> Path:
    """Return the sample's archive of images or of labels, drawn on the first use; a killed drawing leaves nothing."""
    from pipeline import sample

    seed, scenes = recipe.seed, recipe.source.sample
    folder = downloads / f"sample-{seed}-{scenes.train}-{scenes.val}-v{sample.GENERATOR_VERSION}"
    what = f"the sample of {scenes.train + scenes.val} scenes"
    whole_folder(folder, what, lambda partial: sample.generate(partial, seed, scenes.train, scenes.val))
    return folder / ARCHIVES[role]
