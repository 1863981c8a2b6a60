"""BDD100K's instance segmentation in Scalabel's JSON, a list of frames: `labels/ins_seg_<split>.json`."""

from pathlib import Path
from typing import Any

import msgspec

from pipeline.dataset.export.exported import Exported, Picture
from pipeline.dataset.export.json_lists import write_list
from pipeline.formats.label_values import image_attributes
from pipeline.geometry.polygon import Ring
from pipeline.instances.image_paths import video_in_name
from pipeline.labels.classes import Instance
from pipeline.running.progress import Progress


def write(exported: Exported, folder: Path, _: Path, bar: Progress) -> None:
    """Write a file for each split, with the attributes and videos of the archive.

    A polygon is as in the archive, also where it reaches out of the picture; an instance of which only the box is known
    is a box. Crowds and regions to ignore are the attributes `crowd` and `ignored`.
    """
    (folder / "labels").mkdir()
    for split, pictures in exported.splits.items():
        with (folder / "labels" / f"ins_seg_{split}.json").open("wb") as file:
            write_list(file, (_frame(exported, picture) for picture in bar.over(pictures)))
            file.write(b"\n")


def _frame(exported: Exported, picture: Picture) -> dict[str, Any]:
    record = picture.record
    given, attributes = image_attributes(dict(record.attributes))
    video, attributes = given or video_in_name(record.image), msgspec.json.decode(attributes)
    for instance in record.instances:
        exported.count(instance)
    return {
        "name": picture.name,
        **({"videoName": video} if video else {}),
        **({"attributes": attributes} if attributes else {}),
        "labels": [_label(instance) for instance in record.instances],
    }


def _label(instance: Instance[Ring]) -> dict[str, Any]:
    attributes = {**instance.attributes, **instance.flags}
    described = {"id": instance.id, "category": instance.category, "attributes": attributes}
    if instance.geometry == "box":
        (x1, y1), (x2, y2) = instance.rings[0].min(axis=0).tolist(), instance.rings[0].max(axis=0).tolist()
        return described | {"box2d": {"x1": x1, "y1": y1, "x2": x2, "y2": y2}}
    return described | {
        "poly2d": [{"vertices": ring.tolist(), "types": "L" * len(ring), "closed": True} for ring in instance.rings]
    }
