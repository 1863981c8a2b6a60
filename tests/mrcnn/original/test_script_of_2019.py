"""A script and a notebook written in 2019 for matterport's package run unchanged."""
# ruff: noqa: RUF059, SIM115  (written as it was then)

import json

import keras
import matplotlib as mpl
import numpy as np
import pytest
import skimage.draw
import skimage.io

mpl.use("Agg")

from mrcnn import model as modellib
from mrcnn import utils, visualize
from mrcnn.config import Config
from tests.mrcnn.street import Squares


class StreetConfig(Config):
    NAME = "street"
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1
    NUM_CLASSES = 1 + 2
    BACKBONE = "narrow"
    IMAGE_MIN_DIM = 64
    IMAGE_MAX_DIM = 64
    RPN_ANCHOR_SCALES = (8, 16, 32, 64, 128)
    TRAIN_ROIS_PER_IMAGE = 16
    POST_NMS_ROIS_TRAINING = 50
    POST_NMS_ROIS_INFERENCE = 50
    STEPS_PER_EPOCH = 2
    VALIDATION_STEPS = 1
    DETECTION_MIN_CONFIDENCE = 0.0
    DETECTION_MAX_INSTANCES = 10
    FPN_CLASSIF_FC_LAYERS_SIZE = 32
    TOP_DOWN_PYRAMID_SIZE = 16


class InferenceConfig(StreetConfig):
    GPU_COUNT = 1
    IMAGES_PER_GPU = 1


class ThingsDataset(utils.Dataset):
    def load_things(self, dataset_dir, subset):
        self.add_class("things", 1, "car")
        self.add_class("things", 2, "sign")
        annotations = json.load(open(dataset_dir / subset / "via_region_data.json"))
        annotations = [a for a in annotations.values() if a["regions"]]
        for a in annotations:
            polygons = [r["shape_attributes"] for r in a["regions"].values()]
            names = [r["region_attributes"]["name"] for r in a["regions"].values()]
            image_path = str(dataset_dir / subset / a["filename"])
            height, width = skimage.io.imread(image_path).shape[:2]
            self.add_image(
                "things",
                image_id=a["filename"],
                path=image_path,
                width=width,
                height=height,
                polygons=polygons,
                names=names,
            )

    def load_mask(self, image_id):
        image_info = self.image_info[image_id]
        if image_info["source"] != "things":
            return super(self.__class__, self).load_mask(image_id)
        info = self.image_info[image_id]
        mask = np.zeros([info["height"], info["width"], len(info["polygons"])], dtype=np.uint8)
        for i, p in enumerate(info["polygons"]):
            rr, cc = skimage.draw.polygon(p["all_points_y"], p["all_points_x"])
            mask[rr, cc, i] = 1
        class_ids = np.array([self.class_names.index(n) for n in info["names"]])
        return mask.astype(bool), class_ids.astype(np.int32)

    def image_reference(self, image_id):
        info = self.image_info[image_id]
        if info["source"] == "things":
            return info["path"]
        return super(self.__class__, self).image_reference(image_id)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Pictures and their VIA 1 file for training and validation."""
    root, squares = tmp_path_factory.mktemp("things"), Squares(8)
    for subset, numbers in (("train", (0, 1, 2, 3, 4)), ("val", (5, 6))):
        (root / subset).mkdir()
        labels = {}
        for number in numbers:
            name = f"{number}.png"
            skimage.io.imsave(root / subset / name, squares.load_image(number), check_contrast=False)
            regions = {
                str(k): {
                    "shape_attributes": {
                        "name": "polygon",
                        "all_points_x": [x1, x2, x2, x1],
                        "all_points_y": [y1, y1, y2, y2],
                    },
                    "region_attributes": {"name": ("car", "sign")[kind - 1]},
                }
                for k, (kind, y1, x1, y2, x2) in enumerate(squares.rectangles(number))
            }
            labels[name] = {"filename": name, "size": 1, "regions": regions, "file_attributes": {}}
        (root / subset / "via_region_data.json").write_text(json.dumps(labels))
    return root


def test_a_script_of_2019_runs_from_labels_to_average_precision(folder, tmp_path, capsys):
    dataset_train = ThingsDataset()
    dataset_train.load_things(folder, "train")
    dataset_train.prepare()
    dataset_val = ThingsDataset()
    dataset_val.load_things(folder, "val")
    dataset_val.prepare()
    config = StreetConfig()
    config.display()
    assert "TRAIN_ROIS_PER_IMAGE" in capsys.readouterr().out

    model = modellib.MaskRCNN(mode="training", config=config, model_dir=str(tmp_path))
    start = tmp_path / "mask_rcnn_start.h5"
    model.keras_model.save_weights(str(start))
    model.load_weights(
        str(start), by_name=True, exclude=["mrcnn_class_logits", "mrcnn_bbox_fc", "mrcnn_bbox", "mrcnn_mask"]
    )
    backbone = model.keras_model.get_layer("conv1").kernel.numpy()
    model.train(dataset_train, dataset_val, learning_rate=config.LEARNING_RATE, epochs=1, layers="heads")
    assert (model.keras_model.get_layer("conv1").kernel.numpy() == backbone).all()
    model.train(dataset_train, dataset_val, learning_rate=config.LEARNING_RATE / 10, epochs=2, layers="all")
    assert (model.keras_model.get_layer("conv1").kernel.numpy() != backbone).any()

    inference_config = InferenceConfig()
    model = modellib.MaskRCNN(mode="inference", config=inference_config, model_dir=str(tmp_path))
    model_path = model.find_last()
    assert model_path.endswith("mask_rcnn_street_0002.h5")
    model.load_weights(model_path, by_name=True)

    image_id = np.random.choice(dataset_val.image_ids)
    original_image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
        dataset_val, inference_config, image_id, use_mini_mask=False
    )
    modellib.log("original_image", original_image)
    visualize.display_instances(
        original_image, gt_bbox, gt_mask, gt_class_id, dataset_train.class_names, figsize=(8, 8)
    )
    r = model.detect([original_image], verbose=1)[0]
    visualize.display_instances(
        original_image, r["rois"], r["masks"], r["class_ids"], dataset_val.class_names, r["scores"]
    )

    APs = []
    for image_id in dataset_val.image_ids:
        image, image_meta, gt_class_id, gt_bbox, gt_mask = modellib.load_image_gt(
            dataset_val, inference_config, image_id, use_mini_mask=False
        )
        molded_images = np.expand_dims(modellib.mold_image(image, inference_config), 0)
        assert molded_images.shape == (1, 64, 64, 3)
        r = model.detect([image], verbose=0)[0]
        AP, precisions, recalls, overlaps = utils.compute_ap(
            gt_bbox, gt_class_id, gt_mask, r["rois"], r["class_ids"], r["scores"], r["masks"]
        )
        APs.append(AP)
    assert 0 <= np.mean(APs) <= 1
    inspect_the_network(model, original_image)


def inspect_the_network(model, image):
    """The steps of matterport's inspect_model notebook."""
    layer = model.keras_model.get_layer
    results = model.run_graph(
        [image],
        [
            ("rpn_class", layer("rpn_class").output),
            ("proposals", layer("ROI").output),
            ("res4a_out", model.ancestor(layer("ROI").output, "res4a_out/Relu:0")),
            ("detections", layer("mrcnn_detection").output),
        ],
    )
    assert list(results) == ["rpn_class", "proposals", "res4a_out", "detections"]
    assert results["proposals"].shape == (1, 50, 4)
    assert results["rpn_class"].shape[1] == len(model.anchors) == len(model.get_anchors(image.shape))
    assert np.abs(model.anchors).max() > 1
    assert results["res4a_out"].shape[1:3] == (4, 4)
    again = model.run_graph(
        modellib.mold_image(image, model.config)[None],
        [("rpn_class", layer("rpn_class").output)],
        model.mold_inputs([image])[1],
    )
    assert again["rpn_class"] == pytest.approx(results["rpn_class"], abs=1e-4)
    with pytest.raises(ValueError, match="no tensor is given for nms"):
        model.run_graph([image], [("nms", model.ancestor(layer("ROI").output, "ROI/rpn_non_max_suppression:0"))])
    names = [inner.name for inner in model.get_trainable_layers()]
    assert {"conv1", "rpn_conv_shared", "mrcnn_mask"} <= set(names)
    assert model.find_trainable_layer(layer("conv1")) is layer("conv1")
    inner = keras.layers.Dense(2)
    assert model.find_trainable_layer(keras.layers.TimeDistributed(inner)) is inner
    visualize.display_weight_stats(model)
