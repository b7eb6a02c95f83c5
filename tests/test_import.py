"""What `import sknn` loads, and what is left without Numba."""

import pickle
import subprocess
import sys

import numpy as np
import pytest

from sknn import MLPClassifier, MLPRegressor

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
OPTIONAL = {"cupy", "matplotlib", "numba"}
BACKENDS = {"sknn._backend.cpu.backend", "sknn._backend.cuda.backend", "sknn._backend.reference"}


def output_of(code, data=None):
    """Run code in a new process, warnings being errors; return what it prints."""
    ignored = "ignore::UserWarning"  # of convergence: what is fitted here is not fitted to the end
    command = [sys.executable, "-W", "error", "-W", ignored, "-c", code]
    return subprocess.run(command, input=pickle.dumps(data), stdout=subprocess.PIPE, check=True).stdout


def loaded_by(code):
    return set(output_of(f"{code}\nimport sys\nprint(*sys.modules)").decode().split())


def test_import_loads_little():
    """No more than scikit-learn's own networks do, whose modules include scipy.stats whatever sknn does."""
    loaded = loaded_by("import sknn")
    assert loaded & OPTIONAL == set()
    added = {name.partition(".")[0] for name in loaded - loaded_by("import sklearn.neural_network")}
    assert added - set(sys.stdlib_module_names) == {"sknn"}


def test_making_estimators_loads_no_backend():
    code = "import sknn\nwith sknn.config_context(backend='cupy'): sknn.MLPClassifier(backend='cupy').get_params()"
    assert loaded_by(code) & (OPTIONAL | BACKENDS) == set()


def test_a_fit_on_numpy_does_not_look_for_cupy():
    code = "import sknn\nsknn.MLPClassifier(max_iter=1).fit([[0.0], [1.0]], [0, 1]).predict([[2.0]])"
    loaded = loaded_by(code)
    assert loaded & (OPTIONAL | BACKENDS) == {"numba", "sknn._backend.cpu.backend", "sknn._backend.reference"}


# ---- without Numba ------------------------------------------------------------------------

WITHOUT_NUMBA = """
import pickle, sys
sys.modules["numba"] = None
models, X, targets = pickle.load(sys.stdin.buffer)
fitted = [model.fit(X, y) for model, y in zip(models, targets)]
assert "sknn._backend.cpu" not in sys.modules
pickle.dump(fitted, sys.stdout.buffer)
"""


def test_without_numba_the_models_are_the_same():
    rng = np.random.RandomState(0)
    X, numbers = rng.standard_normal((60, 4)), rng.standard_normal((60, 3))
    labels = numbers.argmax(axis=1)
    common = {"hidden_layer_sizes": (6, 5), "max_iter": 5, "batch_size": 25, "random_state": 0}
    models = [MLPClassifier(solver=solver, **common) for solver in ("adam", "sgd", "lbfgs")]
    models += [MLPClassifier(activation=name, **common) for name in ("identity", "tanh", "logistic")]
    models += [MLPClassifier(**common), MLPRegressor(**common), MLPRegressor("poisson", **common)]
    targets = [labels] * 6 + [labels == 1, numbers, labels]
    for model, y, other in zip(
        models, targets, pickle.loads(output_of(WITHOUT_NUMBA, (models, X, targets))), strict=True
    ):
        model.fit(X, y)
        for mine, its in zip(model.coefs_ + model.intercepts_, other.coefs_ + other.intercepts_, strict=True):
            np.testing.assert_allclose(mine, its, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(model.loss_curve_, other.loss_curve_)
        np.testing.assert_allclose(model.predict(X), other.predict(X), rtol=1e-9)


def test_show_versions_tells_of_the_lack_of_numba():
    code = "import sys\nsys.modules['numba'] = None\nimport sknn\nsknn.show_versions()"
    last_line = output_of(code).decode().splitlines()[-1]
    assert last_line == "kernels on NumPy: unfused reference kernels, slower; install numba for fused kernels"
