"""Replaces a log by a copy of itself, as an editor does that takes the lock: under LOCK_EX, by rename.

Usage: replace_log.py PATH; one replacement for each line of input, each answered by `replaced`.
"""

import fcntl
import os
import shutil
import sys

path = sys.argv[1]
os.write(1, b"ready\n")
for _ in sys.stdin:
    while True:
        log = os.open(path, os.O_RDWR)
        fcntl.flock(log, fcntl.LOCK_EX)
        if os.path.samestat(os.fstat(log), os.stat(path)):
            break
        os.close(log)
    copy = path + ".copy"
    shutil.copyfile(path, copy)
    os.rename(copy, path)
    fcntl.flock(log, fcntl.LOCK_UN)
    os.close(log)
    os.write(1, b"replaced\n")
