"""How scikit-learn's tests are borrowed, and the list of those that must fail."""

import importlib
import re

import pytest
import sklearn
import sklearn.decomposition
from sklearn.utils.fixes import parse_version

import sknn.preprocessing
from tests.scikit_learn.expected import DEVIATIONS, REASONS
from tests.support.borrowed import PrivateAttributeRead, borrowed_tests

BORROWED = """
import pytest
from sklearn.decomposition import PCA, NMF

def make(): return PCA()

def test_directly(): assert type(PCA()).__module__.startswith("sknn")
def test_by_a_helper(): make()
def test_in_a_comprehension(): [PCA() for _ in "x"]
@pytest.mark.parametrize("model", (each for each in [PCA()]))
def test_by_a_parameter(model): model.fit([[1.0], [2.0]])
def test_private(): PCA()._fit_svd_solver
def test_public(): PCA().fitted_by
def test_of_another(): NMF()
def test_without_any(): pass
"""


@pytest.fixture
def tests(tmp_path, monkeypatch):
    (tmp_path / "a_test_file.py").write_text(BORROWED)
    monkeypatch.syspath_prepend(tmp_path)
    return borrowed_tests("a_test_file")


def test_those_that_use_a_class_are_borrowed(tests):
    assert list(tests) == [
        "test_directly",
        "test_by_a_helper",
        "test_in_a_comprehension",
        "test_by_a_parameter",
        "test_private",
        "test_public",
    ]


def test_they_see_the_class_of_sknn_and_nobody_else_does(tests):
    tests["test_directly"]()
    [model] = tests["test_by_a_parameter"].pytestmark[0].args[1]
    assert isinstance(model, sknn.preprocessing.PCA)
    assert sklearn.decomposition.PCA is not sknn.preprocessing.PCA


def test_only_a_private_attribute_has_an_error_of_its_own(tests):
    with pytest.raises(PrivateAttributeRead, match="^_fit_svd_solver$"):
        tests["test_private"]()
    with pytest.raises(AttributeError, match="fitted_by"):
        tests["test_public"]()


def test_few_deviate_on_purpose():
    assert len(DEVIATIONS) <= 4


@pytest.mark.skipif(parse_version(sklearn.__version__) < parse_version("1.9"), reason="the lists are of 1.9")
@pytest.mark.parametrize("entry", [entry for _, entries in REASONS for entry in entries], ids=lambda entry: entry.names)
def test_the_list_names_tests_that_exist(entry):
    module = importlib.import_module(f"tests.scikit_learn.{entry.module}")
    function, *_ = entry.names.split(r"\[")
    assert any(re.fullmatch(function, name) for name in vars(module))
