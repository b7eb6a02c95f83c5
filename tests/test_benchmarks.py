"""The benchmarks: every page has its options, and what they measure is the same work."""

import numpy as np
import pytest

from benchmarks import _calls, _steps, cpu
from benchmarks.__main__ import PAGES, page_of
from benchmarks._pages import markdown_table, medians, ratio


@pytest.mark.parametrize("page", PAGES)
def test_every_page_has_options(page, capsys):
    with pytest.raises(SystemExit, match="0"):
        page_of(page)(["--help"])
    assert f"python -m benchmarks {page}" in capsys.readouterr().out


@pytest.mark.parametrize("page, arguments", [("fit", ["--only", "nonsense"]), ("cpu", ["--networks", "1-1"])])
def test_unknown_names_are_refused(page, arguments):
    with pytest.raises(SystemExit, match="they are|the networks are"):
        page_of(page)(arguments)


@pytest.mark.parametrize(
    "page, part, value",
    [
        ("fit", "--only", "iris"),
        ("transformers", "--only", "PCA"),
        ("transformers", "--scale", "0.5"),
        ("cpu", "--networks", "20-32-10"),
    ],
)
def test_a_part_of_a_page_is_not_saved(page, part, value):
    with pytest.raises(SystemExit, match=f"--save writes whole pages: leave out {part}"):
        page_of(page)(["--save", part, value])


def test_numbers_of_rounds_are_positive(capsys):
    with pytest.raises(SystemExit, match="2"):
        page_of("cpu")(["--rounds", "0"])
    assert "must be 1 or more; got 0" in capsys.readouterr().err


def test_tables():
    assert medians([{"a": 1.0}, {"a": 5.0}, {"a": 2.0}]) == {"a": 2.0}
    assert (ratio(3.0, 2.0), ratio(None, 2.0), ratio(1.0, None)) == ("1.50", "-", "-")
    assert markdown_table(["x", "long"], [["ab", "1"]]) == "| x  | long |\n| -- | ---: |\n| ab |    1 |"
    network = cpu.Network((4, 3, 2), 8, 2, (1, 2))
    figures = {"sknn": {"step": 2.0, "products": 1.0, "loss": 0.5}, "sklearn": {"step": 6.0, "loss": 0.25}}
    row = cpu.row_of_times(network, figures, ["sknn", "sklearn", "torch"], ["sklearn", "torch"])
    assert row == ["4-3-2", "8", "2.0", "6.0", "-", "3.00", "-", "1.0", "2.00"]


@pytest.mark.slow
@pytest.mark.parametrize("library", ["sknn", "sklearn", "torch", "skorch"])
def test_libraries_train_alike(library):
    """From other weights and orders of rows, but to about the same loss."""
    for module in {"torch": ["torch"], "skorch": ["torch", "skorch"]}.get(library, []):
        pytest.importorskip(module)
    spec = {"library": library, "layers": (20, 32, 10), "block": "", "batch": 32, "batches": 20, "epochs": (1, 40)}
    measured = _steps.main(spec | {"dtype": "float32", "threads": 1})
    assert measured["step"] > 0
    assert measured["loss"] == pytest.approx(0.79, abs=0.12)


@pytest.mark.parametrize("task", ["fit iris", "predict 1 row", "predict_proba 1 row"])
def test_calls_agree_with_scikit_learn(task):
    spec = {"task": task, "repeats": 1, "threads": 1, "data": ""}
    mine, theirs = (_calls.main(spec | {"library": library}) for library in ("sknn", "sklearn"))
    np.testing.assert_allclose(mine["result"], theirs["result"], rtol=1e-3)
    assert mine["epochs"] == theirs["epochs"]
