"""Takes flock(LOCK_EX) on each file named, says `held PID`, and lets go at the next line of input."""

import fcntl
import os
import sys

held = [os.open(path, os.O_RDWR | os.O_CREAT, 0o644) for path in sys.argv[1:]]
for log in held:
    fcntl.flock(log, fcntl.LOCK_EX)
os.write(1, f"held {os.getpid()}\n".encode())
sys.stdin.readline()
for log in held:
    fcntl.flock(log, fcntl.LOCK_UN)
os.write(1, b"released\n")
