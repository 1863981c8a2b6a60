"""The eight assets, from the raw archives to the report; each hands its artifacts to its stage and nothing more."""

import dagster as dg

from assets.building import materialise
from assets.metadata import check_specs
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import Artifact

Result = dg.MaterializeResult
ARTIFACT = dg.PythonObjectDagsterType(Artifact, "Artifact", description="A finished result of a stage, by reference.")


@dg.asset(dagster_type=ARTIFACT, group_name="raw", kinds={"python", "parquet"}, check_specs=check_specs("raw_images"))
def raw_images(context: dg.AssetExecutionContext, recipe: RecipeResource) -> Result:
    """Where every image lies: an index of the sources' images (archive, byte offset, size, checksum), never unpacked.

    Reads the recipe's `source.images`. Files: `images.parquet`, `sources.json`, `rejected.parquet`, and under `files/`
    what was downloaded or generated.
    """
    return materialise(context, recipe)


@dg.asset(dagster_type=ARTIFACT, group_name="raw", kinds={"python", "json"})
def raw_labels(context: dg.AssetExecutionContext, recipe: RecipeResource) -> Result:
    """The label files of every source, as they were given: BDD100K of any release, or VIA.

    Reads the recipe's `source.labels`. Files: `sources.json`, and under `files/` what was downloaded or generated.
    """
    return materialise(context, recipe)


@dg.asset(
    dagster_type=ARTIFACT, group_name="dataset", kinds={"python", "parquet"}, check_specs=check_specs("filtered_labels")
)
def filtered_labels(
    context: dg.AssetExecutionContext, recipe: RecipeResource, raw_labels: Artifact, raw_images: Artifact
) -> Result:
    """One row an instance of a wanted category, each image in its split, and all that was left out with its reason.

    Reads the recipe's `labels`, `dataset` and `seed`. Files: `labels.parquet`, `images.parquet`, `rejected.parquet`.
    """
    return materialise(context, recipe, raw_labels=raw_labels, raw_images=raw_images)


@dg.asset(dagster_type=ARTIFACT, group_name="dataset", kinds={"python", "json"})
def via_train(context: dg.AssetExecutionContext, recipe: RecipeResource, filtered_labels: Artifact) -> Result:
    """The training images' labels as VIA (VGG Image Annotator) regions and as a VIA project.

    Files: `via_region_data.json` (what the 2019 notebooks read), `via_project.json` (what VIA 2 and 3 open).
    """
    return materialise(context, recipe, filtered_labels=filtered_labels)


@dg.asset(dagster_type=ARTIFACT, group_name="dataset", kinds={"python", "json"})
def via_val(context: dg.AssetExecutionContext, recipe: RecipeResource, filtered_labels: Artifact) -> Result:
    """The validation images' labels as VIA (VGG Image Annotator) regions and as a VIA project.

    Files: `via_region_data.json` (what the 2019 notebooks read), `via_project.json` (what VIA 2 and 3 open).
    """
    return materialise(context, recipe, filtered_labels=filtered_labels)


@dg.asset(dagster_type=ARTIFACT, group_name="dataset", kinds={"python", "file"})
def dataset_zip(
    context: dg.AssetExecutionContext,
    recipe: RecipeResource,
    filtered_labels: Artifact,
    via_train: Artifact,
    via_val: Artifact,
    raw_images: Artifact,
) -> Result:
    """The dataset as one file, as the 2019 notebooks expect it: `images/{train,val}/` with images and VIA labels.

    File: `images.zip`. JPEG bytes are copied, not re-compressed; the same labels and images give the same bytes.
    """
    return materialise(
        context,
        recipe,
        filtered_labels=filtered_labels,
        via_train=via_train,
        via_val=via_val,
        raw_images=raw_images,
    )


@dg.asset(dagster_type=ARTIFACT, group_name="model", kinds={"tensorflow", "keras"})
def trained_model(context: dg.AssetExecutionContext, recipe: RecipeResource, dataset_zip: Artifact) -> Result:
    """A Mask R-CNN trained on the dataset; an interrupted training goes on from its last checkpoint.

    Reads the recipe's `training`, `name` and `seed`. Files: `mask_rcnn_<name>.h5`, `model.json`, `history.csv`,
    `tensorboard/`.
    """
    return materialise(context, recipe, dataset_zip=dataset_zip)


@dg.asset(
    dagster_type=ARTIFACT,
    group_name="report",
    kinds={"tensorflow", "html"},
    check_specs=check_specs("evaluation_report"),
)
def evaluation_report(
    context: dg.AssetExecutionContext, recipe: RecipeResource, trained_model: Artifact, dataset_zip: Artifact
) -> Result:
    """How good the model is: COCO mask and box AP, curves, confusion, and pictures of truth beside detections.

    Reads the recipe's `evaluation`. Files: `index.html`, `metrics.json`, `thresholds.json`, `detections.parquet`,
    `coco_ground_truth.json`, `coco_detections.json`, `via_region_data.json` (the detections, ready to correct in VIA).
    """
    return materialise(context, recipe, trained_model=trained_model, dataset_zip=dataset_zip)


ASSETS = [
    raw_images,
    raw_labels,
    filtered_labels,
    via_train,
    via_val,
    dataset_zip,
    trained_model,
    evaluation_report,
]
