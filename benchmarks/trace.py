"""The path of X through the package: the functions that receive X, in order, and the number of their files.

Run ``python -m benchmarks trace``, with ``--save`` to write `docs/benchmarks/trace.md`. Only the public API is named
here, so that ``--package FOLDER`` can trace another version: the one whose package ``sknn`` is in that folder.
"""

import argparse
import importlib
import inspect
import sys
import warnings
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks._pages import command, markdown_table, publish, refuse_part

ROWS, FEATURES, CLASSES = 500, 20, 3
COMPREHENSIONS = ("<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>")  # functions in some versions of Python only

NOTES = """\
# The path of X

The functions of the package that receive a dense NumPy X of {rows} x {features}. This page is written by

    {command}

{table}

- A function takes "X" if one of its arguments is X, or a view of the memory of X. It takes a "holder" if one of its
  arguments has such an array in an attribute or a named field. Deeper levels, tuples, dicts and closures are not
  examined.
- Functions count once, in the order in which they first received X. Changes of file are those between one function and
  the next. Chains are the different stacks of functions of the package through which X reached a function; the
  deepest is the number of functions in the longest of them.
- Every call was made once before it was traced, so that nothing is compiled. Compiled functions are not seen.

{lists}"""


class Visit(NamedTuple):
    """A function of the package, by file and name, and whether it took X itself or something that holds X."""

    file: str
    function: str
    takes: frozenset


def is_view(value, X):
    """Return whether a value is X, or an array on the memory of X."""
    return isinstance(value, np.ndarray) and np.may_share_memory(value, X)


def held_by(value):
    """Return the values of the attributes of an object, or of the fields of a named tuple."""
    if isinstance(value, tuple):
        return value if hasattr(value, "_fields") else ()
    if isinstance(value, type):
        return ()
    slots = [name for cls in type(value).__mro__ for name in vars(cls).get("__slots__", ())]
    return [*getattr(value, "__dict__", {}).values(), *(getattr(value, name, None) for name in slots)]


def arguments_of(frame):
    """Return the arguments of a call, with ``*args`` and ``**kwargs`` as single arguments."""
    names, rest, named, found = inspect.getargvalues(frame)
    return [*(found.get(name) for name in names), *found.get(rest, ()), *found.get(named, {}).values()]


class Tracer:
    """A recorder of the functions of a package that this thread calls with X, or with an object that holds X."""

    def __init__(self, folder, X):
        self.folder, self.X = f"{folder}/", X
        self.taken, self.chains = {}, {}  # by code, in the order of first calls; by stack of codes

    def __enter__(self):
        self._before = sys.getprofile()
        sys.setprofile(self._note)
        return self

    def __exit__(self, *error):
        sys.setprofile(self._before)

    def _note(self, frame, event, _):
        if event != "call" or not self._is_inside(frame.f_code):
            return
        takes = set()
        for argument in arguments_of(frame):
            if is_view(argument, self.X):
                takes.add("X")
            elif any(is_view(part, self.X) for part in held_by(argument)):
                takes.add("holder")
        if takes:
            self.taken.setdefault(frame.f_code, set()).update(takes)
            self.chains.setdefault(self._stack(frame), set()).update(takes)

    def _is_inside(self, code):
        return code.co_filename.startswith(self.folder) and code.co_name not in COMPREHENSIONS

    def _stack(self, frame):
        """Return the code objects of the package on the stack, the innermost first."""
        codes = []
        while frame is not None:
            if self._is_inside(frame.f_code):
                codes.append(frame.f_code)
            frame = frame.f_back
        return tuple(codes)

    def visits(self):
        """Return the functions in the order in which they first received X."""
        return [
            Visit(code.co_filename.removeprefix(self.folder), code.co_qualname, frozenset(takes))
            for code, takes in self.taken.items()
        ]


def summary(visits, chains, takes):
    """Return the figures of the functions that take X, a holder, or either of them."""
    files = [visit.file for visit in visits if visit.takes & takes]
    depths = [len(stack) for stack, taken in chains.items() if taken & takes]
    changes = sum(a != b for a, b in pairwise(files))
    return len(files), changes, len(set(files)), len(depths), max(depths, default=0)


def calls(X, y):
    """Return the traced calls by name: a function that makes the estimator, and the call on it."""
    sknn = importlib.import_module("sknn")
    preprocessing = importlib.import_module("sknn.preprocessing")

    def classifier(**options):
        return sknn.MLPClassifier(max_iter=1, random_state=0, **options)

    return {
        "fit": (classifier, lambda model: model.fit(X, y)),
        "fit, early_stopping": (lambda: classifier(early_stopping=True), lambda model: model.fit(X, y)),
        "predict_proba": (lambda: classifier().fit(X, y), lambda model: model.predict_proba(X)),
        "StandardScaler.fit": (preprocessing.StandardScaler, lambda scaler: scaler.fit(X)),
        "StandardScaler.transform": (
            lambda: preprocessing.StandardScaler().fit(X),
            lambda scaler: scaler.transform(X),
        ),
    }


def trace(prepare, call, X):
    """Return the tracer of a call, made after an untraced call that compiles the kernels."""
    folder = Path(importlib.import_module("sknn").__file__).parent
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*Maximum iterations.*")
        call(prepare())
        owner = prepare()
        with Tracer(folder, X) as tracer:
            call(owner)
    return tracer


def listed(name, visits):
    """Return the functions of a call as a list, in order."""
    lines = [f"{i}. {v.file}: {v.function} ({', '.join(sorted(v.takes))})" for i, v in enumerate(visits, 1)]
    return "\n".join([f"## {name}", "", *lines, ""])


def main(arguments):
    """Trace, print the figures and the functions, and save the page where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks trace", description=__doc__)
    parser.add_argument("--save", action="store_true", help="write docs/benchmarks/trace.md")
    parser.add_argument("--package", metavar="FOLDER", help="a folder with another version of the package")
    options = parser.parse_args(arguments)
    refuse_part(options, package=None)
    if options.package is not None:
        sys.path.insert(0, options.package)
    rng = np.random.default_rng(0)
    X, y = rng.standard_normal((ROWS, FEATURES)), rng.integers(CLASSES, size=ROWS)
    rows, lists = [], []
    for name, (prepare, call) in calls(X, y).items():
        tracer = trace(prepare, call, X)
        visits = tracer.visits()
        for what, takes in {"X": {"X"}, "holder": {"holder"}, "either": {"X", "holder"}}.items():
            rows.append([name, what, *map(str, summary(visits, tracer.chains, takes))])
        lists.append(listed(name, visits))
    header = ["call", "takes", "functions", "changes of file", "files", "chains", "deepest"]
    page = NOTES.format(
        rows=ROWS,
        features=FEATURES,
        command=command("trace", arguments),
        table=markdown_table(header, rows),
        lists="\n".join(lists),
    )
    publish("trace", page, options.save)
