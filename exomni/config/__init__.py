"""Experiments in YAML: reading and merging (`load`), what may stand in them (`schema`), name -> class (`registry`)."""

from exomni.config.load import (
    COMMAND_LINE,
    Config,
    ConfigError,
    find,
    home,
    layers_of,
    leaves,
    load,
    logs,
    nest,
    parse_overrides,
    read_yaml,
    search_folders,
)

__all__ = [
    "COMMAND_LINE",
    "Config",
    "ConfigError",
    "find",
    "home",
    "layers_of",
    "leaves",
    "load",
    "logs",
    "nest",
    "parse_overrides",
    "read_yaml",
    "search_folders",
]
