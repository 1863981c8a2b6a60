"""A random label file of the size and shape of BDD100K's 2018 train file, and an index of its images."""

from collections.abc import Iterator
from pathlib import Path
from random import Random

import pyarrow as pa
from PIL import Image

from pipeline.instances.tables import SCHEMA, write_table
from pipeline.sources.image_index import INDEX

BOXES = {
    "car": 713,
    "traffic sign": 240,
    "traffic light": 186,
    "person": 91,
    "truck": 30,
    "bus": 12,
    "bike": 7,
    "rider": 5,
    "motor": 3,
}
"""Labels with boxes in the release, by category, in thousands."""

LANE_TYPES = ("road curb", "single white", "double yellow", "crosswalk", "single yellow", "double white")
LANES = (4, 9)
"""Least and most lanes a frame."""
AREAS = (1, 1, 2, 2, 3)
"""Drivable areas a frame."""
AREA_TYPES = ("LLLLL", "LLCCCL", "LLLLLCCCL", "LCCCLCCCL", "LLLLLLLL")
"""Letters of areas; all but the last of them end where they began, as in the release."""
BOXES_A_FRAME = (7, 30)

BOX = """            {{
                "category": "{}",
                "attributes": {{
                    "occluded": {},
                    "truncated": {},
                    "trafficLightColor": "{}"
                }},
                "manualShape": true,
                "manualAttributes": true,
                "box2d": {{
                    "x1": {:.6f},
                    "y1": {:.6f},
                    "x2": {:.6f},
                    "y2": {:.6f}
                }},
                "id": {}
            }}"""
PATH = """            {{
                "category": "{}",
                "attributes": {{
                    {}
                }},
                "manualShape": true,
                "manualAttributes": true,
                "poly2d": [
                    {{
                        "vertices": [
{}
                        ],
                        "types": "{}",
                        "closed": {}
                    }}
                ],
                "id": {}
            }}"""
VERTEX = """                            [
                                {:.6f},
                                {:.6f}
                            ]"""
FRAME = """    {{
        "name": "{}",
        "attributes": {{
            "weather": "{}",
            "scene": "{}",
            "timeofday": "{}"
        }},
        "timestamp": 10000,
        "labels": [
{}
        ]
    }}"""

Point = tuple[float, float]


def image_names(count: int) -> list[str]:
    """Return names of BDD's form, sorted, as the release has its frames."""
    random = Random(2018)
    return sorted(f"{random.getrandbits(32):08x}-{random.getrandbits(32):08x}.jpg" for _ in range(count))


def write_labels(path: Path, names: list[str], seed: int = 2018) -> int:
    """Write a frame for each name as one pretty-printed list; return how many labels there are."""
    random, labels = Random(seed), 0
    with path.open("w", encoding="utf-8") as file:
        file.write("[\n")
        for number, name in enumerate(names):
            texts = list(_labels(random, labels))
            labels += len(texts)
            file.write(",\n" if number else "")
            weather, scene, time = (
                random.choice(words) for words in (("clear", "rainy"), ("city street", "highway"), ("daytime", "night"))
            )
            file.write(FRAME.format(name, weather, scene, time, ",\n".join(texts)))
        file.write("\n]\n")
    return labels


def write_index(folder: Path, names: list[str]) -> None:
    """Write the index of a raw_images folder: 1280x720 images, nine in ten of them in train, all the same bytes."""
    count = len(names)
    Image.new("RGB", (1280, 720), (90, 90, 90)).save(folder / "images.zip", "JPEG")
    size = (folder / "images.zip").stat().st_size
    columns = {
        "image": names,
        "split": ["val" if number % 10 == 0 else "train" for number in range(count)],
        "source": ["images.zip"] * count,
        "path": [f"bdd100k/images/100k/train/{name}" for name in names],
        "offset": [0] * count,
        "length": [size] * count,
        "compression": ["stored"] * count,
        "size": [size] * count,
        "crc32": range(count),
        "width": [1280] * count,
        "height": [720] * count,
        "sha256": [f"{number:064x}" for number in range(count)],
    }
    write_table(folder / INDEX, pa.table({key: pa.array(value) for key, value in columns.items()}).cast(SCHEMA))


def _labels(random: Random, first_id: int) -> Iterator[str]:
    label_id = first_id
    categories, weights = list(BOXES), list(BOXES.values())
    for category in random.choices(categories, weights, k=random.randint(*BOXES_A_FRAME)):
        yield _box(random, category, label_id)
        label_id += 1
    for _ in range(random.choice(AREAS)):
        yield _area(random, label_id)
        label_id += 1
    for _ in range(random.randint(*LANES)):
        yield _lane(random, label_id)
        label_id += 1


def _box(random: Random, category: str, label_id: int) -> str:
    x, y = random.uniform(0, 1200), random.uniform(100, 600)
    right, bottom = min(x + random.expovariate(0.015) + 3, 1279.6), min(y + random.expovariate(0.02) + 3, 719.6)
    occluded, truncated = (str(random.random() < share).lower() for share in (0.47, 0.07))
    colour = random.choice(("red", "green", "none")) if category == "traffic light" else "none"
    return BOX.format(category, occluded, truncated, colour, x, y, right, bottom, label_id)


def _area(random: Random, label_id: int) -> str:
    """An area at the bottom of the image; one in four reaches the right border and half a pixel over it."""
    letters = random.choice(AREA_TYPES)
    count = len(letters) - (letters != AREA_TYPES[-1])
    left, right = random.uniform(0, 500), 1280.6437 if random.random() < 0.25 else random.uniform(700, 1270)
    over = [(left + (right - left) * step / (count - 2), random.uniform(340, 500)) for step in range(count - 1)]
    ring = [*over, (random.uniform(left, right), 719.0)]
    ring += ring[:1] if len(letters) > count else []
    kind = '"areaType": "{}"'.format(random.choice(("direct", "direct", "alternative")))
    return _path("drivable area", kind, ring, letters, "true", label_id)


def _lane(random: Random, label_id: int) -> str:
    letters = random.choice(("LL", "LL", "LCCC", "LLL"))
    line = [(random.uniform(0, 1280), random.uniform(340, 720)) for _ in letters]
    kind = (
        '"laneDirection": "{}",\n                    "laneStyle": "{}",\n                    "laneType": "{}"'
    ).format(random.choice(("parallel", "vertical")), random.choice(("solid", "dashed")), random.choice(LANE_TYPES))
    return _path("lane", kind, line, letters, "false", label_id)


def _path(category: str, attributes: str, points: list[Point], letters: str, closed: str, label_id: int) -> str:
    vertices = ",\n".join(VERTEX.format(x, y) for x, y in points)
    return PATH.format(category, attributes, vertices, letters, closed, label_id)
