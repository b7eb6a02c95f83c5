"""Designs in place of full cross products: every value and every promised pair occurs."""

import itertools
import math
from functools import partial

import pytest

from tests.support.designs import all_pairs, covering_rows, in_turns, mark_slow_cases, shared_out, slow_where

each_number = pytest.mark.parametrize("number", [1, 2.5, None])
each_letter = pytest.mark.parametrize("letter", ["a", pytest.param("b", marks=pytest.mark.slow)], ids=["A", "B"])
each_pair = pytest.mark.parametrize("first, second", [(int, ()), (float, []), (str, {})])
each_fixture = pytest.mark.parametrize("fixture", [0, 1], indirect=True)


def cases(parametrization):
    return {case.id: case for case in parametrization.args[1]}


@pytest.mark.parametrize("sizes", [(4,), (3, 2), (2, 2, 2), (14, 8, 3, 3, 2, 2), (1, 5, 4)], ids=str)
def test_any_two_levels_meet(sizes):
    rows = covering_rows(sizes)
    for i, j in itertools.combinations(range(len(sizes)), 2):
        levels = set(itertools.product(range(sizes[i]), range(sizes[j])))
        assert {(row[i], row[j]) for row in rows} == levels
    assert len(set(rows)) == len(rows) <= 1.5 * math.prod(sorted(sizes)[-2:])


def test_cases_keep_values_marks_and_names():
    design = all_pairs(each_fixture, each_letter, each_number, each_pair)
    assert design.args[0] == ["fixture", "letter", "number", "first", "second"]
    assert design.kwargs["indirect"] == ["fixture"]
    places = {int: 0, float: 1, str: 2}
    for name, case in cases(design).items():
        fixture, letter, number, first, _ = case.values
        assert name == f"{first.__name__}-second{places[first]}-{number}-{letter.upper()}-{fixture}"
        assert bool(case.marks) == (letter == "b")


def test_a_list_is_one_factor():
    found = {case.values for case in cases(all_pairs([each_letter, each_number], each_fixture)).values()}
    assert found == set(itertools.product("ab", [1, 2.5, None], [0, 1]))


def test_each_has_its_turn():
    found = [case.values for case in cases(in_turns(each_number, each_letter, each_fixture, times=2)).values()]
    assert [values[0] for values in found] == [1, 1, 2.5, 2.5, None, None]
    assert {values[1:] for values in found} == set(itertools.product("ab", [0, 1]))


def test_some_are_slow():
    design = slow_where(each_number, lambda number: number == 1)
    assert [bool(case.marks) for case in cases(design).values()] == [True, False, False]


def test_checks_are_shared_out():
    def check(estimator):
        pass

    estimators = [*(1, 2, 3), *("a", "b")]  # of two classes
    pairs = [(estimator, partial(check, estimator=n)) for estimator in estimators for n in range(6)]
    kept = shared_out(
        pytest.mark.parametrize("estimator, check", pairs, ids=lambda check: check.keywords["estimator"]), every=3
    ).args[1]
    for cls in (int, str):
        mine = [(estimator, check.keywords["estimator"]) for estimator, check in kept if type(estimator) is cls]
        assert {number for _, number in mine} == set(range(6))
        assert {estimator for estimator, _ in mine} == {item for item in estimators if type(item) is cls}
        assert len(mine) == 6


class Item:
    """A case as pytest collects it."""

    def __init__(self, nodeid, *marks):
        self.nodeid, self.marks = nodeid, {mark.name: mark for mark in marks}

    def get_closest_marker(self, name):
        return self.marks.get(name)

    def add_marker(self, name):
        self.marks[name] = getattr(pytest.mark, name)


def test_one_case_in_so_many_is_fast():
    items = [Item(f"test_a[{case}]", pytest.mark.fast_share(3).mark) for case in range(7)]
    others = [Item(f"test_b[{case}]") for case in range(3)]
    mark_slow_cases([*items[:4], *others, *items[4:]])
    assert [item.nodeid for item in items if "slow" not in item.marks] == ["test_a[0]", "test_a[3]", "test_a[6]"]
    assert not any(item.marks for item in others)
