"""The default agrees with the release's own numbers wherever the release has no quirk; real names are all known."""

import json
import os
import re
from pathlib import Path

import pytest
import torch

from exomni.model.generation.unit_decoding import generate_units
from exomni.model.released import names, parts, sizes
from exomni.parity import face, units, whole
from exomni.parity.fixture import Check, Fixture

SHARED = Path(os.environ.get("EXOMNI_SHARED", Path(__file__).parents[3] / "shared")) / "parity"
pytestmark = pytest.mark.skipif(not SHARED.is_dir(), reason=f"no parity fixtures at {SHARED} (set EXOMNI_SHARED)")


def as_default(module):
    module.released = False
    return module


def test_blendshape_decoder():
    case = Fixture(SHARED, "bs_generator")
    check, decoder = Check(case), as_default(face._decoder(case))
    for tag, facts in case["cases"].items():
        given = case.under(f"{tag}.in.")
        # Quirks: id 0 is not counted, padding is stretched along, frames of the whole batch.
        if "labels" in given or (given["units"] <= 0).any() or len(given["units"]) > 1:
            continue
        with torch.no_grad():
            found = decoder(given["units"], given["hidden"], given.get("context_mask"))
        assert found.values.shape[1] == facts["frames"]
        check.tensor(f"{tag}.out.blendshapes", found.values)
    assert check.compared >= 3 and not check.misses, check.misses


def test_unit_generator_in_training():
    case = Fixture(SHARED, "sg_train")
    check = Check(case)
    generator = as_default(
        units.build(case.under("weights."), case["config"]["qwen"], case["config"]["tiny"]["tiny_tqgf_heads"])
    )
    for tag, facts in case["cases"].items():
        units._train(check, generator, tag, facts)
    assert not check.misses, check.misses


def test_greedy_units_that_need_no_reserved_id():
    case = Fixture(SHARED, "sg_predict")
    for tag, facts in case["cases"].items():
        if facts["special_steps"]:
            continue
        generator = units.build(case.under("weights."), case["config"]["qwen"], case["config"]["tiny"]["tiny_tqgf_heads"])
        generator.unit_head.bias.data[generator.end_id] += facts["decoder_bias_add"]["eos"]
        generator.unit_head.bias.data[generator.end_id + 2] += facts["decoder_bias_add"]["fill(unit_vocab+2)"]
        states, tokens = case.tensor(f"{tag}.in.text_reps"), case.tensor(f"{tag}.in.text_tokens")[:, :-1]
        masks = [torch.ones(rows.shape[:2], dtype=torch.bool) for rows in (states, tokens)]
        ratios = {f"{key.partition('_')[0]}_ratio": value for key, value in facts["kwargs"].items()}
        made = generate_units(as_default(generator), states, masks[0], tokens, masks[1], **ratios)
        assert made.units[0].tolist() == case.tensor(f"{tag}.out.units").tolist()
        assert made.hidden.shape[1] == facts["n_units"] + 1  # an answer that was cut has its end row as well


SYMBOLS = {"D": 512, "E": 256, "Vs": 16384, "I": 384, "O": 51, "k": 5}  # what the list leaves open, as one might choose it


def size_of(listed: int | str) -> int:
    """A size of the list: 1024, 'D', '2I', 'D/2', '1280*k'."""
    if isinstance(listed, int):
        return listed
    times, symbol, half = re.fullmatch(r"(\d*)\*?([A-Za-z]+)(/2)?", listed).groups()
    return int(times or 1) * SYMBOLS[symbol] // (2 if half else 1)


def expanded(listed: dict[str, list[int | str]], layers: dict[str, int]) -> dict[str, tuple[int, ...]]:
    """Keys with `{i}` written out for every layer of the part that they begin like."""
    shapes = {}
    for key, shape in listed.items():
        count = next(number for prefix, number in layers.items() if key.startswith(prefix)) if "{i}" in key else 1
        shapes |= {key.replace("{i}", str(index)): tuple(map(size_of, shape)) for index in range(count)}
    return shapes


@pytest.mark.slow
def test_the_real_models_names_and_shapes_are_ours():
    """Every key of the released model at its own size, against our modules on the meta device."""
    listed = json.loads((SHARED / "param_list_real.json").read_text())["params"]
    layers = {
        "model.layers.": 36,
        "model.speech_encoder.": 32,
        "model.speech_generator.": 28,
        "model.blendshape_generator.": 4,
    }
    shapes = expanded(listed, layers)
    inferred = sizes.infer_sizes(shapes, {"nhead": 8})
    assert not inferred.unknown
    assert inferred.llm["num_attention_heads"] == 32 and inferred.llm["num_key_value_heads"] == 8
    assert inferred.unit_fusion == {"depth": 2, "heads": 16, "dim_head": 256, "feed_forward": 4}
    assert inferred.face_fusion == {"depth": 2, "heads": 8, "dim_head": 48, "feed_forward": 4}
    assert inferred.speech_projector == {"speech_dim": 1280, "llm_dim": 4096, "join": 5, "hidden": 2048}
    assert inferred.unit_generator["unit_vocab"] == 16384 and inferred.speech_encoder["encoder_attention_heads"] == 20
    known = 0
    for part, module in parts.empty_parts(inferred, "official").items():
        for name, shape in parts.expected_shapes(part, module).items():
            key = names.PREFIXES[part] + names.released_name(name, part)
            assert shapes[key] == shape, key
            known += 1
    left = [key for key in shapes if not names.optional(names.part_of(key)[1], names.part_of(key)[0])]
    assert known == len(left)


def test_every_key_of_the_releases_state_dict_is_known():
    for key in json.loads((SHARED / "e2e_param_shapes.json").read_text()):
        part, inner = names.part_of(names.normalised(key))
        assert names.optional(inner, part) or names.released_name(names.our_name(inner, part), part) == inner


def test_optional_tensors_may_be_absent_from_the_fixture():
    case = Fixture(SHARED, "e2e")
    full = whole._model(case)
    case.tensors = {
        key: value
        for key, value in case.tensors.items()
        if not names.optional(*reversed(names.part_of(key.removeprefix("weights."))))
    }
    bare = whole._model(case)
    assert all(torch.equal(value, bare.state_dict()[name]) for name, value in full.state_dict().items())
