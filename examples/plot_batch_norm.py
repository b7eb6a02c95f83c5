"""Three layers of 100 sigmoid units on digits, with and without norms: prints accuracies and writes batch_norm.png.

The experiment of Ioffe and Szegedy's paper on batch normalisation (section 4.1: binary pictures, normal weights,
gradient descent, batches of 60; here with momentum), and sweeps of the batch size and of the learning rate. Each
accuracy is the mean of three seeds. What is seen:

- With batches of 60, batch norm is ahead of the plain network at every epoch: 0.76 after the first, which the plain
  network has after eleven.
- The larger the batches, and so the fewer the steps, the more batch norm wins. With two rows a batch it loses by far
  both to the plain network and to layer norm: of two rows normalised by each other only the sign of a difference is
  left. Four rows are enough for it to be level.
- With batches of 60 it learns at rates a hundred times apart, where the others need the right one; at the best rates of
  each the three are close. With batches of two it is behind at all rates that suit the others, and ahead of the plain
  network only where that does not learn: at rates too small or too large for it.
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
LEARNING_RATES = (0.0003, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
SEEDS = (0, 1, 2)


def pictures():
    """Return binary digits to train and to test on, and their labels."""
    X, y = load_digits(return_X_y=True)
    return train_test_split((X > 8).astype(np.float32), y, test_size=400, random_state=0, stratify=y)


def accuracies(norm, batch_size=60, learning_rate=0.03, epochs=10, seeds=SEEDS):
    """Return the accuracy on test rows after each epoch, the mean of several seeds."""
    X, X_test, y, y_test = pictures()
    model = MLPClassifier(
        (100, 100, 100),
        activation="sigmoid",
        init=Normal(0.2),
        norm=norm,
        solver="sgd",
        alpha=0.0,
        learning_rate_init=learning_rate,
        batch_size=batch_size,
        max_iter=epochs,
        n_iter_no_change=epochs,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # the number of epochs is that of the experiment
        fits = (model.set_params(random_state=seed).fit(X, y, X_val=X_test, y_val=y_test) for seed in seeds)
        return np.mean([fit.validation_scores_ for fit in fits], axis=0)


def main():
    """Print and draw curves and sweeps."""
    figure, axes = plt.subplots(2, 2, figsize=(11, 8), sharey=True, layout="constrained")
    curves, sizes, rates, rates_of_two = axes.flat
    for norm, label in NORMS.items():
        curve = accuracies(norm, epochs=20)
        by_size = [accuracies(norm, batch_size=size)[-1] for size in BATCH_SIZES]
        by_rate = [accuracies(norm, learning_rate=rate)[-1] for rate in LEARNING_RATES]
        by_rate_of_two = [accuracies(norm, learning_rate=rate, batch_size=2)[-1] for rate in LEARNING_RATES]
        curves.plot(range(1, 21), curve, marker=".", label=label)
        sizes.semilogx(BATCH_SIZES, by_size, marker=".")
        rates.semilogx(LEARNING_RATES, by_rate, marker=".")
        rates_of_two.semilogx(LEARNING_RATES, by_rate_of_two, marker=".")
        print(f"{label:10} by epoch                    ", *(f"{value:.2f}" for value in curve[::3]))
        print(f"{'':10} by batch size               ", *(f"{value:.2f}" for value in by_size))
        print(f"{'':10} by learning rate, 60 a batch", *(f"{value:.2f}" for value in by_rate))
        print(f"{'':10} by learning rate, 2 a batch ", *(f"{value:.2f}" for value in by_rate_of_two))
    curves.set(xlabel="epoch", ylabel="accuracy on test rows", title="batches of 60, learning rate 0.03")
    curves.set_xticks(range(0, 21, 5))
    sizes.set(xlabel="rows of a batch", title="after 10 epochs, learning rate 0.03")
    sizes.set_xticks(BATCH_SIZES, map(str, BATCH_SIZES))
    rates.set(xlabel="learning rate", ylabel="accuracy on test rows", title="after 10 epochs, batches of 60")
    rates_of_two.set(xlabel="learning rate", title="after 10 epochs, batches of 2")
    figure.legend(loc="outside lower center", ncols=len(NORMS))
    figure.savefig("batch_norm.png", dpi=100)


if __name__ == "__main__":
    main()
