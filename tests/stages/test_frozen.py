"""What frozen parts compute may be stored: a batch from stores gives what a batch without them gives."""

import pytest
import torch
from exomni.runs import load_run

from exomni import train
from exomni.stages.assemble import collator_for, fill_stores, open_dataset
from exomni.types import SPEECH_TOKEN


@pytest.fixture
def parts(smoke):
    settings = smoke()
    train.run(settings)
    made = train.making.artefacts(settings)
    dataset = open_dataset(made["corpus"].folder, made["codec"].folder)
    return load_run(settings), dataset, {name: item.signature for name, item in made.items()}


def first(dataset, task: str, count: int = 3):
    part = dataset.subset(tasks=[task], splits=["train"])
    return [part[index] for index in range(count)]


@pytest.mark.parametrize("task", ["asr", "s2sf", "ttsf"])
def test_stores_change_nothing(parts, task, tmp_path):
    model, dataset, identities = parts
    plain, stored = collator_for(model), collator_for(model)
    fill_stores(model, stored, dataset, [task], ["train"], identities, tmp_path, llm=True)
    samples = first(dataset, task)
    from_store = stored(first(dataset.subset(tasks=[task], splits=["train"], audio=False), task))
    direct = plain(samples)
    assert torch.equal(from_store.tokens, direct.tokens)
    heard = SPEECH_TOKEN in samples[0].prompt
    assert (from_store.speech_rows is not None) == heard
    assert (from_store.llm_hidden is not None) == (not heard)
    with torch.no_grad():
        a, b = model.answer(from_store), model.answer(direct)
    assert torch.equal(a.tokens, b.tokens)
    assert torch.allclose(a.hidden[a.mask], b.hidden[b.mask], atol=1e-4)


def test_a_store_is_made_once_and_read_by_all(parts, tmp_path, monkeypatch):
    model, dataset, identities = parts
    fill_stores(model, collator_for(model), dataset, ["ttsf"], ["val"], identities, tmp_path, llm=True)
    monkeypatch.setattr(model, "answer", lambda batch: pytest.fail("computed again"))
    again = collator_for(model)
    fill_stores(model, again, dataset, ["ttsf"], ["val"], identities, tmp_path, llm=True)
    assert len(again.hidden_store) == len(dataset.subset(tasks=["ttsf"], splits=["val"]))


def test_rows_of_the_answer_are_the_states_that_predict_its_tokens(parts):
    """Greedy text from the prompt, and the teacher-forced states of that same text, agree row by row."""
    model, dataset, _ = parts
    collator = collator_for(model)
    sample = first(dataset, "ttsf", 1)
    prompt = collator.prompts(sample)
    written = model.llm.generate(model.llm.splice(prompt.tokens), prompt.token_mask, max_new_tokens=6)
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
        reply = model.generate(collator_for(model).prompts(first(dataset, task)), settings)
        for units, face, tokens in zip(reply.units, reply.faces, reply.tokens):
            assert face.shape == (clock.face_frames(len(units)), 52)
            assert len(units) <= 4 * len(tokens)
