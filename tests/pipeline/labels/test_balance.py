"""Rare classes: how often an image is seen, and which images a limit chooses."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from pipeline.dataset.images_zip import ImagesZip
from pipeline.instances.videos import LabelledFile
from pipeline.labels.balance import rank, repeat_factors, repeats
from pipeline.labels.splits import divide
from pipeline.recipe.sections import Dataset
from pipeline.training.data import ZipDataset, balanced
from tests.pipeline.small_datasets import entry, jpeg, numbered, square, write


def test_an_image_counts_by_its_rarest_class() -> None:
    images = [{"car"}] * 14 + [{"car", "train"}, set()]
    factors = repeat_factors(images, 0.25)
    assert factors[:14] == [1.0] * 14
    assert factors[14:] == [2.0, 1.0]  # one image of 16 holds a train: sqrt(0.25 / (1 / 16))


def test_without_a_threshold_each_image_counts_once() -> None:
    assert repeat_factors([{"car"}, {"train"}, set()], 0) == [1.0] * 3
    assert repeat_factors([], 0.5) == []


def test_the_mean_of_the_repeats_is_the_factor() -> None:
    names = [f"{number}.jpg" for number in range(4000)]
    drawn = repeats(names, [2.25] * len(names), seed=3)
    assert set(drawn) == {2, 3}
    assert np.mean(drawn) == pytest.approx(2.25, abs=0.03)
    assert drawn == repeats(names, [2.25] * len(names), seed=3)
    assert drawn != repeats(names, [2.25] * len(names), seed=4)
    assert repeats(names, [1.0] * len(names), seed=3) == [1] * len(names)


def test_draws_are_in_proportion_to_the_weights() -> None:
    names = [f"{number}.jpg" for number in range(3000)]
    first = sum(rank(1, f"a {name}", 3.0) < rank(1, f"b {name}", 1.0) for name in names)
    assert first / len(names) == pytest.approx(0.75, abs=0.03)


def pictures(split: str, count: int, rare: int) -> list[LabelledFile]:
    return [
        LabelledFile(
            f"{split}{number}.jpg", f"{split} {number}", split, None, frozenset({"train" if number < rare else "car"})
        )
        for number in range(count)
    ]


def test_a_limit_that_is_balanced_favours_rare_classes_in_train_alone() -> None:
    images = [*pictures("train", 1000, rare=20), *pictures("val", 400, rare=20)]
    limit = {"train": 100, "val": 100}

    def rare(balance: float) -> Counter[str]:
        drawn = [divide(images, Dataset(limit=limit, balance=balance), seed).members for seed in range(20)]
        return Counter(
            split for members in drawn for split in members for at in members[split] if "train" in images[at].categories
        )

    alike, balanced_draws = rare(0), rare(1)
    assert alike["train"] / 20 == pytest.approx(2, abs=1)  # 2% of 100
    assert balanced_draws["train"] / 20 == pytest.approx(10, abs=2)  # seven times as likely each, while there are any
    assert balanced_draws["val"] == alike["val"]


def test_a_higher_balanced_limit_keeps_what_a_lower_one_kept() -> None:
    images = [*pictures("train", 200, rare=9), *pictures("val", 2, rare=1)]
    few, more = (divide(images, Dataset(limit={"train": most}, balance=0.5), seed=1).members for most in (20, 40))
    assert set(few["train"]) < set(more["train"])


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
