"""`exomni doctor`: what this machine has, and what to do about what it lacks."""

from __future__ import annotations

import argparse
import importlib.util
import os
import platform
import shutil
from importlib import metadata
from types import ModuleType

from exomni import config
from exomni.config import registry

HELP = "check what this machine has"
EXAMPLE = "exomni doctor"
CORE = (
    "torch",
    "torchaudio",
    "pytorch-lightning",
    "torchmetrics",
    "transformers",
    "peft",
    "mlflow",
    "omegaconf",
    "syncnet-python",
)
EXTRAS = {
    "espeakng_loader": "the built-in corpus: pip install 'exomni[corpus]'",
    "pyvista": "rendered faces: pip install 'exomni[render]'",
    "imageio_ffmpeg": "videos: pip install 'exomni[render]'",
    "speechmos": "DNSMOS: pip install 'exomni[speech]'",
    "whisper_normalizer": "Whisper's text normaliser: pip install 'exomni[speech]'",
    "submitit": "jobs on Slurm: pip install 'exomni[slurm]'",
    "ray": "jobs on Ray: pip install 'exomni[ray]'",
}
FREE_GIB = 3


def run() -> int:
    """Print a line per finding; 1 when something that every run needs is missing."""
    import torch

    missing = [name for name in CORE if not _version(name)]
    print(f"python {platform.python_version()}, {len(os.sched_getaffinity(0))} cores, exomni {_version('exomni')}")
    for name in CORE:
        print(f"{'ok' if _version(name) else 'MISSING':8}{name} {_version(name)}")
    for name, purpose in EXTRAS.items():
        found = importlib.util.find_spec(name) is not None
        print(f"{'ok' if found else 'absent':8}{name}{'' if found else f' - needed for {purpose}'}")
    print(f"{'ok' if torch.cuda.is_available() else 'absent':8}CUDA device" + _devices(torch))
    logs = config.logs()
    space = shutil.disk_usage(next(path for path in (logs, *logs.parents) if path.exists())).free / 2**30
    print(f"{'ok' if space > FREE_GIB else 'LOW':8}{space:.0f} GiB free for {logs} (EXOMNI_LOGS)")
    for label, error in registry.broken_plugins().items():
        print(f"BROKEN  plugin {label!r}: {error}")
    return 1 if missing else 0


def _devices(torch: ModuleType) -> str:
    return "".join(f": {torch.cuda.get_device_name(index)}" for index in range(torch.cuda.device_count()))


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    del parser  # nothing


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""

    return run()
