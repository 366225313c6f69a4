"""Reads the whole file under flock(LOCK_SH), ROUNDS times; prints size and SHA-256 of what it saw."""

import fcntl
import hashlib
import os
import sys

path, rounds = sys.argv[1], int(sys.argv[2])
os.write(1, b"ready\n")
sys.stdin.readline()
for _ in range(rounds):
    with open(path, "rb") as log:
        fcntl.flock(log, fcntl.LOCK_SH)
        seen = log.read()
        fcntl.flock(log, fcntl.LOCK_UN)
    whole = seen == b"" or seen.endswith(b"\n")
    digest = hashlib.sha256(seen).hexdigest()
    os.write(1, f"{len(seen)} {digest} {'whole' if whole else 'cut'}\n".encode())
