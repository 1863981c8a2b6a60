"""How often an image with rare classes is seen."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.images_zip import ImagesZip
from pipeline.training.data import ZipDataset, balanced, repeats
from tests.pipeline.small_datasets import entry, jpeg, numbered, square, write


def test_the_mean_of_the_repeats_is_the_factor() -> None:
    names = [f"{number}.jpg" for number in range(4000)]
    drawn = repeats(names, [2.25] * len(names), seed=3)
    assert set(drawn) == {2, 3}
    assert np.mean(drawn) == pytest.approx(2.25, abs=0.03)
    assert drawn == repeats(names, [2.25] * len(names), seed=3)
    assert drawn != repeats(names, [2.25] * len(names), seed=4)
    assert repeats(names, [1.0] * len(names), seed=3) == [1] * len(names)


def test_the_trainer_sees_rare_images_more_often_and_the_archive_holds_each_once(tmp_path: Path) -> None:
    names = [f"{number}.jpg" for number in range(8)]
    regions = {name: numbered([square(2, 2, 20, "bus" if name == "0.jpg" else "car")]) for name in names}
    regions["1.jpg"] = numbered([square(2, 2, 20, "train", crowd="true")])
    labels = {name: entry(name, its, width=64, height=48) for name, its in regions.items()}
    path = write(tmp_path / "images.zip", {"train": labels}, {f"train/{name}": jpeg(64, 48) for name in names})
    with ImagesZip(path) as archive:
        seen = balanced(archive.records("train"), 1.0, seed=1)
        times = Counter(record.image for record in seen)
        assert times["0.jpg"] in (2, 3)  # sqrt(1 / (1 / 8)) = 2.83
        assert times["1.jpg"] == 1
        train = ZipDataset(archive, "train", archive.class_names(), seen)
        assert train.num_images == len(seen)
        assert train.load_mask(0)[1].tolist() == train.load_mask(1)[1].tolist()
        assert balanced(archive.records("train"), 0.0, seed=1) == list(archive.records("train"))
