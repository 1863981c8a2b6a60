"""Worker: torchvision's Mask R-CNN, ResNet-50 with FPN, on the same pictures at 576×1024, one at a time."""

import argparse
import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image, ImageDraw
from torchvision.models.detection import maskrcnn_resnet50_fpn

from turns import serve  # isort: skip  (this folder is on the path: the worker is run as a file)


def main() -> None:
    """Serve one piece of work."""
    parser = argparse.ArgumentParser()
    parser.add_argument("work", choices=("all", "detect"))
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--classes", required=True)
    arguments = parser.parse_args()
    classes = arguments.classes.split(",")
    torch.manual_seed(0)
    network = maskrcnn_resnet50_fpn(
        weights=None,
        weights_backbone=None,
        num_classes=len(classes) + 1,
        min_size=800,
        max_size=1024,
        trainable_backbone_layers=5,
        box_score_thresh=0.0,
        box_detections_per_img=100,
    )
    if arguments.work == "detect":
        network.eval()
        images = [image for image, _ in labelled(arguments.data / "val", classes)]
        serve(lambda number: images[number % len(images)], lambda image: _found(network, image))
        return
    network.train()
    optimizer = torch.optim.SGD(network.parameters(), lr=1e-4, momentum=0.9, weight_decay=1e-4)
    pairs = labelled(arguments.data / "train", classes)
    serve(lambda number: pairs[number % len(pairs)], lambda pair: _step(network, optimizer, *pair))


def labelled(folder: Path, classes: list[str]) -> list[tuple[torch.Tensor, dict[str, torch.Tensor]]]:
    """Return images [3, H, W] float32 (0 to 1) with their boxes [N, 4], labels [N] and masks [N, H, W]."""
    pairs = []
    for name, entry in sorted(json.loads((folder / "via_region_data.json").read_text()).items()):
        with Image.open(folder / name) as file:
            pixels = np.array(file.convert("RGB"))
        masks, labels = [], []
        for region in entry["regions"].values():
            shape = region["shape_attributes"]
            mask = Image.new("1", (pixels.shape[1], pixels.shape[0]))
            points = list(zip(shape["all_points_x"], shape["all_points_y"], strict=True))
            ImageDraw.Draw(mask).polygon(points, fill=1)
            masks.append(np.array(mask))
            labels.append(classes.index(region["region_attributes"]["name"]) + 1)
        boxes = [[*np.argwhere(m).min(0)[::-1], *(np.argwhere(m).max(0)[::-1] + 1)] for m in masks]
        target = {
            "boxes": torch.tensor(np.array(boxes), dtype=torch.float32),
            "labels": torch.tensor(labels),
            "masks": torch.from_numpy(np.stack(masks).astype(np.uint8)),
        }
        pairs.append((torch.from_numpy(pixels).permute(2, 0, 1).float() / 255, target))
    return pairs


def _step(network, optimizer, image: torch.Tensor, target: dict[str, torch.Tensor]) -> dict[str, float]:
    total = sum(network([image], [target]).values())
    optimizer.zero_grad()
    total.backward()
    optimizer.step()
    return {"loss": float(total.detach())}


def _found(network, image: torch.Tensor) -> dict[str, int]:
    with torch.inference_mode():
        return {"detections": len(network([image])[0]["masks"])}


if __name__ == "__main__":
    main()
