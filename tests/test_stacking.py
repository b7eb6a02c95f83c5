"""States and options of models taken out of a stack, and put together again."""

from dataclasses import fields, replace

import numpy as np
import pytest

from sknn._core.data import Problem
from sknn._core.options import Options
from sknn._core.state import State
from sknn._core.trainer import Trainer
from sknn.optimizers import Adam, Lion
from tests.support.backends import BACKENDS
from tests.support.scenarios import N_MODELS, SCENARIOS, make_state

CPU = BACKENDS["cpu"]
TRAINED = {"adam", "regularised", "averaged", "batch norm", "batch norm, early stopping", "early stopping", "dropout"}
each_scenario = pytest.mark.parametrize("name", sorted(TRAINED))


def trained(scenario, models, n_epochs=4):
    """Return the problem of some models with streams of their own, and their state after some epochs."""
    options, network = scenario.options.take(models), scenario.network()
    streams = [np.random.RandomState(7 + k) for k in models]
    state = make_state(network, options, 47, streams, split=scenario.split(), models=models)
    problem = Problem(CPU, network, options, scenario.data().on(CPU))
    return problem, continued(problem, state, n_epochs)


def continued(problem, state, n_epochs):
    trainer = Trainer(problem, state)
    for _ in range(n_epochs):
        trainer.train_epoch()
    trainer.store()
    return trainer.state


def assert_same(mine, other):
    """Two states or options have the same fields, bit for bit."""
    for item in fields(mine):
        first, second = getattr(mine, item.name), getattr(other, item.name)
        if item.name == "streams":
            first, second = ([stream.get_state()[1] for stream in streams] for streams in (first, second))
        np.testing.assert_array_equal(first, second, err_msg=item.name)


@each_scenario
def test_stack_is_the_inverse_of_take(name):
    problem, state = trained(SCENARIOS[name], range(N_MODELS))
    for whole in (problem.options, state):
        parts = [whole.take([k]) for k in range(N_MODELS)]
        assert_same(type(whole).stack(parts), whole)
        assert_same(type(whole).stack([whole.take([0]), whole.take([1, 2])]), whole)


@each_scenario
def test_models_trained_alone_go_on_as_a_stack(name):
    """The first epochs one by one, the next together, against all epochs one by one."""
    scenario = SCENARIOS[name]
    alone = [trained(scenario, [k]) for k in range(N_MODELS)]
    problem = alone[0][0]
    options = Options.stack([part.options for part, _ in alone])
    state = State.stack([state for _, state in alone])
    together = continued(replace(problem, options=options), state, 3)
    for k, (part, state) in enumerate(alone):
        after = continued(part, state, 3)
        np.testing.assert_allclose(together.theta[[k]], after.theta, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(np.array(together.loss_curve)[:, k], np.ravel(after.loss_curve), rtol=1e-9)


def test_a_stack_may_share_the_stream_of_the_first():
    _, state = trained(SCENARIOS["adam"], range(N_MODELS))
    stacked = State.stack([state.take([k]) for k in range(N_MODELS)], shared_streams=True)
    assert len(stacked.streams) == len(stacked.order) == 1
    assert_same(replace(stacked, streams=[], order=None), replace(state, streams=[], order=None))


@pytest.mark.parametrize("name, value", [("batch_size", 99), ("tol", 0.5), ("shuffle", False)])
def test_what_models_of_a_stack_share_must_be_the_same(name, value):
    options = SCENARIOS["adam"].options.take([0])
    with pytest.raises(ValueError, match=f"models of a stack must have the same {name}; got"):
        Options.stack([options, replace(options, **{name: value})])


def test_models_of_a_stack_have_all_an_option_or_none():
    options = SCENARIOS["adam"].options.take([0])
    with pytest.raises(ValueError, match=r"must all have l1, or none of them; got it in 1 of 2 parts: .* \[1\]"):
        Options.stack([options, replace(options, l1=np.ones(1))])


def test_models_of_a_stack_have_one_kind_of_optimiser():
    options = SCENARIOS["adam"].options.take([0])
    with pytest.raises(ValueError, match=r"of one kind.* got Adam\(\), Lion\(\)"):
        Options.stack([options, replace(options, optimizers=(Lion(),))])
    assert len(Options.stack([options, replace(options, optimizers=(Adam(0.5),))]).optimizers) == 2


@pytest.mark.parametrize("cls", [State, Options])
def test_fields_with_arrays_say_what_they_have_one_entry_of(cls):
    """A field that is forgotten here would be shared by all models of a stack without a word."""
    shared = {"optimizer", "n_rows", "fraction", "validation_mark", "steps", "epochs", "samples_seen"} | {
        "n_partial_fits",
        *("batch_size", "schedule", "n_epochs", "shuffle", "tol", "n_iter_no_change", "early_stopping"),
        *("decouples_decay", "freezes_norms", "exact_norms", "streams_rows", "monitors_loss"),
    }
    silent = {item.name for item in fields(cls) if "per" not in item.metadata}
    assert silent <= shared
    for item in fields(cls):
        assert ("Array" in str(item.type) or "list" in str(item.type)) <= ("per" in item.metadata), item.name
