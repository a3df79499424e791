"""The process of one job: `python -m exomni.ablation.job JOB.json`.

Under the local executor it ends with its launcher, however that dies: its standard input is a pipe whose other end only the
launcher holds, and the pipe's end takes the whole process group with it, data loader workers included.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

from exomni import files

TIED = "EXOMNI_TIED_TO_LAUNCHER"  # set by an executor that holds the other end of the job's standard input


def error_file(job_file: Path) -> Path:
    """Where a failed job leaves its error in one line."""
    return job_file.with_suffix(".error")


def main(job_file: Path) -> int:
    """Make everything that the job file names, in order. Exit code 1 with a trace on stderr when something fails."""
    if TIED in os.environ:
        threading.Thread(target=_end_with_launcher, daemon=True).start()
    error_file(job_file).unlink(missing_ok=True)
    try:
        job = files.read_json(job_file)
        module, _, name = job["workbench"].partition(":")
        workbench = getattr(importlib.import_module(module), name)()
        _work(job, workbench)
    except files.KilledError as error:
        print(error, file=sys.stderr, flush=True)
        os.kill(os.getpid(), signal.SIGKILL)  # ends as its child did: killed work is done again, failed work is not
    except Exception as error:
        traceback.print_exc()
        files.write_text(error_file(job_file), f"{type(error).__name__}: {' | '.join(str(error).splitlines())}\n")
        return 1
    return 0


def _work(job: dict[str, Any], workbench: Any) -> None:
    config = workbench.load(job["config"])
    for made in job["makes"]:
        if made["kind"] == "pictures":
            shows = {label: workbench.load(path) for label, path in job["shows"].items()}
            workbench.illustrate(shows, Path(job["folder"]))
            files.write_json(Path(made["marker"]), {"shows": sorted(shows)})
        else:
            workbench.perform(config, made["kind"], made["name"])


def _end_with_launcher() -> None:
    while os.read(sys.stdin.fileno(), 1024):
        pass
    os.killpg(os.getpgrp(), signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
