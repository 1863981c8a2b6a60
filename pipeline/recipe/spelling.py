"""Which known word was meant by one that isn't known."""

import difflib
from collections.abc import Iterable


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return the end of a sentence that names the known word that is spelled nearly as `word`, or nothing."""
    spelled = {each.casefold(): each for each in known}
    near = difflib.get_close_matches(word.casefold(), spelled, n=1, cutoff=0.7)
    return f"; did you mean {spelled[near[0]]}?" if near else ""
