"""Three layers of 100 sigmoid units on digits, with and without norms: prints accuracies and writes batch_norm.png.

The experiment of Ioffe and Szegedy's paper on batch normalisation (section 4.1: binary pictures, small normal weights,
plain gradient descent, batches of 60), and two sweeps that show where batch norm wins and where it loses: of the batch
size, where batches of two rows are too small to be normalised by and layer norm is ahead, and of the learning rate.
"""

import warnings

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split

from sknn import MLPClassifier
from sknn.initializers import Normal

NORMS = {None: "none", "batch": "batch norm", "layer": "layer norm"}
BATCH_SIZES = (2, 4, 8, 16, 60, 200)
LEARNING_RATES = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0)


def pictures():
    """Return binary digits to train and to test on, and their labels."""
    X, y = load_digits(return_X_y=True)
    return train_test_split((X > 8).astype(np.float32), y, test_size=400, random_state=0, stratify=y)


def accuracies(norm, batch_size=60, learning_rate=0.1, epochs=10, seed=0):
    """Return the accuracy on test rows after each epoch."""
    X, X_test, y, y_test = pictures()
    model = MLPClassifier(
        (100, 100, 100),
        activation="sigmoid",
        init=Normal(0.1),
        norm=norm,
        solver="sgd",
        momentum=0.0,
        alpha=0.0,
        learning_rate_init=learning_rate,
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is that of the experiment
        return model.fit(X, y, X_val=X_test, y_val=y_test).validation_scores_


def main():
    """Print and draw curves and sweeps."""
    figure, (curves, sizes, rates) = plt.subplots(1, 3, figsize=(15, 4.5), sharey=True, layout="constrained")
    for norm, label in NORMS.items():
        curve = accuracies(norm, epochs=20)
        by_size = [accuracies(norm, batch_size=size)[-1] for size in BATCH_SIZES]
        by_rate = [accuracies(norm, learning_rate=rate)[-1] for rate in LEARNING_RATES]
        curves.plot(range(1, 21), curve, marker=".", label=label)
        sizes.semilogx(BATCH_SIZES, by_size, marker=".")
        rates.semilogx(LEARNING_RATES, by_rate, marker=".")
        print(f"{label:10} by epoch         ", *(f"{value:.2f}" for value in curve[::3]))
        print(f"{'':10} by batch size    ", *(f"{value:.2f}" for value in by_size))
        print(f"{'':10} by learning rate ", *(f"{value:.2f}" for value in by_rate))
    curves.set(xlabel="epoch", ylabel="accuracy on test rows", title="batches of 60, learning rate 0.1")
    curves.set_xticks(range(0, 21, 5))
    sizes.set(xlabel="rows of a batch", title="after 10 epochs, learning rate 0.1")
    sizes.set_xticks(BATCH_SIZES, map(str, BATCH_SIZES))
    rates.set(xlabel="learning rate", title="after 10 epochs, batches of 60")
    figure.legend(loc="outside lower center", ncols=len(NORMS))
    figure.savefig("batch_norm.png", dpi=100)


if __name__ == "__main__":
    main()
