"""Answers made step by step: sampling, cached decoding, units, streams of audio and face."""
