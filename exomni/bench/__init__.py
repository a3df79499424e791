"""Measurements of single parts: what `exomni bench` prints."""
