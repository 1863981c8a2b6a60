"""The process that `painters.py` starts: reads orders from stdin, a JSON line each, and answers on stdout.

An answer is a JSON line (`size`, `frame`) and then `size` bytes of JPEG.
"""

import json
import os
import signal
import sys
from typing import BinaryIO

from pipeline.sample.drawing import Order, draw


def serve(requests: BinaryIO, answers: BinaryIO) -> None:
    """Draw each requested scene, until there are no more requests or nobody listens."""
    import cv2

    cv2.setNumThreads(1)
    for request in requests:
        scene = draw(Order(**json.loads(request)))
        header = {"size": len(scene.jpeg), "frame": scene.frame}
        answers.write(json.dumps(header).encode() + b"\n" + scene.jpeg)
        answers.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        serve(sys.stdin.buffer, sys.stdout.buffer)
    except BrokenPipeError:  # whoever wanted the scenes is gone; leave without flushing to them
        os._exit(1)
