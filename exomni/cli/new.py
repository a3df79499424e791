"""`exomni new`: the files of a new component, complete and running, to be changed from there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from string import Template

from exomni import config
from exomni.config import registry

HELP = "write a new component: Python file, YAML and test"
EXAMPLE = "exomni new fusion film"
TEMPLATES = Path(__file__).parent / "templates"  # one file a kind; `=== path` begins each of the files that it holds
KINDS = ("fusion", "metric", "stage", "blendshape_decoder", "corpus")


def new(kind: str, name: str) -> list[Path]:
    """Write the module, experiment and test of a component `name` into the project that the home folder holds.

    ValueError for an unusable or taken name, FileNotFoundError where the home is no clone of the project.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} cannot name a {kind}; lower-case letters, digits and underscores, a letter first")
    if name in registry.names(kind):
        raise ValueError(f"there is a {kind} {name!r} already; `exomni list {kind}` shows all")
    home = config.home()
    if not (home / "exomni" / "fusion").is_dir():
        raise FileNotFoundError(
            f"{home} is no clone of exomni; run this in one or set EXOMNI_HOME. Outside a clone, put the class into a package "
            'of yours with [project.entry-points."exomni.plugins"], see the README'
        )
    title = "".join(part.capitalize() for part in name.split("_"))
    text = Template((TEMPLATES / f"{kind}.txt").read_text(encoding="utf-8")).substitute(name=name, title=title)
    parts = (part.partition("\n") for part in text.split("=== ")[1:])
    planned = {home / path: content for path, _, content in parts}
    if taken := [path for path in planned if path.exists()]:
        raise ValueError(f"not overwriting {', '.join(map(str, taken))}; remove it or choose another name")
    for path, content in planned.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content, encoding="utf-8")
    return list(planned)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("kind", choices=KINDS, help="blendshape_decoder: the head that turns speech units into a face")
    parser.add_argument("name", help="lower-case letters, digits and underscores")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    for path in new(options.kind, options.name):
        print(f"wrote {path}")
    return 0
