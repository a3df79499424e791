"""Lip sync: Sync-C, Sync-D and offset (`scores`), by the built-in expert (`expert`) or by the original SyncNet (`syncnet`)."""

import importlib
from typing import Any

HOMES = {  # loaded when they are asked for: who only names the built-in expert needs neither torch nor SyncNet
    "ClipSync": "scores",
    "SyncExpert": "scores",
    "SyncScore": "scores",
    "distances": "scores",
    "score_embeddings": "scores",
    "SyncNetScore": "syncnet",
}


def __getattr__(name: str) -> Any:
    if name in HOMES:
        return getattr(importlib.import_module(f"{__name__}.{HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
