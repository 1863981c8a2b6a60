"""Materialises one asset: from the store, or by the stage's program, run through Pipes."""

import json
import logging
import os
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.errors import DagsterPipesExecutionError

from assets import history, metadata
from assets.recipe_resource import RecipeResource
from pipeline.artifacts import Artifact, Store
from pipeline.errors import PipelineError
from pipeline.program import EXIT_NO_SPACE, FAILURE, LIVE, PARENT_VARIABLE, Forwarder, no_space, refusal
from pipeline.recipe import Recipe
from pipeline.release import gate
from pipeline.stages import STAGES, Stage

SECONDS_BETWEEN_LOOKS = 2.0
"""At the figures of a program that runs."""
SECONDS_FOR_A_CHECKPOINT = 120.0
"""How long an interrupted program may take to end (Pipes' own default of 20 s is short for a big model)."""


class StageError(PipelineError):
    """The stage's program ended with a fault; the message is the program's own sentence."""


def materialise(
    context: dg.AssetExecutionContext, resource: RecipeResource, **inputs: Artifact
) -> dg.MaterializeResult[Artifact]:
    """Return the asset of `context`, reused or built; raises dagster.Failure with one sentence on a fault."""
    stage = STAGES[context.asset_key.path[-1]]
    recipe = resource.load()
    history.remember(context.instance, context.run_id, resource)
    store = Store()
    try:
        with _messages_in(context):
            identities = stage.identities(recipe)

            def make(partial: Path) -> None:
                _run_program(context, stage, recipe, inputs, identities, partial)

            built = gate.build(store, stage, recipe, inputs, make, identities)
    except PipelineError as fault:
        raise dg.Failure(description=str(fault), allow_retries=False) from None
    except OSError as error:
        if not (sentence := refusal(error, store.root)):
            raise
        raise dg.Failure(description=sentence, allow_retries=False) from None
    found = built.summary
    for line in found.lines:
        context.log.info(line)
    for check in found.failed:
        context.log.warning(f"check {check.name} did not pass: {check.description}")
    return metadata.result(built, recipe, resource.label())


def _run_program(
    context: dg.AssetExecutionContext,
    stage: Stage,
    recipe: Recipe,
    inputs: dict[str, Artifact],
    identities: dict[str, Any],
    partial: Path,
) -> None:
    """Run the stage's program on its inputs' folders; raises StageError with the program's own sentence."""
    recipe_file, identities_file = partial / ".recipe.json", partial / ".identities.json"
    with os.fdopen(os.open(recipe_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(recipe.model_dump(), file)  # not as JSON for others: with the secrets of addresses
    identities_file.write_text(json.dumps(identities), "utf-8")
    command = [sys.executable, "-m", "pipeline.program", stage.name, "--recipe", str(recipe_file)]
    if stage.outside:
        command += ["--identities", str(identities_file)]
    for name in stage.inputs:
        command += [STAGES[name].argument, str(inputs[name].folder)]
    environment = {PARENT_VARIABLE: str(os.getpid())}
    client = dg.PipesSubprocessClient(environment, termination_timeout_seconds=SECONDS_FOR_A_CHECKPOINT)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", dg.PreviewWarning)  # Pipes itself uses a preview function
            with _live(context, partial / LIVE):
                client.run(context=context, command=[*command, "--out", str(partial)])
    except DagsterPipesExecutionError as error:
        raise StageError(_sentence(partial, stage, str(error))) from None
    finally:
        recipe_file.unlink(missing_ok=True)
        identities_file.unlink(missing_ok=True)


@contextmanager
def _live(context: dg.AssetExecutionContext, figures: Path) -> Iterator[None]:
    """Report what the program leaves in `figures` while it runs, as observations, so that the asset's plots move."""
    ended = threading.Event()
    seen = ""

    def look() -> None:
        nonlocal seen
        if figures.exists() and (text := figures.read_text("utf-8")) != seen:
            seen = text
            observed = dg.AssetObservation(context.asset_key, metadata=json.loads(text))
            context.instance.report_runless_asset_event(observed)

    def watch() -> None:
        while not ended.wait(SECONDS_BETWEEN_LOOKS):
            look()

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join()
        look()
        figures.unlink(missing_ok=True)


def _sentence(partial: Path, stage: Stage, error: str) -> str:
    """Return the sentence that the program left, or what its exit code means where there is none."""
    failure = partial / FAILURE
    sentence = failure.read_text("utf-8", errors="replace").strip() if failure.exists() else ""
    failure.unlink(missing_ok=True)
    if sentence:
        return sentence
    if error.endswith(f" {EXIT_NO_SPACE}"):
        return no_space(partial)
    if error.endswith((" -9", " 137")):
        remedy = "lower training.batch_size, training.max_dim or training.threads, or " if stage.uses_gpu else ""
        why = "its program was killed, mostly since the machine's memory is used up"
        return f"{stage.name}: {why}: {remedy}end other programs"
    return f"{stage.name}: its program ended unexpectedly ({error}); its traceback is in the run's output above"


@contextmanager
def _messages_in(context: dg.AssetExecutionContext) -> Iterator[None]:
    """Show the store's messages (why it builds, what it waits for) in the run's log."""
    handler = Forwarder(context.log)
    logger = logging.getLogger("pipeline")
    before = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before)
