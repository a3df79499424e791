"""The process of one job: `python -m exomni.artifacts.job FOLDER/order.json`.

It leaves beside its order how far it is (`progress.json`) and how it ended (`end.json`), so that whoever started it may have
ended before. Under the local executor it ends with its launcher, however that dies: its standard input is a pipe whose other
end only the launcher holds, and the pipe's end takes the whole process group with it, data loader workers included.
"""

from __future__ import annotations

import errno
import os
import resource
import signal
import socket
import sys
import threading
import time
import traceback
from collections.abc import Mapping
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from exomni import files
from exomni.artifacts import order
from exomni.artifacts.making import Say, make
from exomni.progress import Meter, Reported

TIED = "EXOMNI_TIED_TO_LAUNCHER"  # set by an executor that holds the other end of the job's standard input
HANDLE = "EXOMNI_JOB_HANDLE"  # set by an executor that tells its jobs how they are called
PROGRESS, END = "progress.json", "end.json"
Failure = Literal["failed", "diverged", "no space", "out of memory"]


def main(order_file: Path) -> int:
    """Make everything that the order names. Exit code 1 with a trace on stderr when something fails."""
    if TIED in os.environ:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    _set_threads(order_file)
    return perform(order_file)


def perform(order_file: Path, say: Say | None = None) -> int:
    """The job in this process; how it ended is in `end.json` afterwards. A kill of a child process kills this one too."""
    folder, began = order_file.parent, time.monotonic()
    (folder / END).unlink(missing_ok=True)
    found: dict[str, Any] = {}
    try:
        _, artifacts = order.read(order_file)
        for place, artifact in enumerate(artifacts):
            meter = Meter(artifact.title, stream=sys.stdout)
            with Reported(folder / PROGRESS, meter, title=artifact.title, place=place + 1, places=len(artifacts)) as progress:
                make(artifact, say=say or _say, progress=progress)
    except files.KilledError as error:
        print(error, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)  # ends as its child did: killed work is done again, failed work is not
    except Exception as error:
        traceback.print_exc()
        found = {"failure": failure_of(error), "error": f"{type(error).__name__}: {' | '.join(str(error).splitlines())}"}
    code = 1 if found else 0
    files.write_json(folder / END, {"code": code, "seconds": round(time.monotonic() - began, 1), **found, **_where()})
    return code


def failure_of(error: BaseException) -> Failure:
    """What kind of failure: some can be cured by another try, some are an outcome of the experiment."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) or "No space left on device" in str(error):
        return "no space"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return "out of memory"
    if isinstance(error, FloatingPointError) and "not finite" in str(error):
        return "diverged"
    return "failed"


def read_end(folder: Path) -> Mapping[str, Any] | None:
    """How the job of a folder ended; None while it has not, or was killed."""
    path = folder / END
    return files.read_json(path) if path.is_file() else None


def _where() -> dict[str, Any]:
    peak = max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "host": socket.gethostname(),
        "handle": os.environ.get(HANDLE, ""),
        "peak_memory_mb": round(peak / (1024**2 if sys.platform == "darwin" else 1024), 1),
        "time": f"{datetime.now():%Y-%m-%d %H:%M:%S}",
    }


def _set_threads(order_file: Path) -> None:
    """Compute with as many threads as the order says. Set before anything heavy is imported, here and nowhere else."""
    with suppress(OSError, ValueError, KeyError):
        cpus = max(artifact["resources"]["cpus"] for artifact in files.read_json(order_file)["artifacts"])
        os.environ |= {"OMP_NUM_THREADS": str(cpus), "MKL_NUM_THREADS": str(cpus), "TOKENIZERS_PARALLELISM": "false"}


def _say(text: str) -> None:
    print(text, flush=True)


def _end_with_launcher() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
