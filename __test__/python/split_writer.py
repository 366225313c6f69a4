"""Appends lines as other programs do: each line in two write() calls, under flock unless told not to.

Usage: split_writer.py PATH CLIENT COUNT [unlocked] [newline-first]
Tells about its calls in the same lines as writer-process.mjs, by unbuffered writes.
"""

import fcntl
import json
import os
import sys
import time


def tell(*words):
    os.write(1, (json.dumps(words) + "\n").encode())


def main():
    path, client, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    locked = "unlocked" not in sys.argv[4:]
    newline_first = "newline-first" in sys.argv[4:]
    os.write(1, b"ready\n")
    sys.stdin.readline()
    for number in range(count):
        mark = f"{client}:{number}"
        event = {
            "type": "TELEMETRY",
            "timestamp": "2026-01-02T03:04:05Z",
            "actor": {"agent": "python", "id": client},
            "mark": mark,
            "data": "x" * 40,
        }
        record = json.dumps(event).encode()
        tell("call", mark, str(time.monotonic_ns()))
        log = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        if locked:
            fcntl.flock(log, fcntl.LOCK_EX)
        at = os.fstat(log).st_size
        line = b"\n" + record if newline_first else record + b"\n"
        half = len(line) // 2
        os.write(log, line[:half])
        os.write(log, line[half:])
        if locked:
            fcntl.flock(log, fcntl.LOCK_UN)
        os.close(log)
        place = {"offset": at + 1 if newline_first else at, "length": len(record)}
        tell("done", mark, str(time.monotonic_ns()), "acked", place if locked else {})


main()
