"""Sends what a store lacks: beside running work from a thread of its own, or of everything that was ever done."""

from __future__ import annotations

import textwrap
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from exomni import files
from exomni.config import logs
from exomni.tracking.run import FILE, FOLDER, TrackedRun, Work, declared, own_folder
from exomni.tracking.store import Store, is_server

SECONDS = 5.0  # between two looks at running work
PAUSE_SECONDS = 30.0  # after a failed call nothing is tried for so long
PATIENCE_SECONDS = 4.0  # at the end of work, for a server that says nothing
DATABASE_PATIENCE_SECONDS = 60.0  # for a database's file, which takes long to be made and cannot hang
LONGEST_WAIT_SECONDS = 60.0  # at the end of work, for a server that is slow
BEHIND = "MLflow does not show everything yet; `exomni ui` or the same command sends the rest"
LOCK = "mlflow.lock"  # one process at a time talks to a store: two that begin one, or a run, would make it twice


def sync(work: Path, store: Store, runs: Sequence[TrackedRun] | None = None, done: set[str] | None = None) -> None:
    """Show the runs of a folder of work. done: signatures of runs that are shown whole, left out and added to.

    Raises whatever MLflow raises.
    """
    done = set() if done is None else done
    found = Work(work)
    with files.locked(logs() / LOCK):
        for run in declared(work) if runs is None else runs:
            if run.signature not in done and found.begun(run) and store.show(run, found) == "FINISHED" and run.parent:
                done.add(run.signature)


def sync_everything(say: Callable[[str], None]) -> None:
    """Show all that was ever done in lightning_logs/; says what could not be shown."""
    store = Store()
    for work in folders():
        try:
            sync(work, store)
        except Exception as error:  # a tracking server may fail in any way
            say(f"{work.name} is not shown: {said(store, error)}")


def folders() -> list[Path]:
    """The folders of work with runs to be shown."""
    return sorted({path.parents[2] for path in logs().glob(f"*/*/{FOLDER}/*/{FILE}")})


class Live:
    """Shows declared runs while they are worked on. The store may be away, slow or broken: local files are the truth."""

    def __init__(
        self, work: Path, runs: Sequence[TrackedRun], *, say: Callable[[str], None], store: Store | None = None
    ) -> None:
        before = set((work / FOLDER).glob(f"*/{FILE}"))
        for stale in before - {own_folder(work, run.signature) / FILE for run in runs}:
            stale.unlink(missing_ok=True)  # a cell that the question has no more
        for run in runs:
            run.save(work)
        self.work, self.runs, self.say = work, runs, say
        self.store = store or Store()
        self._done: set[str] = set()
        self._over = threading.Event()
        self._shown = False
        self._complained = False
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def finish(self) -> bool:
        """Show the end of the work. False where the store does not take all of it within a few seconds."""
        self._over.set()
        server = is_server(self.store.uri)
        patience = PATIENCE_SECONDS if server else DATABASE_PATIENCE_SECONDS
        began = time.monotonic()
        while self._thread.is_alive():
            now = time.monotonic()
            if now - max(began, self.store.heard) > patience or (server and now - began > LONGEST_WAIT_SECONDS):
                self.say = lambda _: None  # whoever listens may be gone
                return False
            self._thread.join(0.05)
        return self._shown

    def _follow(self) -> None:
        failed_at: float | None = None
        last = False
        while not last:
            last = self._over.is_set()
            if failed_at is None or last or time.monotonic() - failed_at >= PAUSE_SECONDS:
                failed_at = None if self._try() else time.monotonic()
            if not last:
                self._over.wait(SECONDS)

    def _try(self) -> bool:
        try:
            sync(self.work, self.store, self.runs, self._done)
        except Exception as error:  # a tracking server may fail in any way and must not cost a run
            self._shown = False
            if not self._complained:
                self._complained = True
                self.say(said(self.store, error))
        else:
            self._shown = True
        return self._shown


def said(store: Store, error: Exception) -> str:
    """What to tell a user of a failed call."""
    first = textwrap.shorten(next(iter(str(error).splitlines()), ""), 160)
    return f"MLflow at {store.uri} does not take our data ({type(error).__name__}: {first}); local files are complete"
