"""Where a pretrained part is read from: the folder its builder resolved, a local folder, or the Hugging Face hub.

Inside `without_weights` nothing is read but architectures, and parts are built on the meta device: that is how a model of any
size is measured on any machine.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, TypeVar

import torch

from exomni.model.given import split_revision

Loaded = TypeVar("Loaded")
Architectures = Callable[[str], Any]  # folder or hub id -> transformers config
TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json")
_architectures: ContextVar[Architectures | None] = ContextVar("architectures", default=None)


@contextmanager
def without_weights(architectures: Architectures) -> Iterator[None]:
    """Within it parts are built on the meta device, from what `architectures` says of their folder or hub id."""
    before = _architectures.set(architectures)
    try:
        with torch.device("meta"):
            yield
    finally:
        _architectures.reset(before)


def weightless() -> bool:
    """Whether parts are built without their weights now."""
    return _architectures.get() is not None


def load(loader: Callable[..., Loaded], source: str, **options: Any) -> Loaded:
    """`loader(source)`, with what Hugging Face raises for absent or unsafe files as one clear FileNotFoundError."""
    from transformers.utils import logging

    if not Path(source).is_dir():
        source, options["revision"] = split_revision(source)
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


def load_model(auto: Any, source: str, **options: Any) -> Any:
    """The model that `auto` (AutoModel, AutoModelForCausalLM) makes of `source`, or of its architecture alone."""
    architectures = _architectures.get()
    if architectures is not None:
        return auto.from_config(architectures(source), **options)
    return load(auto.from_pretrained, source, use_safetensors=True, **options)


def load_tokenizer(source: str) -> Any:
    """The tokenizer of a folder or hub id. FileNotFoundError where there is none; without weights it is None then."""
    from transformers import AutoTokenizer

    folder = Path(source)
    if folder.is_dir() and not any((folder / name).is_file() for name in TOKENIZER_FILES):
        if weightless():
            return None
        raise FileNotFoundError(
            f"{source}: has a model but no tokenizer ({' or '.join(TOKENIZER_FILES[:2])} is missing); save it there with "
            "tokenizer.save_pretrained(folder)"
        )
    if folder.is_dir() or not weightless():
        return load(AutoTokenizer.from_pretrained, source)
    try:
        return load(AutoTokenizer.from_pretrained, source, local_files_only=True)
    except FileNotFoundError:
        return None
