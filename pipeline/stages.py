"""The registry of the stages of the chain: what each reads, is made from and leaves, and how it is shown.

To add a stage, add an entry to `STAGES` and a module with the function `build(recipe, out, **inputs)`: `out` is the
folder to fill, and each input, by keyword, the folder of its artifact (or the file that its stage names `handed_on`).
Raise a stage's code version when its output would change; a test holds the digest of each output.
"""

import hashlib
import importlib
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache, reduce
from typing import Any

from pipeline.files.atomic import canonical_json
from pipeline.recipe import Recipe


@dataclass(frozen=True)
class Stage:
    """One step from artifacts to an artifact."""

    name: str
    code_version: int
    module: str
    """The module of its `build`; `python -m` of it runs the stage alone."""
    group: str = ""
    kinds: frozenset[str] = frozenset()
    """Labels in the Dagster UI."""
    description: str = ""
    files: tuple[str, ...] = ()
    """Files that the finished artifact must hold."""
    reads: tuple[str, ...] = ()
    """Recipe keys (dotted) that decide the output; a section stands for all of its keys."""
    ignores: tuple[str, ...] = ()
    """Keys inside `reads` that change no result."""
    inputs: tuple[str, ...] = ()
    """Stages whose artifacts it is made from."""
    checks: dict[str, str] = field(default_factory=dict)
    """Checks that its summary always holds, and what each looks at."""
    blocking: frozenset[str] = frozenset()
    """Those of its checks that end the chain, unless the recipe (`checks`) says that they warn."""
    table: str = ""
    """The Parquet file whose rows are what it makes."""
    function: str = "build"
    outside: bool = False
    """Whether it is made from sources outside the store: its module's `identities(recipe)` returns what they are now,
    and its `build` takes that as `identities`, so that no source is asked twice."""
    resumes_from: str = ""
    """The state in its partial folder from which an interrupted build resumes (a glob pattern); else it begins anew."""
    uses_gpu: bool = False
    option: str = ""
    """The option that gives its artifact to programs of later stages; by default its name."""
    handed_on: str = ""
    """The one file of its artifact that later stages need; by default the folder."""

    def recipe_part(self, recipe: Recipe) -> dict[str, Any]:
        """Return the recipe keys that decide the output, flattened to dotted names, sorted."""
        part: dict[str, Any] = {}
        content = recipe.model_dump(mode="json")
        for key in self.reads:
            part.update(_flatten(key, reduce(dict.__getitem__, key.split("."), content)))
        return {key: part[key] for key in sorted(part) if key not in self.ignores}

    def identities(self, recipe: Recipe) -> dict[str, Any]:
        """Return what the sources outside the store are now; raises SourceError where one is absent."""
        return importlib.import_module(self.module).identities(recipe) if self.outside else {}

    @property
    def build(self) -> Callable[..., None]:
        """The function that makes the artifact."""
        return getattr(importlib.import_module(self.module), self.function)

    @property
    def argument(self) -> str:
        """The option of a program that is given its artifact."""
        return f"--{self.option or self.name.replace('_', '-')}"


RELEASED = "released_model"
"""The stage that hands on the better of two models: the new one, or the one that was released before."""

STAGES = {
    stage.name: stage
    for stage in (
        Stage(
            "raw_images",
            4,
            "pipeline.sources.raw_images",
            group="raw",
            kinds=frozenset({"python", "parquet"}),
            description="Where every image lies: an index of the sources' images (archive, offset, size, checksum). "
            "Images are never unpacked; what was downloaded or generated lies under `files/`.",
            files=("images.parquet", "sources.json"),
            reads=("source.images",),
            outside=True,
            checks={"every_image_usable": "Every file named like an image can be decoded, and none is turned by Exif."},
            table="images.parquet",
        ),
        Stage(
            "raw_labels",
            8,
            "pipeline.sources.raw_labels",
            group="raw",
            kinds=frozenset({"python", "parquet"}),
            description="A row for every label of every category in the sources' label files: BDD100K of any release, "
            "VIA or COCO; what could not be read, with the reason.",
            files=("sources.json", "labels.parquet", "images.parquet", "rejected.parquet"),
            reads=("source.labels", "labels.coco", "labels.curve_tolerance"),
            outside=True,
            table="labels.parquet",
        ),
        Stage(
            "filtered_labels",
            17,
            "pipeline.labels",
            group="dataset",
            kinds=frozenset({"python", "parquet"}),
            description="A row an instance of a wanted category, each image in its split, and what was left out with "
            "the reason.",
            files=("labels.parquet", "images.parquet", "rejected.parquet"),
            reads=("labels", "dataset", "seed"),
            ignores=("labels.coco", "labels.curve_tolerance"),
            inputs=("raw_labels", "raw_images"),
            checks={
                "labelled_pictures_kept": "No image with wanted labels ends up without any.",
                "masks_not_boxes": "Instances have masks, not only boxes.",
                "rejected_share": "At most `labels.warn_rejected_share` of the wanted labels was lost to faults.",
                "classes_recur": "Each class has more than a few instances; look-alike names are one class.",
                "classes_in_every_split": "Each class has instances in train and in val.",
                "splits_apart": "No image, and no video, is in two splits.",
                "labelled_images_decode": "No labelled image is lost since its file is damaged.",
                "polygons_inside": "No instance reaches out of its image.",
            },
            blocking=frozenset({"splits_apart", "labelled_images_decode", "polygons_inside"}),
            table="labels.parquet",
        ),
        *(
            Stage(
                f"via_{split}",
                3,
                "pipeline.via",
                group="dataset",
                kinds=frozenset({"python", "json"}),
                description=f"The {images} images' labels for VIA (VGG Image Annotator): `via_region_data.json` (what "
                "the 2019 notebooks read) and `via_project.json` (what VIA 2 and 3 open).",
                files=("via_region_data.json", "via_project.json"),
                inputs=("filtered_labels",),
                function=f"build_{split}",
            )
            for split, images in (("train", "training"), ("val", "validation"))
        ),
        Stage(
            "dataset_zip",
            2,
            "pipeline.dataset",
            group="dataset",
            kinds=frozenset({"python", "file"}),
            description="The dataset as one file, as the 2019 notebooks expect it: `images/{train,val}/` with images "
            "and VIA labels. JPEG bytes are copied, not compressed again.",
            files=("images.zip",),
            inputs=("filtered_labels", "via_train", "via_val", "raw_images"),
            checks={"archive_whole": "images.zip, read back, holds every image and every label file."},
            blocking=frozenset({"archive_whole"}),
            option="dataset",
            handed_on="images.zip",
        ),
        Stage(
            "trained_model",
            6,
            "pipeline.training",
            group="model",
            kinds=frozenset({"tensorflow", "keras"}),
            description="A Mask R-CNN trained on the dataset: weights, settings, history. An interrupted training goes "
            "on from its last checkpoint.",
            files=("model.json", "history.csv"),
            reads=("name", "seed", "training"),
            ignores=("training.threads", "training.strategy"),
            inputs=("dataset_zip",),
            checks={"weights_finite": "Every weight is a number."},
            blocking=frozenset({"weights_finite"}),
            outside=True,
            resumes_from="**/training_state.h5",
            uses_gpu=True,
            option="model",
        ),
        Stage(
            "evaluation_report",
            7,
            "pipeline.evaluation",
            group="report",
            kinds=frozenset({"tensorflow", "html"}),
            description="How good the model is: COCO mask and box AP with intervals, by class, size and kind of image, "
            "errors by kind, reliability of scores, pictures of ground truth beside detections, detections ready "
            "to be corrected in VIA.",
            files=(
                "index.html",
                "metrics.json",
                "thresholds.json",
                "detections.parquet",
                "coco_ground_truth.json",
                "coco_detections.json",
                "via_region_data.json",
            ),
            reads=("evaluation",),
            ignores=("evaluation.batch_size",),
            inputs=("trained_model", "dataset_zip"),
            checks={
                "judged_on_unseen_images": "No judged image was trained on.",
                "judged_on_masks": "Judged instances have masks, not only boxes.",
            },
            table="detections.parquet",
            uses_gpu=True,
        ),
        Stage(
            RELEASED,
            1,
            "pipeline.release",
            group="release",
            kinds=frozenset({"tensorflow", "file"}),
            description="The best model so far, ready for use: weights, settings, thresholds, figures, a model card. "
            "A new model replaces it only where it is better on the same images (`release` in the recipe); otherwise "
            "the one released before stays, and the check says why.",
            files=("model.json", "thresholds.json", "metrics.json", "model_card.md"),
            reads=("name", "release.licence"),
            inputs=("trained_model", "evaluation_report"),
            checks={"better_than_released": "The new model is better than the one released before, and good enough."},
        ),
        Stage(
            "predictions",
            4,
            "pipeline.prediction",
            group="use",
            kinds=frozenset({"tensorflow", "parquet"}),
            description="What the model finds in pictures that nobody has labelled (`prediction.images`, by default "
            "none), drawn and ready to be corrected in VIA. A picture is predicted once for each model.",
            files=(
                "detections.parquet",
                "images.parquet",
                "rejected.parquet",
                "coco_detections.json",
                "via_region_data.json",
                "via_project.json",
            ),
            reads=("prediction",),
            inputs=(RELEASED,),
            outside=True,
            checks={"every_picture_usable": "Every picture could be decoded."},
            table="detections.parquet",
            resumes_from=".parts/*.parquet",
            uses_gpu=True,
        ),
    )
}


def fingerprint(stage: Stage, recipe: Recipe, identities: dict[str, Any], inputs: dict[str, str]) -> str:
    """Return 16 hex digits of a digest of all that the output is made from; `inputs` are fingerprints by name."""
    made_from = {
        "stage": stage.name,
        "code_version": stage.code_version,
        "recipe": stage.recipe_part(recipe),
        "identities": identities,
        "inputs": inputs,
    }
    return hashlib.sha256(canonical_json(made_from).encode()).hexdigest()[:16]


def expected_fingerprint(stage: Stage, recipe: Recipe, released: str = "") -> str:
    """Return the fingerprint of what the chain makes up to `stage` of this recipe and of what the sources are now.

    `released` is the fingerprint of the model that is released, where there is one. Raises SourceError where a source
    is absent.
    """

    @cache
    def of(name: str) -> str:
        if name == RELEASED and released:
            return released
        made_by = STAGES[name]
        return fingerprint(made_by, recipe, made_by.identities(recipe), {each: of(each) for each in made_by.inputs})

    return of(stage.name)


def _flatten(key: str, value: Any) -> dict[str, Any]:
    """Return `value` as dotted keys; lists and empty mappings stay values."""
    if not isinstance(value, dict) or not value:
        return {key: value}
    return {k: v for inner, content in value.items() for k, v in _flatten(f"{key}.{inner}", content).items()}
