"""Released weights: names both ways, a whole model saved and read again, and every way in which a checkpoint can be wrong."""

import json
import logging
import shlex
import shutil
from pathlib import Path

import pytest
import torch
from examples import COMMANDS
from safetensors.torch import load_file, save_file

from exomni import cli
from exomni.fusion.concat import Concat
from exomni.model.generation.answering import generate
from exomni.model.generation.settings import GenerationSettings
from exomni.model.generation.text_decoding import generate_text
from exomni.model.released import names, prompt
from exomni.model.released.checkpoint import INDEX
from exomni.model.released.model import Heads, infer_sizes, load_released, save_released
from exomni.stages.assemble import collator_for

GREEDY = GenerationSettings(max_new_tokens=5, unit_top_k=1, unit_repetition_window=0, max_units_per_token=3)


@pytest.fixture(scope="module")
def model(tiny_model):
    return tiny_model()


@pytest.fixture(scope="module")
def saved(model, tmp_path_factory) -> Path:
    return save_released(model, tmp_path_factory.mktemp("released") / "weights", shard_bytes=20_000)


@pytest.fixture
def folder(saved, tmp_path) -> Path:
    """A copy to spoil."""
    return shutil.copytree(saved, tmp_path / "weights")


def single(folder: Path, change) -> Path:
    """The folder with all tensors in one file, without an index, after `change(tensors)`."""
    tensors = {}
    for file in sorted(folder.glob("*.safetensors")):
        tensors |= load_file(file)
        file.unlink()
    (folder / INDEX).unlink(missing_ok=True)
    save_file(change(tensors), folder / "model.safetensors")
    return folder


def answers(model, read, heard):
    audio = torch.sin(torch.arange(8000) / 7).numpy()
    collator = collator_for(model)
    return [generate(model, collator.prompts([sample]), GREEDY) for sample in (read("The dog ran home."), heard(audio))]


def assert_same_answers(one, other):
    for ours, theirs in zip(one, other):
        assert ours.texts == theirs.texts and ours.tokens[0].tolist() == theirs.tokens[0].tolist()
        assert ours.units[0].tolist() == theirs.units[0].tolist() and len(ours.units[0])
        # Mapped weights lie at other addresses, where the same sums may be taken in another order.
        torch.testing.assert_close(ours.faces[0], theirs.faces[0], rtol=0, atol=1e-5)


def test_saved_and_loaded_it_is_the_same_model(model, saved, read, heard):
    loaded = load_released(saved, own_prompt="")
    ours, theirs = model.state_dict(), loaded.state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert len(list(saved.glob("*.safetensors"))) > 2 and not any(value.requires_grad for value in loaded.parameters())
    loaded.llm.tokenizer.chat_template = model.llm.tokenizer.chat_template
    assert_same_answers(answers(model, read, heard), answers(loaded, read, heard))


def test_names_are_the_releases_and_back(model, saved):
    index = json.loads((saved / INDEX).read_text())["weight_map"]
    for key in (
        "model.layers.1.self_attn.q_norm.weight",
        "model.speech_encoder.model.encoder.layers.0.fc1.weight",
        "model.speech_projector.linear2.bias",
        "model.speech_generator.llm.model.model.layers.0.mlp.up_proj.weight",
        "model.speech_generator.tqgf.layers.0.0.norm_text.bias",
        "model.speech_generator.tqgf.layers.0.0.gate_proj.weight",
        "model.speech_generator.tqgf.layers.0.1.3.weight",
        "model.blendshape_generator.transformer_encoder.transformer_encoder.layers.1.self_attn.in_proj_weight",
        "model.blendshape_generator.out_head.4.bias",
    ):
        assert key in index
    for part in names.PREFIXES:
        for name in getattr(model, part).state_dict():
            if name != "model.lm_head.weight":
                official = names.released_name(name, part)
                assert names.our_name(official, part) == name and names.PREFIXES[part] + official in index
    assert "lm_head.weight" not in index  # tied


@pytest.mark.parametrize("prefix", ["model.model.", "model.", ""])
def test_each_of_the_three_prefixes_is_read(model, folder, prefix):
    def renamed(tensors):
        return {
            name.replace("model.", prefix, 1) if name.startswith(("model.speech_", "model.blend")) else name: value
            for name, value in tensors.items()
        }

    loaded = load_released(single(folder, renamed))
    assert all(torch.equal(value, loaded.state_dict()[name]) for name, value in model.state_dict().items())


def test_the_same_tensor_under_two_prefixes_is_refused(folder):
    key = "speech_projector.linear1.bias"
    with pytest.raises(ValueError, match=rf"model\.{key} and {key}|{key} and model\.{key}"):
        load_released(single(folder, lambda tensors: tensors | {key: tensors[f"model.{key}"].clone()}))


def test_optional_tensors_may_be_there(model, folder):
    frequencies = model.blendshape_decoder.rope.frequencies()
    optional = {
        "lm_head.weight": model.llm.model.get_input_embeddings().weight.detach().clone(),
        "model.speech_generator.llm.model.lm_head.weight": torch.ones(3, 16),
        "model.blendshape_generator.rope.inv_freq": frequencies.bfloat16(),
        "model.blendshape_generator.transformer_encoder.rope.inv_freq": frequencies,
        "model.speech_encoder.model.decoder.layers.0.fc1.weight": torch.ones(2, 2),
    }
    loaded = load_released(single(folder, lambda tensors: tensors | optional))
    assert torch.equal(loaded.llm.model.lm_head.weight, model.llm.model.lm_head.weight)


def test_another_rotary_base_is_refused(folder):
    extra = {"model.blendshape_generator.rope.inv_freq": torch.ones(8)}
    with pytest.raises(ValueError, match=r"rope\.inv_freq is not 10000\^"):
        load_released(single(folder, lambda tensors: tensors | extra))


def test_everything_that_does_not_fit_is_listed_at_once(folder):
    def spoil(tensors):
        del tensors["model.speech_projector.linear1.bias"], tensors["model.layers.0.mlp.up_proj.weight"]
        tensors["model.blendshape_generator.out_head.1.bias"] = torch.zeros(9)
        tensors["model.speech_generator.extra.weight"] = torch.zeros(2)
        tensors["model.speech_encoder.model.encoder.layers.0.fc9.bias"] = torch.zeros(2)
        return tensors

    with pytest.raises(ValueError, match="these weights do not fit") as error:
        load_released(single(folder, spoil))
    for line in (
        "missing (2):",
        "model.speech_projector.linear1.bias [16]",
        "model.layers.0.mlp.up_proj.weight [32, 16]",
        "unexpected (2):",
        "model.speech_generator.extra.weight [2]",
        "model.speech_encoder.model.encoder.layers.0.fc9.bias [2]",
        "wrong shape (1):",
        "model.blendshape_generator.out_head.1.bias is [9], needed is [8]",
    ):
        assert line in str(error.value)


@pytest.mark.parametrize("key", ["model.embed_tokens.weight", "model.speech_generator.llm_decoder.weight", "model.norm.weight"])
def test_one_missing_tensor_is_named(folder, key):
    with pytest.raises(ValueError, match=rf"missing \(1\):\s+{key}"):
        load_released(single(folder, lambda tensors: {name: value for name, value in tensors.items() if name != key}))


def test_a_part_that_is_missing_altogether_is_named(folder):
    def bare(tensors):
        return {name: value for name, value in tensors.items() if "blendshape_generator" not in name}

    with pytest.raises(ValueError, match=r"not the weights of a whole Ex-Omni:[\s\S]*blendshape_decoder\.out_dim"):
        load_released(single(folder, bare))


def test_pickled_weights_are_refused(folder, caplog):
    torch.save({"a": torch.ones(1)}, folder / "pytorch_model.bin")
    with caplog.at_level(logging.WARNING):
        load_released(folder)
    assert "pytorch_model.bin" in caplog.text  # beside safetensors they are left alone
    for file in folder.glob("*.safetensors"):
        file.unlink()
    (folder / INDEX).unlink()
    with pytest.raises(ValueError, match=r"pickled weights \(pytorch_model\.bin\), which can run code"):
        load_released(folder)
    with pytest.raises(ValueError, match="pickled weights"):
        load_released(folder / "pytorch_model.bin")


def test_damaged_and_absent_files_are_named(folder, tmp_path):
    shards = sorted(folder.glob("*.safetensors"))
    whole = shards[1].read_bytes()
    shards[1].write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=f"{shards[1].name}: not a complete safetensors file"):
        load_released(folder)
    shards[1].unlink()
    with pytest.raises(FileNotFoundError, match=f"names files that are not there: {shards[1].name}"):
        load_released(folder)
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        load_released(tmp_path / "absent")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"no \.safetensors file there"):
        load_released(tmp_path / "empty")


def test_an_index_that_lists_more_than_the_files_hold_is_refused(folder):
    index = json.loads((folder / INDEX).read_text())
    index["weight_map"]["model.more.weight"] = next(iter(index["weight_map"].values()))
    (folder / INDEX).write_text(json.dumps(index))
    with pytest.raises(ValueError, match=r"lists tensors that no file holds: model\.more\.weight"):
        load_released(folder)


def test_a_tensor_in_two_files_is_refused_unless_the_index_decides(model, folder):
    name, value = next(iter(load_file(sorted(folder.glob("*.safetensors"))[0]).items()))
    save_file({name: value + 1}, folder / "zz.safetensors")
    assert torch.equal(
        load_released(folder).state_dict()["speech_encoder.encoder.conv1.bias"], model.speech_encoder.encoder.conv1.bias
    )
    (folder / INDEX).unlink()
    with pytest.raises(ValueError, match=rf"{name} stands in model-.* and in zz\.safetensors"):
        load_released(folder)


def test_integers_are_no_weights(folder):
    with pytest.raises(ValueError, match=r"model\.norm\.weight is I64"):
        load_released(single(folder, lambda tensors: tensors | {"model.norm.weight": torch.zeros(16, dtype=torch.int64)}))


def test_bfloat16_is_kept_or_converted(model, folder, read):
    single(folder, lambda tensors: {name: value.bfloat16() for name, value in tensors.items()})
    kept, converted = load_released(folder), load_released(folder, dtype=torch.float32)
    assert {value.dtype for value in kept.parameters()} == {torch.bfloat16}
    assert {value.dtype for value in converted.parameters()} == {torch.float32}
    expected = model.speech_projector.linear1.weight.bfloat16()
    assert torch.equal(kept.speech_projector.linear1.weight, expected)
    assert torch.equal(converted.speech_projector.linear1.weight, expected.float())
    reply = generate(kept, collator_for(kept).prompts([read("The dog")]), GREEDY)
    assert len(reply.units[0]) and reply.faces[0].isfinite().all()


def test_mixed_types_become_that_of_most_weights(folder, read, caplog):
    def mixed(tensors):
        return {name: value if "speech_encoder" in name else value.bfloat16() for name, value in tensors.items()}

    loaded = load_released(single(folder, mixed))
    assert {value.dtype for value in loaded.parameters()} == {torch.bfloat16}
    assert "weights of torch.bfloat16 and torch.float32; all become torch.bfloat16" in caplog.text
    assert len(generate(loaded, collator_for(loaded).prompts([read("The dog")]), GREEDY).units[0])


def test_sizes_come_from_the_shapes_when_the_config_is_silent(model, folder):
    whole = infer_sizes(folder)
    (folder / "config.json").write_text("{}")
    with pytest.raises(ValueError, match="blendshape_decoder.heads: no shape tells"):
        infer_sizes(folder)
    heads = Heads(speech_encoder=2, unit_fusion=2, face_fusion=2, blendshape_decoder=2)
    bare = infer_sizes(folder, heads=heads)
    assert (bare.unit_fusion, bare.face_fusion) == (whole.unit_fusion, whole.face_fusion)
    assert bare.unit_fusion == {"depth": 1, "heads": 2, "dim_head": 8, "feed_forward": 4}
    assert bare.blendshape_decoder == whole.blendshape_decoder and bare.speech_encoder == whole.speech_encoder
    assert bare.speech_projector == {"speech_dim": 16, "llm_dim": 16, "join": 4, "hidden": 16}
    told = {name: bare.llm[name] for name in ("num_attention_heads", "num_key_value_heads", "num_hidden_layers", "vocab_size")}
    assert told == {name: whole.llm[name] for name in told} and bare.llm["tie_word_embeddings"]
    assert bare.llm["rope_parameters"]["rope_theta"] == 1e6
    loaded = load_released(folder, heads=heads)
    assert loaded.unit_generator.backbone.config.num_key_value_heads == 1
    assert loaded.unit_generator.end_id == 30


def test_without_a_tokenizer_the_model_knows_ids(folder, model):
    for file in (*folder.glob("tokenizer*"), *folder.glob("chat_template*")):
        file.unlink()
    loaded = load_released(folder)
    assert loaded.llm.tokenizer is None and loaded.llm.speech_id == -300
    spliced = prompt.splice_as_released(loaded.llm, torch.tensor([[5, -300, 6]]), [torch.ones(2, 16)])
    assert spliced.tokens.tolist() == [[5, -300, -300, 6]]
    written = generate_text(loaded.llm, spliced.embeddings, spliced.mask, max_new_tokens=3)
    tokens = written.tokens[0, written.mask[0]].tolist()
    assert loaded.llm.text(tokens) == " ".join(map(str, tokens))


def test_models_that_the_layout_cannot_hold_are_refused(tiny_model, saved, tmp_path):
    with pytest.raises(FileExistsError, match="holds files already"):
        save_released(tiny_model(), saved)
    strange = tiny_model()
    strange.blendshape_decoder.fusion = Concat(dim=16, depth=1)
    with pytest.raises(ValueError, match=r"no place for these weights: blendshape_decoder\.fusion"):
        save_released(strange, tmp_path / "strange")
    assert not (tmp_path / "strange").exists()


def test_the_system_message_is_read_from_a_file_and_checked(tmp_path, caplog):
    with caplog.at_level(logging.WARNING):
        assert prompt.read_system_prompt(None, tmp_path, own="Be kind.") == "Be kind."
    assert "system_prompt.txt" in caplog.text and "model.llm.system_prompt" in caplog.text
    (tmp_path / prompt.SYSTEM_FILE).write_text("You are somebody else.")
    with pytest.raises(ValueError, match=r"not the system message of the release: 22 characters .* needed are 131"):
        prompt.read_system_prompt(None, tmp_path)
    with pytest.raises(FileNotFoundError, match="no such file"):
        prompt.read_system_prompt(tmp_path / "absent.txt", tmp_path)


def test_the_right_system_message_is_taken(tmp_path, monkeypatch):
    import hashlib

    monkeypatch.setattr(prompt, "SYSTEM_SHA256", hashlib.sha256(b"Right.").hexdigest())
    (tmp_path / "mine.txt").write_text("Right.\n")
    assert prompt.read_system_prompt(tmp_path / "mine.txt", tmp_path, own="not this") == "Right."


def test_conversations_are_plain_chatml(saved):
    llm = load_released(saved).llm
    messages = [{"role": "system", "content": "A"}, {"role": "user", "content": "B"}, {"role": "assistant", "content": "C"}]
    text = llm.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert text == (
        "<|im_start|>system\nA<|im_end|>\n<|im_start|>user\nB<|im_end|>\n<|im_start|>assistant\nC<|im_end|>\n"
        "<|im_start|>assistant\n"
    )
    assert llm.end_id == llm.tokenizer.convert_tokens_to_ids("<|im_end|>")


def test_the_command_of_the_readme_runs_a_folder_of_released_weights(saved, logs, tmp_path, monkeypatch, capsys):
    """Word for word, but for shorter text and units that are taken greedily."""
    command = next(command for command in COMMANDS if "model.released=DIR" in command)
    monkeypatch.chdir(tmp_path)
    small = ["generation.max_new_tokens=4", "generation.unit_top_k=1", "threads=1"]
    words = [*shlex.split(command.replace("DIR", str(saved)))[1:], *small]
    assert cli.main([*words, "--formats", "text,npz,wav"]) == 0
    said = capsys.readouterr().out.splitlines()
    assert "GLM-4-Voice" in said[0]
    assert (tmp_path / "answer" / "answer.txt").read_text().strip() == said[1].strip() != ""
    assert said[-3:] == ["answer/answer.txt", "answer/answer.npz", "answer/answer.wav"]


def test_a_folder_of_released_weights_answers_in_place_of_a_run(saved, logs, tmp_path):
    from exomni import config
    from exomni.stages import answer
    from exomni.stages.runs import stages_of

    settings = config.load("nano", [f"model.released={saved}", "generation.max_new_tokens=4", "generation.unit_top_k=1"])
    said: list[str] = []
    written = answer.answer(
        settings, text="The dog ran home.", speech=None, out=tmp_path / "out", formats=["npz", "wav"], say=said.append
    )
    assert {path.suffix for path in written} == {".npz", ".wav"} and all(path.is_file() for path in written)
    assert any("GLM-4-Voice" in line for line in said)
    with pytest.raises(ValueError, match=r"model\.released: .* trained already"):
        stages_of(settings)
    for file in saved.glob("*.safetensors"):
        assert file.is_file()
    with pytest.raises(FileNotFoundError, match="no such checkpoint"):
        answer.answer(
            config.load("nano", ["model.released=/nowhere"]), text="Hello", speech=None, out=tmp_path / "none", formats=["npz"]
        )
