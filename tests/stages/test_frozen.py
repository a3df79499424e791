"""What frozen parts compute may be stored: a batch from stores gives what a batch without them gives."""

import pytest
import torch

from exomni.artifacts.declare import Artifacts
from exomni.artifacts.materialise import make_here
from exomni.data.opening import open_dataset
from exomni.data.row_store import RowStore
from exomni.model.generation.answering import generate
from exomni.model.generation.text_decoding import generate_text
from exomni.stages.assemble import collator_for
from exomni.stages.frozen import stores
from exomni.stages.runs import load_run
from exomni.types import SPEECH_TOKEN

STAGE = "speech_face.units"


@pytest.fixture
def parts(smoke, train):
    settings = smoke()
    train(settings)
    artifacts = Artifacts(settings)
    dataset = open_dataset(artifacts["corpus"].source, artifacts["units"].source)
    return load_run(settings), dataset, artifacts


def first(dataset, task: str, count: int = 3):
    part = dataset.subset(tasks=[task], splits=["train"])
    return [part[index] for index in range(count)]


@pytest.mark.parametrize(("task", "part"), [("asr", "speech_encoder"), ("s2sf", "speech_encoder"), ("ttsf", "llm")])
def test_stores_change_nothing(parts, task, part):
    model, dataset, artifacts = parts
    stage = "speech_to_text" if task == "asr" else STAGE  # no stage before it has changed the part
    features = artifacts.made(f"features/{part}.{task}.{stage}")
    make_here([features])
    plain, stored = collator_for(model), collator_for(model)
    kept = {one: stores({f"{part} {task}": features.folder}, one, [task]) for one in ("speech_encoder", "llm")}
    stored.speech_store, stored.hidden_store = kept["speech_encoder"], kept["llm"]
    samples = first(dataset, task)
    from_store = stored(first(dataset.subset(tasks=[task], splits=["train"], audio=False), task))
    direct = plain(samples)
    assert torch.equal(from_store.tokens, direct.tokens)
    heard = SPEECH_TOKEN in samples[0].prompt
    assert (from_store.speech_rows is not None) == heard
    assert (from_store.llm_hidden is not None) == (not heard)
    with torch.no_grad():
        if heard:
            a, b = model.answer(from_store), model.answer(direct)
            assert torch.equal(a.tokens, b.tokens)
            assert torch.allclose(a.hidden[a.mask], b.hidden[b.mask], atol=1e-4)
        else:  # stage IV has changed the LLM since
            untouched = build_llm(artifacts).answer(direct)
            stored_answer = model.answer(from_store)
            assert torch.equal(stored_answer.tokens, untouched.tokens)
            assert torch.allclose(stored_answer.hidden[untouched.mask], untouched.hidden[untouched.mask], atol=1e-4)


def build_llm(artifacts):
    """The model's LLM as it was before any stage."""
    from exomni.model.build import build_model

    folders = {"llm": artifacts["backbone/llm"].source}
    return build_model(artifacts.config.__getitem__, parts=(), folders=folders).eval()


def test_a_store_is_made_once_and_holds_every_sample_that_stages_read(parts):
    _, dataset, artifacts = parts
    joint = artifacts.made(f"features/llm.ttsf.{STAGE}")
    later = artifacts.made("features/llm.ttsf.speech_face.joint")
    assert joint.complete and joint.signature == later.signature, "neither stage before has changed the LLM"
    kept = RowStore(joint.folder)
    expected = dataset.subset(tasks=["ttsf"], splits=["train", "val"])
    assert len(kept) == len(expected)
    assert make_here([joint], say=lambda text: pytest.fail("computed again")) == [joint.folder]


def test_rows_of_the_answer_are_the_states_that_predict_its_tokens(parts):
    """Greedy text from the prompt, and the teacher-forced states of that same text, agree row by row."""
    model, dataset, _ = parts
    collator = collator_for(model)
    sample = first(dataset, "ttsf", 1)
    prompt = collator.prompts(sample)
    written = generate_text(model.llm, model.llm.splice(prompt.tokens), prompt.token_mask, max_new_tokens=6)
    tokens = torch.cat([prompt.tokens, written.tokens], dim=1)
    hidden = model.llm(model.llm.splice(tokens), torch.ones_like(tokens, dtype=torch.bool))
    start = prompt.tokens.shape[1] - 1
    assert torch.allclose(hidden[:, start : start + written.hidden.shape[1]], written.hidden, atol=1e-4)


def test_a_reply_has_a_face_for_every_unit(parts):
    model, dataset, _ = parts
    from exomni import clock
    from exomni.model.generation.settings import GenerationSettings

    settings = GenerationSettings(max_new_tokens=8, max_units_per_token=4)
    for task in ("s2sf", "ttsf"):
        reply = generate(model, collator_for(model).prompts(first(dataset, task)), settings)
        for units, face, tokens in zip(reply.units, reply.faces, reply.tokens):
            assert face.shape == (clock.face_frames(len(units)), 52)
            assert len(units) <= 4 * len(tokens)
