"""Processes of a pool: they end with the process that started them."""

import subprocess
import sys

import psutil

PARENT = """
import os, time
from pipeline.sample.drawing import process_pool
if __name__ == "__main__":
    pool = process_pool(2)
    print(*{future.result() for future in [pool.submit(os.getpid) for _ in range(8)]}, flush=True)
    time.sleep(60)
"""


def test_processes_end_when_the_one_that_started_them_is_killed(tmp_path):
    script = tmp_path / "parent.py"
    script.write_text(PARENT)
    parent = subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True)
    workers = [psutil.Process(int(pid)) for pid in parent.stdout.readline().split()]
    assert workers
    parent.kill()
    parent.wait()
    assert psutil.wait_procs(workers, timeout=10)[1] == []
