"""Batches for training: order of images, loading by threads, RPN targets.

A batch depends on (seed, step) only, so that any number of threads returns the same batches in the same order, and
training can resume at any step.
"""

import atexit
import os
import threading
import time
import warnings
import weakref
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from mrcnn.config import Config
from mrcnn.data.dataset import Dataset, StoredImage
from mrcnn.data.resizing import frame_for
from mrcnn.data.rpn_targets import AnchorIndex, build_rpn_targets
from mrcnn.data.samples import Sample, load_sample
from mrcnn.shapes.anchors import image_anchors

if TYPE_CHECKING:
    import tensorflow as tf

_ORDER_STREAM, _SAMPLE_STREAM = 0, 1
"""Random streams: for the order of a pass over the images, and for each image of a pass."""


@dataclass(frozen=True)
class Batch:
    """The inputs of one training step: B images of one shape, A anchors, G instances."""

    images: NDArray[np.uint8]
    """[B, H, W, C], RGB for three channels."""
    image_meta: NDArray[np.float32]
    """[B, 12 + NUM_CLASSES]."""
    rpn_match: NDArray[np.int32]
    """[B, A, 1]: 1 object, -1 background, 0 neither."""
    rpn_bbox: NDArray[np.float32]
    """[B, RPN_TRAIN_ANCHORS_PER_IMAGE, 4]."""
    gt_class_ids: NDArray[np.int32]
    """[B, G]; 0: padding, negative: a crowd."""
    gt_boxes: NDArray[np.int32]
    """[B, G, 4] (y1, x1, y2, x2) in pixels."""
    gt_masks: NDArray[Any]
    """[B, h, w, G] uint8, coverage within the boxes, 0 to polygons.FULL (mini masks), or [B, H, W, G] bool."""

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """Return the seven arrays, [B, …] each, in the order of matterport's generator."""
        return (
            self.images, self.image_meta, self.rpn_match, self.rpn_bbox,
            self.gt_class_ids, self.gt_boxes, self.gt_masks,
        )  # fmt: skip


_open_loaders: "weakref.WeakSet[BatchLoader]" = weakref.WeakSet()

_SECONDS_TO_CLOSE = 60.0
_SECONDS_IDLE = 0.02
"""Time in which a thread that is about to call Python does so."""


@atexit.register
def _close_loaders() -> None:
    for loader in list(_open_loaders):
        loader.close()


class BatchLoader:
    """Batches of all steps of training, from a dataset; thread-safe.

    Args:
        dataset: prepared, with at least one image.
        config: the settings; SEED determines order and augmentation.
        shuffle: use a new order in each pass over the images.
        augmentation: None, an `augmentation.Augmentation`, or an augmenter with imgaug's interface.
        batch_size: images a step; default: BATCH_SIZE.
        no_augmentation_sources: sources whose images are not augmented.

    Raises:
        ValueError: the dataset has no image, or more classes than NUM_CLASSES.
    """

    def __init__(
        self,
        dataset: Dataset,
        config: Config,
        shuffle: bool = True,
        augmentation: Any = None,
        batch_size: int | None = None,
        no_augmentation_sources: list[str] | None = None,
    ) -> None:
        if not len(dataset.image_ids):
            raise ValueError("the dataset holds no image: call add_image, then prepare(), before training")
        _check_classes(dataset, config)
        self.dataset, self.config, self.shuffle, self.augmentation = dataset, config, shuffle, augmentation
        self.batch_size = batch_size or config.BATCH_SIZE
        self.unchanged_sources = frozenset(no_augmentation_sources or ())
        self.failure: Exception | None = None
        """The exception that ended an iterator of `batches`, which TensorFlow replaces by its own."""
        self._calls, self._running, self._closed = 0, 0, False
        self._changed = threading.Condition()
        _open_loaders.add(self)
        self._order = lru_cache(maxsize=4)(self._permutation)
        self._index = lru_cache(maxsize=16)(self._anchors_of_shape)

    def batch(self, step: int) -> Batch:
        """Return the batch of `step` (0, 1, …); a new pass over the images begins when all have been used."""
        count = len(self.dataset.image_ids)
        positions = range(step * self.batch_size, (step + 1) * self.batch_size)
        images = [(position // count, int(self._order(position // count)[position % count])) for position in positions]
        rngs = [np.random.default_rng([self.config.SEED, _SAMPLE_STREAM, number, image]) for number, image in images]
        stored = [StoredImage(self.dataset, image, self.config.IMAGE_CHANNEL_COUNT) for _, image in images]
        frames = [frame_for(one.size, self.config, rng) for one, rng in zip(stored, rngs, strict=True)]
        shape = (max(frame.shape[0] for frame in frames), max(frame.shape[1] for frame in frames))
        return self._assemble(
            [
                (load_sample(one, self.config, frame.widened(shape), rng, self._augmentation_of(one)), rng)
                for one, frame, rng in zip(stored, frames, rngs, strict=True)
            ]
        )

    def batches(self, first: int, end: int | None = None, threads: int | None = None) -> "tf.data.Dataset":
        """Return a tf.data.Dataset of the batches of steps `first` … `end` - 1 (infinite without `end`).

        Its elements are the seven arrays of `Batch`, with static shapes if these are the same for all batches. An
        exception while loading ends the iteration with an error of TensorFlow; the exception is then in `failure`.
        """
        import tensorflow as tf

        threads = threads or self.config.LOADER_THREADS or os.cpu_count() or 1
        _limit_opencv_to_one_thread()
        dtypes = [tf.as_dtype(dtype) for dtype in (*_DTYPES, np.uint8 if self.config.USE_MINI_MASK else np.bool_)]
        shapes = self._shapes()
        steps = tf.data.Dataset.range(first, np.iinfo(np.int64).max if end is None else end)

        def load(step: "tf.Tensor") -> tuple["tf.Tensor", ...]:
            # stateful functions would run one after the other with op determinism
            arrays = tf.numpy_function(self._arrays_of_step, [step], dtypes, stateful=False)
            return tuple(tf.ensure_shape(array, shape) for array, shape in zip(arrays, shapes, strict=True))

        options = tf.data.Options()
        options.threading.private_threadpool_size = threads
        options.autotune.enabled = False
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
        return steps.map(load, num_parallel_calls=threads, deterministic=True).prefetch(2).with_options(options)

    def close(self) -> None:
        """End all iterators of `batches`; return when TensorFlow's threads no longer run Python for them.

        It is also called at exit, since such a thread would prevent the interpreter from exiting.
        """
        seen = -1
        while seen != self._calls:
            with self._changed:
                self._closed = True
                self._changed.wait_for(lambda: self._running == 0, timeout=_SECONDS_TO_CLOSE)
                seen = self._calls
            time.sleep(_SECONDS_IDLE)

    def _arrays_of_step(self, step: np.int64) -> tuple[NDArray[Any], ...]:
        with self._changed:
            self._calls += 1
            if self._closed:
                raise RuntimeError("this loader was closed")
            self._running += 1
        try:
            return self.batch(int(step)).arrays()
        except Exception as error:
            self.failure = self.failure or error
            raise
        finally:
            with self._changed:
                self._running -= 1
                self._changed.notify_all()

    def _shapes(self) -> list[list[int | None]]:
        """Return the shapes of a batch's arrays, with None for sizes that differ between batches."""
        config, size = self.config, self.batch_size
        height = width = anchors = None
        shape = self._common_shape()
        if shape is not None:
            height, width = shape
            anchors = len(self._index(shape).anchors)
        mask = list(config.MINI_MASK_SHAPE[:2]) if config.USE_MINI_MASK else [height, width]
        instances = config.MAX_GT_INSTANCES
        return [
            [size, height, width, config.IMAGE_CHANNEL_COUNT],
            [size, config.IMAGE_META_SIZE],
            [size, anchors, 1],
            [size, config.RPN_TRAIN_ANCHORS_PER_IMAGE, 4],
            [size, instances],
            [size, instances, 4],
            [size, *mask, instances],
        ]

    def _common_shape(self) -> tuple[int, int] | None:
        """Return the (height, width) of all batches, or None if they differ or sizes of images are unknown."""
        if self.config.IMAGE_RESIZE_MODE in ("square", "crop"):
            return int(self.config.IMAGE_SHAPE[0]), int(self.config.IMAGE_SHAPE[1])
        sizes = {(info.get("height"), info.get("width")) for info in self.dataset.image_info}
        known = [(int(h), int(w)) for h, w in sizes if h is not None and w is not None]
        if len(known) < len(sizes):
            return None
        shapes = {frame_for(size, self.config).shape for size in known}
        return shapes.pop() if len(shapes) == 1 else None

    def _permutation(self, number: int) -> NDArray[np.int64]:
        """Return the image numbers [N] in the order of pass `number` over the dataset."""
        image_ids = np.asarray(self.dataset.image_ids)
        if not self.shuffle:
            return image_ids
        return np.random.default_rng([self.config.SEED, _ORDER_STREAM, number]).permutation(image_ids)

    def _anchors_of_shape(self, shape: tuple[int, int]) -> AnchorIndex:
        return AnchorIndex.of(image_anchors(self.config, shape))

    def _augmentation_of(self, stored: StoredImage) -> Any:
        source = self.dataset.image_info[stored.image_id]["source"]
        return None if source in self.unchanged_sources else self.augmentation

    def _assemble(self, samples: list[tuple[Sample, np.random.Generator]]) -> Batch:
        """Return the batch of the samples, with instances padded or sampled to MAX_GT_INSTANCES."""
        shape = samples[0][0].image.shape
        index = self._index((shape[0], shape[1]))
        limited = [(_limited(sample, self.config.MAX_GT_INSTANCES, rng), rng) for sample, rng in samples]
        targets = [
            build_rpn_targets(shape, index, sample.class_ids, sample.boxes, self.config, rng) for sample, rng in limited
        ]
        most = self.config.MAX_GT_INSTANCES
        return Batch(
            np.stack([sample.image for sample, _ in limited]),
            np.stack([sample.meta for sample, _ in limited]).astype(np.float32),
            np.stack([match for match, _ in targets])[:, :, None],
            np.stack([bbox for _, bbox in targets]),
            np.stack([_padded(sample.class_ids, most, 0) for sample, _ in limited]),
            np.stack([_padded(sample.boxes, most, 0) for sample, _ in limited]),
            np.stack([_padded(sample.masks, most, 2) for sample, _ in limited]),
        )


_DTYPES = (np.uint8, np.float32, np.int32, np.float32, np.int32, np.int32)
"""Of a batch's arrays, without the last one, the masks."""


def _check_classes(dataset: Dataset, config: Config) -> None:
    names = [str(info["name"]) for info in dataset.class_info]
    if len(names) > config.NUM_CLASSES:
        raise ValueError(
            f"the dataset has {len(names)} classes ({', '.join(names)}), but Config.NUM_CLASSES is "
            f"{config.NUM_CLASSES}: set it to {len(names)} before the model is created, or add fewer classes"
        )
    if len(names) < config.NUM_CLASSES:
        warnings.warn(
            f"the dataset has {len(names)} classes ({', '.join(names)}), but Config.NUM_CLASSES is "
            f"{config.NUM_CLASSES}: the network learns nothing of the others",
            stacklevel=2,
        )


def _limit_opencv_to_one_thread() -> None:
    """Make OpenCV use one thread for an image, since the loader's threads process several images at once."""
    import cv2

    cv2.setNumThreads(1)


def _limited(sample: Sample, count: int, rng: np.random.Generator) -> Sample:
    """Return the sample with a random subset of at most `count` of its instances."""
    if len(sample.class_ids) <= count:
        return sample
    kept = np.sort(rng.choice(len(sample.class_ids), count, replace=False))
    return Sample(sample.image, sample.meta, sample.class_ids[kept], sample.boxes[kept], sample.masks[:, :, kept])


def _padded(array: NDArray[Any], length: int, axis: int) -> NDArray[Any]:
    """Return `array` padded with zeros at the end of `axis` to `length`."""
    padding = [(0, length - side if number == axis else 0) for number, side in enumerate(array.shape)]
    return np.pad(array, padding)
