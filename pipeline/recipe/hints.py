"""What a recipe without faults is warned of, and what it asks for in one line."""

from collections.abc import Iterator

from pipeline.recipe import Recipe
from pipeline.recipe.categories import VOCABULARY, canonical
from pipeline.recipe.spelling import did_you_mean


def contradictions(recipe: Recipe) -> Iterator[str]:
    """Yield a sentence for each pair of keys that can't be meant together."""
    training = recipe.training
    if training.backbone == "narrow" and training.weights in {"imagenet", "coco"}:
        yield f"training.weights: there are none of {training.weights} for backbone narrow: set weights to none"


def of_training(recipe: Recipe) -> Iterator[str]:
    """Yield a sentence for each setting with which a network trains and learns little."""
    training = recipe.training
    if training.weights == "none" and training.stages[0].layers == "heads":
        start = "" if training.backbone == "narrow" else "training.weights to coco or imagenet, or "
        yield (
            "training.stages.0: the heads are trained while the backbone keeps its random weights (training.weights: "
            f"none): set {start}training.stages to [{{layers: all, epochs: {_epochs(recipe)}}}]"
        )


def of_categories(recipe: Recipe) -> Iterator[str]:
    """Yield a sentence for each category that is nearly a word of BDD's vocabulary; VIA's classes are free."""
    for word in recipe.labels.categories:
        if canonical(word) not in VOCABULARY and (meant := did_you_mean(word, VOCABULARY)):
            yield f"labels.categories: {word!r} is no category of BDD's{meant}"


def headline(recipe: Recipe) -> str:
    """Return what a recipe asks for, in one line."""
    training, named = recipe.training, len(recipe.labels.categories)
    classes = f"{named} class{'es' * (named != 1)}" if named else "every class that is found"
    steps = f" of {training.steps_per_epoch} steps" if training.steps_per_epoch else ""
    epochs = _epochs(recipe)
    images = f"{training.batch_size} image{'s' * (training.batch_size != 1)} a step"
    start = "random weights" if training.weights == "none" else training.weights
    network = f"{training.backbone} from {start}"
    judged = f"judged on {recipe.evaluation.split}"
    return f"{classes}, {epochs} epoch{'s' * (epochs != 1)}{steps}, {images}, {network}, {judged}"


def _epochs(recipe: Recipe) -> int:
    return sum(stage.epochs for stage in recipe.training.stages)
