"""On a GPU: the tests of test_backend_parity.py once more, on CuPy itself."""

import numpy as np
import pytest

from tests.standin import real_cupy_or_skip
from tests.test_backend_parity import (  # noqa: F401  pytest runs what is imported, on the fixtures of this module
    Case,
    X,
    bring,
    test_a_fit_on_cupy_is_the_fit_on_numpy,
    test_a_model_from_the_gpu_loads_and_predicts_without_cupy,
    test_a_pipeline_keeps_rows_on_the_device,
    test_a_pipeline_with_a_scaler_keeps_rows_on_the_device,
    test_a_search_runs_on_rows_on_the_device,
    test_bad_calls_are_refused_alike,
    test_bad_rows_are_refused_alike,
    test_classes_may_live_anywhere,
    test_float32_stays_float32,
    test_folds_are_scored_on_rows_on_the_device,
    test_indicators_may_be_sparse,
    test_large_finite_numbers_are_no_infinity,
    test_memory_layout_on_the_device_does_not_matter,
    test_predictions_are_numpy,
    test_predictions_live_with_X_where_scikit_learn_dispatches,
    test_scores_are_floats_where_scikit_learn_dispatches,
    test_targets_and_weights_may_live_anywhere,
    test_the_model_computes_in_the_type_of_rows_on_the_device,
    test_training_goes_on_on_the_other_backend,
    test_what_may_be_missing_may_be_missing_on_the_device,
)

pytestmark = [pytest.mark.gpu, pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")]
MODULE = real_cupy_or_skip()


@pytest.fixture
def cupy():
    return MODULE


@pytest.fixture
def rtol():
    return 1e-6


def test_many_rows_are_predicted_in_chunks(cupy, rtol):
    rows = np.tile(X, (3000, 1))
    model = Case("multiclass", {"hidden_layer_sizes": (64,)}).fitted(cupy.asarray)
    np.testing.assert_allclose(model.predict_proba(cupy.asarray(rows)), model.predict_proba(rows), rtol)
