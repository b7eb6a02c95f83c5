"""Learning-rate schedules against their closed forms."""

import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknn import schedules as module
from sknn.schedules import (
    SCHEDULES,
    Adaptive,
    Constant,
    Cosine,
    CosLog4,
    Exponential,
    InverseScaling,
    OneCycle,
    ReduceOnPlateau,
    Schedule,
    StepDecay,
    WarmUp,
)
from tests.support.classes import all_subclasses

rates = st.floats(1e-12, 1e3)
BASE, NOW = np.array([0.1, 2.0]), np.array([0.05, 0.5])


def test_every_schedule_is_in_the_table():
    assert set(SCHEDULES.values()) == all_subclasses(Schedule)


@pytest.mark.parametrize("schedule", [Constant(), Adaptive()], ids=str)
def test_only_inverse_scaling_changes_the_rate_after_an_epoch(schedule):
    np.testing.assert_array_equal(schedule.after_epoch(NOW, BASE, 1000), NOW)


@given(power=st.floats(0, 2), seen=st.integers(0, 10**9))
def test_inverse_scaling_is_a_power_of_the_samples_seen(power, seen):
    new = InverseScaling(power).after_epoch(NOW, BASE, seen)
    np.testing.assert_allclose(np.log(new), np.log(BASE) - power * np.log1p(seen), atol=1e-9)


@pytest.mark.parametrize("schedule", [Constant(), InverseScaling()], ids=str)
@given(rate=rates)
def test_a_plateau_ends_training(schedule, rate):
    assert schedule.after_plateau(rate) is None


@given(rate=rates)
def test_adaptive_divides_by_five_until_the_rate_is_too_small(rate):
    trail = [rate]
    while trail[-1] is not None:
        trail.append(Adaptive().after_plateau(trail[-1]))
    *kept, last, _ = trail
    assert last <= 1e-6 and all(value > 1e-6 for value in kept)
    np.testing.assert_allclose([*kept, last], rate / 5.0 ** np.arange(len(kept) + 1), rtol=1e-12)


@given(rate=rates, factor=st.floats(0.01, 0.9), least=st.floats(1e-9, 1e-3))
def test_reduce_on_plateau(rate, factor, least):
    schedule, trail = ReduceOnPlateau(factor, least), [rate]
    while (rate := schedule.after_plateau(trail[-1])) is not None:
        trail.append(rate)
    assert trail[-1] <= least and all(value > least for value in trail[:-1])
    np.testing.assert_allclose(trail, trail[0] * factor ** np.arange(len(trail)), rtol=1e-12)


# ---- from step to step ------------------------------------------------------------------

PER_EPOCH, N_EPOCHS = 7, 24
N_STEPS = PER_EPOCH * N_EPOCHS
ALL_STEPS = np.arange(1, N_STEPS + 1)
CHANGING = [
    StepDecay(),
    StepDecay(5, 0.5),
    Exponential(),
    Exponential(0.5),
    Cosine(),
    Cosine(end=0.1),
    Cosine(6),
    Cosine(3, 2.0, 0.05),
    Cosine(2, 1.5),
    OneCycle(),
    OneCycle(0.1, 0.5, 0.01),
    CosLog4(),
    WarmUp(),
    WarmUp(3, Cosine()),
    WarmUp(2, "one_cycle"),
]
each_changing = pytest.mark.parametrize("schedule", CHANGING, ids=str)


def factors(schedule, steps=ALL_STEPS, n_steps=N_STEPS):
    return schedule.factors(steps, PER_EPOCH, n_steps)


@each_changing
def test_factors_are_shares_of_the_rate_and_do_not_depend_on_the_epoch(schedule):
    whole = factors(schedule)
    assert whole.shape == (N_STEPS,) and whole.dtype == np.float64
    assert (whole >= 0).all() and whole.max() <= 1 and whole.max() > 0.9
    parts = [factors(schedule, ALL_STEPS[i : i + PER_EPOCH]) for i in range(0, N_STEPS, PER_EPOCH)]
    np.testing.assert_array_equal(np.concatenate(parts), whole)


@each_changing
def test_training_may_go_on_beyond_the_end(schedule):
    beyond = factors(schedule, np.arange(N_STEPS + 1, 3 * N_STEPS))
    assert np.isfinite(beyond).all() and (beyond >= 0).all() and (beyond <= 1).all()


@pytest.mark.parametrize("schedule", [Constant(), InverseScaling(), Adaptive(), ReduceOnPlateau()], ids=str)
def test_others_leave_steps_alone(schedule):
    np.testing.assert_array_equal(factors(schedule), 1)


def peer_rates(make, per_step):
    """Return the rates of PyTorch's scheduler at each step, for a learning rate of 1."""
    torch = pytest.importorskip("torch")
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = make(torch.optim.lr_scheduler, optimizer)
    rates = []
    for step in range(1, N_STEPS + 1):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if step < N_STEPS and (per_step or step % PER_EPOCH == 0):
            scheduler.step()
    return np.array(rates)


PEERS = [
    (StepDecay(5, 0.5), lambda s, o: s.StepLR(o, 5, 0.5), False),
    (Exponential(0.9), lambda s, o: s.ExponentialLR(o, 0.9), False),
    (Cosine(end=0.1), lambda s, o: s.CosineAnnealingLR(o, N_STEPS, 0.1), True),
    (Cosine(6), lambda s, o: s.CosineAnnealingWarmRestarts(o, 6 * PER_EPOCH), True),
    (Cosine(3, 2.0, 0.05), lambda s, o: s.CosineAnnealingWarmRestarts(o, 3 * PER_EPOCH, 2, 0.05), True),
    (OneCycle(), lambda s, o: s.OneCycleLR(o, 1.0, N_STEPS), True),
    (
        OneCycle(0.1, 0.5, 0.01),
        lambda s, o: s.OneCycleLR(o, 1.0, N_STEPS, pct_start=0.1, div_factor=2, final_div_factor=50),
        True,
    ),
]


@pytest.mark.parametrize("schedule, make, per_step", PEERS, ids=lambda value: str(value) if value in CHANGING else "")
def test_same_as_pytorch(schedule, make, per_step):
    np.testing.assert_allclose(factors(schedule), peer_rates(make, per_step), rtol=1e-9, atol=1e-12)


def test_coslog4_rises_and_falls_four_times():
    t = np.linspace(0, 1, 1501)[:-1]
    curve = CosLog4().factors(1 + np.arange(1500), 10, 1500)
    np.testing.assert_allclose(curve, 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * t))), rtol=1e-12)
    peaks = np.flatnonzero((curve[1:-1] > curve[:-2]) & (curve[1:-1] > curve[2:])) + 1
    np.testing.assert_allclose(t[peaks], (2 ** (np.arange(4) + 0.5) - 1) / 15, atol=1e-3)


def test_warm_up_is_a_straight_line_before_what_follows():
    rising = 3 * PER_EPOCH
    curve = factors(WarmUp(3, Cosine(4)))
    np.testing.assert_allclose(curve[:rising], ALL_STEPS[:rising] / rising)
    np.testing.assert_allclose(curve[rising:], factors(Cosine(4))[: N_STEPS - rising])
    np.testing.assert_allclose(curve[rising:], factors(WarmUp(3, Cosine(4)), ALL_STEPS[rising:]))
    assert WarmUp(2, Adaptive()).after_plateau(1.0) == 0.2
    assert WarmUp(2, Adaptive(factor=0.5)).after_plateau(1.0) == 0.5
    assert WarmUp(2, InverseScaling()).after_epoch(NOW, BASE, 99) == pytest.approx(BASE / 10)
    assert WarmUp(2, "adaptive").last_words == Adaptive.last_words


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: StepDecay(0), "every must be an integer >= 1; got 0"),
        (lambda: StepDecay(3, 0), "factor must be a number > 0; got 0"),
        (lambda: Exponential(-1), "factor must be a number > 0; got -1"),
        (lambda: Cosine(2.5), "period must be None or an integer >= 1; got 2.5"),
        (lambda: Cosine(0), "period must be None or an integer >= 1; got 0"),
        (lambda: Cosine(3, 0.5), "growth must be a number >= 1; got 0.5"),
        (lambda: Cosine(end=-0.1), "end must be a number >= 0; got -0.1"),
        (lambda: OneCycle(1.0), r"peak_at must be a number in \(0, 1\); got 1.0"),
        (lambda: OneCycle(start=0), "start must be a number > 0; got 0"),
        (lambda: ReduceOnPlateau(1.0), r"factor must be a number in \(0, 1\); got 1.0"),
        (lambda: ReduceOnPlateau(min_rate=-1), "min_rate must be a number >= 0; got -1"),
        (lambda: InverseScaling(-1), "power_t must be a number >= 0; got -1"),
        (lambda: WarmUp(0), "epochs must be an integer >= 1; got 0"),
        (
            lambda: WarmUp(3, "linear"),
            "then must be one of 'constant', .*, 'warm_up' or an instance of Schedule; got 'linear'",
        ),
    ],
)
def test_bad_fields(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("schedule", [*CHANGING, Adaptive(), InverseScaling(0.3), ReduceOnPlateau(0.3)], ids=str)
def test_a_schedule_is_a_value(schedule):
    assert pickle.loads(pickle.dumps(schedule)) == schedule == eval(repr(schedule), vars(module))
    hash(schedule)
