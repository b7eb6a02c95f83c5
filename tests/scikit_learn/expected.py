"""Which of scikit-learn's tests must fail with sknn's classes, and why. One that passes is an error."""

from dataclasses import dataclass

import pytest
import sklearn
from sklearn.utils.fixes import parse_version

from tests.support.borrowed import PrivateAttributeRead


@dataclass(frozen=True)
class Expected:
    """Tests of one module that fail for one reason."""

    module: str
    names: str  # a regular expression for a test's name, with its parameters in brackets
    raises: type[BaseException] | tuple[type[BaseException], ...]
    strict: bool = True

    def mark(self, reason: str) -> pytest.MarkDecorator:
        return pytest.mark.xfail(raises=self.raises, reason=reason, strict=self.strict)


def reads(module: str, names: str) -> Expected:
    """Tests that read a private attribute of the class."""
    return Expected(module, names, PrivateAttributeRead)


OTHERS = "(torch|array_api_strict)"
# array_api_strict warns first when it is asked about a type of NumPy, and warnings are errors in the tests.
NOT_AN_ARRAY = (TypeError, UserWarning)

PRIVATE = {
    "_loss_grad_lbfgs": [reads("test_mlp", "test_gradient")],
    "_no_improvement_count": [reads("test_mlp", "test_n_iter_no_change(_inf)?")],
    "_optimizer": [reads("test_mlp", "test_(learning_rate_warmstart|adaptive_learning_rate)")],
    "_fit_svd_solver": [reads("test_pca", r"test_pca_svd_solver_auto\[.*")],
}

# Four at most.
DEVIATIONS = {
    "partial_fit may follow a fit with early stopping; it keeps the best weights": [
        Expected("test_mlp", r"test_mlp_partial_fit_after_fit\[.*", pytest.fail.Exception),
    ],
    "the score of a whitened PCA is that of its data; scikit-learn scales its components twice": [
        Expected("test_pca", r"test_pca_score\[(full|covariance_eigh|auto)\]", AssertionError),
        # Equal but for rounding, so that either may be the greater.
        Expected("test_pca", r"test_pca_score\[(arpack|randomized)\]", AssertionError, strict=False),
    ],
    "arrays are those of NumPy and CuPy, not of PyTorch or another array API": [
        Expected("test_data", rf"test_standard_scaler_\w*array_api\w*\[.*{OTHERS}-.*", NOT_AN_ARRAY),
        Expected("test_data", rf"test_\w+_array_api_compliance\[MinMax.*{OTHERS}-.*", NOT_AN_ARRAY),
        Expected("test_pca", "test_array_api_error_and_warnings_on_unsupported_params", NOT_AN_ARRAY),
        Expected("test_pca", rf"test_pca_\w*array_api_compliance\[.*{OTHERS}-.*", NOT_AN_ARRAY),
    ],
}

# Sentences that scikit-learn has changed: ours are those of the newest version.
OLD_WORDS = {
    "the sentence of an older scikit-learn": [
        Expected("test_mlp", "test_early_stopping_stratified", AssertionError, strict=False),
    ],
}
IS_OLD = parse_version(sklearn.__version__) < parse_version("1.9")

REASONS = [
    *((f"reads {attribute}", entries) for attribute, entries in PRIVATE.items()),
    *DEVIATIONS.items(),
    *(OLD_WORDS.items() if IS_OLD else ()),
]
