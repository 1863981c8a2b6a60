"""The recipe's sections: every key with its meaning, default and bounds."""

import json
import re
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)

from pipeline.recipe.categories import Wanted
from pipeline.recipe.source_entry import SAMPLE, kind_and_place
from pipeline.secrets import HIDDEN, redacted

LEAST_PIXELS = 32
"""The network halves an image five times, so that each side is a multiple of this."""

LAYER_SETS = ("heads", "3+", "4+", "5+", "all")
NAMED_WEIGHTS = ("none", "imagenet", "coco")

CheckName = Literal[
    "every_image_usable", "labelled_pictures_kept", "masks_not_boxes", "rejected_share", "classes_recur",
    "classes_in_every_split", "splits_apart", "labelled_images_decode", "polygons_inside", "archive_whole",
    "weights_finite", "judged_on_unseen_images", "judged_on_masks", "better_than_released", "every_picture_usable",
]  # fmt: skip
"""The checks of all stages."""
Checks = dict[CheckName, Literal["block", "warn"]]

Fraction = Annotated[float, Field(ge=0, le=1)]


def as_text(value: Any) -> str:
    """Return a value as it is compared: `true`, `3` (also for 3.0), `night`; mappings and lists as JSON."""
    if isinstance(value, str):
        return value
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return json.dumps(value)


def _as_texts(values: Any) -> Any:
    """Return a lone value as a list of one, and numbers and truth values as the texts that they are compared as."""
    values = values if isinstance(values, list) else [values]
    return [as_text(value) if isinstance(value, bool | int | float) else value for value in values]


Texts = Annotated[
    list[str], BeforeValidator(_as_texts, json_schema_input_type=str | float | bool | list[str | float | bool]),
    Field(min_length=1),
]  # fmt: skip


def _of_a_known_kind(entry: str) -> str:
    kind, _ = kind_and_place(entry)
    if kind == "https" and HIDDEN in entry:
        raise ValueError(f"the secret of {entry} is not stored: {WHERE_SECRETS_STAND}")
    return entry


WHERE_SECRETS_STAND = "it may stand in the recipe's file, better as ${BDD_NAME}, a variable of the environment"

Entry = Annotated[str, AfterValidator(_of_a_known_kind), PlainSerializer(redacted, when_used="json")]
"""A source; whether it exists is checked when it is read, since it may come until then. JSON, which is what is stored
and shown, has no passwords and tokens."""


def _not_blank(name: str) -> str:
    if not name.strip():
        raise ValueError("a category needs a name; an empty list keeps all")
    return name


Category = Annotated[str, AfterValidator(_not_blank)]


def _regular_expression(layers: str) -> str:
    """Return `layers` if it names a set of layers, or is a regular expression of Python's and of RE2's."""
    if layers in LAYER_SETS:
        return layers
    import pyarrow as pa
    import pyarrow.compute as pc

    try:
        re.compile(layers)
        pc.match_substring_regex(pa.array([""]), layers)
    except (re.error, OverflowError, RecursionError, pa.ArrowInvalid) as error:
        why = str(error).removeprefix("Invalid regular expression: ")
        raise ValueError(f"neither {', '.join(LAYER_SETS)} nor a regular expression ({why})") from None
    return layers


LayerExpression = Annotated[str, AfterValidator(_regular_expression), Field(min_length=1)]


class Section(BaseModel):
    """A section of the recipe: unknown keys are faults, values never change once read."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, use_attribute_docstrings=True, allow_inf_nan=False, defer_build=True
    )


class SampleScenes(Section):
    """How many scenes the embedded sample draws (used where a source is `sample`)."""

    train: int = Field(default=240, ge=1, le=100_000)
    """Scenes for training."""
    val: int = Field(default=48, ge=1, le=100_000)
    """Scenes for validation, from seeds of their own."""


class Source(Section):
    """Where images and labels come from.

    Each entry is `sample`, a file, a folder, a zip, a finished `images.zip` (images and labels), an `https://` address,
    `gdrive:<file id>` or a Drive share link. Relative paths count from the recipe's file. Later label sources win per
    image. In addresses, `${BDD_NAME}` stands for a variable of the environment: so are passwords and tokens given.
    """

    images: list[Entry] = Field(default=[SAMPLE], min_length=1)
    """Sources of images."""
    labels: list[Entry] = Field(default=[SAMPLE], min_length=1)
    """Sources of labels; a later one overrides an earlier one, image by image."""
    sample: SampleScenes = SampleScenes()
    """Size of the embedded sample."""


class Labels(Section):
    """Which labels become instances, and of which shape."""

    categories: list[Category] = Field(default=["drivable area", "traffic sign", "car", "bike"])
    """Wanted categories in any release's words (bike = bicycle …), in the order of their class ids; empty keeps all.
    Labels of others are counted. Names that differ in case and white space alone are one, unless both are listed."""
    rename: dict[Category, Category] = {}
    """Names of labels (in any case), and the category that they are read as: `{Cars: car, scrach: scratch}`."""
    later_sources_may_empty: bool = False
    """Whether a later source that has an image without wanted labels takes away those of an earlier source, as when a
    person has deleted all regions of an image. Without it the earlier ones stay, and such images are counted."""
    boxes: Literal["rectangles", "leave_out"] = "rectangles"
    """What becomes of a label that has a box and no mask: a rectangle, as in 2019, or left out and counted."""
    where: dict[str, Texts] = {}
    """Only images whose attributes say so, e.g. `{timeofday: [night], weather: [rainy, snowy]}`: of each attribute one
    of its values, compared as text, case aside. Images that don't say are left out and counted, too."""
    occluded: Literal["keep", "ignore", "leave_out"] = "keep"
    """What becomes of labels marked occluded: kept; ignored (neither object nor background, in training and in
    evaluation); or left out and counted, so that their pixels are background. Labels that don't say are kept."""
    truncated: Literal["keep", "ignore", "leave_out"] = "keep"
    """The same for labels marked truncated (cut by the image's edge)."""
    class_attribute: str | None = None
    """The VIA region attribute that names the class; by default it is detected, with a message."""
    default_class: str | None = Field(default=None, min_length=1)
    """The class of VIA regions that name none; without it, they are left out and counted, unless no region of the file
    has attributes and the recipe wants one category alone."""
    coco: bool = False
    """Whether COCO instances files are read beside label files of another format in the same source. Without it they
    are refused there, since tools convert labels to COCO and leave both; a source of COCO files alone is read."""
    curve_tolerance: float = Field(default=0.5, gt=0, le=20)
    """How far a flattened Bezier may lie from its curve, in pixels."""
    least_area: float = Field(default=0, ge=0)
    """Instances of fewer square pixels than this are left out and counted."""
    warn_rejected_share: Fraction = 0.1
    """A warning check fails where a larger share of the wanted labels was lost to faults; what filters (`where`,
    `occluded`, `truncated`, `least_area`, `boxes`) leave out doesn't count."""

    @model_validator(mode="after")
    def _want_renamed_and_default_classes(self) -> "Labels":
        wanted = Wanted(self.categories)
        for word, name in self.rename.items():
            if wanted.meaning(name) is None:
                raise ValueError(f"rename: {word!r} becomes {name!r}, which is none of the categories")
        if self.default_class is not None and wanted.meaning(self.default_class) is None:
            raise ValueError(f"default_class {self.default_class!r} is none of the categories")
        return self


class Dataset(Section):
    """Which image goes to train, val or test."""

    split: Literal["auto", "path", "hash", "all_in_both"] = "auto"
    """`path`: train/val/test in the path; `hash`: seeded, frames of one video together; `auto`: path, else hash;
    `all_in_both`: overfitting on purpose."""
    val_fraction: float = Field(default=0.1, gt=0, lt=1)
    """Share of the images (of the videos) that `hash` gives to val."""
    test_fraction: float = Field(default=0.0, ge=0, lt=1)
    """Share of the images (of the videos) that `hash` gives to test."""
    limit: dict[Literal["train", "val", "test"], Annotated[int, Field(ge=1)]] = {}
    """At most this many images a split, chosen by the seed."""
    balance: Fraction = 0.0
    """Where `limit` chooses training images, those with a class that fewer than this share of them hold are the more
    likely, in proportion to sqrt(balance / share) (LVIS, Gupta et al. 2019); 0 draws all alike. Val and test are never
    balanced. To see rare classes more often without leaving images out, use `training.balance`."""
    keep_empty_images: bool = True
    """Keep images without a wanted instance (background to learn from); the 2019 script dropped them."""

    @model_validator(mode="after")
    def _leave_some_for_training(self) -> "Dataset":
        if self.val_fraction + self.test_fraction >= 1:
            raise ValueError("val_fraction and test_fraction leave nothing for train")
        return self


class TrainingStage(Section):
    """A stretch of training with one set of layers."""

    layers: LayerExpression = "all"
    """`heads`, `3+`, `4+`, `5+`, `all`, or a regular expression (RE2's) over layer names, as in the original."""
    epochs: int = Field(ge=1, le=100_000)
    """Epochs of this stage (added to those before it)."""
    learning_rate_factor: float = Field(default=1.0, gt=0)
    """Multiplies `training.learning_rate` during this stage."""


class Augmentation(Section):
    """Random changes to training images; boxes and masks move along."""

    flip: bool = True
    """Mirror left and right, every other time."""
    scale: Fraction = 0.0
    """Largest relative change of size: 0.2 draws from 0.8 to 1.2."""
    colour: Fraction = 0.2
    """Largest relative change of brightness, contrast and saturation."""


class Training(Section):
    """The network and how it is trained. `config` reaches every other attribute of `mrcnn.config.Config`."""

    backbone: Literal["resnet50", "resnet101", "narrow"] = "resnet101"
    """`narrow` is a small ResNet that trains from scratch on a CPU."""
    weights: str = "coco"
    """What to start from: `none`, `imagenet`, `coco`, or an .h5 file in the original's layout (a relative path counts
    from the recipe's file)."""
    exclude: list[str] = []
    """Layers not taken from `weights`; with `coco` the class-specific heads are always left out."""
    resize: Literal["pad64", "pad32", "square", "crop", "none"] = "pad64"
    """How images become the network's input; `pad64` (or `pad32`) keeps 16:9 images at 0.56 of a padded square."""
    min_dim: int = Field(default=576, ge=64, le=4096)
    """Shorter side after resizing, in pixels (for `pad64` and `square` bounded by max_dim)."""
    max_dim: int = Field(default=1024, ge=64, le=4096)
    """Longer side after resizing, in pixels."""
    batch_size: int = Field(default=1, ge=1, le=1024)
    """Images a step (over all devices)."""
    steps_per_epoch: int | None = Field(default=None, ge=1)
    """Steps an epoch; without it, as many as see each training image once (or as often as `balance` says)."""
    balance: Fraction = 0.0
    """Images with a class that fewer than this share of the training images hold are seen sqrt(balance / share) times
    an epoch (repeat-factor sampling, LVIS, Gupta et al. 2019); 0 sees each once. 0.1 suits a handful of classes."""
    stages: list[TrainingStage] = Field(
        default=[TrainingStage(layers="heads", epochs=10), TrainingStage(layers="all", epochs=20)], min_length=1
    )
    """What is trained, one after the other."""
    optimizer: Literal["sgd", "adamw"] = "sgd"
    """`sgd` (momentum 0.9, L2 on weights) as in the original, or `adamw` for training from scratch."""
    learning_rate: float = Field(default=0.001, gt=0, le=1)
    """Peak learning rate."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Learning rate over the steps of all stages, after the warm-up."""
    warmup_steps: int = Field(default=0, ge=0)
    """Steps over which the learning rate rises to its peak."""
    weight_decay: float = Field(default=0.0001, ge=0, le=1)
    """L2 (sgd) or decoupled decay (adamw)."""
    augmentation: Augmentation = Augmentation()
    """Random changes to training images."""
    config: dict[str, Any] = {}
    """Any attribute of mrcnn.config.Config in upper case that has no key of its own in the recipe, e.g.
    `{RPN_ANCHOR_SCALES: [16, 32, 64, 128, 256]}`."""
    precision: Literal["float32", "bfloat16", "float16"] = "float32"
    """Arithmetic of the convolutions; boxes, softmax and losses stay float32."""
    validate_every: int = Field(default=1, ge=0)
    """Epochs between validations; 0 never validates."""
    validation_steps: int | None = Field(default=None, ge=1, le=1_000_000)
    """Batches a validation, at most those of all images; without it, `mrcnn.config`'s VALIDATION_STEPS (50; narrow
    networks: 10)."""
    keep: Literal["best", "last"] = "last"
    """Which epoch's weights are the result: the least val_loss, or the last."""
    early_stopping: int | None = Field(default=None, ge=1)
    """Stop after so many validations without a better val_loss."""
    deterministic: bool = False
    """The same seed gives the same losses bit for bit, at some cost in speed."""
    threads: int | None = Field(default=None, ge=1)
    """Threads of the input pipeline; without it, as many as the machine has. Changes no result."""
    strategy: Literal["auto", "one_device", "mirrored"] = "auto"
    """`mirrored` trains on all GPUs of the machine; `auto` does where there are several. Changes no result."""

    @field_validator("config")
    @classmethod
    def _know_the_settings(cls, config: dict[str, Any], read: ValidationInfo) -> dict[str, Any]:
        if config:
            from pipeline.recipe.network import faults

            if found := faults(config, read.data.get("backbone", "")):
                raise ValueError("; ".join(found))
        return config

    @model_validator(mode="after")
    def _validate_for_what_asks_for_it(self) -> "Training":
        asks = "keep best" if self.keep == "best" else "early_stopping" if self.early_stopping else ""
        if asks and not self.validate_every:
            without = "keep to last" if self.keep == "best" else "early_stopping to null"
            raise ValueError(f"{asks} goes by validations: set validate_every to 1 or more, or {without}")
        return self

    @model_validator(mode="after")
    def _give_images_a_size(self) -> "Training":
        unbounded = self.resize in {"crop", "none"} or self.config.get("IMAGE_PAD_BOUNDED") is False
        if {"min_dim", "max_dim"} <= self.model_fields_set and self.min_dim > self.max_dim and not unbounded:
            raise ValueError(f"min_dim {self.min_dim} is more than max_dim {self.max_dim}")
        for mode, key, side in (("square", "max_dim", self.max_dim), ("crop", "min_dim", self.min_dim)):
            if self.resize == mode and side % LEAST_PIXELS:
                raise ValueError(f"resize {mode} needs a {key} that is a multiple of {LEAST_PIXELS}, not {side}")
        return self


class Evaluation(Section):
    """How the trained model is judged."""

    split: Literal["val", "test", "train"] = "val"
    """Images to judge on."""
    limit: int | None = Field(default=None, ge=1)
    """At most this many images."""
    min_confidence: Fraction = 0.05
    """Detections below this score are not counted."""
    max_detections: int = Field(default=100, ge=1, le=1000)
    """Most detections an image."""
    overlays: int = Field(default=12, ge=0, le=200)
    """Pictures of ground truth beside detections in the report."""
    batch_size: int = Field(default=1, ge=1, le=256)
    """Images a detection batch. Changes no result."""


class Release(Section):
    """When a new model replaces the released one: it has to be better on the images that both were judged on."""

    margin: Fraction = 0.0
    """How much mask AP the new model may lose: it is released where the 95 % interval of the difference lies above
    -margin. With 0, only a model is released that is better beyond chance."""
    least_ap: Fraction = 0.0
    """The mask AP that a model must have to be released."""
    least_class_ap: dict[Category, Fraction] = {}
    """The mask AP that classes must have: `{car: 0.3}`."""
    licence: str = ""
    """What the model card says of the licence."""


class Prediction(Section):
    """Pictures without labels that the trained model is asked about."""

    images: list[Entry] = []
    """Sources of pictures, written as those of `source.images`; a folder may be one that pictures are dropped into
    (the sensor `pictures_arrived` watches it). Empty: nothing is predicted."""
    min_score: Fraction | None = None
    """The least score of a detection; without it, each class has the threshold that the report has chosen."""
    max_detections: int = Field(default=100, ge=1, le=1000)
    """Most detections an image."""
