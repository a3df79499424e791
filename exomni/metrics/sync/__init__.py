"""Lip sync: Sync-C, Sync-D and offset (`scores`), by the built-in expert (`expert`) or by the original SyncNet (`syncnet`)."""

import importlib
from typing import Any

from exomni.metrics.sync.scores import ClipSync, SyncExpert, SyncScore, distances, score_embeddings

__all__ = ["ClipSync", "SyncExpert", "SyncNetScore", "SyncScore", "distances", "score_embeddings"]


def __getattr__(name: str) -> Any:
    """`SyncNetScore` is loaded when it is asked for: SyncNet's network is not needed by those who score with another expert."""
    if name == "SyncNetScore":
        return importlib.import_module("exomni.metrics.sync.syncnet").SyncNetScore
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
