"""The kinds of fault that a person can mend; each message is one sentence that names the file, image, label or key."""

from pipeline.secrets import redacted


class PipelineError(Exception):
    """A fault in the input of the chain; its message is all that a person needs to see, and shows no password."""

    def __init__(self, message: str = "") -> None:
        super().__init__(redacted(message))


class RecipeError(PipelineError):
    """The recipe holds an unknown key, an impossible value, or can't be read; `faults` has a sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = [redacted(fault) for fault in faults]


class SourceError(PipelineError):
    """A source of images or labels is missing, unreachable or of no kind that is read."""


class ArchiveError(PipelineError):
    """An archive is truncated, damaged, or tries to reach out of its folder or to fill the disk."""


class LabelFileError(PipelineError):
    """A label file can't be read: truncated, not JSON, or of no format that is read."""


class NotLabelsError(LabelFileError):
    """A JSON file is sound but holds no labels (VIA's attributes, another tool's settings)."""


class ProcessError(PipelineError):
    """A worker process was ended from outside, mostly by a system that is short of memory."""


class EmptyDatasetError(PipelineError):
    """Nothing is left to work on: no image, no instance, or an empty split."""


class ArtifactError(PipelineError):
    """An upstream artifact is missing, damaged, or belongs to another recipe."""


class BlockedError(PipelineError):
    """A check that ends the chain did not pass."""


class TrainingError(PipelineError):
    """Training can't start or continue: weights that don't fit, a loss that is not a number."""


class ExportError(PipelineError):
    """A model can't be exported, or the exported file finds something else than the model."""
