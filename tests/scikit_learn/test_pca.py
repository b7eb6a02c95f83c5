"""scikit-learn's tests of its PCA, with sknn's classes."""

from tests.support.borrowed import borrowed_tests

globals().update(borrowed_tests("sklearn.decomposition.tests.test_pca"))
