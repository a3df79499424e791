"""From a run's settings to the model: every part from its registry, widths and vocabularies handed on from part to part."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from exomni.config import registry
from exomni.model.ex_omni import ExOmni
from exomni.randomness import named_stream

PARTS = ("speech_encoder", "speech_projector", "llm", "unit_generator", "blendshape_decoder")


def build_model(
    settings: Callable[[str], Any],
    *,
    parts: Collection[str],
    folders: Mapping[str, Path | None],
    unit_vocab: int | None = None,
    seed: int = 0,
) -> ExOmni:
    """The model with the named `parts` (the LLM always comes along).

    `settings(path)` gives a declared config value, so a part that a stage did not declare cannot be built by it. `folders` says
    where pretrained weights of `speech_encoder` and `llm` are; None: the component's own `weights` name a folder or hub id.

    First weights depend on `seed` and the part's name alone: whatever else is built, and by which options, a part that two
    models have in common starts from the same weights in both. The global random state is neither used nor changed.
    """
    compat = settings("model.compat")
    build = partial(_part, seed)
    llm = build("llm", settings("model.llm"), folder=folders.get("llm"))
    built: dict[str, Any] = {"llm": llm}
    if "speech_encoder" in parts or "speech_projector" in parts:
        encoder = build("speech_encoder", settings("model.speech_encoder"), folder=folders.get("speech_encoder"), compat=compat)
        built["speech_encoder"] = encoder
        projector = settings("model.speech_projector")
        built["speech_projector"] = build("speech_projector", projector, speech_dim=encoder.dim, llm_dim=llm.hidden_dim)
    if "unit_generator" in parts:
        generator = build(
            "unit_generator",
            settings("model.unit_generator"),
            llm_dim=llm.hidden_dim,
            text_vocab=llm.vocab,
            text_tokenizer=llm.tokenizer,
            unit_vocab=unit_vocab,
            fusion=fusion_builder(settings("model.unit_fusion"), "unit_fusion", seed),
            compat=compat,
        )
        built["unit_generator"] = generator
    if "blendshape_decoder" in parts:
        built["blendshape_decoder"] = build(
            "blendshape_decoder",
            settings("model.blendshape_decoder"),
            hidden_dim=built["unit_generator"].width,
            unit_vocab=unit_vocab,
            fusion=fusion_builder(settings("model.face_fusion"), "face_fusion", seed),
            compat=compat,
        )
        built["face_gradient_to_generator"] = settings("model.face_gradient_to_generator")
    return ExOmni(compat=compat, **built)


def fusion_builder(node: dict[str, Any], site: str, seed: int) -> Callable[[int], Any]:
    """`width -> fusion module` for the YAML node of a site, which knows its width only once it is built.

    The fusion has a stream of its own inside that of the part that holds it, so that another fusion shifts no draw of the part.
    """

    def build(width: int) -> Any:
        return _part(seed, "fusion", node, name=site, dim=width)

    return build


def _part(seed: int, kind: str, node: dict[str, Any], *, name: str | None = None, **given: Any) -> Any:
    """The component of a YAML node, its first weights drawn from the stream of `seed` and its name (its kind by default)."""
    with named_stream(seed, name or kind):
        return registry.build(kind, node, **given)
