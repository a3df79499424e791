"""Lip sync: Sync-C, Sync-D and offset (`scores`), by the built-in expert (`expert`) or by the original SyncNet (`syncnet`)."""

from typing import Any


def __getattr__(name: str) -> Any:
    if name == "SyncNetScore":  # loaded when it is asked for, so that the modules here can import one another
        from exomni.metrics.sync.syncnet import SyncNetScore

        return SyncNetScore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
