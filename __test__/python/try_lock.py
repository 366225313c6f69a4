"""Tries flock(LOCK_EX | LOCK_NB) until somebody else has the lock; gives up after the seconds named."""

import fcntl
import os
import sys
import time

path, seconds = sys.argv[1], float(sys.argv[2])
log = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
os.write(1, b"ready\n")
sys.stdin.readline()
end = time.monotonic() + seconds
answer = b"never blocked\n"
while time.monotonic() < end:
    try:
        fcntl.flock(log, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        answer = b"blocked\n"
        break
    fcntl.flock(log, fcntl.LOCK_UN)
os.write(1, answer)
