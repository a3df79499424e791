import pytest

from exomni.stages.schedule import Schedule


def schedule(**options):
    return Schedule(learning_rates={"llm": 1e-3}, tasks={"asr": 1.0}, **options)


def test_length_is_steps_or_epochs():
    assert schedule(steps=7).optimizer_steps(1000) == 7
    assert schedule(epochs=2, effective_batch=10).optimizer_steps(1000) == 200
    assert schedule(steps=0).optimizer_steps(1000) == 0


def test_accumulation_is_derived_and_what_does_not_divide_is_refused():
    assert schedule(effective_batch=128, batch_size=8).accumulation(4) == 4
    with pytest.raises(ValueError, match="^30 is not a multiple of batch_size 8 x 2 devices"):
        schedule(effective_batch=30, batch_size=8).accumulation(2)


def test_learning_rate_warms_up_and_decays():
    linear = schedule(warmup_ratio=0.1)
    assert [linear.factor(step, 100) for step in (0, 9, 10, 55, 100)] == pytest.approx([1 / 11, 10 / 11, 1.0, 0.5, 0.0])
    cosine = schedule(warmup_ratio=0.0, decay="cosine")
    assert [cosine.factor(step, 100) for step in (0, 50, 100)] == pytest.approx([1.0, 0.5, 0.0])
    assert schedule(warmup_ratio=0.0, decay="constant").factor(99, 100) == 1.0


def test_zero_steps_or_epochs_skip_a_stage():
    assert schedule(steps=0).skipped
    assert schedule(epochs=0).skipped
    assert not schedule(steps=3, epochs=0).skipped


def test_validation_lies_at_the_end_and_wherever_it_divides_the_stage():
    assert schedule().validation_interval(100) == 1.0
    assert schedule(validate_every=25, effective_batch=64, batch_size=16).validation_interval(100) == 25
    with pytest.raises(ValueError, match="30 does not divide the stage's 100 steps"):
        schedule(validate_every=30).validation_interval(100)
