import pytest

from exomni.config import registry


def test_built_ins_are_found_by_name_and_bring_their_options():
    entry = registry.get("fusion", "tqgf")
    assert entry.origin == "exomni"
    assert "dim" not in entry.options()
    assert {"tqgf", "concat", "tokens_only", "hidden_only"} <= set(registry.names("fusion"))


def test_an_unknown_name_or_kind_gets_its_nearest_spelling():
    with pytest.raises(ValueError, match="did you mean 'concat'"):
        registry.get("fusion", "conkat")
    with pytest.raises(ValueError, match="did you mean 'fusion'"):
        registry.names("fussion")


def test_two_classes_cannot_claim_one_name():
    class First:
        pass

    class Second:
        pass

    name = "claimed_in_a_test"
    registry.register("mos", name)(First)
    try:
        with pytest.raises(ValueError, match="two packages claim the mos name"):
            registry.register("mos", name)(Second)
        with pytest.raises(ValueError, match="First and .*Second"):
            registry.get("mos", name)
        assert registry.conflicts("mos")
    finally:
        registry._state.entries.pop(("mos", name))
        registry._state.conflicts.pop(("mos", name))
