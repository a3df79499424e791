import collections
import os
import subprocess
import sys

import pytest

from exomni.data.corpora import grammar
from exomni.data.corpora.questions import LEADS, facts
from exomni.data.corpora.text import MOODS, Sentence, content, words, written


@pytest.fixture(scope="module")
def text():
    return grammar.corpus_text(seed=0, sentences=1050, pairs=610)


def texts_of(pair):
    return words(pair.question.text) + words(pair.answer.text)


def test_default_sizes(text):
    assert {split: len(items) for split, items in text.sentences.items()} == {"train": 850, "val": 50, "test": 150}
    assert {split: len(items) for split, items in text.pairs.items()} == {"train": 500, "val": 30, "test": 80}


def test_splits_share_no_content(text):
    for parts in (
        {split: {item.content for item in items} for split, items in text.sentences.items()},
        {split: {item.question.content for item in items} for split, items in text.pairs.items()},
    ):
        assert not parts["train"] & parts["val"]
        assert not parts["train"] & parts["test"]
        assert not parts["val"] & parts["test"]


@pytest.mark.parametrize(("seed", "sentences", "pairs"), [(0, 1050, 610), (1, 1050, 610), (0, 24, 12), (1, 48, 30)])
def test_held_out_questions_and_answers_are_new_but_their_facts_and_words_are_known(seed, sentences, pairs):
    text = grammar.corpus_text(seed=seed, sentences=sentences, pairs=pairs)
    extra = grammar.extra_text(text, seed=seed, count=300)
    train = text.pairs["train"]
    learnt = {item.content for item in (*text.sentences["train"], *extra.sentences)}
    learnt |= {side.content for pair in (*train, *extra.pairs) for side in (pair.question, pair.answer)}
    known = {word for item in text.sentences["train"] for word in words(item.text)}
    known |= {word for pair in train for word in texts_of(pair)}
    for split in ("val", "test"):
        for pair in text.pairs[split]:
            assert not {pair.question.content, pair.answer.content} & learnt
            assert pair.fact in {other.fact for other in train}
            assert set(texts_of(pair)) <= known
    answers = [{pair.answer.content for pair in text.pairs[split]} for split in ("val", "test")]
    assert not answers[0] & answers[1]


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_pairs_are_balanced_over_families_moods_and_cues(text, split):
    pairs = text.pairs[split]
    for found, kinds in (
        (collections.Counter(pair.fact.partition("/")[0] for pair in pairs), 9),
        (collections.Counter(pair.answer.mood for pair in pairs), 5),
        (collections.Counter(pair.answer.cue for pair in pairs), 2),
    ):
        assert len(found) == kinds
        assert max(found.values()) - min(found.values()) <= 4


def test_answers_are_no_sentences_of_the_corpus(text):
    sentences = {item.content for items in text.sentences.values() for item in items}
    assert not sentences & {item.answer.content for items in text.pairs.values() for item in items}


def test_half_of_the_sentences_are_cued_by_punctuation_in_every_mood(text):
    for items in text.sentences.values():
        marked = collections.Counter(item.mood for item in items if item.cue == "punctuation")
        assert sum(marked.values()) == len(items) // 2
        assert set(marked) == set(MOODS)
        assert max(marked.values()) - min(marked.values()) <= 8


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_twins_differ_in_nothing_but_punctuation(text, split):
    by_content = collections.defaultdict(list)
    for item in text.sentences[split]:
        if item.cue == "punctuation":
            by_content[item.content].append(item)
    twins = [items for items in by_content.values() if len(items) == 2]
    assert len(twins) >= len(by_content) / 3
    for one, other in twins:
        assert one.mood != other.mood
        assert one.text != other.text
        assert one.spoken == other.spoken  # what is heard does not tell


def test_spoken_text_carries_no_mood(text):
    every = [*text.sentences["test"], *(pair.answer for pair in text.pairs["test"]), *(p.question for p in text.pairs["test"])]
    for item in every:
        assert item.spoken.endswith(".")
        assert not set(item.spoken[:-1]) & set(".?!*")
        assert words(item.spoken) == words(item.text)


@pytest.mark.parametrize(
    ("mood", "expected"),
    [
        ("neutral", "The red boat is here."),
        ("question", "The red boat is here?"),
        ("excited", "The red boat is here!"),
        ("sad", "The red boat is here..."),
        ("emphatic", "The *red* boat is here."),
    ],
)
def test_marks_of_the_moods(mood, expected):
    made = written("the red boat is here", mood, cue="punctuation", emphasis=1)
    assert made.text == expected
    assert made.spoken == "The red boat is here."
    assert made.emphasis == (1 if mood == "emphatic" else None)


def test_content_ignores_case_and_punctuation():
    assert content("*Tom*, isn't here...") == content("tom isn't HERE?") == "tom isn't here"


def test_held_out_words_are_frequent_in_training(text):
    seen = collections.Counter(word for item in text.sentences["train"] for word in words(item.text))
    seen.update(word for pair in text.pairs["train"] for word in texts_of(pair))
    held_out = {word for split in ("val", "test") for item in text.sentences[split] for word in words(item.text)}
    held_out |= {word for split in ("val", "test") for pair in text.pairs[split] for word in texts_of(pair)}
    assert 300 <= len(seen) <= 450
    assert min(seen[word] for word in held_out) >= 4


def test_held_out_pairs_ask_known_facts_in_new_words(text):
    known = {pair.fact for pair in text.pairs["train"]}
    for split in ("val", "test"):
        assert {pair.fact for pair in text.pairs[split]} <= known


def test_lead_alone_decides_mood_and_form_of_the_answer(text):
    by_lead = {(lead.mood, "words" if lead.answer else "punctuation") for lead in LEADS}
    assert by_lead == {(mood, cue) for mood in MOODS for cue in ("words", "punctuation")}
    for pair in text.pairs["train"]:
        leads = [lead for lead in LEADS if lead.question and content(pair.question.text).startswith(content(lead.question))]
        assert {lead.mood for lead in leads or [LEADS[0]]} == {pair.answer.mood}


def test_no_question_has_two_answers():
    answers = collections.defaultdict(set)
    for fact in facts():
        for question, answer in fact.forms:
            answers[question].add(answer)
    assert all(len(found) == 1 for found in answers.values())


def test_world_follows_its_rules():
    by_name = {fact.name: fact for fact in facts()}
    assert by_name["day/after Sunday"].expected == ("monday",)
    assert by_name["day/before Monday"].expected == ("sunday",)
    assert by_name["sum/six and six"].expected == ("twelve",)
    assert by_name["count/up three"].expected == ("four",)
    assert by_name["compare/bigger ant horse"].expected == ("horse",)
    assert by_name["opposite/cold"].expected == ("hot",)
    for fact in facts():
        for _, answer in fact.forms:
            assert set(fact.expected) <= set(words(answer)), (fact.name, answer)


def test_extra_text_avoids_what_is_held_out(text):
    extra = grammar.extra_text(text, seed=3, count=3000)
    assert len(extra.sentences) == 2000
    assert len(extra.pairs) == 1000
    held_out = text.held_out()
    assert not held_out & {item.content for item in extra.sentences}
    assert not held_out & {side.content for pair in extra.pairs for side in (pair.question, pair.answer)}
    assert extra == grammar.extra_text(text, seed=3, count=3000)
    assert extra != grammar.extra_text(text, seed=4, count=3000)


def test_text_does_not_depend_on_the_hash_seed():
    code = (
        "import hashlib; from exomni.data.corpora import grammar;"
        "print(hashlib.sha256(repr(grammar.corpus_text(seed=5, sentences=60, pairs=30)).encode()).hexdigest())"
    )
    digests = {
        subprocess.run(
            [sys.executable, "-c", code], env={**os.environ, "PYTHONHASHSEED": seed}, capture_output=True, check=True
        ).stdout
        for seed in ("1", "2")
    }
    assert len(digests) == 1


@pytest.mark.parametrize(("sentences", "pairs"), [(6, 6), (24, 12)])
def test_small_corpora_fill_every_split(sentences, pairs):
    small = grammar.corpus_text(seed=1, sentences=sentences, pairs=pairs)
    assert all(small.sentences.values())
    assert all(small.pairs.values())
    assert sum(map(len, small.sentences.values())) == sentences
    assert sum(map(len, small.pairs.values())) == pairs


def test_too_small_and_too_large_are_refused():
    with pytest.raises(ValueError, match="give 6 or more"):
        grammar.corpus_text(seed=0, sentences=5, pairs=10)
    with pytest.raises(ValueError, match="is the most"):
        grammar.corpus_text(seed=0, sentences=10, pairs=100_000)


def test_pair_maker_says_when_no_pair_is_new():
    with pytest.raises(ValueError, match="no more question-answer pairs with new wordings"):
        grammar.PairMaker("0", facts()[:1], known={"snow"}).batch(1)


def test_sentence_is_what_is_written():
    assert Sentence("An *old* cup.", "emphatic", "punctuation", 1).content == "an old cup"
