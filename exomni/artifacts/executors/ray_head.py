"""A Ray cluster of one node on this machine, which ends with the process that started it."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HOST = "127.0.0.2" if sys.platform == "linux" else "127.0.0.1"  # Ray replaces 127.0.0.1 by an address that others can reach
START_SECONDS = 300  # at the longest; half a minute on a machine of two cores
GRACE_SECONDS = 5.0  # between asking Ray's processes to end and killing them
STORE_BYTES = 100_000_000  # for objects in memory, of which jobs put none; the least is 75 MB
NEVER = str(10**9)  # seconds after which Ray gives up a job that waits for its turn

# The shell that leads the group of Ray's processes: its standard input ends when the launcher does, however that dies.
GUARD = """
folder=$1; shift
exec 3<&0
"$@" </dev/null & ray=$!
{ cat >/dev/null; kill -TERM $ray; } <&3 &
wait $ray
trap "" TERM; kill -TERM 0; sleep 5; rm -rf "$folder"; kill -KILL 0
"""


class RayHead:
    """`address` and `headers` are what a client needs: a token keeps others out, for Ray runs whatever it is sent."""

    def __init__(self, cpus: int, gpus: int) -> None:
        """Start it; a Jobs API that answers and has a node is waited for by the caller. OSError without the command `ray`."""
        self.folder = Path(tempfile.mkdtemp(prefix="ray", dir="/tmp"))  # short: names of sockets may have 107 characters
        self.port, dashboard, agent, client = _free_ports(4)
        self.address = f"http://{HOST}:{dashboard}"
        token = secrets.token_hex(32)
        self.headers = {"Authorization": f"Bearer {token}"}
        self.environment = {
            **os.environ,
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": token,
            "RAY_USAGE_STATS_ENABLED": "0",
            "RAY_JOB_START_TIMEOUT_SECONDS": NEVER,
        }
        self.ray = str(Path(sys.executable).with_name("ray"))
        command = [self.ray, "start", "--head", "--block", f"--num-cpus={cpus}", f"--num-gpus={gpus}", f"--port={self.port}"]
        command += [f"--node-ip-address={HOST}", f"--temp-dir={self.folder}", f"--object-store-memory={STORE_BYTES}"]
        command += [f"--dashboard-host={HOST}", f"--dashboard-port={dashboard}"]
        command += [f"--dashboard-agent-listen-port={agent}", f"--ray-client-server-port={client}"]
        with (self.folder / "start.log").open("wb") as log:
            self._process = subprocess.Popen(
                ["sh", "-c", GUARD, "ray-of-exomni", str(self.folder), *command],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=self.environment,
                start_new_session=True,
            )

    @property
    def alive(self) -> bool:
        """Whether its first process still runs."""
        return self._process.poll() is None

    @property
    def said(self) -> str:
        """The last lines that it wrote when it started."""
        return " | ".join((self.folder / "start.log").read_text(errors="replace").split("\n")[-6:])

    def stop(self) -> None:
        """End all its processes: `ray stop` would end every Ray of this machine."""
        group = self._process.pid
        for number, seconds in ((signal.SIGTERM, GRACE_SECONDS), (signal.SIGKILL, GRACE_SECONDS)):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(group, number)
            deadline = time.monotonic() + seconds
            while _has_processes(group) and time.monotonic() < deadline:
                self._process.poll()
                time.sleep(0.05)
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)


def _has_processes(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    return True


def _free_ports(count: int) -> list[int]:
    sockets = [socket.create_server((HOST, 0)) for _ in range(count)]
    try:
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
