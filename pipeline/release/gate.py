"""Decides whether a new model replaces the released one, and releases it; by hand, too."""

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipeline.artifacts import Artifact, Built, Manifest, Store, released
from pipeline.artifacts.summary import Check, Summary
from pipeline.errors import ArtifactError
from pipeline.recipe import Recipe
from pipeline.recipe.sections import Release as Bounds
from pipeline.release import figures
from pipeline.stages import RELEASED, STAGES, Stage

if TYPE_CHECKING:
    from pipeline.evaluation.verdict import Verdict

log = logging.getLogger(__name__)

THE_SAME = "it is the released model"
CHECK = "better_than_released"
STAGE, MODEL = STAGES[RELEASED], STAGES["trained_model"]


@dataclass(frozen=True)
class Decision:
    """What the gate says of a new model."""

    passes: bool
    verdict: str
    """One sentence."""
    compared: "Verdict | None" = None


def build(
    store: Store,
    stage: Stage,
    recipe: Recipe,
    inputs: Mapping[str, Artifact],
    make: Callable[[Path], None],
    identities: dict[str, Any],
) -> Built:
    """Return what a stage makes, as `Store.build` does; of released_model, the one that the gate chooses.

    That is the new one where it passes, else the one released before. Raises ArtifactError where the new one doesn't
    pass, and none was released before.
    """
    if stage.name != RELEASED:
        return store.build(stage, recipe, inputs, make, identities)
    with released.held(store, recipe.name):
        current = released.released(store, recipe.name)
        decision = decide(store, recipe, current, inputs)
        if current and not decision.passes:
            return replace(store.reused(current, [decision.verdict]), decision=_summary(decision, new=False))
        if not decision.passes:
            raise ArtifactError(f"the model is not released, and none was before: {decision.verdict}")
        built = store.build(stage, recipe, inputs, make, identities)
        if not current or current.fingerprint != built.artifact.fingerprint:
            earlier = released.read(store, recipe.name)
            kept = earlier.passed_over if earlier else ()
            released.point(store, recipe.name, built.artifact, decision.verdict, kept)
        return replace(built, decision=_summary(decision, new=decision.verdict != THE_SAME))


def decide(store: Store, recipe: Recipe, current: Artifact | None, inputs: Mapping[str, Artifact]) -> Decision:
    """Return whether the model of `inputs` is to be released in place of `current`."""
    model, report = inputs["trained_model"], inputs["evaluation_report"]
    before = Manifest.read(current.folder).inputs if current else {}
    if current and before["trained_model"] == model.fingerprint:
        return Decision(True, THE_SAME)
    faults = list(_below_floors(recipe.release, report.folder))
    if not current:
        ap = figures.mask_ap(report.folder)
        said = "not measurable" if ap is None else f"{ap:.3f}"
        first = f"the first released model of recipe {recipe.name}: mask AP {said}"
        return Decision(not faults, "; ".join(faults) or first)
    earlier = released.read(store, recipe.name)
    if earlier and model.fingerprint in earlier.passed_over:
        faults.append("a person has replaced it by hand")
    compared, fault = _compared(store.root / "evaluation_report" / before["evaluation_report"], report.folder)
    faults += [fault] if fault else _not_better(compared, recipe.release.margin)
    if faults:
        sentences = [compared.sentence] if compared else []
        return Decision(False, f"{'; '.join([*sentences, *faults])}: {current.fingerprint} stays released", compared)
    assert compared
    return Decision(True, f"{compared.sentence}: released in place of {current.fingerprint}", compared)


def _compared(before: Path, after: Path) -> tuple["Verdict | None", str]:
    """Return how the two reports differ, or why that can't be said."""
    from pipeline.evaluation.verdict import compare

    log.info("comparing with the released model's report on the same images")
    try:
        return compare(before, after), ""
    except ArtifactError as fault:
        return None, str(fault)


def _not_better(compared: "Verdict | None", margin: float) -> Iterator[str]:
    """Yield why the new model is not better on the images that both were judged on."""
    interval = compared.mask.AP.interval if compared else None
    if interval is None:
        yield "too little to compare on, so that a person has to decide"
    elif interval.low < -margin:
        yield f"the difference may be as low as {interval.low:+.3f}, and release.margin allows {-margin:+.3f}"


def _below_floors(bounds: Bounds, report: Path) -> Iterator[str]:
    """Yield a sentence for each figure that is below the recipe's floor."""
    wanted = {"": bounds.least_ap, **bounds.least_class_ap}
    for name, floor in wanted.items():
        found = figures.mask_ap(report, name)
        if floor and (found is None or found < floor):
            of = f"AP of {name}" if name else "mask AP"
            yield f"{of} is {'not measurable' if found is None else format(found, '.3f')}, below the floor {floor:.3f}"


def _summary(decision: Decision, new: bool) -> Summary:
    """Return what Dagster and the terminal show of a decision."""
    compared = decision.compared
    numbers: dict[str, int | float] = {"released": int(new)}
    table = []
    if compared:
        found = compared.mask.AP
        ends = {"low": found.interval.low, "high": found.interval.high} if found.interval else {}
        values = {"AP_difference": found.difference, **{f"AP_difference_{end}": value for end, value in ends.items()}}
        numbers |= {name: value for name, value in values.items() if value is not None}
        table = list(figures.rows(compared.mask))
    return Summary(
        numbers=numbers,
        texts={"verdict": decision.verdict},
        tables={"against_the_released": table} if table else {},
        checks=[Check(CHECK, decision.passes, decision.verdict, {k: float(v) for k, v in numbers.items()})],
        lines=[decision.verdict] if decision.passes else [],
    )


def by_hand(store: Store, fingerprint: str) -> tuple[str, Artifact]:
    """Release the model (or the model of the report) of this fingerprint; return the recipe's name and the artifact.

    What was released until now is not taken again by the gate. Raises ArtifactError where there is no such model, or no
    report of it.
    """
    from pipeline import release

    inputs = _inputs(store, fingerprint)
    recipe = _recipe_of(inputs["trained_model"])
    folders = {name: artifact.folder for name, artifact in inputs.items()}
    with released.held(store, recipe.name):
        before, current = released.read(store, recipe.name), released.released(store, recipe.name)
        built = store.build(STAGE, recipe, inputs, lambda out: release.build(recipe, **folders, out=out))
        passed_over = set(before.passed_over) if before else set()
        if current:
            passed_over.add(Manifest.read(current.folder).inputs["trained_model"])
        kept = tuple(sorted(passed_over - {inputs["trained_model"].fingerprint}))
        released.point(store, recipe.name, built.artifact, "released by hand", kept)
    return recipe.name, built.artifact


def _inputs(store: Store, fingerprint: str) -> dict[str, Artifact]:
    """Return the model that a fingerprint, or the start of one, names, and its newest report."""
    reports, models = store.complete(STAGES["evaluation_report"]), store.complete(MODEL)
    made = [*reports, *store.complete(STAGE)]
    model_of = {each.folder: Manifest.read(each.folder).inputs["trained_model"] for each in made}
    named = {model for folder, model in model_of.items() if folder.name.startswith(fingerprint)}
    named |= {each.fingerprint for each in models if each.fingerprint.startswith(fingerprint)}
    if len(named) > 1:
        raise ArtifactError(f"{fingerprint}: several models begin so; name more of its digits")
    for report in reports:
        for model in models:
            if model.fingerprint in named and model_of[report.folder] == model.fingerprint:
                return {"trained_model": model, "evaluation_report": report}
    raise ArtifactError(
        f"{fingerprint}: no model with a report has this fingerprint under {store.root}; "
        "python -m pipeline.artifacts list shows what is there"
    )


def _recipe_of(model: Artifact) -> Recipe:
    """Return a recipe of the name that the model was trained under."""
    return Recipe(name=str(Manifest.read(model.folder).recipe["name"]))
