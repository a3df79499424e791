import numpy as np
import pytest
from torch.utils.data import Dataset

from exomni.data.sampler import ResumableLoader, plan_steps, portions

LENGTHS = list(np.random.default_rng(0).integers(1, 100, 200))
POOLS = {"asr": list(range(120)), "ttsf": list(range(120, 200))}


def plan(**changes):
    options = {"size": 8, "count": 60, "seed": 3, "shares": {"asr": 1.0, "ttsf": 0.5}} | changes
    return plan_steps(POOLS, LENGTHS, **options)


def test_a_plan_depends_on_its_seed_only():
    assert plan() == plan()
    assert plan() != plan(seed=4)


def test_a_step_holds_one_task_and_an_epoch_uses_its_share_without_repeats():
    first_epoch = plan(count=15 + 5)  # 120 / 8 batches of asr, half of 80 / 8 of ttsf
    assert all(max(batch) < 120 or min(batch) >= 120 for batch in first_epoch)
    seen = [index for batch in first_epoch for index in batch]
    assert len(seen) == len(set(seen)) == 160
    assert sum(min(batch) >= 120 for batch in first_epoch) == 5


def test_a_share_of_0_leaves_a_task_out_and_a_small_one_keeps_a_sample():
    assert all(max(batch) < 120 for batch in plan(shares={"asr": 1.0, "ttsf": 0.0}))
    first_epoch = plan(shares={"asr": 1.0, "ttsf": 0.001}, count=16)
    assert [len(batch) for batch in first_epoch if min(batch) >= 120] == [1]


def test_steps_hold_samples_of_similar_length():
    spread = np.mean([np.ptp([LENGTHS[i] for i in batch]) for batch in plan()])
    random = np.mean([np.ptp(np.random.default_rng(i).choice(LENGTHS, 8)) for i in range(60)])
    assert spread < 0.4 * random


@pytest.mark.parametrize("world", [1, 2, 3])
@pytest.mark.parametrize("size", [1, 3, 8, 20])
def test_micro_batches_of_all_ranks_are_the_step_whatever_their_size(size, world):
    (step,) = plan(size=16, count=1)
    ranks = [portions(step, size, rank=rank, world=world) for rank in range(world)]
    assert len({len(own) for own in ranks}) == 1, "every rank computes as often as the others"
    found = sorted((part for own in ranks for part in own), key=lambda part: part.place)
    assert [index for part in found if part.counted for index in part.indices] == step
    assert [part.place for part in found] == list(range(len(found)))
    assert all(part.indices for part in found), "a rank without samples would not compute along"


def test_micro_batches_are_the_same_on_any_number_of_ranks():
    (step,) = plan(size=16, count=1)
    alone = portions(step, 4)
    both = sorted((part for rank in range(2) for part in portions(step, 4, rank=rank, world=2)), key=lambda part: part.place)
    assert alone == both


def test_no_sample_to_train_on_is_an_error():
    with pytest.raises(ValueError, match="no sample to train on"):
        plan_steps({"asr": []}, LENGTHS, size=4, count=1, seed=0, shares={})


class Numbers(Dataset):
    def __len__(self) -> int:
        return 10

    def __getitem__(self, index: int) -> list[int]:
        return [index]


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_loader_continues_at_the_step_after_the_last_one_consumed(workers):
    def loader():
        return ResumableLoader(Numbers(), 10, num_workers=workers)

    whole = list(loader())
    broken = loader()
    consumed = []
    for step in broken:
        consumed.append(step)
        if len(consumed) == 4:
            break
    resumed = loader()
    resumed.load_state_dict(broken.state_dict())
    assert consumed + list(resumed) == whole == [[index] for index in range(10)]
