"""Compiled kernels on disk are those of the sources."""

import ast

import pytest

from tests.backend.stamps import COMPILED_IN, FOLDER, found, stamp


@pytest.mark.parametrize("name", COMPILED_IN)
def test_stamps_are_up_to_date(name):
    assert found(name) == stamp(COMPILED_IN[name]), "a kernel that is compiled into others has changed: make format"


def test_every_file_of_kernels_stamps_those_that_it_calls():
    for path in [path for path in FOLDER.glob("*.py") if "@kernel" in path.read_text()]:
        tree = ast.parse(path.read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.level]
        called = {
            f"{'../' * (node.level - 1)}{node.module or alias.name}.py" for node in imports for alias in node.names
        }
        assert called == set(COMPILED_IN[path.name])
