"""Where a pretrained part is read from: the folder its builder resolved, a local folder, or the Hugging Face hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

Loaded = TypeVar("Loaded")


def locate(folder: Path | None, weights: str) -> str:
    """`folder` when the builder gives one (made artefacts, checked downloads), else `weights`: a local folder or a hub id.

    FileNotFoundError when a folder is named that is not there.
    """
    source = Path(weights).expanduser() if folder is None else Path(folder)
    looks_like_path = folder is not None or source.is_absolute() or weights.startswith((".", "~")) or weights.count("/") > 1
    if looks_like_path and not (source / "config.json").is_file():
        raise FileNotFoundError(
            f"{source}: no pretrained model there (config.json is missing); give a Hugging Face folder or hub id"
        )
    return str(source) if source.is_dir() else weights


def load(loader: Callable[..., Loaded], source: str, **options: Any) -> Loaded:
    """`loader(source)`, with what Hugging Face raises for absent or unsafe files as one clear FileNotFoundError."""
    from transformers.utils import logging

    bars = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # a bar for every part that is read says nothing and breaks plain output
    try:
        return loader(source, **options)
    except OSError as error:
        reason = str(error).strip().partition("\n")[0]
        raise FileNotFoundError(f"{source}: neither a usable folder nor a model that the hub gives here: {reason}") from error
    finally:
        if bars:
            logging.enable_progress_bar()
