"""Prints, for each line of a log, the event's keys in their order and its mark, as JSON."""

import json
import sys

with open(sys.argv[1], "rb") as log:
    for line in log.read().split(b"\n"):
        if line.strip():
            event = json.loads(line)
            print(json.dumps([list(event), event["mark"]]))
