"""Recorded steps against steps computed one by one; on the CPU a recorder stands in for CUDA graphs."""

import gc
import itertools

import pytest
import torch

from musicbench import plans
from musicbench.models import kernels
from musicbench.models.autoregressive import decode as decoding
from musicbench.models.autoregressive.choose import by_seeds
from musicbench.models.autoregressive.decode import Decoding, decode, sample
from musicbench.models.autoregressive.network import StepNetwork
from musicbench.models.fast import lending, step_rows
from musicbench.models.fast.graphs import GraphedSteps
from musicbench.models.sampling import Sampling
from tests.helpers.recorder import NoWaiting, Recorder
from tests.models.test_decode_equals_forward import PATTERNS, POISON, build

SAMPLING = Sampling(cfg=3.0, top_k=7)


class Recorded(GraphedSteps):
    """Steps by the stand-in; every slot that a step is not meant to see holds a huge number while it runs."""

    recorders: list[Recorder]

    @classmethod
    def capture(cls, device):
        cls.recorders.append(Recorder())
        return cls.recorders[-1]

    def __init__(self, *args):
        super().__init__(*args)
        for memory in (self.cache.keys, self.cache.values):
            memory.fill_(POISON)

    def _run(self, step, sampling):
        spared = torch.zeros(self.cache.keys.shape[3], dtype=torch.bool)
        spared[: step.live] = True if step.mask_QS is None else step.mask_QS.any(0)
        spared[step.written] = True
        for memory in (self.cache.keys, self.cache.values):
            memory[:, :, :, ~spared] = POISON
        super()._run(step, sampling)


@pytest.fixture(autouse=True)
def plain():
    """Torch's own operations, as on a GPU."""
    with kernels.using("plain"):
        yield


@pytest.fixture(autouse=True)
def few(monkeypatch):
    """Shapes that come twice are recorded."""
    monkeypatch.setattr(step_rows, "OFTEN", 2)


@pytest.fixture
def recorded(monkeypatch):
    """Decoding by recorded steps."""
    monkeypatch.setattr(decoding, "_network", lambda model, device: Recorded)
    Recorded.recorders = []
    return Recorded.recorders


def with_network(monkeypatch, network, call):
    with monkeypatch.context() as patch:
        patch.setattr(decoding, "_network", lambda model, device: network)
        return call()


@pytest.mark.parametrize("levels", [1, 2, 4])
@pytest.mark.parametrize(
    ("schedule", "position", "cfg"),
    [("sequential", "sinusoidal", 1.0), ("block_4", "rotary", 1.0), ("stride_3", "both", 3.0)],
)
@pytest.mark.parametrize("same_step", [True, False])
@pytest.mark.parametrize("name", PATTERNS)
def test_same_logits(
    name, schedule, position, cfg, same_step, levels, make_lm, make_captions, decode_logits, recorded, monkeypatch
):
    lm, plan = make_lm(levels, position=position), build(name, levels, schedule, same_step)
    codes_BKT = torch.randint(0, 11, (3, levels, plan.frames), generator=torch.Generator().manual_seed(1))
    arguments = (lm, plan, codes_BKT, make_captions([5, 1, 3]), cfg)
    found = decode_logits(*arguments)
    wanted = with_network(monkeypatch, StepNetwork, lambda: decode_logits(*arguments))
    assert wanted.std() > 0.1
    torch.testing.assert_close(found, wanted, atol=3e-5, rtol=1e-5)
    (recorder,) = recorded
    assert recorder.repeated > 5


@pytest.mark.parametrize("prompted", [0, 5])
@pytest.mark.parametrize("cfg", [1.0, 3.0])
@pytest.mark.parametrize("name", ["delay", "flat", "stack", "stack_delay", "stack_stride_of_3"])
def test_same_codes_of_two_batches_one_after_the_other(
    name, cfg, prompted, make_lm, make_captions, recorded, monkeypatch
):
    """The second takes over the recordings of the first; the first one's codes stay as they are."""
    lm, plan = make_lm(4), build(name, 4, "sequential" if prompted else "block_4", True)
    sampling = Sampling(cfg=cfg, top_k=7)

    def batch(number: int) -> torch.Tensor:
        random = torch.Generator().manual_seed(number)
        prompt_BKT = torch.randint(0, 11, (2, 4, plan.frames), generator=random)
        prompt_BKT[:, :, prompted:] = -1
        captions = make_captions([4 + number, 2], seed=number)
        return sample(lm, plan, captions, [number, 7], sampling, prompt_BKT if prompted else None)

    first, second = batch(0), batch(1)
    (recorder,) = recorded
    assert recorder.repeated > 20
    wanted = with_network(monkeypatch, StepNetwork, lambda: [batch(0), batch(1)])
    assert torch.equal(first, wanted[0])
    assert torch.equal(second, wanted[1])
    assert not torch.equal(first, second)


def test_recordings_find_only_memory_that_lasts_as_long_as_they_do(make_lm, make_captions, recorded):
    lm, plan = make_lm(4), build("stack_delay", 4, "block_4", False)
    sample(lm, plan, make_captions([4, 2]), [0, 1], SAMPLING)
    gc.collect()
    (space,) = lending._idle[lm].values()
    kept = [lm.state_dict(keep_vars=True), dict(lm.named_buffers()), vars(space), vars(space.rows), vars(space.cache)]
    leaves = torch.utils._pytree.tree_leaves(kept)
    lasting = {x.untyped_storage().data_ptr() for x in leaves if isinstance(x, torch.Tensor)}
    (recorder,) = recorded
    assert recorder.outside and recorder.outside <= lasting


def test_the_host_waits_for_no_step(make_lm, make_captions, recorded):
    """Neither where a step is computed as it is nor where tokens are chosen outside of it."""
    lm, plan = make_lm(4), build("stack_delay", 4, "block_4", True)
    for network in (StepNetwork, GraphedSteps):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(GraphedSteps, "capture", staticmethod(lambda device: Recorder()))
            patch.setattr(decoding, "_network", lambda model, device, network=network: network)
            choose = by_seeds([0, 1], plan, SAMPLING, torch.device("cpu"))
            for chosen in (choose, lambda logits_BnV, step, choose=choose: choose(logits_BnV, step)):
                running = Decoding(lm, plan, make_captions([4, 2]), SAMPLING.scales)
                with torch.inference_mode():
                    steps = running.run(chosen)
                    next(steps)  # the plan's tables are made
                    with NoWaiting():
                        assert len(list(steps)) > 20


@pytest.mark.parametrize("name", ["stack_delay", "delay"])
def test_control_poison_reaches_the_logits_if_the_mask_is_dropped(
    name, make_lm, make_captions, decode_logits, recorded, monkeypatch
):
    """Also that behind the last slot in use, for which a plan by itself needs no mask."""
    lm, plan = make_lm(4), build(name, 4, "sequential", False)
    codes_BKT = torch.randint(0, 11, (2, 4, plan.frames))
    arguments = (lm, plan, codes_BKT, make_captions([4, 2]))
    wanted = with_network(monkeypatch, StepNetwork, lambda: decode_logits(*arguments))
    monkeypatch.setattr(Recorded, "_seen", lambda self, step_1, slot_Q, live: torch.ones(1, live) > 0)
    assert (decode_logits(*arguments) - wanted).abs().max() > 0.01


def test_where_steps_are_recorded(make_lm, monkeypatch):
    """On a GPU, but neither where plain operations are asked for nor under autocast, whose copies of weights move."""
    lm, gpu = make_lm(2), torch.device("cuda")
    with kernels.using("auto"):
        assert decoding._network(lm, gpu) is GraphedSteps
        monkeypatch.setattr(torch, "is_autocast_enabled", lambda kind: kind == "cuda")
        assert decoding._network(lm, gpu) is StepNetwork
        monkeypatch.undo()
    assert decoding._network(lm, gpu) is StepNetwork


def test_control_waiting_is_noticed():
    with NoWaiting():
        for wait in (
            lambda: torch.ones(2).sum().item(),
            lambda: torch.ones(2)[torch.ones(2) > 0],
            lambda: bool(torch.ones(1) > 0),
            lambda: torch.tensor([1, 2]),
        ):
            with pytest.raises(RuntimeError, match="waits"):
                wait()


def test_control_what_is_no_memory_is_frozen():
    """The stand-in repeats what was recorded, as a graph does: a number of the host's does not change any more."""
    number, place, result = 1, torch.ones(1), torch.zeros(1)

    def work() -> None:
        result.copy_(place * 10 + number)

    repeat = Recorder().record(work)
    number = 5
    place.fill_(2)
    repeat()
    assert result.item() == 21


@pytest.mark.parametrize(
    ("pattern", "recordings"), [("parallel", 1), ("delay", 1), ("flat", 4), ("stack", 1), ("stack_delay", 1)]
)
def test_few_shapes_are_recorded(pattern, recordings, monkeypatch):
    """10 s at 20 frames a second, 4 levels: flat's 800 positions fill four lengths of the cache."""
    monkeypatch.setattr(step_rows, "OFTEN", 16)
    plan = plans.build(pattern, 200, 4)
    rows = step_rows.StepRows(plan, torch.device("cpu"))
    assert len(rows.often) == recordings
    alone = sum(shape not in rows.often for shape in rows.shapes)
    assert alone <= 2 * 4 + 10


def test_lengths_are_rounded_up_by_at_most_a_quarter_or_255():
    lengths = [step_rows.rounded(live) for live in range(1, 30_000)]
    assert all(0 <= found - live <= max(255, live // 4) for live, found in enumerate(lengths, 1))
    assert len(set(lengths)) < 25


def test_a_workspace_is_lent_to_one_at_a_time(make_lm, make_captions, recorded, monkeypatch):
    """Two clips that stream at once do not write into each other's memory."""
    lm, plan = make_lm(4), build("delay", 4, "sequential", True)
    choose = by_seeds([3, 4], plan, SAMPLING, torch.device("cpu"))
    captions = [make_captions([4, 2], seed=seed) for seed in range(2)]
    both = [Decoding(lm, plan, one, SAMPLING.scales) for one in captions]
    with torch.inference_mode():
        for _ in itertools.zip_longest(*(one.run(choose) for one in both)):
            pass
    found = [one.grid_BKT.clone() for one in both]
    assert len(recorded) == 2
    wanted = with_network(
        monkeypatch, StepNetwork, lambda: [decode(lm, plan, one, choose, SAMPLING.scales) for one in captions]
    )
    assert all(map(torch.equal, found, wanted))


def test_what_makes_recordings_useless_makes_new_ones(make_lm, make_captions, recorded):
    lm, plan = make_lm(2), build("delay", 2, "sequential", True)

    def run(lm=lm, plan=plan, lengths=(4, 2), sampling=SAMPLING):
        sample(lm, plan, make_captions(list(lengths)), list(range(len(lengths))), sampling)
        return len(recorded)

    assert run() == run() == run(lengths=(1, 16)) == 1
    assert run(lengths=(1, 17)) == 2
    assert run(lengths=(1, 2, 3)) == 3
    assert run(sampling=Sampling(cfg=2.0)) == 4
    assert run(plan=build("delay", 2, "sequential", True)) == 5
    lm.heads_KVD = torch.nn.Parameter(lm.heads_KVD.detach().clone())
    assert run() == 6


def test_changed_weights_and_sampling_are_used(make_lm, make_captions, recorded, monkeypatch):
    """Weights that training changes where they lie, as an optimiser does, need no new recording."""
    lm, plan = make_lm(2), build("delay", 2, "sequential", True)
    captions = make_captions([4, 2])
    sample(lm, plan, captions, [0, 1], SAMPLING)
    with torch.no_grad():
        lm.heads_KVD.mul_(-1)
    greedy = Sampling(cfg=3.0, temperature=0)
    for sampling in (SAMPLING, greedy):
        found = sample(lm, plan, captions, [0, 1], sampling)
        wanted = with_network(monkeypatch, StepNetwork, lambda s=sampling: sample(lm, plan, captions, [0, 1], s))
        assert torch.equal(found, wanted)
    assert len(recorded) == 1


def test_memory_goes_with_the_model(make_lm, make_captions, recorded):
    lm = make_lm(2)
    sample(lm, build("delay", 2, "sequential", True), make_captions([4, 2]), [0, 1], SAMPLING)
    count = len(lending._idle)
    recorded.clear()
    del lm
    gc.collect()
    assert len(lending._idle) == count - 1
