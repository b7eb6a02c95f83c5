"""Experiments from the literature, on the sizes they were made with or reduced."""

import numpy as np
import pytest

from examples.plot_batch_norm import accuracies
from examples.plot_initialization import CASES, signals
from sknn.activations import ACTIVATIONS

# Standard deviations layer by layer, from CS231n's slides and a re-run with another generator and seed.
SPREADS = {
    "tanh, std 0.01": [0.213, 0.0476, 0.0106, 0.00238, 0.000532, 0.000119, 2.6e-5, 6e-6, 1.3e-6, 2.9e-7],
    "tanh, std 1": [0.982] * 10,
    "tanh, lecun_normal": [0.628, 0.486, 0.407, 0.357, 0.320, 0.292, 0.272, 0.255, 0.240, 0.227],
    "relu, lecun_normal": [0.585, 0.411, 0.288, 0.195, 0.136, 0.100, 0.069, 0.046, 0.031, 0.023],
    "relu, he_normal": [0.825, 0.828, 0.814, 0.827, 0.834, 0.860, 0.871, 0.889, 0.845, 0.845],
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("seed", [0, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.fast_share(3)
def test_signals_through_ten_layers(name, seed):
    activation, initializer = CASES[name]
    outputs = signals(ACTIVATIONS[activation], initializer, seed)
    spreads = np.array([y.std() for y in outputs])
    # the scales of random layers multiply up; what is cut to half its values varies more
    noise = 0.03 + (0.1 if name.startswith("relu") else 0.05) * np.sqrt(np.arange(10))
    assert (np.abs(np.log(spreads / SPREADS[name])) < noise).all()
    if name == "tanh, std 1":
        assert all((np.abs(y) > 0.99).mean() > 0.85 for y in outputs)
    if name == "relu, lecun_normal":
        np.testing.assert_allclose([outputs[0].mean(), outputs[-1].mean()], [0.400, 0.015], rtol=0.2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_batch_norm_is_ahead_at_every_epoch(seed):
    """Ioffe and Szegedy, figure 1a: sigmoid layers learn without it too, but later."""
    plain, normed = (accuracies(norm, epochs=20, seeds=[seed]) for norm in (None, "batch"))
    assert (normed > plain + 0.02).all()
    assert plain[0] < 0.3 and normed[0] > 0.6
    assert plain[-1] > 0.75 and normed[-1] > 0.88


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_batch_norm_loses_where_batches_are_of_two_rows_and_wins_where_they_are_large(seed):
    norms = (None, "batch", "layer")
    plain, normed, layer = (accuracies(norm, batch_size=2, seeds=[seed])[-1] for norm in norms)
    assert min(plain, layer) > normed + 0.15
    plain, normed, layer = (accuracies(norm, batch_size=200, seeds=[seed])[-1] for norm in norms)
    assert normed > max(plain, layer) + 0.15


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_batch_norm_learns_at_rates_that_are_too_small_or_too_large_without(seed):
    for learning_rate in (0.003, 1.0):
        others = (accuracies(norm, learning_rate=learning_rate, seeds=[seed])[-1] for norm in (None, "layer"))
        assert accuracies("batch", learning_rate=learning_rate, seeds=[seed])[-1] > max(others) + 0.2


@pytest.mark.slow
@pytest.mark.parametrize("learning_rate, wins", [(0.003, False), (0.0003, True), (0.3, True)])
def test_batch_norm_of_two_rows_beats_the_plain_network_only_at_rates_that_do_not_suit_it(learning_rate, wins):
    plain, normed = (
        accuracies(norm, batch_size=2, learning_rate=learning_rate, seeds=[1])[-1] for norm in (None, "batch")
    )
    assert normed > plain + 0.1 if wins else plain > normed + 0.15
