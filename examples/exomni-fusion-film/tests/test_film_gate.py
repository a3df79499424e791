"""The fusion keeps exomni's rules, and a shut gate leaves the query alone."""

import pytest
import torch
from exomni_fusion_film import FilmGate

from exomni.testing import fusion_suite


@pytest.mark.parametrize("options", [{"gate": 0.1}, {"gate": -1.0, "hidden": 16}])
def test_it_keeps_every_rule_of_a_fusion(options):
    fusion_suite("film_gate", **options)


def test_a_shut_gate_leaves_the_query_alone():
    query, context = torch.randn(2, 5, 8), torch.randn(2, 7, 8)
    fused = FilmGate(dim=8)(query, context, torch.ones(2, 5, dtype=torch.bool), torch.ones(2, 7, dtype=torch.bool))
    assert torch.equal(fused, query)


def test_a_gate_out_of_range_is_an_error():
    with pytest.raises(ValueError, match="gate is from -1 to 1, not 2"):
        FilmGate(dim=8, gate=2)
