"""The model card: what a model is, what it was made from, what it reaches, what it is not good for."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pipeline.artifacts import MANIFEST, Manifest, ancestor
from pipeline.recipe import Recipe
from pipeline.release import figures
from pipeline.training import model_file

NO_LICENCE = (
    "Not stated (`release.licence` in the recipe). The licences of the pictures, of the labels and of the weights that "
    "the training began with hold for the model, too: BDD100K's allows education, research and other purposes without "
    "profit."
)
USE = """```python
from pipeline import load_model

for found in load_model("this folder").predict("pictures/"):
    print(found.picture.name, found.classes, found.scores)
```"""
SMALL = 32**2
"""Square pixels below which COCO calls an instance small."""


def text(recipe: Recipe, trained_model: Path, evaluation_report: Path) -> str:
    """Return the model card as Markdown."""
    model, found = model_file.read(trained_model), figures.metrics(evaluation_report)
    parts = [
        f"# {model.name}: Mask R-CNN, {model.backbone}",
        f"It marks {', '.join(map(_code, model.class_names[1:]))} in pictures: a box, a mask and a score each.",
        "## Figures",
        *_figures(found),
        "## Data and training",
        *_origin(trained_model, evaluation_report),
        "## Limits",
        *_limits(found),
        "## Licence",
        recipe.release.licence or NO_LICENCE,
        "## Use",
        USE,
    ]
    return "\n\n".join(parts) + "\n"


def _figures(found: dict[str, Any]) -> Iterator[str]:
    segm = found["segm"]
    whole = next((each["interval"] for each in found["slices"] if each.get("interval")), None)
    interval = f", 95 % interval {whole['low']:.3f} to {whole['high']:.3f}" if whole else ""
    yield (
        f"On {found['images']:,} images of the split `{found['split']}` with {found['instances']:,} instances: "
        f"mask AP {_number(segm['AP'])}{interval}; AP50 {_number(segm['AP50'])}; box AP {_number(found['bbox']['AP'])}."
    )
    rows = [f"| {_code(n)} | {_number(c['AP'])} | {_number(c['AP50'])} | {c['instances']:,} |"
            for n, c in segm["per_class"].items()]  # fmt: skip
    yield "\n".join(["| class | AP | AP50 | instances |", "|---|---|---|---|", *rows])


def _origin(trained_model: Path, evaluation_report: Path) -> Iterator[str]:
    """Yield what the manifests of an artifact and of what it was made from say; folders from elsewhere say nothing."""
    if not (trained_model / MANIFEST).is_file():
        yield "Not known: the model has no manifest."
        return
    made = Manifest.read(trained_model)
    lines = [f"- model {made.fingerprint}, trained {made.built_at[:10]} in {made.seconds / 60:,.0f} minutes"]
    if (evaluation_report / MANIFEST).is_file():
        lines.append(f"- report {Manifest.read(evaluation_report).fingerprint}")
    for stage in ("dataset_zip", "filtered_labels"):
        if folder := ancestor(trained_model, stage):
            lines.append(f"- {stage} {folder.name}")
    for stage in ("raw_images", "raw_labels"):
        if folder := ancestor(trained_model, stage):
            sources = [key.split(": ", 1)[-1] for key in Manifest.read(folder).identities]
            lines += [f"- {stage}: {_code(source)}" for source in sources]
    yield "\n".join(lines)
    yield "\n".join(["| key of the recipe | value |", "|---|---|",
                     *(f"| `{key}` | {_code(str(value))} |" for key, value in made.recipe.items())])  # fmt: skip


def _limits(found: dict[str, Any]) -> Iterator[str]:
    """Yield what a person should know before use, as the report found it."""
    segm = found["segm"]
    half = (segm["AP"] or 0) / 2
    weak = [name for name, each in segm["per_class"].items() if each["AP"] is None or each["AP"] < half]
    lines = ["- Judged on pictures like those it learnt from; other cameras, countries and seasons are not covered."]
    if segm["APs"] is not None:
        lines.append(f"- Instances below {SMALL:,} square pixels are found worse: mask AP {_number(segm['APs'])}.")
    if weak:
        lines.append(f"- Much weaker than the others, or not measurable: {', '.join(map(_code, weak))}.")
    if found["seen_in_training"]:
        lines.append(f"- {found['seen_in_training']} of the judged images were trained on: the figures flatter.")
    if found["box_share"]:
        lines.append(f"- {found['box_share']:.1%} of the judged instances are boxes in place of masks.")
    lines.append("- Not made for decisions about people's safety without a person or another system beside it.")
    yield "\n".join(lines)


def _number(value: float | None) -> str:
    return "not measurable" if value is None else f"{value:.3f}"


def _code(name: str) -> str:
    """Return a name from outside as code, so that nothing of it is read as Markdown or HTML."""
    inert = " ".join(name.replace("`", "'").replace("|", "/").split())
    return f"`{inert}`"
