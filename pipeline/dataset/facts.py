"""What there is to know of a dataset before one believes a figure measured on it."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from pipeline.dataset.images_zip import ImageRecord, ImagesZip


@dataclass(frozen=True)
class SplitFacts:
    """What a split, or the judged images of it, hold."""

    split: str
    images: int
    empty_images: int
    """Images without an instance."""
    instances: dict[str, int]
    """Instances that count, by category, most frequent first."""
    ignored: int
    """Instances that are crowds or to be ignored."""
    boxes: int
    """Of those that count, the ones of which only a box is known, so that a rectangle stands in for the mask."""

    @property
    def counted(self) -> int:
        """Instances that count."""
        return sum(self.instances.values())

    @property
    def box_share(self) -> float:
        """Share of the instances that count of which only a box is known."""
        return self.boxes / self.counted if self.instances else 0.0


@dataclass(frozen=True)
class DatasetFacts:
    """The splits, and what limits the worth of the judged one."""

    splits: tuple[SplitFacts, ...]
    judged: SplitFacts
    """Of the judged images only."""
    seen_in_training: int
    """Judged images whose very file is in the training split, too."""

    @property
    def learnt_box_share(self) -> float:
        """Share of the instances of the training split of which only a box is known."""
        return next((each.box_share for each in self.splits if each.split == "train"), 0.0)


def measure(archive: ImagesZip, split: str, records: Sequence[ImageRecord]) -> DatasetFacts:
    """Return the facts of `archive`; `records` are the judged images of `split`."""
    trained = {(each.size, each.crc) for each in archive.records("train")} if "train" in archive.splits else set()
    return DatasetFacts(
        splits=tuple(_split_facts(name, archive.records(name)) for name in archive.splits),
        judged=_split_facts(split, records),
        seen_in_training=sum((record.size, record.crc) in trained for record in records),
    )


def _split_facts(name: str, records: Sequence[ImageRecord]) -> SplitFacts:
    instances = [instance for record in records for instance in record.instances]
    counting = [each for each in instances if not (each.crowd or each.ignored)]
    counted = Counter(each.category for each in counting)
    return SplitFacts(
        split=name,
        images=len(records),
        empty_images=sum(not record.instances for record in records),
        instances=dict(sorted(counted.items(), key=lambda pair: (-pair[1], pair[0]))),
        ignored=len(instances) - len(counting),
        boxes=sum(each.geometry == "box" for each in counting),
    )
