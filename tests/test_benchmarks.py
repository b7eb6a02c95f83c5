"""The benchmarks: every page has its options, and what they measure is the same work."""

import runpy

import numpy as np
import pytest

from benchmarks import _calls, _gpu, _steps, cpu, gpu, trace
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
        ("gpu", "--only", "PCA"),
        ("gpu", "--device", "cpu"),
        ("trace", "--package", "elsewhere"),
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


# ---- the GPU's page, as far as it can be tried without one -------------------------------


def on_the_cpu(library, work, scale=0.01):
    return _gpu.main({"library": library, "work": work, "device": "cpu", "scale": scale})


@pytest.mark.slow
@pytest.mark.parametrize("work", ["784-256-128-10, float32", "the same, 64 models"])
def test_steps_of_a_gpu_are_those_of_pytorch(work, monkeypatch):
    """The same work: models of both come to about the same loss, on a network that is small."""
    pytest.importorskip("torch")
    small = _gpu.WORKS[work]._replace(layers=(20, 32, 10), batch=32, batches=20, epochs=40)
    monkeypatch.setitem(_gpu.WORKS, work, small._replace(n_models=min(small.n_models, 3)))
    mine, theirs = (on_the_cpu(library, work, scale=1) for library in ("sknn", "PyTorch"))
    assert mine["time"] > 0 and theirs["time"] > 0
    assert mine["result"] == pytest.approx(0.79, abs=0.12)
    assert theirs["result"] == pytest.approx(0.79, abs=0.12)


@pytest.mark.slow
def test_calls_of_a_gpu_do_the_work_of_their_peers():
    for work, peer in [
        ("StandardScaler.fit, 10,000,000 x 100", "scikit-learn"),
        ("PCA(50, whiten).fit, 1,000,000 x 200", "scikit-learn"),
    ]:
        mine, theirs = (on_the_cpu(library, work, scale=0.002) for library in ("sknn", peer))
        np.testing.assert_allclose(mine["result"], theirs["result"], rtol=1e-3)
    mine, theirs = (on_the_cpu(library, "fit 60,000 x 784, 20 epochs") for library in ("sknn", "sknn on the CPU"))
    assert mine["result"] == theirs["result"]
    assert on_the_cpu("a read", "StandardScaler.fit, 10,000,000 x 100")["time"] > 0


@pytest.mark.slow
def test_the_page_of_a_gpu_says_what_was_not_measured(capsys, monkeypatch):
    monkeypatch.setattr(gpu, "gpu_name", lambda: None)
    gpu.main(["--rounds", "1"])
    page = capsys.readouterr().out
    assert "Not measured yet: no GPU was there" in page
    lines = [line for line in page.splitlines() if line.startswith("|")]
    assert len(lines) == 4 + sum(1 + len(row.peers) for row in (*gpu.STEPS, *gpu.CALLS))
    assert all(gpu.NOT_MEASURED in line for line in lines if "----" not in line and "library" not in line)


def test_lines_of_a_gpu_have_ratios():
    row = gpu.Row("work", "1", "2", ("PyTorch", "graph"))
    figures = {"sknn": {"time": 4.0, "result": 0.5}, "PyTorch": {"time": 10.0, "result": 0.25}, "graph": None}
    assert gpu.lines_of(row, figures) == [
        ["work", "sknn", "1", "2", "4", "1.00", "0.5"],
        ["", "PyTorch", "", "", "10", "2.50", "0.25"],
        ["", "graph", "", "", "not measured", "-", "-"],
    ]


def test_every_library_of_a_row_has_a_timer():
    rows = (*gpu.STEPS, *gpu.CALLS)
    assert {row.work for row in rows} == set(_gpu.WORKS)
    assert {library for row in rows for library in ("sknn", *row.peers)} == set(_gpu.TIMERS)


# ---- the path of X -----------------------------------------------------------------------

TRACED = """
from typing import NamedTuple

class Held(NamedTuple):
    array: object

class Slotted:
    __slots__ = ("array",)

class Box:
    def __init__(self, array):
        self.array = array

    def twice(self):
        return all_of(self.array, self.array) + all_of(self.array)

def all_of(first, *others, **named):
    return first.sum() + sum(part.sum() for part in others) + len(named)

def of_holder(held):
    return len(held)

def copied(array):
    return array.sum()

def start(X):
    of_holder(Held(X))
    of_holder((X, X))
    slotted = Slotted()
    slotted.array = X
    keyword(of=slotted)
    copied(X.copy())
    return Box(X[::2]).twice() + all_of(0 * X, last=X.T)

def keyword(**named):
    return None
"""


def test_a_trace_has_what_takes_x_or_holds_it(tmp_path):
    (tmp_path / "traced.py").write_text(TRACED)
    X = np.ones((4, 3))
    module = runpy.run_path(str(tmp_path / "traced.py"))
    with trace.Tracer(tmp_path, X) as tracer:
        module["start"](X)
    found = [(visit.file, visit.function, sorted(visit.takes)) for visit in tracer.visits()]
    assert found == [
        ("traced.py", "start", ["X"]),
        ("traced.py", "of_holder", ["holder"]),
        ("traced.py", "keyword", ["holder"]),
        ("traced.py", "Box.__init__", ["X"]),
        ("traced.py", "Box.twice", ["holder"]),
        ("traced.py", "all_of", ["X"]),
    ]
    # all_of is called by start, and by twice, which start calls
    assert trace.summary(tracer.visits(), tracer.chains, {"X"}) == (3, 0, 1, 4, 3)


def test_figures_of_a_trace():
    visits = [trace.Visit(file, "f", frozenset(["X"])) for file in "aabac"]
    assert trace.summary(visits, {(1, 2): {"X"}, (1,): {"holder"}}, {"X"}) == (5, 3, 3, 1, 2)
    assert trace.summary(visits, {}, {"holder"}) == (0, 0, 0, 0, 0)


@pytest.mark.slow
def test_the_page_of_a_trace_begins_with_the_public_methods(capsys):
    trace.main([])
    page = capsys.readouterr().out
    firsts = [line for line in page.splitlines() if line.startswith("1. ")]
    assert [line.split(".")[-1] for line in firsts] == [
        "fit (X)",
        "fit (X)",
        "predict_proba (X)",
        "fit (X)",
        "transform (X)",
    ]
