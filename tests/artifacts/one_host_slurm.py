"""A whole Slurm cluster on this host, for tests: one controller and several node daemons, without systemd, munge or a database.

    with OneHostSlurm(folder) as slurm:   # SLURM_CONF is set for this process and its children until the block ends
        slurm.kill_node("n1")             # as a power cut: the node's daemon and all its jobs' processes
        slurm.start_node("n1")

Partitions: `main`, and `urgent`, whose jobs take the place of those of `main` (these are queued again). Every node claims more
cores than this host may have and two GPUs, which are copies of /dev/null. It listens on the loopback interface only, trusts
everybody there, and forgets everything when it stops. Times are set short, so that tests need not wait for Slurm's usual ones.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import stat
import subprocess
import time
from collections.abc import Callable, Iterable
from pathlib import Path

PROGRAMS = ("slurmctld", "slurmd", "sbatch", "squeue", "scontrol", "scancel", "sinfo")
START_SECONDS, STOP_SECONDS = 60, 30  # at the longest; both take one or two on a quiet machine
GPUS = 2  # on every node


def absent() -> str:
    """Why this host cannot run it; empty where it can."""
    missing = [program for program in PROGRAMS if shutil.which(program) is None]
    if missing:
        return f"{', '.join(missing)} not installed: apt-get install --no-install-recommends slurmctld slurmd slurm-client"
    return "" if os.geteuid() == 0 else "only root can start Slurm's daemons and make the files of GPUs that are not there"


class OneHostSlurm:
    """The cluster of a folder, which is made and removed. `nodes` nodes called n1, n2, ... of `cpus` cores each."""

    def __init__(self, folder: Path, *, nodes: int = 2, cpus: int = 2) -> None:
        self.folder, self.cpus = folder, cpus
        self.nodes = [f"n{number + 1}" for number in range(nodes)]
        self.conf = folder / "slurm.conf"
        self._before: str | None = None

    def __enter__(self) -> OneHostSlurm:
        self._before = os.environ.get("SLURM_CONF")
        os.environ["SLURM_CONF"] = str(self.conf)
        try:
            self._configure()
            self.start_controller()
            for node in self.nodes:
                self.start_node(node)
            wait_until(self._idle, START_SECONDS, self._why)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._daemon("slurmctld"):
                run("scancel", "--quiet", "--me", check=False)
                self._quietly(lambda: not run("squeue", "-h", check=False).stdout)
            for name in ("slurmctld", *self.nodes):
                self._end(name, signal.SIGTERM)
            for node in self.nodes:
                _kill(self._processes_of(node))
        finally:
            shutil.rmtree(self.folder, ignore_errors=True)
            if self._before is None:
                os.environ.pop("SLURM_CONF", None)
            else:
                os.environ["SLURM_CONF"] = self._before

    def start_controller(self) -> None:
        """Start slurmctld, after its first start with the state that it left on the disk."""
        run("slurmctld")

    def kill_controller(self) -> None:
        """End slurmctld as a crash does; jobs go on."""
        self._end("slurmctld", signal.SIGKILL)

    def start_node(self, node: str) -> None:
        """Start a node's daemon."""
        run("slurmd", "-N", node)

    def kill_daemon(self, node: str) -> None:
        """End a node's daemon as a crash does; its jobs go on."""
        self._end(node, signal.SIGKILL)

    def kill_node(self, node: str) -> None:
        """End a node as a power cut does: its daemon and the processes of all its jobs."""
        self._end(node, signal.SIGKILL)
        _kill(self._processes_of(node))

    def resume(self) -> None:
        """Make all nodes fit for work again, and wait until they are."""
        for node in self.nodes:
            if not self._daemon(node):
                self.start_node(node)
        wait_until(lambda: self._resumed() and self._idle(), START_SECONDS, self._why)

    def _resumed(self) -> bool:
        bad = run("sinfo", "-h", "-N", "-p", "main", "-t", "down,drain,fail", "-o", "%N").stdout.split()
        for node in bad:
            run("scontrol", "update", f"nodename={node}", "state=resume", check=False)
        return not bad

    def _idle(self) -> bool:
        lines = run("sinfo", "-h", "-N", "-p", "main", "-t", "idle", "-o", "%N %T", check=False).stdout.splitlines()
        return sum(line.endswith(" idle") for line in lines) == len(self.nodes)  # `idle*` does not answer

    def _configure(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)
        for name in ("state", "log", "pids", "gpus", *(f"spool-{node}" for node in self.nodes)):
            (self.folder / name).mkdir(parents=True)
        for number in range(GPUS):  # plain files would be taken for no devices, and CUDA_VISIBLE_DEVICES would stay unset
            os.mknod(self.folder / "gpus" / f"gpu{number}", stat.S_IFCHR | 0o600, Path("/dev/null").stat().st_rdev)
        devices = f"{self.folder}/gpus/gpu[0-{GPUS - 1}]"
        (self.folder / "gres.conf").write_text(f"Name=gpu File={devices} Flags=nvidia_gpu_env\n")
        self.conf.write_text("\n".join(self._settings()) + "\n")

    def _settings(self) -> Iterable[str]:
        host, place = socket.gethostname(), self.folder
        ports = _free_ports(1 + len(self.nodes))
        yield "ClusterName=one_host"
        yield from (f"SlurmctldHost={host}(127.0.0.1)", f"SlurmctldPort={ports.pop()}", "SlurmUser=root", "SlurmdUser=root")
        yield from ("AuthType=auth/none", "CredType=cred/none", "CommunicationParameters=NoInAddrAny,NoCtldInAddrAny")
        yield from (f"StateSaveLocation={place}/state", f"SlurmdSpoolDir={place}/spool-%n")
        yield from (f"SlurmctldPidFile={place}/pids/slurmctld", f"SlurmdPidFile={place}/pids/%n")
        yield from (f"SlurmctldLogFile={place}/log/slurmctld", f"SlurmdLogFile={place}/log/%n")
        yield from ("ProctrackType=proctrack/linuxproc", "TaskPlugin=task/none", "MpiDefault=none", "GresTypes=gpu")
        yield from ("SelectType=select/cons_tres", "SelectTypeParameters=CR_Core_Memory", "DefMemPerCPU=100")
        yield "SlurmdParameters=config_overrides"  # nodes have as many cores as they claim here
        yield "SchedulerParameters=batch_sched_delay=0,sched_min_interval=100000,bf_interval=1"
        yield "AuthInfo=cred_expire=5"  # the least; a job that is queued again waits for this and ten seconds, else two minutes
        yield from ("KillWait=2", "SlurmdTimeout=5", "TCPTimeout=2", "MessageTimeout=5", "ReturnToService=2", "JobRequeue=1")
        yield from ("PreemptType=preempt/partition_prio", "PreemptMode=REQUEUE")
        for node in self.nodes:
            claims = f"CPUs={self.cpus} RealMemory=8000 Gres=gpu:{GPUS}"
            yield f"NodeName={node} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports.pop()} {claims}"
        yield "PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE PriorityTier=1 GraceTime=1"
        yield "PartitionName=urgent Nodes=ALL MaxTime=INFINITE PriorityTier=10 PreemptMode=OFF"

    def _daemon(self, name: str) -> int | None:
        """The process of a daemon, found by the file that it wrote; None where it has ended."""
        file = self.folder / "pids" / name
        pid = int(file.read_text() or 0) if file.is_file() else 0
        if not pid or _state(pid) in ("", "Z"):
            return None
        return pid if b"slurm" in Path(f"/proc/{pid}/cmdline").read_bytes() else None  # not another one with its number

    def _end(self, name: str, number: signal.Signals) -> None:
        pid = self._daemon(name)
        if pid is None:
            return
        os.kill(pid, number)
        if not self._quietly(lambda: self._daemon(name) is None):
            os.kill(pid, signal.SIGKILL)

    def _processes_of(self, node: str) -> list[int]:
        """The processes of a node's jobs, after those of Slurm's that watch over them and would tell of their end."""
        marks = {f"SLURM_CONF={self.conf}".encode(), f"SLURMD_NODENAME={node}".encode()}
        jobs, watchers = set(), set()
        for place in Path("/proc").glob("[0-9]*"):
            try:
                if marks <= set((place / "environ").read_bytes().split(b"\0")):
                    jobs.add(int(place.name))
                    parent = int((place / "stat").read_text().rpartition(")")[2].split()[1])
                    if Path(f"/proc/{parent}/comm").read_text().startswith("slurmstepd"):
                        watchers.add(parent)
            except OSError:  # it has ended meanwhile
                continue
        return [*watchers, *(jobs - watchers)]

    def _quietly(self, condition: Callable[[], bool]) -> bool:
        try:
            wait_until(condition, STOP_SECONDS)
        except TimeoutError:
            return False
        return True

    def _why(self) -> str:
        tails = [f"{log.name}: {log.read_text().splitlines()[-3:]}" for log in sorted((self.folder / "log").iterdir())]
        return run("sinfo", "-N", "-l", check=False).stdout + "\n".join(tails)


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """A command of Slurm's; OSError with what it said where it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    if check and done.returncode:
        raise OSError(f"{' '.join(command)}: {done.stderr or done.stdout}")
    return done


def wait_until(condition: Callable[[], object], seconds: float = 120, why: Callable[[], str] = str) -> None:
    """Wait for an event; TimeoutError, with what `why` says, only after a time that no machine needs."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"it did not happen within {seconds:.0f} s: {why()}")
        time.sleep(0.05)


def _free_ports(count: int) -> list[int]:
    with_sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in with_sockets]
    for one in with_sockets:
        one.close()
    return ports


def _state(pid: int) -> str:
    """A process's state letter; empty where there is none of this number."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return ""


def _kill(pids: Iterable[int]) -> None:
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue
