"""Corpora that are built, not given. One file a corpus, over `base.py`; what it writes is a manifest folder."""

from exomni.data.corpora.base import Corpus

__all__ = ["Corpus"]
