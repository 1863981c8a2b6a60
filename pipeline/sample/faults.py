"""The faults of real BDD files that the sample has too, so that they are met before real data is.

Each is one that FORMATS of the project lists as seen in published files.
"""

from typing import Any

BEYOND_THE_EDGE = 1280.643700
MISSING_IMAGE = "ffffffff-00000000.jpg"

Frame = dict[str, Any]


def spoil(frames: list[Frame]) -> None:
    """Put a zero-width box into the first frame and a vertex right of the image into the last, both in place."""
    frames[0]["labels"].append(_zero_width_box())
    frames[-1]["labels"].append(_lane_beyond_the_edge())
    _push_over_the_edge(frames)


def without_labels(frame: Frame) -> Frame:
    """Return the frame as released for an image that nobody labelled: its `labels` are null."""
    return {**frame, "labels": None}


def without_image(frame: Frame) -> Frame:
    """Return a frame whose image is in no archive; it has a label, which nothing can use."""
    return {**frame, "name": MISSING_IMAGE, "labels": [_zero_width_box()]}


def _push_over_the_edge(frames: list[Frame]) -> None:
    """Move the vertices of the first drivable area that touches the right edge as far over it as real files have."""
    for frame in frames:
        for label in frame["labels"]:
            for polygon in label.get("poly2d", []):
                touching = [vertex for vertex in polygon["vertices"] if vertex[0] >= 1280]
                if touching and label["category"] == "drivable area":
                    for vertex in touching:
                        vertex[0] = BEYOND_THE_EDGE
                    return


def _zero_width_box() -> dict[str, Any]:
    return {
        "category": "car",
        "attributes": {"occluded": True, "truncated": True, "trafficLightColor": "none"},
        "manualShape": True,
        "manualAttributes": True,
        "box2d": {"x1": 612.5, "y1": 360.25, "x2": 612.5, "y2": 371.75},
    }


def _lane_beyond_the_edge() -> dict[str, Any]:
    return {
        "category": "lane",
        "attributes": {"laneDirection": "parallel", "laneStyle": "solid", "laneType": "road curb"},
        "manualShape": True,
        "manualAttributes": True,
        "poly2d": [{"vertices": [[1180.25, 640.5], [BEYOND_THE_EDGE, 689.125]], "types": "LL", "closed": False}],
    }
