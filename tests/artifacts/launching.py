"""A launcher in a process of its own, for tests that interrupt and kill it: two jobs, `a` and `b`, that hold until released."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

PROGRAM = """
import json, sys
from pathlib import Path
from exomni.artifacts.artifact import Artifact
from exomni.artifacts.materialise import materialise
from exomni.artifacts.resources import Resources
folder, (executor, needs, more) = Path(sys.argv[1]), map(json.loads, sys.argv[2:])
recipe = {"release": str(folder.with_name("release")), "log": str(folder.with_name("log"))}
wishes = {name: [Artifact("text", name, {"text": name, **recipe}, "small_builds:hold", resources=Resources(**needs))]
          for name in ("a", "b")}
found = materialise(wishes, folder=folder, executor=executor, **more)
print("states", sorted(found.states.values()))
sys.exit(130 if found.interrupted else 0 if found.whole else 1)
"""


class Launching:
    """The jobs' common folder, where they say that they began and wait to be released."""

    def __init__(self, folder: Path, executor: Mapping[str, Any]) -> None:
        self.folder, self.executor = folder / "runs" / "test", dict(executor)
        self.needs: dict[str, int] = {}  # resources of each job
        self.log, self.release = self.folder.with_name("log"), self.folder.with_name("release")
        self.log.parent.mkdir(parents=True, exist_ok=True)

    def start(self, **more: Any) -> subprocess.Popen[str]:
        """A launcher; `more` goes to `materialise`."""
        words = [json.dumps(one) for one in (self.executor, self.needs, more)]
        command = [sys.executable, "-u", "-c", PROGRAM, str(self.folder), *words]
        return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def begun(self) -> list[str]:
        """What the jobs said, a line each time that one began."""
        return self.log.read_text().split() if self.log.is_file() else []

    @staticmethod
    def wait_for(condition: Callable[[], object], launcher: subprocess.Popen[str] | None = None) -> None:
        """Until something is so; an event and no time. A launcher that ends before fails the test with what it said."""
        deadline = time.monotonic() + 600  # no machine is as slow
        while not condition():
            assert launcher is None or launcher.poll() is None, launcher.communicate()
            assert time.monotonic() < deadline, "it never happened"
            time.sleep(0.05)

    def wait_until_begun(self, launcher: subprocess.Popen[str] | None = None) -> None:
        """Until both jobs run."""
        self.wait_for(lambda: sorted(self.begun()) == ["a", "b"], launcher)

    def finish(self, launcher: subprocess.Popen[str], after: str = "") -> str:
        """Release the jobs once the launcher has said `after`; all that it said until its end, which must be a good one."""
        said = ""
        while after not in said:
            line = launcher.stdout.readline()
            assert line, said
            said += line
        self.release.touch()
        said += launcher.communicate(timeout=300)[0]
        assert launcher.returncode == 0, said
        return said
