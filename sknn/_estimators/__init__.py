"""MLPClassifier and MLPRegressor: from parameters and data to a fitted model."""
