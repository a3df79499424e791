"""`exomni new`: the files of a new component, complete and running, to be changed from there."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

from exomni import config
from exomni.config import registry

HELP = "write a new component: Python file, YAML and test"
EXAMPLE = "exomni new fusion film"
MODULE = '''"""{title}: one line on what this fusion does, and its source."""

from __future__ import annotations

from torch import Tensor, nn

from exomni.fusion import Fusion, register_fusion, resample


@register_fusion("{name}")
class {title}(Fusion):
    """Adds the context, resampled onto the query's clock, to the query. Replace this by your own idea.

    query (B, Q, D) decides the time axis, context (B, K, D) brings the meaning; masks (B, Q), (B, K) are True where real.
    """

    context_on_query_clock = True

    def __init__(self, *, dim: int, hidden: int = 256) -> None:
        super().__init__()
        self.mix = nn.Sequential(nn.LayerNorm(dim), nn.Linear(dim, hidden), nn.GELU(), nn.Linear(hidden, dim))

    def forward(self, query: Tensor, context: Tensor, query_mask: Tensor, context_mask: Tensor) -> Tensor:
        """-> (B, Q, D)"""
        return query + self.mix(resample(context, context_mask, query_mask))
'''
EXPERIMENT = """# exomni train experiments/fusion/{name}.yaml
extends: nano
model:
  face_fusion: {name}
"""
TEST = """from exomni.testing import fusion_suite


def test_{name}_keeps_every_rule_of_a_fusion():
    fusion_suite("{name}")
"""


def new_fusion(name: str) -> list[Path]:
    """Write the module, experiment and test of a fusion `name` into the project that the home folder holds.

    ValueError for an unusable or taken name, FileNotFoundError where the home is no clone of the project.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise ValueError(f"{name!r} cannot name a fusion; lower-case letters, digits and underscores, a letter first")
    if name in registry.names("fusion"):
        raise ValueError(f"there is a fusion {name!r} already; `exomni list fusion` shows all")
    home = config.home()
    if not (home / "exomni" / "fusion").is_dir():
        raise FileNotFoundError(
            f"{home} is no clone of exomni; run this in one or set EXOMNI_HOME. Outside a clone, put the class into a package "
            'of yours with [project.entry-points."exomni.plugins"], see the README'
        )
    title = "".join(part.capitalize() for part in name.split("_"))
    planned = {
        home / "exomni" / "fusion" / f"{name}.py": MODULE,
        home / "experiments" / "fusion" / f"{name}.yaml": EXPERIMENT,
        home / "tests" / "fusion" / f"test_{name}.py": TEST,
    }
    taken = [path for path in planned if path.exists()]
    if taken:
        raise ValueError(f"not overwriting {', '.join(map(str, taken))}; remove it or choose another name")
    for path, template in planned.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(template.format(name=name, title=title), encoding="utf-8")
    return list(planned)


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("kind", choices=["fusion"])
    parser.add_argument("name", help="lower-case letters, digits and underscores")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""

    for path in new_fusion(options.name):
        print(f"wrote {path}")
    return 0
