"""Repetition-aware sampling in closed form, against the loop it stands for."""

import pytest
import torch

from exomni.model.generation.sampling import GreedySampler, RepetitionAwareSampler, nucleus_filter

ALL = torch.ones(1, 6, dtype=torch.bool)
NONE = torch.full((1, 3), -1)


def chance(seed: int, rows: int) -> torch.Tensor:
    """The two uniform numbers of each row (2, rows, 1)."""
    return torch.rand(2, rows, 1, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def log(*chances: float) -> torch.Tensor:
    return torch.tensor([chances]).log()


def test_nucleus_includes_the_id_that_crosses():
    chances = torch.tensor([[0.1, 0.4, 0.3, 0.2]])
    torch.testing.assert_close(nucleus_filter(chances, 0.6, 10), torch.tensor([[0.0, 0.4, 0.3, 0.0]]))
    torch.testing.assert_close(nucleus_filter(chances, 0.75, 10), torch.tensor([[0.0, 0.4, 0.3, 0.2]]))
    torch.testing.assert_close(nucleus_filter(chances, 0.75, 1), torch.tensor([[0.0, 0.4, 0.0, 0.0]]))


def test_greedy_takes_the_best_that_is_allowed():
    allowed = ALL.clone()
    allowed[0, 2] = False
    assert GreedySampler()(log(0.1, 0.2, 0.5, 0.1, 0.05, 0.05), NONE, allowed, torch.empty(0, 1, 1)).tolist() == [1]


def test_distribution_by_hand():
    scores = log(0.4, 0.3, 0.1, 0.1, 0.05, 0.05)
    sampler = RepetitionAwareSampler(top_p=0.6, window=3)
    fresh = sampler.distribution(scores, NONE, ALL)
    torch.testing.assert_close(fresh, torch.tensor([[4 / 7, 3 / 7, 0, 0, 0, 0]]))
    # id 0 was heard: its 4/7 go to the full distribution
    repeated = sampler.distribution(scores, torch.tensor([[5, 0, 3]]), ALL)
    expected = torch.tensor([[0, 3 / 7, 0, 0, 0, 0]]) + 4 / 7 * scores.exp()
    torch.testing.assert_close(repeated, expected)
    # what left the window no longer counts
    torch.testing.assert_close(sampler.distribution(scores, torch.tensor([[0, 5, 5, 3]]), ALL), fresh)


def test_a_nucleus_of_forbidden_ids_falls_back_to_what_is_allowed():
    allowed = ALL.clone()
    allowed[0, 0] = False
    sampler = RepetitionAwareSampler(top_p=0.5)
    chances = sampler.distribution(log(0.9, 0.02, 0.02, 0.02, 0.02, 0.02), NONE, allowed)
    torch.testing.assert_close(chances, torch.tensor([[0.0, 0.2, 0.2, 0.2, 0.2, 0.2]]))


def loop(chances: list[float], history: list[int], forbidden: int, top_p: float, random: torch.Generator) -> int:
    """The sampler as section 3.3 tells it, one sample, drawn again until allowed."""
    full = torch.tensor(chances)
    order = full.argsort(descending=True)
    kept = [int(i) for rank, i in enumerate(order) if full[order[:rank]].sum() < top_p]
    while True:
        drawn = kept[int(torch.multinomial(full[kept], 1, generator=random))]
        if drawn in history:
            drawn = int(torch.multinomial(full, 1, generator=random))
        if drawn != forbidden:
            return drawn


def test_frequencies_are_those_of_the_loop():
    chances, history, count = [0.35, 0.25, 0.2, 0.1, 0.06, 0.04], [4, 0, 5], 4000
    allowed = ALL.clone()
    allowed[0, 1] = False
    sampler = RepetitionAwareSampler(top_p=0.7, window=3)
    scores, histories = log(*chances).expand(count, -1), torch.tensor([history]).expand(count, -1)
    drawn = sampler(scores, histories, allowed.expand(count, -1), chance(0, count))
    random = torch.Generator().manual_seed(1)
    reference = torch.tensor([loop(chances, history, 1, 0.7, random) for _ in range(count)])
    ours, theirs = (ids.bincount(minlength=6) / count for ids in (drawn, reference))
    assert ours[1] == theirs[1] == 0
    torch.testing.assert_close(ours, theirs, atol=0.04, rtol=0)  # 4 standard errors


def test_window_0_and_top_k_1_are_greedy():
    sampler = RepetitionAwareSampler(top_k=1, window=0)
    scores = torch.randn(50, 6).log_softmax(-1)
    drawn = sampler(scores, torch.zeros(50, 0, dtype=torch.long), ALL.expand(50, -1), chance(0, 50))
    assert torch.equal(drawn, scores.argmax(-1))


def test_wrong_settings_are_refused():
    for options in ({"top_p": 0.0}, {"top_k": 0}, {"window": -1}):
        with pytest.raises(ValueError, match=next(iter(options))):
            RepetitionAwareSampler(**options)


def plain_distribution(chances: list[float], history: list[int], allowed: list[bool], top_p: float, top_k: int) -> list[float]:
    """The rule told id by id: all ways to draw twice, added up; what is not allowed is drawn again."""
    order = sorted(range(len(chances)), key=lambda i: (-chances[i], i))
    kept: list[int] = []
    for i in order:
        if sum(chances[j] for j in kept) >= top_p or len(kept) >= top_k:
            break
        kept.append(i)
    mass = sum(chances[i] for i in kept)
    found = [0.0] * len(chances)
    for i in kept:
        if i in history:
            for j, chance in enumerate(chances):
                found[j] += chances[i] / mass * chance
        else:
            found[i] += chances[i] / mass
    found = [chance * ok for chance, ok in zip(found, allowed)]
    return [chance / sum(found) for chance in found]


@pytest.mark.parametrize(("top_p", "top_k"), [(0.8, 25), (0.8, 3), (0.95, 40), (1.0, 60)])
def test_the_distribution_is_that_of_the_rule(top_p, top_k):
    random = torch.Generator().manual_seed(2)
    scores = 2 * torch.randn(4, 60, generator=random)
    best = scores.argmax(-1, keepdim=True)
    history = torch.cat([best, torch.randint(60, (4, 9), generator=random)], dim=1)
    allowed = torch.rand(4, 60, generator=random) > 0.1
    found = RepetitionAwareSampler(top_p=top_p, top_k=top_k).distribution(scores, history, allowed).double()
    for row in range(4):
        chances = scores[row].double().softmax(-1).tolist()
        expected = plain_distribution(chances, history[row].tolist(), allowed[row].tolist(), top_p, top_k)
        torch.testing.assert_close(
            found[row] / found[row].sum(), torch.tensor(expected, dtype=torch.float64), atol=1e-6, rtol=0
        )


def test_draws_follow_the_distribution():
    """Pearson's chi-square over 40 000 draws, 11 degrees of freedom: above 31.3 once in a thousand seeds."""
    count, vocab = 40_000, 12
    scores = torch.randn(1, vocab, generator=torch.Generator().manual_seed(4))
    history, allowed = scores.topk(2).indices, torch.ones(1, vocab, dtype=torch.bool)
    sampler = RepetitionAwareSampler(top_p=0.9, window=2)
    drawn = sampler(scores.expand(count, -1), history.expand(count, -1), allowed.expand(count, -1), chance(5, count))
    chances = sampler.distribution(scores, history, allowed)[0]
    expected = count * chances / chances.sum()
    assert (expected > 5).all()
    statistic = ((drawn.bincount(minlength=vocab) - expected) ** 2 / expected).sum()
    assert statistic < 31.3


def test_of_equals_the_lower_id_is_in_the_nucleus():
    scores = torch.zeros(1, 1000)
    scores[0, 700:] = 0.5
    chances = RepetitionAwareSampler(top_k=3, window=0).distribution(scores, NONE, torch.ones(1, 1000, dtype=torch.bool))
    assert (chances[0] > 1e-6).nonzero().flatten().tolist() == [700, 701, 702]


def test_a_constant_added_to_the_scores_changes_nothing():
    scores = torch.randn(3, 6)
    history, allowed = NONE.expand(3, -1), ALL.expand(3, -1)
    one, other = (RepetitionAwareSampler().distribution(given, history, allowed) for given in (scores, scores.log_softmax(-1)))
    torch.testing.assert_close(one, other)


def test_the_sampler_draws_from_the_nucleus_of_the_release():
    chances = (3 * torch.randn(200, 300, generator=torch.Generator().manual_seed(6))).softmax(-1)
    nucleus = nucleus_filter(chances, 0.8, 25)
    drawn = RepetitionAwareSampler(window=0).distribution(chances.log(), NONE.expand(200, -1), torch.ones_like(chances).bool())
    torch.testing.assert_close(drawn, nucleus / nucleus.sum(-1, keepdim=True), atol=1e-6, rtol=1e-5)
