"""`exomni list`."""

from __future__ import annotations

import argparse

HELP = "registered components of a kind"
EXAMPLE = "exomni list fusion"


def arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("kind", nargs="?", help="a kind; all kinds without one")


def command(options: argparse.Namespace) -> int:
    """Do it; the exit code."""
    from exomni.config import registry

    for kind in [options.kind] if options.kind else sorted(registry.KINDS):
        print(f"{kind}:")
        for entry in registry.entries(kind):
            arguments = ", ".join(str(parameter).replace("'", "") for parameter in entry.options().values())
            print(f"  {entry.name:20} {entry.origin:12} {entry.summary}\n{'':22}options: {arguments or 'none'}")
        for message in registry.conflicts(kind):
            print(f"  conflict: {message}")
        for label, error in registry.broken_plugins().items():
            print(f"  plugin {label!r} failed to import: {error}")
    return 0
