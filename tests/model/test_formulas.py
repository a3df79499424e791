"""Each formula of the model once more, in NumPy and from its description alone (arXiv 2602.07106 and the released shapes)."""

from fractions import Fraction
from math import erf

import numpy as np
import pytest
import torch

from exomni import clock
from exomni.fusion.tqgf import TQGF
from exomni.losses import BlendshapeLoss
from exomni.model.blendshape_decoder import BlendshapeDecoder
from exomni.model.generation.sampling import nucleus_filter
from exomni.model.periodic_rope import PeriodicRope
from exomni.model.released.prompt import splice_as_released
from exomni.model.released.quirks import frames_as_released
from exomni.model.unit_generator import Qwen3UnitGenerator
from exomni.types import IGNORE

RANDOM = np.random.default_rng(7)


def scrambled(module):
    """Every parameter random, biases and norms too, so that each of them matters."""
    random = torch.Generator().manual_seed(2)
    for parameter in module.parameters():
        parameter.data = 0.5 * torch.randn(parameter.shape, generator=random) + (parameter.dim() == 1)
    return module.eval()


def weights(module) -> dict[str, np.ndarray]:
    return {name: value.double().numpy() for name, value in module.state_dict().items()}


def norm(rows, weight, name):
    spread = np.sqrt(rows.var(-1, keepdims=True) + 1e-5)
    return (rows - rows.mean(-1, keepdims=True)) / spread * weight[f"{name}.weight"] + weight[f"{name}.bias"]


def softmax(scores):
    powers = np.exp(scores - scores.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


def gelu(rows):
    return rows * 0.5 * (1 + np.vectorize(erf)(rows / np.sqrt(2)))


def linear(rows, weight, name):
    return rows @ weight[f"{name}.weight"].T + weight.get(f"{name}.bias", 0)


def tqgf(query, context, kept, weight, *, depth, heads):
    """One sample: query (Q, D), context (K, D), kept (K,)."""
    for layer in range(depth):
        part = f"layers.{layer}.attention."
        q = norm(query, weight, part + "norm_query")
        c = norm(context, weight, part + "norm_context")
        keys, values = np.split(linear(c, weight, part + "to_kv"), 2, axis=-1)
        asked, gate = linear(q, weight, part + "to_q"), 1 / (1 + np.exp(-linear(q, weight, part + "gate")))
        width = asked.shape[-1] // heads
        mixed = []
        for head in range(heads):
            columns = slice(head * width, (head + 1) * width)
            scores = asked[:, columns] @ keys[:, columns].T / np.sqrt(width)
            mixed.append(softmax(np.where(kept, scores, -np.inf)) @ values[:, columns])
        query = query + linear(np.concatenate(mixed, -1) * gate, weight, part + "to_out")
        inner = f"layers.{layer}.feed_forward."
        query = query + linear(gelu(linear(norm(query, weight, inner + "0"), weight, inner + "1")), weight, inner + "3")
    return norm(query, weight, "norm")


def rotated(rows, period):
    result, dim = rows.copy(), rows.shape[-1]
    for time in range(len(rows)):
        for pair in range(dim // 2):
            angle = (time % period) * 10_000 ** (-2 * pair / dim)
            turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
            result[time, 2 * pair : 2 * pair + 2] = turn @ rows[time, 2 * pair : 2 * pair + 2]
    return result


def stretched(rows, count):
    """Linear interpolation in which a row stands for the middle of its interval."""
    places = np.clip((np.arange(count) + 0.5) * len(rows) / count - 0.5, 0, len(rows) - 1)
    return np.stack([np.interp(places, np.arange(len(rows)), column) for column in rows.T], -1)


def post_norm_layer(rows, weight, prefix, heads):
    """A causal Transformer layer: attention, norm, ReLU feed-forward, norm."""
    joint = rows @ weight[prefix + "self_attn.in_proj_weight"].T + weight[prefix + "self_attn.in_proj_bias"]
    q, k, v = np.split(joint, 3, axis=-1)
    width, later = q.shape[-1] // heads, np.triu(np.ones((len(rows), len(rows)), bool), 1)
    mixed = [
        softmax(np.where(later, -np.inf, q[:, c] @ k[:, c].T / np.sqrt(width))) @ v[:, c]
        for c in (slice(head * width, (head + 1) * width) for head in range(heads))
    ]
    rows = norm(rows + linear(np.concatenate(mixed, -1), weight, prefix + "self_attn.out_proj"), weight, prefix + "norm1")
    inner = np.maximum(linear(rows, weight, prefix + "linear1"), 0)
    return norm(rows + linear(inner, weight, prefix + "linear2"), weight, prefix + "norm2")


def close(found, expected):
    np.testing.assert_allclose(found.detach().double().numpy(), expected, rtol=2e-4, atol=2e-4)


def test_tqgf():
    module = scrambled(TQGF(dim=6, depth=2, heads=3, dim_head=4))
    query, context = RANDOM.normal(size=(2, 5, 6)), RANDOM.normal(size=(2, 7, 6))
    kept = np.arange(7) < np.array([[7], [4]])
    found = module(
        *(torch.tensor(rows, dtype=torch.float32) for rows in (query, context)),
        torch.ones(2, 5, dtype=torch.bool),
        torch.tensor(kept),
    )
    for sample in range(2):
        expected = tqgf(query[sample], context[sample], kept[sample], weights(module), depth=2, heads=3)
        close(found[sample], expected)


def test_periodic_rope():
    rows = RANDOM.normal(size=(11, 8))
    close(PeriodicRope(8, period=4)(torch.tensor(rows, dtype=torch.float32)), rotated(rows, 4))


@pytest.mark.parametrize("compat", ["default", "official"])
def test_blendshape_decoder(compat):
    module = scrambled(
        BlendshapeDecoder(
            hidden_dim=5,
            unit_vocab=20,
            fusion=lambda dim: TQGF(dim=dim, depth=1, heads=2, dim_head=3),
            compat=compat,
            width=8,
            layers=2,
            heads=2,
            unit_dim=4,
            period=6,
            out_dim=7,
        )
    )
    units, hidden = np.array([3, 9, 9, 1]), RANDOM.normal(size=(5, 5))
    w = weights(module)
    frames = 9  # floor(4 * 2.4)
    query = stretched(linear(w["unit_embedding.weight"][units], w, "unit_projection"), frames)
    fusion = {name.removeprefix("fusion."): value for name, value in w.items() if name.startswith("fusion.")}
    context = linear(hidden, w, "hidden_projection")
    rows = rotated(tqgf(query, context, np.ones(5, bool), fusion, depth=1, heads=2), 6)
    for layer in range(2):
        rows = post_norm_layer(rows, w, f"encoder.{layer}.", heads=2)
    inner = np.maximum(linear(norm(rows, w, "output_head.0"), w, "output_head.1"), 0)
    face = module(torch.tensor(units)[None], torch.tensor(hidden, dtype=torch.float32)[None])
    close(face.values[0], linear(inner, w, "output_head.4"))


def test_prompt_of_the_unit_generator():
    torch.manual_seed(0)
    module = scrambled(
        Qwen3UnitGenerator(
            llm_dim=5,
            text_vocab=12,
            unit_vocab=9,
            fusion=lambda dim: TQGF(dim=dim, depth=1, heads=2, dim_head=3),
            layers=1,
            width=6,
            heads=2,
            kv_heads=1,
            head_dim=4,
            feed_forward=8,
        )
    )
    w, hidden, tokens = weights(module), RANDOM.normal(size=(4, 5)), np.array([3, 11, 0])
    wide = linear(gelu(linear(hidden, w, "hidden_projection.0")), w, "hidden_projection.2")
    context = np.zeros((16, 6))
    for token in range(4):
        for sub in range(4):
            for channel in range(6):
                context[4 * token + sub, channel] = wide[token, 4 * channel + sub]
    fusion = {name.removeprefix("fusion."): value for name, value in w.items() if name.startswith("fusion.")}
    text = tqgf(w["backbone.embed_tokens.weight"][tokens], context, np.ones(16, bool), fusion, depth=1, heads=2)
    start, task = w["prompt_embedding.weight"]
    seen = []
    module.backbone.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True)
    output = module(
        torch.tensor(hidden, dtype=torch.float32)[None],
        torch.ones(1, 4, dtype=torch.bool),
        torch.tensor(tokens)[None],
        torch.ones(1, 3, dtype=torch.bool),
        torch.tensor([[7, 2]]),
    )
    close(seen[0]["inputs_embeds"][0], np.vstack([start, text, task, w["unit_embedding.weight"][[7, 2]]]))
    assert seen[0]["position_ids"].tolist() == [list(range(7))]
    assert output.targets.tolist() == [[7, 2, 9]] and output.logits.shape == (1, 3, 12)  # the task row predicts the first unit
    close(output.logits[0], linear(output.hidden[0].detach().double().numpy(), w, "unit_head"))


def test_frames():
    for units in (1, 2, 3, 5, 205, 410, 1615, 3205):
        exact = int(Fraction(units) * 2 * 30 / 25)
        assert clock.face_frames(units) == exact
        assert frames_as_released([1] * units) == int(np.floor(np.float64(units) * (1 / 12.5) * 30))
    assert [n for n in range(1, 900) if frames_as_released([1] * n) != clock.face_frames(n)] == [205, 410, 820, 845]


def test_face_loss():
    prediction, target = RANDOM.normal(size=(3, 6, 4)), RANDOM.normal(size=(3, 5, 4))
    expected = []
    for row, length in enumerate([5, 2, 0]):
        squares = ((prediction[row, :5] - target[row]) ** 2).mean(-1)[:length]
        expected.append(squares.sum() / (length + 1e-6))
    found = BlendshapeLoss()(torch.tensor(prediction), torch.tensor(target), torch.tensor([5, 2, 0]))
    close(found.mean, np.mean(expected))


@pytest.mark.parametrize(("top_p", "top_k"), [(0.8, 25), (0.5, 3), (0.95, 4)])
def test_nucleus(top_p, top_k):
    chances = softmax(3 * RANDOM.normal(size=(6, 30))).astype(np.float32)
    found = nucleus_filter(torch.tensor(chances), top_p, top_k).numpy()
    for row, kept in zip(chances, found):
        expected, total = np.zeros(30, np.float32), np.float32(0)
        for rank, place in enumerate(np.argsort(-row, kind="stable")):
            if not (total < top_p and rank < top_k):
                break
            expected[place], total = row[place], total + row[place]
        np.testing.assert_array_equal(kept, expected)


class Embedder:
    """As much of a language model as splicing reads."""

    speech_id, pad_id = -300, 0

    def __init__(self, table):
        from exomni.model.llm import CausalLanguageModel

        self.table = torch.tensor(table)
        self.splice = CausalLanguageModel.splice.__get__(self)

    def embed(self, tokens):
        return self.table[tokens]


@pytest.mark.parametrize("side", ["left", "right"])
@pytest.mark.parametrize("max_length", [None, 5])
def test_splice(side, max_length):
    table = RANDOM.normal(size=(10, 3))
    blocks = [RANDOM.normal(size=(length, 3)) for length in (2, 9, 3, 1)]
    rows = [[4, -300, 5], [6, 7, 8], [-300, 9, -300]]  # the second hears nothing and uses up a block all the same
    heard = [[blocks[0]], [], [blocks[2], blocks[3]]]
    mask = [[True] * 3, [True, True, False], [True] * 3]
    expected = []
    for row, parts, kept in zip(rows, heard, mask):
        left = list(parts)
        found = [left.pop(0) if token == -300 else table[[token]] for token, real in zip(row, kept) if real]
        expected.append(np.concatenate(found)[:max_length])
    made = splice_as_released(
        Embedder(table),
        torch.tensor(rows),
        [torch.tensor(block) for block in blocks],
        mask=torch.tensor(mask),
        labels=torch.tensor([[1, 2, 3]] * 3),
        side=side,
        max_length=max_length,
    )
    longest = max(map(len, expected))
    for row, part in enumerate(expected):
        space = np.zeros((longest - len(part), 3))
        padded = np.concatenate([space, part] if side == "left" else [part, space])
        np.testing.assert_array_equal(made.embeddings[row].numpy(), padded)
        places = slice(longest - len(part), None) if side == "left" else slice(len(part))
        assert made.positions[row][places].tolist() == list(range(len(part)))
        assert int(made.mask[row].sum()) == len(part) and made.mask[row][places].all()
    labels = [label for label in made.labels[0].tolist() if label != IGNORE]
    assert labels == [1, 3]  # none over speech


def test_splice_wants_a_block_for_every_recording():
    with pytest.raises(ValueError, match="more recordings than the 1 blocks"):
        splice_as_released(Embedder(np.zeros((3, 2))), torch.tensor([[-300, -300]]), [torch.zeros(1, 2)])
