"""Learning rate schedules: the learning rate of every step of training."""

import math
from dataclasses import dataclass

SCHEDULES = ("constant", "cosine")
FINAL_FRACTION = 0.01
"""Of the peak learning rate, at the end of the cosine."""


@dataclass(frozen=True)
class LearningRateSchedule:
    """The learning rate over steps `first_step` … `last_step` - 1, counted from the beginning of the first epoch.

    Raises:
        ValueError: `kind` is not one of SCHEDULES.
    """

    peak: float
    kind: str = "constant"
    """`constant`, or `cosine`: half a period from the peak to FINAL_FRACTION of it (Loshchilov and Hutter 2016)."""
    warmup_steps: int = 0
    """Steps over which the rate rises linearly to the peak; at most half of all steps."""
    first_step: int = 0
    last_step: int = 1

    def __post_init__(self) -> None:
        if self.kind not in SCHEDULES:
            raise ValueError(f"the learning rate schedule {self.kind!r} is not one of {', '.join(SCHEDULES)}")

    @property
    def changes(self) -> bool:
        """Whether the learning rate differs between steps."""
        return self.kind != "constant" or self.warmup_steps > 0

    def __call__(self, step: int) -> float:
        """Return the learning rate of `step`; outside of the schedule, that of its first or last step."""
        done, total = step - self.first_step, max(1, self.last_step - self.first_step)
        warmup = min(self.warmup_steps, total // 2)
        if done < warmup:
            return self.peak * (max(done, 0) + 1) / warmup
        if self.kind == "constant":
            return self.peak
        progress = min(1.0, (done - warmup) / max(1, total - warmup))
        cosine = 0.5 * (1 + math.cos(math.pi * progress))
        return self.peak * (FINAL_FRACTION + (1 - FINAL_FRACTION) * cosine)
