"""`exomni ui`: MLflow's own server on this machine's loopback address, over all that was ever done here."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType

from exomni.config import logs
from exomni.tracking.store import DEFAULTS, artifacts_folder, is_server, uri
from exomni.tracking.sync import folders, sync_everything


def serve(port: int) -> int:
    """Show everything, then serve it until the user stops it; the exit code. FileNotFoundError when nothing was ever done."""
    address = uri()
    if not folders():
        raise FileNotFoundError(f"no runs yet in {logs()}; `exomni ablate`, `exomni train` and `exomni evaluate` make some")
    sync_everything(say=print)
    if is_server(address):
        print(f"MLflow UI: {address} (MLFLOW_TRACKING_URI)")
        return 0
    print(f"MLflow UI: http://127.0.0.1:{port} (stop with Ctrl-C)", flush=True)
    artifacts_folder().mkdir(exist_ok=True)
    place = ["--backend-store-uri", address, "--artifacts-destination", str(artifacts_folder())]
    options = [*place, "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    server = subprocess.Popen(
        [sys.executable, "-m", "mlflow", "server", *options], env={**DEFAULTS, **os.environ}, start_new_session=True
    )

    def stop(number: int, _: FrameType | None) -> None:
        os.killpg(server.pid, signal.SIGTERM)  # the server is several processes, and only their group ends as one

    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)
    code = server.wait()
    return 0 if code in (0, -signal.SIGTERM) else code
