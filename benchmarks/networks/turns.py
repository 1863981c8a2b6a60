"""A worker of the benchmark: does one piece of work each time it is asked to, and says how long that took.

Runs under Python 3.7 as well, where the original needs it; so nothing of the project is imported here.
"""

import json
import resource
import sys
import time


def serve(prepare, work):
    """Answer each line of stdin with one repetition: `prepare(number)` untimed, then `work` on its result, timed.

    `work` returns facts about what it did (a dict, or None), which go into the answer with the seconds and the peak
    memory of this process in MiB.
    """
    print("READY", flush=True)
    for line in sys.stdin:
        prepared = prepare(int(line))
        start = time.perf_counter()
        facts = work(prepared) or {}
        seconds = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024.0
        print("ANSWER " + json.dumps(dict(facts, seconds=seconds, peak=peak)), flush=True)
