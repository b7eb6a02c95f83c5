"""Quick start: train a classifier on images of digits, stop early, score it on new ones."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

from sknn import MLPClassifier

X, y = load_digits(return_X_y=True)
X_train, X_test, y_train, y_test = train_test_split(X, y, stratify=y, random_state=0)

model = MLPClassifier(batch_size=32, early_stopping=True, random_state=0)
model.fit(X_train, y_train)

print(f"stopped after {model.n_iter_} epochs")
print(f"accuracy on validation rows: {model.best_validation_score_:.3f}")
print(f"accuracy on test rows: {model.score(X_test, y_test):.3f}")
