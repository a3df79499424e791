"""exomni: experiments with language models that answer in text, speech and a 3D face (Ex-Omni, arXiv 2602.07106)."""

__version__ = "0.1.0"
