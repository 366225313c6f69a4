"""The writer that a failed sync deceives: it takes a later good fdatasync as proof of all it wrote.

Usage: trusting_writer.py PATH; each line of input is appended to the file and answered by `ok` or the error's name.
An empty line only syncs.
"""

import errno
import os
import sys

log = os.open(sys.argv[1], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
for line in sys.stdin:
    try:
        if line.strip():
            os.write(log, line.encode())
        os.fdatasync(log)
        answer = "ok"
    except OSError as error:
        answer = errno.errorcode[error.errno]
    os.write(1, f"{answer}\n".encode())
