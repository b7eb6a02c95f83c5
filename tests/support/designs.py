"""Designs of experiments: parametrizations with fewer cases than the full cross product."""

import itertools
from collections import Counter

import pytest


def all_pairs(*parametrizations):
    """Return one parametrization for several, in which any two values of two of them occur together.

    It stands where the several would, the uppermost first, and its cases are called what theirs would be. A list of
    parametrizations counts as one, of their full product.
    """
    groups = [part if isinstance(part, list) else [part] for part in parametrizations]
    tables = [list(itertools.product(*(_cases(part) for part in group))) for group in groups]
    rows = covering_rows([len(table) for table in tables])
    cases = [[part for table, level in zip(tables, row, strict=True) for part in table[level]] for row in rows]
    return _joined([part for group in groups for part in group], cases)


def in_turns(parametrization, *others, times=1):
    """Return one parametrization for several: each case of the first, with some of the product of the others.

    These are the next so many each time, so that all of them have their turn. It stands where the several would, the
    uppermost first, and its cases are called what theirs would be.
    """
    partners = list(itertools.product(*(_cases(part) for part in others)))
    turn, rows = itertools.cycle(partners), []
    for case in _cases(parametrization):
        rows += [(case, *next(turn)) for _ in range(times)]
    return _joined([parametrization, *others], rows)


def slow_where(parametrization, is_slow):
    """Return a parametrization whose cases with some values are slow."""
    names, cases = _names(parametrization), _cases(parametrization)
    marked = [
        case._replace(marks=[*case.marks, pytest.mark.slow])
        if is_slow(**dict(zip(names, case.values, strict=True)))
        else case
        for case in cases
    ]
    return pytest.mark.parametrize(names, marked, indirect=parametrization.kwargs.get("indirect", False))


def mark_slow_cases(items):
    """Mark all but one in so many cases of a test as slow, where the marker ``fast_share`` says how many.

    An even stride through cases that are a product may meet the same value of one factor each time: choose a number
    without a common divisor with the numbers of values.
    """
    seen = Counter()
    for item in items:
        share = item.get_closest_marker("fast_share")
        if share is None:
            continue
        name = item.nodeid.partition("[")[0]
        if seen[name] % share.args[0]:
            item.add_marker("slow")
        seen[name] += 1


def shared_out(checks, every):
    """Return scikit-learn's checks of several estimators, shared out so that each estimator gets a part of them.

    ``checks`` is what ``parametrize_with_checks`` returns. Estimators of one class take turns, so that one in so many,
    and at least one, gets each check that any of them has.
    """
    name_of, cases_of = checks.kwargs["ids"], {}
    for case in checks.args[1]:
        estimator, check = case.values if hasattr(case, "values") else case
        cases_of.setdefault((type(estimator), name_of(check)), []).append(case)
    turns = Counter()
    kept = []
    for (cls, _), cases in cases_of.items():
        first = turns[cls] % min(every, len(cases))
        kept += cases[first::every]
        turns[cls] += 1
    return pytest.mark.parametrize(checks.args[0], kept, ids=name_of)


def covering_rows(sizes):
    """Return rows of one level per factor in which any two levels of two factors meet; a greedy search finds few."""
    if len(sizes) == 1:
        return [(level,) for level in range(sizes[0])]
    factors = range(len(sizes))
    missing = {
        (i, a, j, b)
        for i, j in itertools.combinations(factors, 2)
        for a, b in itertools.product(range(sizes[i]), range(sizes[j]))
    }
    rows, used = [], Counter()
    while missing:
        i, a, j, b = min(missing)
        row = {i: a, j: b}
        for factor in sorted(factors, key=lambda factor: -sizes[factor]):
            if factor not in row:
                row[factor] = min(
                    range(sizes[factor]),
                    key=lambda level: (-len(_pairs({**row, factor: level}) & missing), used[factor, level], level),
                )
        missing -= _pairs(row)
        used.update(row.items())
        rows.append(tuple(row[factor] for factor in factors))
    return sorted(rows)


def _pairs(row):
    return {(i, row[i], j, row[j]) for i, j in itertools.combinations(sorted(row), 2)}


def _joined(parametrizations, rows):
    """Return a parametrization whose cases have the values, marks and names of all parts of a row."""
    cases = [
        pytest.param(
            *(value for part in row for value in part.values),
            marks=[mark for part in row for mark in part.marks],
            id="-".join(part.id for part in reversed(row)),
        )
        for row in rows
    ]
    names = [name for part in parametrizations for name in _names(part)]
    of_fixtures = [name for part in parametrizations if part.kwargs.get("indirect") for name in _names(part)]
    return pytest.mark.parametrize(names, cases, indirect=of_fixtures)


def _names(parametrization):
    names = parametrization.args[0]
    return [name.strip() for name in names.split(",")] if isinstance(names, str) else list(names)


def _cases(parametrization):
    """Return the cases of a parametrization, all with ids."""
    names, ids = _names(parametrization), parametrization.kwargs.get("ids")
    listed = ids if ids is None or callable(ids) else list(ids)
    cases = []
    for number, given in enumerate(parametrization.args[1]):
        case = given if hasattr(given, "marks") else pytest.param(*([given] if len(names) == 1 else given))
        if case.id is None:
            case = case._replace(id=_id_of(names, number, case.values, listed))
        cases.append(case)
    return cases


def _id_of(names, number, values, ids):
    """Return the id that pytest gives to a case."""
    if isinstance(ids, list):
        return str(ids[number])
    return "-".join(_text(name, number, value, ids) for name, value in zip(names, values, strict=True))


def _text(name, number, value, ids):
    text = None if ids is None else ids(value)
    if text is not None:
        return str(text)
    if value is None or isinstance(value, str | bool | int | float | complex):
        return str(value)
    return getattr(value, "__name__", f"{name}{number}")
