"""Batches for training: their content, which depends on seed and step only."""

import random

import numpy as np
import pytest
import tensorflow as tf

from mrcnn.data.augmentation import Augmentation
from mrcnn.data.batches import BatchLoader
from mrcnn.data.dataset import Dataset, StoredImage
from mrcnn.data.image_meta import parse_image_meta
from mrcnn.data.resizing import frame_for
from mrcnn.data.samples import load_image_gt, load_sample
from mrcnn.original.data_generator import data_generator
from mrcnn.shapes.masks import is_covered
from mrcnn.shapes.polygons import FULL
from tests.mrcnn.street import Squares, TinyConfig

EVERYTHING = Augmentation(flip=0.5, scale=(0.7, 1.3), brightness=0.2, contrast=0.2, saturation=0.3)


def streamed(loader, threads, count=8):
    return [[np.asarray(array) for array in batch] for batch in loader.batches(0, count, threads)]


def same(one, other):
    batches = zip(one, other, strict=True)
    return all(np.array_equal(a, b) for first, second in batches for a, b in zip(first, second, strict=True))


def test_any_number_of_threads_gives_the_same_batches():
    runs = [streamed(BatchLoader(Squares(7), TinyConfig(), augmentation=EVERYTHING), threads) for threads in (1, 2, 5)]
    assert same(runs[0], runs[1])
    assert same(runs[0], runs[2])


def test_starting_at_a_later_step_gives_the_same_batches():
    config = TinyConfig()
    whole = streamed(BatchLoader(Squares(7), config, augmentation=EVERYTHING), 2)
    rest = BatchLoader(Squares(7), config, augmentation=EVERYTHING).batches(5, 8, 2)
    assert same(whole[5:], [[np.asarray(array) for array in batch] for batch in rest])


def test_another_seed_gives_another_order():
    other = TinyConfig()
    other.SEED = 8
    first, second = (BatchLoader(Squares(7), config) for config in (TinyConfig(), other))
    assert any((first.batch(k).image_meta[:, 0] != second.batch(k).image_meta[:, 0]).any() for k in range(4))


def test_every_pass_contains_every_image_once():
    loader = BatchLoader(Squares(6), TinyConfig())
    seen = [int(meta[0]) for step in range(6) for meta in loader.batch(step).image_meta]
    assert sorted(seen[:6]) == sorted(seen[6:]) == list(range(6))
    assert seen[:6] != seen[6:]


def test_images_without_instances_are_included():
    loader = BatchLoader(Squares(8), TinyConfig(), shuffle=False, batch_size=1)
    empty = loader.batch(3)
    assert not empty.gt_class_ids.any()
    assert (empty.rpn_match == -1).any()


@pytest.mark.parametrize(("mini", "masks"), [(True, ((2, 56, 56, 8), "uint8")), (False, ((2, 64, 64, 8), "bool"))])
def test_the_arrays_have_matterport_s_shapes(mini, masks):
    config = TinyConfig()
    config.USE_MINI_MASK = mini
    arrays = BatchLoader(Squares(6), config).batch(0).arrays()
    anchors = arrays[2].shape[1]
    assert [(array.shape, array.dtype.name) for array in arrays] == [
        ((2, 64, 64, 3), "uint8"),
        ((2, 15), "float32"),
        ((2, anchors, 1), "int32"),
        ((2, 128, 4), "float32"),
        ((2, 8), "int32"),
        ((2, 8, 4), "int32"),
        masks,  # mini masks aren't made 0 or 1 before their time
    ]


@pytest.mark.parametrize("mini", [True, False])
def test_polygons_and_masks_give_the_same_instances(mini):
    config = TinyConfig()
    config.USE_MINI_MASK = mini
    fast = BatchLoader(Squares(6), config, shuffle=False).batch(0)
    slow = BatchLoader(Squares(6, with_polygons=False), config, shuffle=False).batch(0)
    assert np.array_equal(fast.gt_class_ids, slow.gt_class_ids)
    assert np.abs(fast.gt_boxes - slow.gt_boxes).max() <= 1
    assert np.array_equal(fast.images, slow.images)
    filled = [is_covered(batch.gt_masks) if mini else batch.gt_masks for batch in (fast, slow)]
    assert (filled[0] != filled[1]).mean() < 0.02
    assert filled[0].any()


def test_boxes_follow_augmentation():
    dataset, config = Squares(6), TinyConfig()
    for seed in range(12):
        rng = np.random.default_rng(seed)
        stored = StoredImage(dataset, 0)
        moved = Augmentation(flip=0.5, scale=(0.6, 1.6))
        sample = load_sample(stored, config, frame_for(stored.size, config), rng, moved)
        top = len(sample.boxes) - 1  # drawn last, so nothing hides it
        y1, x1, y2, x2 = sample.boxes[top]
        inside = sample.image[y1 + 1 : y2 - 1, x1 + 1 : x2 - 1].reshape(-1, 3).astype(int)
        if len(inside):
            red = sample.class_ids[top] == 1
            assert ((inside[:, 0] > inside[:, 2]) == red).mean() > 0.95


def test_excluded_sources_are_not_augmented():
    config = TinyConfig()
    plain = BatchLoader(Squares(6), config).batch(0)
    kept = BatchLoader(Squares(6), config, augmentation=EVERYTHING, no_augmentation_sources=["squares"]).batch(0)
    assert np.array_equal(plain.images, kept.images)


def test_the_input_of_a_batch_holds_all_of_its_images():
    class Mixed(Squares):
        def load_image(self, image_id):
            image = super().load_image(image_id)
            return image if image_id else np.ascontiguousarray(image.transpose(1, 0, 2))

        def polygons(self, image_id):
            return super().polygons(image_id) if image_id else ([], np.zeros(0, np.int32))

    config = TinyConfig()
    config.IMAGE_RESIZE_MODE, config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM = "pad32", 48, 64
    loader = BatchLoader(Mixed(4), config, shuffle=False)
    assert loader.batch(1).images.shape == (2, 64, 64, 3)
    config.IMAGE_MIN_DIM, config.IMAGE_MAX_DIM = 60, 80
    assert BatchLoader(Mixed(4), config, shuffle=False).batch(1).images.shape == (2, 64, 96, 3)
    assert BatchLoader(Mixed(4), config, shuffle=False).batch(0).images.shape == (2, 96, 96, 3)


def test_active_classes_are_those_of_the_image_s_source():
    dataset = Squares(2)
    dataset.add_class("signs", 1, "sign")
    dataset.add_image("signs", "s", None, width=80, height=60)
    dataset.prepare()
    config = TinyConfig()
    config.NUM_CLASSES, config.IMAGE_META_SIZE = 4, 16
    metas = [BatchLoader(dataset, config, shuffle=False, batch_size=1).batch(k).image_meta for k in (0, 2)]
    assert parse_image_meta(metas[0])["active_class_ids"].tolist() == [[1, 1, 1, 0]]
    assert parse_image_meta(metas[1])["active_class_ids"].tolist() == [[1, 0, 0, 1]]


def test_a_damaged_image_is_named():
    class Broken(Squares):
        def encoded_image(self, image_id):
            return b"\xff\xd8 not a JPEG"

    loader = BatchLoader(Broken(4), TinyConfig(), shuffle=False)
    with pytest.raises(ValueError, match=r"image '0\.png' of 'squares'"):
        loader.batch(0)


def test_a_damaged_image_ends_iteration_at_its_batch_and_is_named():
    """Matterport's code skipped up to five of them."""

    class OneBroken(Squares):
        def encoded_image(self, image_id):
            return b"no image" if image_id == 5 else super().encoded_image(image_id)

    loader = BatchLoader(OneBroken(8), TinyConfig(), shuffle=False)
    batches = iter(loader.batches(0, 4, threads=1))
    assert [next(batches)[1][:, 0].numpy().tolist() for _ in range(2)] == [[0, 1], [2, 3]]
    with pytest.raises(tf.errors.OpError):
        next(batches)
    assert "image '5.png' of 'squares'" in str(loader.failure)


class Triangle(Squares):
    """One instance: the upper left half of a square of 16 pixels."""

    def polygons(self, image_id):
        ring = np.array([[8, 8], [24, 8], [8, 24]])
        return ([[ring]], np.array([1], np.int32)) if self.with_polygons else None

    def load_mask(self, image_id):
        mask = np.zeros((60, 80, 1), bool)
        mask[8:24, 8:24, 0] = np.add.outer(np.arange(16), np.arange(16)) < 16
        return mask, np.array([1], np.int32)


class Unscaled(TinyConfig):
    IMAGE_MIN_DIM = IMAGE_MAX_DIM = 80
    MINI_MASK_SHAPE = (8, 8)


@pytest.mark.parametrize("with_polygons", [True, False])
def test_partial_coverage_of_cells_is_preserved(with_polygons):
    """Matterport's code rounded mini masks, and again after cropping."""
    batch = BatchLoader(Triangle(2, with_polygons), Unscaled()).batch(0)
    assert batch.gt_boxes[0, 0].tolist() == [18, 8, 34, 24]  # 10 rows of padding above
    diagonal = np.add.outer(np.arange(8), np.arange(8))
    expected = np.select([diagonal < 7, diagonal == 7], [FULL, 3 * FULL // 4], 0)
    assert batch.gt_masks[0, :, :, 0].tolist() == expected.tolist()


def test_masks_of_another_size_than_the_image_are_named():
    class Wrong(Squares):
        def load_mask(self, image_id):
            return np.zeros((10, 10, 1), bool), np.array([1])

    with pytest.raises(ValueError, match=r"load_mask returned masks of shape \(10, 10, 1\)"):
        load_image_gt(Wrong(2, with_polygons=False), TinyConfig(), 0)


@pytest.mark.parametrize("class_id", [0, 7, -3])
@pytest.mark.parametrize("with_polygons", [True, False])
def test_class_ids_that_the_network_does_not_have_are_named(class_id, with_polygons):
    class Wrong(Squares):
        def polygons(self, image_id):
            return super().polygons(image_id) and (super().polygons(image_id)[0], np.full(3, class_id))

        def load_mask(self, image_id):
            return super().load_mask(image_id)[0], [class_id] * 3

    with pytest.raises(ValueError, match=rf"image '0\.png' of 'squares' has an instance of class id {class_id}; with"):
        BatchLoader(Wrong(1, with_polygons), TinyConfig()).batch(0)


def test_the_classes_of_dataset_and_network_are_compared():
    dataset = Squares(2)
    dataset.add_class("squares", 3, "green")
    dataset.prepare()
    with pytest.raises(ValueError, match=r"4 classes \(BG, red, blue, green\), but Config.NUM_CLASSES is 3"):
        BatchLoader(dataset, TinyConfig())

    class Larger(TinyConfig):
        NUM_CLASSES = 5

    with pytest.warns(UserWarning, match="NUM_CLASSES is 5: the network learns nothing of the others"):
        BatchLoader(dataset, Larger())


@pytest.mark.parametrize("shape", [(0, 0, 0), (0,), (60, 80, 0)])
def test_any_empty_mask_is_no_instance(shape):
    class Empty(Squares):
        def load_mask(self, image_id):
            return np.empty(shape), []

    assert load_image_gt(Empty(2, with_polygons=False), TinyConfig(), 0)[4].shape == (64, 64, 0)
    assert not BatchLoader(Empty(2, with_polygons=False), TinyConfig()).batch(0).gt_class_ids.any()


class Depth(Squares):
    """Images of four channels as 16 bits."""

    def load_image(self, image_id):
        image = super().load_image(image_id)
        return np.dstack([image, image[..., 0]]).astype(np.uint16) * 257


class FourChannels(TinyConfig):
    IMAGE_CHANNEL_COUNT = 4
    MEAN_PIXEL = np.full(4, 100.0)


def test_images_may_have_any_number_of_channels():
    images, depth = Squares(2, with_polygons=False), Depth(2, with_polygons=False)
    plain = streamed(BatchLoader(images, TinyConfig(), augmentation=Augmentation(flip=0.5)), 1, 1)[0][0]
    four = streamed(BatchLoader(depth, FourChannels(), augmentation=Augmentation(flip=0.5)), 1, 1)[0]
    assert np.array_equal(four[0], np.concatenate([plain, plain[..., :1]], axis=3))
    assert four[1][:, [3, 6]].tolist() == [[4, 4]] * 2
    assert load_image_gt(depth, FourChannels(), 0)[0].shape == (64, 64, 4)
    with pytest.raises(ValueError, match="change RGB images, not 4 channels"):
        BatchLoader(depth, FourChannels(), augmentation=EVERYTHING).batch(0)
    with pytest.raises(ValueError, match=r"image '\d.png' of 'squares' has shape \(60, 80, 4\)"):
        BatchLoader(depth, TinyConfig()).batch(0)


def test_load_image_gt_returns_what_matterport_s_returned():
    image, meta, class_ids, boxes, masks = load_image_gt(Squares(4), TinyConfig(), 0, use_mini_mask=True)
    assert image.shape == (64, 64, 3)
    assert meta[1:4].tolist() == [60, 80, 3]
    assert class_ids.tolist() == [1, 2, 1]
    assert boxes.shape == (3, 4)
    assert masks.shape == (56, 56, 3)


def test_augment_mirrors_half_of_the_images():
    random.seed(0)
    images = [load_image_gt(Squares(4), TinyConfig(), 0, augment=True)[0] for _ in range(12)]
    assert any(np.array_equal(images[0], image[:, ::-1]) for image in images[1:])


class Mirror:
    """An augmenter with imgaug's interface."""

    def to_deterministic(self):
        return self

    def augment_image(self, array):
        return np.ascontiguousarray(array[:, ::-1])


def test_an_imgaug_like_augmenter_changes_image_and_masks():
    plain = load_image_gt(Squares(4), TinyConfig(), 0)
    mirrored = load_image_gt(Squares(4), TinyConfig(), 0, augmentation=Mirror())
    assert np.array_equal(mirrored[0], plain[0][:, ::-1])
    assert np.array_equal(mirrored[4], plain[4][:, ::-1])


@pytest.mark.parametrize("with_polygons", [True, False])
def test_an_imgaug_like_augmenter_changes_batches(with_polygons):
    loaders = [BatchLoader(Squares(4, with_polygons), TinyConfig(), False, change) for change in (None, Mirror())]
    plain, mirrored = (loader.batch(0) for loader in loaders)
    assert np.array_equal(mirrored.images, plain.images[:, :, ::-1])
    expected = np.stack(
        [plain.gt_boxes[..., k] if k % 2 == 0 else 64 - plain.gt_boxes[..., 4 - k] for k in range(4)], -1
    )
    there = plain.gt_class_ids > 0
    assert np.abs(mirrored.gt_boxes[there] - expected[there]).max() <= 1
    unchanged = BatchLoader(
        Squares(4, with_polygons), TinyConfig(), False, Mirror(), no_augmentation_sources=["squares"]
    )
    assert np.array_equal(unchanged.batch(0).images, plain.images)


def test_an_augmenter_that_changes_sizes_is_rejected():
    class Half:
        def to_deterministic(self):
            return self

        def augment_image(self, array):
            return array[::2]

    with pytest.raises(ValueError, match="keep sizes"):
        load_image_gt(Squares(4), TinyConfig(), 0, augmentation=Half())


def test_the_generator_yields_molded_images_without_targets():
    inputs, targets = next(data_generator(Squares(4), TinyConfig(), shuffle=False))
    assert inputs[0].dtype == np.float32
    assert inputs[0].min() < 0
    assert targets == []


def test_a_dataset_without_images_is_rejected():
    empty = Dataset()
    empty.prepare()
    with pytest.raises(ValueError, match="holds no image"):
        BatchLoader(empty, TinyConfig())


def test_a_crowd_stays_negative():
    class Crowd(Squares):
        def polygons(self, image_id):
            rings, class_ids = super().polygons(image_id)
            return rings, -class_ids

    assert (BatchLoader(Crowd(1), TinyConfig(), batch_size=1).batch(0).gt_class_ids <= 0).all()


def test_decoding_at_half_size_gives_the_same_image():
    class Large(Squares):
        def load_image(self, image_id):
            return np.repeat(np.repeat(super().load_image(image_id), 4, axis=0), 4, axis=1)

    config = TinyConfig()
    plain = BatchLoader(Large(2), config, shuffle=False).batch(0).images.astype(int)
    config.FAST_DECODE = True
    fast = BatchLoader(Large(2), config, shuffle=False).batch(0).images.astype(int)
    assert np.abs(plain - fast).mean() < 4
