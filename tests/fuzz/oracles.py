"""What must hold for each case. An oracle raises Finding; it returns False where it does not apply."""

import copy
import pickle
import tempfile
from unittest import mock

import joblib
import numpy as np
import pandas as pd
import polars
import scipy.sparse
from sklearn.base import clone
from sklearn.utils.validation import has_fit_parameter

from sknn._backend import reference
from sknn._common.blocks import Block
from sknn._common.rules import REFUSED
from tests.fuzz import cases
from tests.fuzz.cases import DIVERGED, DOCUMENTED, SPOKEN_OF, require, require_documented
from tests.fuzz.inputs import Data, broken
from tests.fuzz.values import hostile_value


def fit_is_documented(case):
    """A fit succeeds, or raises a documented error that names a parameter or argument and leaves no trace."""
    model = case.estimator()
    before = state_of(model)
    try:
        case.fit(model)
    except Exception as error:
        require_documented(error, (*case.cls._rules, *SPOKEN_OF, DIVERGED))
        if not cases.re.search(DIVERGED, str(error)):
            require(state_of(model) == before, "a refused fit left a trace")


def finite(case):
    """Predictions are finite; the logarithm of a probability of 0 may be minus infinity."""
    for name, values in case.outputs().items():
        if values.dtype.kind == "f":
            bad = np.isnan(values) | np.isposinf(values) if name == "predict_log_proba" else ~np.isfinite(values)
            require(not bad.any(), f"{name} is not finite")


def probabilities(case):
    """Probabilities are in [0, 1], and those of one label sum to 1."""
    if not hasattr(case.fitted, "predict_proba"):
        return False
    values = case.outputs()["predict_proba"]
    require(((values >= 0) & (values <= 1)).all(), "a probability is outside of [0, 1]")
    if case.data.y.ndim == 1:
        require(values.shape[1] == len(case.fitted.classes_), "not a column for each class")
        require(np.allclose(values.sum(axis=1), 1, atol=1e-5), "probabilities do not sum to 1")


def same_again(case):
    """Two fits are equal bit for bit; so are fits of a clone."""
    for again in (case.fit(), case.fit(clone(case.fitted))):
        require_same(again, case.fitted, case)


def round_trips(case):
    """Pickles and copies predict the same bits."""
    for again in (pickle.loads(pickle.dumps(case.fitted)), copy.deepcopy(case.fitted)):
        require_same(again, case.fitted, case)


def rows_are_independent(case):
    """A row has the same prediction alone as among others, but for rounding."""
    if case.parameters.get("norm") is not None and np.abs(case.data.X.astype(float)).max(initial=0) > 1e3:
        return False  # a norm divides roundings of large numbers by a deviation that may be next to nothing
    chosen = case.rng.integers(len(case.data.X))
    alone = case.outputs(X=case.data.X[chosen : chosen + 1])
    scale = float(np.abs(case.data.X).max()) if case.is_network else 0.0  # weights may let large numbers cancel
    for name, together in case.outputs().items():
        require_close(alone[name][0], together[chosen], together, case, f"{name} of a row alone", scale=scale)


def containers(case):
    """A model is the same from each container of the same numbers."""
    expected, X = case.outputs(), case.data.X
    for name, contained in _same_rows(X).items():
        model = case.fit(data=Data(contained, case.data.y))
        require_same(model, case.fitted, case, f"fit on {name}")
        for method, values in case.outputs(model, contained).items():
            require(_equal_bits(values, expected[method]), f"{method} of {name} differs")
    for name, contained in _same_columns(X).items():
        model = case.fitted if _amplifies_rounding(case) else case.fit(data=Data(contained, case.data.y))
        for method, values in case.outputs(model, contained).items():
            require(values.dtype == expected[method].dtype, f"{method} of {name} has type {values.dtype}")
            require_close(values, expected[method], expected[method], case, f"{method} of {name}", times=1e4)


def _same_rows(X):
    """Return containers of the same rows, of which the same bits are expected."""
    with tempfile.NamedTemporaryFile(suffix=".npy") as file:
        mapped = np.memmap(file.name, X.dtype, "w+", shape=X.shape)
        mapped[...] = X
    read_only = X.copy()
    read_only.flags.writeable = False
    made = {"a memory map": mapped, "a read-only array": read_only}
    return {**made, "a list": X.tolist()} if X.dtype == np.float64 else made  # others become float64


def _same_columns(X):
    """Return containers that may be summed in another order, as they keep columns or steps."""
    wide = np.zeros((2 * len(X), *X.shape[1:]), X.dtype)
    wide[::2] = X
    made = {"an array in Fortran's order": np.asfortranarray(X), "a view with steps": wide[::2]}
    if X.ndim == 2:
        names = [f"c{i}" for i in range(X.shape[1])]
        made["a frame of pandas"] = pd.DataFrame(X, columns=names)
        made["a frame of polars"] = polars.DataFrame(X, schema=names)
    return made


def sparse(case):
    """Sparse rows have the predictions of dense ones, whether CSR or CSC, and with entries that are sums."""
    if case.data.X.ndim > 2 or not case.fitted.__sklearn_tags__().input_tags.sparse:
        return False
    X = scipy.sparse.csr_matrix(case.data.X)
    try:
        model = case.fit(data=Data(X, case.data.y))
    except DOCUMENTED as error:
        return require_documented(error, (*case.cls._rules, *SPOKEN_OF, "sparse"))
    halves = scipy.sparse.csr_matrix(
        (np.repeat(X.data / 2, 2) if X.dtype.kind == "f" else X.data.repeat(2) / 2, X.indices.repeat(2), 2 * X.indptr),
        X.shape,
    )
    for name, other in {"CSC": X.tocsc(), "CSR arrays": scipy.sparse.csr_array(X)}.items():
        require_same(case.fit(data=Data(other, case.data.y)), model, case, f"fit on {name}")
    largest, amplifies = float(abs(X).max() or 1), _amplifies_rounding(case)
    of_dense_rows, of_sparse_rows = case.outputs(model), case.outputs(model, X)
    after_sums = case.outputs(case.fit(data=Data(halves, case.data.y)))
    for name, dense in case.outputs().items():
        values, times = of_dense_rows[name], 1e7 if amplifies else 1e3
        require_close(_dense(of_sparse_rows[name]), values, values, case, f"{name} of sparse rows", times, largest)
        if not amplifies and "n_components" not in case.cls._rules:  # which takes another solver
            require_close(values, dense, dense, case, f"{name} after a fit on sparse rows", times=1e4)
            require_close(after_sums[name], values, values, case, f"{name} after a fit on entries that are sums")


def kernels(case):
    """Fused kernels train the model that the definitions train, but for rounding."""
    if _amplifies_rounding(case):
        return False
    parameters = {"max_iter": 1} if case.is_network else {}
    fused = case.fit(case.estimator(**parameters))
    with mock.patch.object(case.cls, "_get_backend", lambda self, X: reference.Backend(np)):
        plain = case.fit(case.estimator(**parameters))
        expected = case.outputs(plain)
    for name, values in case.outputs(fused).items():
        if values.dtype.kind == "f" and name != "predict_log_proba":
            require_close(values, expected[name], expected[name], case, f"{name} by fused kernels", times=1e4)


def weights(case):
    """A row of weight k counts as k rows."""
    if not has_fit_parameter(case.fitted, "sample_weight") or _amplifies_rounding(case):
        return False
    counts = case.rng.integers(0, 4, len(case.data.X))
    copies = case.data.rows(np.repeat(np.arange(len(counts)), counts))
    if case.is_network:
        return _weights_of_network(case, counts, copies)
    if not counts.any():
        return False
    weighted, repeated = case.fit(sample_weight=counts), case.fit(data=copies)
    for name, values in case.outputs(repeated).items():
        require_close(case.outputs(weighted)[name], values, values, case, f"{name} with weights")


def _weights_of_network(case, counts, copies):
    chances = ("dropout", "input_dropout", "early_stopping", "class_weight", "init", "norm", "ema_decay", "monitor")
    if any(case.parameters.get(name) for name in chances) or case.parameters.get("learning_rate") is not None:
        return False
    counts = np.maximum(counts, 1)  # a class may have no row else
    copies = case.data.rows(np.repeat(np.arange(len(counts)), counts))
    whole = {"shuffle": False, "max_iter": 1}
    weighted = case.fit(case.estimator(**whole, batch_size=len(counts)), sample_weight=counts)
    repeated = case.fit(case.estimator(**whole, batch_size=len(copies.X)), copies)
    for name, values in case.outputs(repeated).items():
        if values.dtype.kind == "f" and name != "predict_log_proba":
            require_close(case.outputs(weighted)[name], values, values, case, f"{name} with weights", times=1e4)


def pieces(case):
    """``partial_fit`` of pieces has the statistics of ``fit``."""
    if case.is_network or not hasattr(case.fitted, "partial_fit") or case.data.X.dtype == np.float16:
        return False
    cuts = np.sort(case.rng.integers(1, len(case.data.X), 2)) if len(case.data.X) > 2 else []
    model = case.estimator()
    with cases.our_warnings():
        for piece in np.split(case.data.X, cuts):
            if len(piece):
                model.partial_fit(piece)
    for name in ("mean_", "var_", "scale_", "min_", "data_min_", "data_max_", "explained_variance_", "offset_"):
        ours, whole = getattr(model, name, None), getattr(case.fitted, name, None)
        if isinstance(whole, np.ndarray) and _is_well_posed(case):
            require(np.shape(ours) == whole.shape, f"{name} of pieces has another shape")
            require_close(ours, whole, whole, case, f"{name} of pieces", times=1e4, scale=_scale(case, name))


def inverse(case):
    """``inverse_transform`` undoes ``transform``."""
    if not hasattr(case.fitted, "inverse_transform") or not _is_invertible(case):
        return False
    X = case.data.X
    with cases.our_warnings():
        restored = np.asarray(case.fitted.inverse_transform(case.fitted.transform(X.copy())))
    require_close(restored, X, X, case, "the inverse of the transform", times=1e6)


def _is_invertible(case):
    components = getattr(case.fitted, "components_", np.eye(1))
    keeps_all = components.shape[0] == components.shape[1] and not case.parameters.get("clip")
    return keeps_all and _is_well_posed(case)


def refused_parameter(case):
    """A parameter that breaks its rule is refused by name, and the estimator stays as it was."""
    names = list(case.cls._rules)
    name = names[case.rng.integers(len(names))]
    model, value = case.fit(), hostile_value(case.rng, case.cls._rules[name])
    given = vars(model)[name]
    before, expected = state_of(model), case.outputs(model)
    model.set_params(**{name: value})
    try:
        case.fit(model)
    except Exception as error:
        require_documented(error, (name,))
    else:
        require(False, f"{name}={type(value).__name__} was taken")
    vars(model)[name] = given
    require(state_of(model) == before, f"the refusal of {name} left a trace")
    for method, values in case.outputs(model).items():
        require(_equal_bits(values, expected[method]), f"{method} changed after a refusal")


def refused_field(case):
    """A field of a building block that breaks its rule is refused by name."""
    blocks = [value for value in case.parameters.values() if isinstance(value, Block) and value._rules]
    if not blocks:
        return False
    block = blocks[case.rng.integers(len(blocks))]
    name = list(block._rules)[case.rng.integers(len(block._rules))]
    try:
        type(block)(**{**vars(block), name: hostile_value(case.rng, block._rules[name])})
    except Exception as error:
        return require_documented(error, (name,))
    require(False, f"{name} was taken")


def refused_data(case):
    """Data that cannot be used are refused, and the fitted estimator stays as it was."""
    model = case.fit()
    before = state_of(model)
    name, arguments, said = broken(case.rng, case.data)
    given = {key: value for key, value in arguments.items() if case.is_network or key not in ("y",)}
    if name == "sample_weight" and not has_fit_parameter(model, name):
        return False
    try:
        with cases.our_warnings():
            model.fit(**given)
    except Exception as error:
        require_documented(error, said)
        if not cases.re.search(DIVERGED, str(error)):
            require(state_of(model) == before, f"the refusal of {name} left a trace")
    else:
        require(False, f"{name}={arguments[name]!r:.100} was taken")


def plain_parameters(case):
    """NumPy's scalars and arrays count as the Python values."""
    wrapped = {name: _wrapped(case, name, value) for name, value in case.parameters.items()}
    require_same(case.fit(case.cls(**wrapped)), case.fitted, case, "fit with NumPy's types")


def _wrapped(case, name, value):
    forms = [np.asarray(value)] if isinstance(value, bool | int | float | str) else []
    if isinstance(value, bool | int | float | str):
        forms.append(np.asarray(value)[()])
    if isinstance(value, tuple | list) and not any(isinstance(item, Block) for item in value):
        forms = [np.asarray(value), list(value), tuple(value), pd.Series(list(value))]
    forms = [form for form in forms if case.cls._rules[name].plain(form) is not REFUSED]
    return forms[case.rng.integers(len(forms))] if forms else value


FIRST = fit_is_documented
OF_FITTED = [
    finite,
    probabilities,
    same_again,
    round_trips,
    rows_are_independent,
    containers,
    sparse,
    kernels,
    weights,
    pieces,
    inverse,
    refused_parameter,
    refused_field,
    refused_data,
    plain_parameters,
]


# ---- comparisons ------------------------------------------------------------------------


def state_of(model):
    """Return a string that is equal for equal attributes; what is kept for speed only is not in a pickle."""
    return joblib.hash(model.__getstate__())


def require_same(ours, theirs, case, what="another fit", ignore=()):
    """Require the same fitted attributes and predictions, bit for bit."""
    for name, value in vars(theirs).items():
        if name.endswith("_") and not name.startswith("_") and name not in ignore:
            require(_equal_bits(getattr(ours, name, None), value), f"{name} differs in {what}")
    for method, values in case.outputs(ours).items():
        require(_equal_bits(values, case.outputs(theirs)[method]), f"{method} differs in {what}")


def _equal_bits(ours, theirs):
    if isinstance(theirs, list | tuple):
        return len(ours) == len(theirs) and all(map(_equal_bits, ours, theirs))
    if isinstance(theirs, np.ndarray | np.generic | int | float | str):
        ours, theirs = np.asarray(ours), np.asarray(theirs)
        if ours.dtype != theirs.dtype or ours.shape != theirs.shape:
            return False
        return np.array_equal(ours, theirs, equal_nan=theirs.dtype.kind == "f")
    return True


def require_close(ours, theirs, among, case, what, times=1e3, scale=0.0):
    """Require equality but for rounding: so many times that of the largest number ``among`` which they are."""
    if theirs.dtype.kind not in "fiu":
        return
    scale = max(scale, np.abs(among[np.isfinite(among)].astype(float)).max(initial=np.finfo(float).tiny))
    with np.errstate(all="ignore"):
        apart = np.where(ours == theirs, 0, np.abs(np.asarray(ours, float) - np.asarray(theirs, float)))
    worst = np.max(apart, initial=0) / scale
    require(worst <= times * case.epsilon, f"{what}: {worst:.1e} apart, relative to the largest")


def _dense(X):
    return X.item().toarray() if X.dtype == object else X


def _scale(case, name):
    """Return how large the numbers are that a statistic is made of."""
    largest = float(np.abs(case.data.X).max(initial=0.0)) or 1.0
    return largest if name in ("mean_", "data_min_", "data_max_", "offset_") else 0.0


def _is_well_posed(case):
    """Return whether rounding stays rounding: no ranges or variances that are rounding themselves."""
    X = case.data.X.reshape(len(case.data.X), -1).astype(float)
    if len(X) <= X.shape[1] or not 1e-8 < np.abs(X).max(initial=0) < 1e8:
        return False
    spread = np.linalg.svd(X - X.mean(axis=0), compute_uv=False)
    return spread[-1] > 1e-2 * np.abs(X).max()


def _amplifies_rounding(case):
    """Return whether a rounding may become large: by a sign, or by a division by next to nothing."""
    if not case.is_network:
        return not _is_well_posed(case)
    solver = case.parameters.get("solver", "adam")
    name = solver if isinstance(solver, str) else type(solver).__name__
    is_plain = name.lower() in ("sgd",) and "norm" not in case.parameters
    return not is_plain or not 1e-3 < np.abs(case.data.X.astype(float)).max(initial=0) < 1e3
