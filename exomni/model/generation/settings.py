"""How answers are generated, as an experiment says it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

CacheKind = Literal["dynamic", "static", "compiled"]  # how a backbone keeps what it read; see `cached_decoder`


@dataclass(frozen=True)
class GenerationSettings:
    """How answers are generated. Text is greedy at temperature 0; units are with top_k 1 and a repetition window of 0.

    `text_top_k` 0 and `text_top_p` 1 keep every token. `cache` says how backbones keep what they read (`cached_decoder`).
    What is drawn follows from `seed` and the prompt's id. Without a `seed` it is the experiment's (`generation_settings`), and
    where there is no experiment 0.
    """

    max_new_tokens: int = 128
    text_temperature: float = 0.0
    text_top_k: int = 0
    text_top_p: float = 1.0
    unit_top_p: float = 0.8
    unit_top_k: int = 25
    unit_repetition_window: int = 10
    min_units_per_token: float = 2.0
    max_units_per_token: float = 20.0
    seed: int | None = None
    cache: CacheKind = "dynamic"

    def __post_init__(self) -> None:
        if not 0 <= self.min_units_per_token <= self.max_units_per_token:
            raise ValueError(
                f"generation.min_units_per_token is {self.min_units_per_token} and max_units_per_token "
                f"{self.max_units_per_token}; needed: 0 or more, and the first at most the second"
            )
        if self.cache not in get_args(CacheKind):
            raise ValueError(f"generation.cache is {self.cache!r}; allowed: {', '.join(get_args(CacheKind))}")


def generation_settings(config: Any) -> GenerationSettings:
    """An experiment's settings of generation; `seed` is the experiment's own where `generation.seed` is null."""
    settings = GenerationSettings(**config["generation"])
    return settings if settings.seed is not None else replace(settings, seed=config["seed"])
