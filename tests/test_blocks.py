"""Building blocks in the estimators: by name, by instance, one for each layer, in searches and in checks."""

import inspect
import pickle
import re
import sys
from dataclasses import MISSING, fields

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.datasets import load_iris
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import scale
from sklearn.utils.estimator_checks import parametrize_with_checks

from sknn import MLPClassifier, MLPRegressor
from sknn._common.blocks import Block
from sknn.activations import ACTIVATIONS, ELU, GELU, Activation, LeakyReLU, PReLU, Tanh
from sknn.initializers import INITIALIZERS, Constant, Initializer, Normal, VarianceScaling
from sknn.losses import REGRESSION_LOSSES, Huber, Quantile, RegressionLoss
from sknn.normalization import NORMS, BatchNorm, BatchRenorm, GroupNorm, Norm
from sknn.optimizers import OPTIMIZERS, SGD, FullBatch, Lion, NAdam, Optimizer, RMSprop
from sknn.preprocessing import StandardScaler
from sknn.schedules import SCHEDULES, SCIKIT_LEARNS, BatchSchedule, Cosine, InverseScaling, OneCycle, Schedule, WarmUp
from tests.support.classes import all_subclasses
from tests.support.designs import in_turns, shared_out

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
X, y = load_iris(return_X_y=True)
X = scale(X)
each_estimator = pytest.mark.parametrize("estimator", [MLPClassifier, MLPRegressor])

BLOCKS = {
    "activation": (ACTIVATIONS, Activation, LeakyReLU(0.2)),
    "init": (INITIALIZERS, Initializer, VarianceScaling(2.0)),
    "norm": (NORMS, Norm, BatchNorm(0.2)),
    "solver": (OPTIMIZERS, Optimizer, RMSprop(0.95)),
    "learning_rate": (SCHEDULES, Schedule, WarmUp(2, Cosine(3))),
}
LAYERED = ["activation", "init", "norm"]
NAMES = [(parameter, name) for parameter in LAYERED for name in BLOCKS[parameter][0]]
each_block = pytest.mark.parametrize("parameter", BLOCKS)


def fitted(estimator=MLPClassifier, **parameters):
    return estimator(**{"hidden_layer_sizes": (8, 6), "max_iter": 5, "random_state": 0, **parameters}).fit(X, y)


@in_turns(pytest.mark.parametrize("parameter, name", NAMES), each_estimator)
@pytest.mark.fast_share(5)
def test_a_name_stands_for_an_instance_and_for_each_layer(parameter, name, estimator):
    table = BLOCKS[parameter][0]
    by_name = fitted(estimator, **{parameter: name})
    assert np.isfinite(by_name.loss_)
    for value in (table[name], [name, table[name]], (name, name)):
        other = fitted(estimator, **{parameter: value})
        for mine, expected in zip(other.coefs_, by_name.coefs_, strict=True):
            np.testing.assert_array_equal(mine, expected)


def test_layers_may_differ():
    model = fitted(activation=["tanh", LeakyReLU(0.5)], init=["zeros", Constant(0.5)])
    assert model._network.activations == (Tanh(), LeakyReLU(0.5))
    assert model._network.initializers == (Constant(0.0), Constant(0.5), Constant(0.5))
    start = MLPClassifier((8, 6), init=["zeros", Normal(0.1)], learning_rate_init=1e-12).fit(X, y)
    assert [bool(np.abs(W).max() > 1e-6) for W in start.coefs_] == [False, True, True]


def test_scikit_learns_draws_follow_each_layers_activation():
    mixed = fitted(activation=["logistic", "tanh"], learning_rate_init=1e-12)
    plain = fitted(activation="logistic", learning_rate_init=1e-12)
    np.testing.assert_allclose(mixed.coefs_[0], plain.coefs_[0], atol=1e-9)
    np.testing.assert_allclose(mixed.coefs_[1], 3**0.5 * plain.coefs_[1], atol=1e-9)


def test_a_network_without_hidden_layers_takes_any():
    for activation in ("gelu", [], ()):
        model = MLPClassifier((), activation=activation, init="he_normal", max_iter=3).fit(X, y)
        assert len(model.coefs_) == 1


@pytest.mark.parametrize(
    "parameter, value",
    [
        (parameter, value)
        for parameter in BLOCKS
        for value in ([], ["?"], [3], 3, "?", ["tanh", 3], None)
        if not (parameter == "norm" and value is None)
    ],
    ids=str,
)
def test_what_is_refused(value, parameter):
    with pytest.raises(ValueError, match=f"^{parameter} must be "):
        fitted(**{parameter: value})


@pytest.mark.parametrize("parameter", LAYERED)
def test_one_for_each_hidden_layer(parameter):
    name = next(iter(BLOCKS[parameter][0]))
    with pytest.raises(
        ValueError, match=f"{parameter} must be one value for all or one value for each of the 2 hidden layers; got 3"
    ):
        fitted(**{parameter: [name] * 3})


@each_block
def test_blocks_are_values_of_parameters(parameter):
    _, base, instance = BLOCKS[parameter]
    assert isinstance(instance, base)
    value = [instance, instance] if parameter in LAYERED else instance
    model = MLPClassifier((8, 6), max_iter=3, random_state=0, **{parameter: value})
    assert getattr(clone(model), parameter) == value
    assert repr(instance) in "".join(repr(model).split()).replace(",", ", ")
    assert type(instance).__name__ in model._repr_html_()
    loaded = pickle.loads(pickle.dumps(model.fit(X, y)))
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))


def test_blocks_in_a_search():
    grid = {"activation": ["relu", ELU(0.5), GELU()], "init": ["auto", "he_normal"], "solver": ["adam", Lion()]}
    search = GridSearchCV(MLPClassifier((8,), max_iter=5, random_state=0), grid, cv=2, error_score="raise").fit(X, y)
    assert len(search.cv_results_["params"]) == 12
    assert isinstance(search.best_estimator_._network.activations[0], Activation)


def test_fields_of_blocks_are_parameters():
    model = MLPClassifier((8,), activation=LeakyReLU(0.2), norm="batch", solver=RMSprop(0.95))
    assert model.get_params()["activation__negative_slope"] == 0.2
    assert model.get_params()["solver__rho"] == 0.95
    assert model.get_params()["norm__momentum"] == 0.1
    model.set_params(norm__momentum=0.3, activation__negative_slope=0.5, solver__rho=0.5)
    assert (model.norm, model.activation, model.solver) == (BatchNorm(0.3), LeakyReLU(0.5), RMSprop(0.5))
    assert model.set_params(norm=GroupNorm(2), norm__eps=0.1).norm == GroupNorm(2, 0.1)
    assert model.set_params(solver="lion", solver__beta_1=0.5).solver == Lion(0.5)
    assert model.get_params(deep=False).keys() == MLPClassifier().get_params(deep=False).keys()


TABLES = {**{parameter: table for parameter, (table, _, _) in BLOCKS.items()}, "loss": REGRESSION_LOSSES}
NAMED = [(parameter, name) for parameter, table in TABLES.items() for name in table]
SHARED = {"momentum", "nesterovs_momentum", "beta_1", "beta_2", "epsilon", "power_t"}  # parameters of the estimator


@pytest.mark.parametrize("parameter, name", NAMED)
def test_fields_of_named_blocks_are_parameters(parameter, name):
    found = TABLES[parameter][name]
    block, shared = (found(), set(found.shared)) if isinstance(found, type) else (found, set())
    model = MLPRegressor(**{parameter: name})
    start = f"{parameter}__"
    listed = {key.removeprefix(start): value for key, value in model.get_params().items() if key.startswith(start)}
    assert listed == {item.name: getattr(block, item.name) for item in fields(block) if item.name not in shared}
    assert shared <= SHARED <= model.get_params(deep=False).keys()
    before = dict(vars(model))
    model.set_params(**model.get_params())
    assert all(value is before[key] for key, value in vars(model).items()) and vars(model).keys() == before.keys()
    assert clone(model).get_params() == model.get_params()


def test_a_named_block_becomes_an_instance_when_a_field_changes():
    model = MLPRegressor(loss="quantile", activation=np.str_("leaky_relu"), learning_rate="warm_up")
    model.set_params(loss__quantile=0.5, activation__negative_slope=np.float64(0.01), learning_rate__epochs=5)
    assert (model.loss, model.activation, model.learning_rate) == ("quantile", "leaky_relu", "warm_up")
    model.set_params(loss__quantile=0.9, activation__negative_slope=0.5, learning_rate__epochs=2)
    assert (model.loss, model.activation, model.learning_rate) == (Quantile(0.9), LeakyReLU(0.5), WarmUp(2))
    assert MLPRegressor(loss="huber").set_params(loss__delta=2).loss == Huber(2.0)


def test_shared_numbers_of_a_solver_by_name():
    model = MLPClassifier(solver="nadam", beta_1=0.8)
    model.set_params(solver__momentum_decay=0.004, solver__beta_1=0.8)
    assert model.solver == "nadam"
    assert model.set_params(solver__beta_1=0.9).solver == NAdam(0.9)  # the default, but not what the name stood for
    model = MLPClassifier(solver="nadam", beta_1=0.8).set_params(solver__momentum_decay=0.1)
    assert model.solver == NAdam(0.8, momentum_decay=0.1)
    assert "solver__momentum_decay" in MLPClassifier(solver="nadam", beta_1=7).get_params()  # invalid, and not read


def test_fields_that_depend_on_each_other_are_set_together():
    model = MLPClassifier(norm="batch_renorm")
    model.set_params(norm__start_step=50_000, norm__r_end=60_000, norm__d_end=70_000)
    assert model.norm == BatchRenorm(start_step=50_000, r_end=60_000, d_end=70_000)


def test_fields_of_a_named_block_in_a_search():
    grid = {"loss__quantile": [0.1, 0.9], "solver__rho": [0.9, 0.99]}
    model = MLPRegressor(hidden_layer_sizes=(4,), loss="quantile", solver="rmsprop", max_iter=3, random_state=0)
    best = GridSearchCV(model, grid, cv=2, error_score="raise").fit(X, y).best_estimator_
    assert best.loss.quantile in grid["loss__quantile"]


def test_parameters_of_estimators_inside():
    class Own(MLPClassifier):
        def __init__(self, inner=None, alpha=0.5):
            super().__init__(alpha=alpha)
            self.inner = inner

    model = Own(StandardScaler(with_std=False))
    assert model.get_params()["inner__with_std"] is False
    assert model.set_params(inner__with_std=True, alpha=2).inner.with_std and model.alpha == 2


def test_names_of_parameters_are_read_once(monkeypatch):
    class Own(MLPClassifier):
        def __init__(self, extra=1, alpha=0.5):
            super().__init__(alpha=alpha)
            self.extra = extra

    model = Own()
    assert model.get_params(deep=False) == {"alpha": 0.5, "extra": 1}
    monkeypatch.setattr(inspect, "signature", None)  # which takes longer than all else
    assert model.set_params(extra=2).extra == 2
    assert clone(model).get_params(deep=False) == {"alpha": 0.5, "extra": 2}


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"norm__momentum": 0.1}, "norm__momentum needs norm to be a single building block with fields; got norm=None"),
        ({"norm": ["batch"], "norm__eps": 0.1}, "norm__eps needs norm to be a single building block"),
        ({"norm": "layer", "norm__momentum": 0.1}, "must be one of .*'eps', 'center', 'scale', 'position'.*momentum"),
        ({"norm": "batch", "norm__momentum": 2.0}, r"momentum must be a number in \(0, 1\]; got 2.0"),
        ({"nrom__momentum": 0.1}, "Invalid parameter 'nrom'"),
        ({"nrom": 0.1}, "Invalid parameter 'nrom'"),
    ],
)
def test_fields_that_are_not_there(parameters, message):
    with pytest.raises(ValueError, match=message):
        MLPClassifier().set_params(**parameters)


def test_a_solver_by_name_keeps_the_estimators_numbers_when_a_field_is_set():
    model = MLPClassifier(solver="sgd", momentum=0.5).set_params(solver__nesterovs_momentum=False)
    assert model.solver == SGD(0.5, False)


def test_a_refused_call_sets_nothing():
    model = MLPClassifier(norm="batch")
    with pytest.raises(ValueError, match="momentum must be"):
        model.set_params(alpha=5, norm__momentum=5)
    assert model.alpha == 0.0001 and model.norm == "batch"


def test_fields_in_a_search():
    pipeline = make_pipeline(StandardScaler(), MLPClassifier((8,), norm="batch", max_iter=5, random_state=0))
    grid = {"mlpclassifier__norm__momentum": [0.01, 0.5], "mlpclassifier__norm__virtual_batch_size": [None, 16]}
    search = GridSearchCV(pipeline, grid, cv=2, error_score="raise").fit(X, y)
    assert {search.best_params_["mlpclassifier__norm__momentum"]} <= {0.01, 0.5}
    assert search.best_estimator_[-1].norm.momentum == search.best_params_["mlpclassifier__norm__momentum"]


# ---- fields -----------------------------------------------------------------------------

FIELDS = [
    pytest.param(cls, field, id=f"{cls.__module__.split('.')[-1]}.{cls.__name__}.{field.name}")
    for cls in sorted(all_subclasses(Block), key=lambda cls: (cls.__module__, cls.__name__))
    for field in fields(cls)
]
CANDIDATES = [0.25, 0.5, 2, 30_000, True, False, "tanh", "ema", "post", "fan_out", "uniform", Cosine(3)]
each_field = pytest.mark.parametrize("cls, field", FIELDS)


def with_field(cls, field, value):
    needed = {item.name: 3 for item in fields(cls) if item.default is MISSING}
    return cls(**{**needed, field.name: value})


@each_field
def test_every_field_refuses_what_it_cannot_be(cls, field):
    for value in ("?", "0.5", None, object(), float("nan"), float("inf"), 1j, ()):
        if value is None and "None" in field.type:
            assert getattr(with_field(cls, field, None), field.name) is None
            continue
        with pytest.raises(ValueError, match=rf"^{field.name} must be .+; got {re.escape(repr(value))}\.$"):
            with_field(cls, field, value)


@pytest.mark.parametrize(
    "block, shown",
    [
        (BatchNorm(), "BatchNorm()"),
        (BatchNorm(0.3), "BatchNorm(momentum=0.3)"),
        (BatchNorm(0.1, position="post", center=False), "BatchNorm(center=False, position='post')"),
        (GroupNorm(4), "GroupNorm(groups=4)"),
        (GroupNorm(4, 0.1), "GroupNorm(groups=4, eps=0.1)"),
        (PReLU(shared=True), "PReLU(shared=True)"),
        (NAdam(0.8, momentum_decay=0), "NAdam(beta_1=0.8, momentum_decay=0.0)"),
        (Cosine(None), "Cosine()"),
        (WarmUp(then=Cosine(3)), "WarmUp(then=Cosine(period=3))"),
    ],
    ids=str,
)
def test_blocks_show_what_was_changed(block, shown):
    assert repr(block) == str(block) == shown


def test_estimators_show_what_was_changed_of_blocks():
    model = MLPClassifier(norm=BatchNorm(0.3), solver=Lion())
    assert repr(model) == "MLPClassifier(norm=BatchNorm(momentum=0.3), solver=Lion())"


@each_field
def test_a_block_is_its_repr(cls, field):
    changed = []
    for value in CANDIDATES:
        try:
            changed.append(with_field(cls, field, value))
        except ValueError:
            continue
    changed = [block for block in changed if getattr(block, field.name) != field.default]
    assert changed
    for block in changed:
        copies = [eval(repr(block), vars(sys.modules[cls.__module__])), pickle.loads(pickle.dumps(block))]
        assert f"{field.name}=" in repr(block)
        assert all(copy == block and hash(copy) == hash(block) for copy in copies)


# ---- solvers ----------------------------------------------------------------------------


@each_estimator
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_solver_by_name_takes_the_estimators_numbers(name, estimator):
    numbers = {"momentum": 0.5, "nesterovs_momentum": False, "beta_1": 0.8, "beta_2": 0.99, "epsilon": 1e-3}
    by_name = fitted(estimator, solver=name, **numbers)
    optimizer = OPTIMIZERS[name]
    instance = optimizer(**{field: numbers[field] for field in optimizer.shared})
    other = fitted(estimator, solver=instance)
    for mine, expected in zip(other.coefs_, by_name.coefs_, strict=True):
        np.testing.assert_array_equal(mine, expected)


RATES = {"adadelta": 1.0, "sgd": 0.1, "adagrad": 0.1}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_solver_learns(name):
    model = fitted(solver=name, learning_rate_init=RATES.get(name, 0.01), max_iter=60, activation="tanh")
    assert model.score(X, y) > 0.9


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_in_two_goes_is_training_in_one(name):
    model = fitted(solver=name, max_iter=6, tol=0)
    resumed = fitted(solver=name, max_iter=3, tol=0, warm_start=True)
    resumed = pickle.loads(pickle.dumps(resumed)).fit(X, y)
    for mine, expected in zip(resumed.coefs_, model.coefs_, strict=True):
        np.testing.assert_array_equal(mine, expected)


@pytest.mark.parametrize("solver", ["adamw", "lion"])
def test_decoupled_decay_shrinks_weights_alone(solver):
    """Where the gradient is zero, only decay moves the weights, and never the biases."""
    rows, labels = np.zeros((40, 3)), np.arange(40) % 2  # whose best output is 0, as soon as it is there
    free, decayed = (
        MLPClassifier(
            (), solver=solver, alpha=alpha, learning_rate_init=0.1, batch_size=40, max_iter=7, random_state=0
        ).fit(rows, labels)
        for alpha in (0.0, 0.5)
    )
    np.testing.assert_allclose(decayed.coefs_[0], free.coefs_[0] * 0.95**7, rtol=1e-12)
    np.testing.assert_array_equal(decayed.intercepts_[0], free.intercepts_[0])
    np.testing.assert_array_equal(decayed.loss_curve_, free.loss_curve_)


# ---- schedules --------------------------------------------------------------------------


@pytest.mark.parametrize("solver", ["sgd", "adam", "nadam", "lion"])
@pytest.mark.parametrize("schedule", [name for name in SCHEDULES if name not in SCIKIT_LEARNS])
def test_schedules_serve_every_solver_by_mini_batches(schedule, solver):
    numbers = {"solver": solver, "batch_size": 50, "max_iter": 7, "learning_rate_init": 0.01}
    by_name, instance = (fitted(learning_rate=value, **numbers) for value in (schedule, SCHEDULES[schedule]()))
    np.testing.assert_array_equal(by_name.coefs_[0], instance.coefs_[0])
    constant = fitted(**numbers)
    if schedule not in ("reduce_on_plateau", "step"):  # which have not changed anything so far
        assert np.abs(by_name.coefs_[0] - constant.coefs_[0]).max() > 1e-6


def test_scikit_learns_schedules_by_name_are_for_sgd():
    adam, named = fitted(), fitted(learning_rate="invscaling")
    np.testing.assert_array_equal(adam.coefs_[0], named.coefs_[0])
    assert not np.array_equal(adam.coefs_[0], fitted(learning_rate=InverseScaling()).coefs_[0])
    by_name, instance = fitted(solver="sgd", learning_rate="invscaling", power_t=0.3), InverseScaling(0.3)
    np.testing.assert_array_equal(by_name.coefs_[0], fitted(solver="sgd", learning_rate=instance).coefs_[0])
    np.testing.assert_array_equal(by_name.coefs_[0], fitted(solver=SGD(), learning_rate=instance).coefs_[0])


def test_steps_follow_the_schedule():
    """Plain gradient descent moves by rate times gradient, so one with a schedule is that many small fits."""
    numbers = {"solver": SGD(0.0), "batch_size": 150, "shuffle": False, "alpha": 0.0, "tol": 0}
    model = fitted(learning_rate=Cosine(), learning_rate_init=0.5, max_iter=4, **numbers)
    steps = fitted(learning_rate_init=0.5, max_iter=1, warm_start=True, **numbers)
    for share in Cosine().factors(np.arange(2, 5), 1, 4):
        steps.set_params(learning_rate_init=0.5 * share).fit(X, y)
    for mine, expected in zip(model.coefs_, steps.coefs_, strict=True):
        np.testing.assert_allclose(mine, expected, rtol=1e-12)


def test_a_schedule_goes_on_where_training_stopped():
    numbers = {"learning_rate": OneCycle(), "max_iter": 12, "tol": 0, "solver": "adam", "warm_start": True}
    model = fitted(**numbers)
    resumed = MLPClassifier((8, 6), random_state=0, **numbers)
    for _ in range(12):
        resumed.partial_fit(X, y, classes=[0, 1, 2])
    np.testing.assert_array_equal(resumed.coefs_[0], model.coefs_[0])


# ---- scikit-learn's checks --------------------------------------------------------------

MIXED = [
    {"activation": "gelu", "init": "lecun_normal"},
    {"activation": "silu", "init": "he_uniform"},
    {"activation": "selu", "init": "lecun_normal"},
    {"activation": "mish", "init": "orthogonal"},
    {"hidden_layer_sizes": (30, 20), "activation": ["elu", LeakyReLU(0.1)], "init": ["glorot_normal", "he_normal"]},
    {"activation": "softplus", "init": "xavier_uniform", "solver": "nadam"},
    {"activation": "tanh", "solver": "adagrad", "learning_rate_init": 0.05},
    {"solver": "amsgrad", "alpha": 0.01},
    {"solver": "adamw", "learning_rate": WarmUp(3, "cosine"), "learning_rate_init": 0.01},
]


@pytest.mark.slow
@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.SkipTestWarning", "ignore::sklearn.exceptions.DataConversionWarning"
)
@shared_out(
    parametrize_with_checks([estimator(**mix) for estimator in (MLPClassifier, MLPRegressor) for mix in MIXED]),
    every=9,
)
def test_estimator(estimator, check):
    check(estimator)


@pytest.mark.parametrize(
    "base",
    [Activation, Initializer, Norm, Optimizer, RegressionLoss, Schedule, BatchSchedule],
    ids=lambda base: base.__name__,
)
def test_a_base_class_is_no_block(base):
    said = rf"^{base.__name__} is a base class .* Use one of its subclasses in sknn\.\w+, or write one"
    with pytest.raises(TypeError, match=said):
        base()


def test_the_placeholder_of_lbfgs_is_no_solver():
    with pytest.raises(ValueError, match=r"^solver must be one of 'lbfgs', .* other than FullBatch; got FullBatch"):
        MLPRegressor(solver=FullBatch()).fit([[0.0], [1.0]], [0.0, 1.0])


def test_a_number_has_no_fields():
    with pytest.raises(
        ValueError, match="alpha__a needs alpha to be a single building block with fields; got alpha=0.0"
    ):
        MLPClassifier().set_params(alpha__a=1)
    with pytest.raises(ValueError, match="Invalid parameter 'nothing'"):
        MLPClassifier().set_params(nothing__a=1)
