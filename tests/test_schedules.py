"""Learning-rate schedules against their closed forms."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sknn.schedules import SCHEDULES, Adaptive, Constant, InverseScaling
from tests.helpers import all_subclasses

rates = st.floats(1e-12, 1e3)
BASE, NOW = np.array([0.1, 2.0]), np.array([0.05, 0.5])


def test_every_schedule_is_in_the_table():
    assert set(SCHEDULES.values()) == {Constant, *all_subclasses(Constant)}


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
