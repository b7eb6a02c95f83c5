"""A pipeline in a grid search: scaling and network are tuned as one, with a progress bar."""

from sklearn.datasets import load_digits
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.pipeline import Pipeline

from sknn import MLPClassifier
from sknn.preprocessing import StandardScaler

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

model = Pipeline(
    [
        ("scale", StandardScaler()),
        ("mlp", MLPClassifier(early_stopping=True, random_state=0)),
    ]
)
grid = {
    "scale__with_std": [True, False],
    "mlp__hidden_layer_sizes": [(50,), (100,)],
    "mlp__learning_rate_init": [0.001, 0.01],
}
search = GridSearchCV(model, grid, cv=3)

try:  # the bar needs scikit-learn 1.9 and rich
    from sklearn.callback import ProgressBar

    search.set_callbacks(ProgressBar(max_propagation_depth=0))
except ImportError:
    search.set_params(verbose=1)

search.fit(X_train, y_train)
print("best parameters:", search.best_params_)
print(f"accuracy in cross-validation: {search.best_score_:.3f}")
print(f"accuracy on test rows: {search.score(X_test, y_test):.3f}")
