"""The kinds of fault that a person can mend; each message is one sentence that names the file, image, label or key.

Faults of our own code are not here: they stay ordinary exceptions, with their traceback.
"""


class PipelineError(Exception):
    """A fault in what the chain was given; its message is all that a person needs to see."""


class RecipeError(PipelineError):
    """The recipe holds an unknown key, an impossible value, or can't be read; `faults` has a sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("; ".join(faults))
        self.faults = faults


class SourceError(PipelineError):
    """A source of images or labels is missing, unreachable or of no kind that we read."""


class ArchiveError(PipelineError):
    """An archive is truncated, damaged, or tries to reach out of its folder or to fill the disk."""


class LabelFileError(PipelineError):
    """A whole label file can't be read: cut in half, not JSON, or of a format that is not ours to read."""


class NotLabelsError(LabelFileError):
    """A whole JSON file is sound but holds no labels (VIA's attributes, some other tool's settings)."""


class ProcessError(PipelineError):
    """A process that helps was ended from outside, mostly by a system that is short of memory."""


class EmptyDatasetError(PipelineError):
    """Nothing is left to work on: no image, no instance, or an empty split."""


class ArtifactError(PipelineError):
    """An upstream artifact is missing, damaged, or belongs to another recipe."""


class TrainingError(PipelineError):
    """Training can't start or go on: weights that don't fit, a loss that is not a number."""
