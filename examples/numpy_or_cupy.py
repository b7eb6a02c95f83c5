"""NumPy or CuPy: one script trains the same model on both, or says why there is no training on a GPU."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknn import MLPClassifier, config_context

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)
model = MLPClassifier(early_stopping=True, random_state=0)

for backend in ("numpy", "cupy"):
    try:
        with config_context(backend=backend):
            accuracy = model.fit(X_train, y_train).score(X_test, y_test)
    except ValueError as error:
        print(f"{backend}: {error}")
    else:
        print(f"{backend}: accuracy {accuracy:.3f}, final loss {model.loss_:.6f}")
