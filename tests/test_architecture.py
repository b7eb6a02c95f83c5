"""Structure of the code: directions of imports, optional packages, and only public names of scikit-learn."""

import ast
import re
import subprocess
import sys
from functools import cache
from graphlib import TopologicalSorter
from importlib.util import resolve_name
from pathlib import Path

import pytest

import sknn

ROOT = Path(sknn.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))
INNER_SOURCES = [path for path in SOURCES if path != ROOT / "__init__.py"]
TEST_MODULES = sorted(Path(__file__).parent.rglob("*.py"))

# Parts of sknn that each part may import, besides itself. Modules beside the packages are building blocks or data sets.
BLOCKS = sorted({path.stem for path in ROOT.glob("*.py")} - {"__init__", "datasets"})
MAY_IMPORT = {
    "_backend": set(),
    "datasets": set(),
    "_common": {"_backend"},
    **dict.fromkeys(BLOCKS, {"_backend", "_common", "activations"}),
    "_core": {"_backend", "_common", *BLOCKS},
    "_estimators": {"_backend", "_common", "_core", *BLOCKS},
    "preprocessing": {"_backend", "_common"},
}


def module_name(path):
    """Return the dotted name of a source file."""
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


NAMES = {module_name(path) for path in SOURCES}


@cache
def nodes_of(path):
    """Return the nodes of the syntax tree of a file."""
    return list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))


def imports_of(path):
    """Yield (module, name or None) for each import, wherever in the file it stands, relative ones made absolute."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in nodes_of(path):
        if isinstance(node, ast.Import):
            yield from ((alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            above = package[: len(package) - node.level + 1] if node.level else []
            module = ".".join([*above, *([node.module] if node.module else [])])
            yield from ((module, alias.name) for alias in node.names)


def inner_imports(path):
    """Return the modules of sknn that a file imports."""
    found = set()
    for module, name in imports_of(path):
        if module.partition(".")[0] == "sknn":
            submodule = f"{module}.{name}"
            found.add(submodule if submodule in NAMES else module)
    return found - {module_name(path)}


def part_of(module):
    """Return the package or module below sknn that a dotted name is in."""
    return module.split(".")[1]


def offenders(found_in, paths=SOURCES):
    """Return what ``found_in(path)`` finds, by module, of the modules in which it finds something."""
    return {module_name(path): found for path in paths if (found := found_in(path))}


# ---- within the package -----------------------------------------------------------------


def test_a_module_imports_its_own_part_and_those_below():
    def found_in(path):
        part = part_of(module_name(path))
        allowed = {part, *MAY_IMPORT[part]}
        return [module for module in sorted(inner_imports(path)) if part_of(module) not in allowed]

    assert offenders(found_in, INNER_SOURCES) == {}


def test_parts_stand_on_one_another_without_a_circle():
    below = {part: parts - {part} for part, parts in MAY_IMPORT.items()}
    assert set(TopologicalSorter(below).static_order()) == set(MAY_IMPORT)


def test_underscores_tell_what_is_private():
    """No module within a private package has an underscore; private modules of a public package have one."""

    def found_in(path):
        part, *names = module_name(path).split(".")[1:]
        return [name for name in names if name.startswith("_") and part.startswith("_")]

    assert offenders(found_in, INNER_SOURCES) == {}


def test_modules_import_one_another_without_a_circle():
    # a package's __init__ imports its public names, and its modules may import the package
    graph = {module_name(path): inner_imports(path) for path in SOURCES}
    for module, imported in graph.items():
        imported.difference_update({name for name in imported if module.startswith(f"{name}.")})
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)


def test_the_reader_of_imports_finds_all_of_them():
    """Lines that begin with an import, read as text, are all found."""
    n_relative, plain = 0, set()
    for path in SOURCES:
        name, text = module_name(path), path.read_text(encoding="utf-8")
        package = name if path.name == "__init__.py" else name.rpartition(".")[0]
        relative = {resolve_name(dots, package) for dots in re.findall(r"^ *from (\.[\w.]*) import", text, re.M)}
        absolute = set(re.findall(r"^ *import ([\w.]+)", text, re.M))
        found = imports_of(path)
        assert relative | absolute <= {module for module, _ in found}
        n_relative, plain = n_relative + len(relative), plain | absolute
    assert n_relative > len(SOURCES)
    assert {"numba", "cupy", "numpy"} <= plain


# ---- what comes in from outside ---------------------------------------------------------


def roots(path):
    return {module.partition(".")[0] for module, _ in imports_of(path)}


def test_only_the_backend_imports_cupy_and_numba():
    others = [path for path in SOURCES if not module_name(path).startswith("sknn._backend")]
    assert offenders(lambda path: roots(path) & {"cupy", "cupyx", "numba", "llvmlite"}, others) == {}


def test_no_deep_learning_framework_is_imported():
    assert offenders(lambda path: roots(path) & {"torch", "tensorflow", "keras", "jax", "skorch"}) == {}


def private_parts(module, name):
    return [part for part in (*module.split("."), name or "") if part.startswith("_")]


def test_only_public_names_of_scikit_learn_are_imported():
    def found_in(path):
        borrowed = [(module, name) for module, name in imports_of(path) if module.partition(".")[0] == "sklearn"]
        return [pair for pair in borrowed if private_parts(*pair)]

    assert offenders(found_in) == {}


def test_private_attributes_of_scikit_learns_modules_are_left_alone():
    """``sklearn.utils._x`` reached through a plain ``import sklearn``."""

    def found_in(path):
        attributes = [ast.unparse(node) for node in nodes_of(path) if isinstance(node, ast.Attribute)]
        return [text for text in attributes if text.startswith("sklearn.") and "._" in text]

    assert offenders(found_in) == {}


def own_names(tree):
    """Yield the names that a module defines or assigns."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name
        elif isinstance(node, ast.Attribute | ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.attr if isinstance(node, ast.Attribute) else node.id


def test_strings_name_no_private_attribute_of_others():
    """As ``getattr(estimator, "_x")`` reads one; strings of hooks tell users which ones are not called."""
    documented = {"_init_callback_context", "_bootstrap"}  # by scikit-learn, for developers, and by Python
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in SOURCES}
    own = {name for tree in trees.values() for name in own_names(tree)}
    assert {"_state", "_carried_scope", "_small"} <= own

    def found_in(path):
        texts = [node.value for node in ast.walk(trees[path]) if isinstance(node, ast.Constant)]
        private = {text for text in texts if isinstance(text, str) and re.fullmatch("_[a-z][a-z_]*", text)}
        return {text for text in private - own - documented if not text.startswith("_sknn_")}

    assert offenders(found_in, [path for path in SOURCES if path.name != "hooks.py"]) == {}


def loaded_by(modules):
    """Return what is in sys.modules after importing ``modules`` in a new interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT.parent)
    return set(output.stdout.split())


def within(loaded, *packages):
    return [name for name in loaded if any(f"{name}.".startswith(f"{package}.") for package in packages)]


ONE_BACKEND = tuple(f"{module_name(path)}." for path in ROOT.glob("_backend/*/__init__.py"))
OF_ONE_BACKEND = {name for name in NAMES if name.startswith(ONE_BACKEND)}


@pytest.mark.slow
@pytest.mark.parametrize("modules", [["sknn"], sorted(NAMES - OF_ONE_BACKEND)], ids=len)
def test_importing_loads_no_optional_or_slow_package(modules):
    loaded = loaded_by(modules)
    assert sknn.MLPClassifier.__module__ in loaded
    assert within(loaded, "cupy", "numba", "llvmlite", "matplotlib", "torch") == []
    # scikit-learn loads scipy.stats itself: sknn must not add to that
    assert within(loaded - loaded_by(["sklearn.model_selection"]), "scipy.stats") == []


# ---- tests ------------------------------------------------------------------------------


def test_no_test_module_imports_another():
    """Code that several test modules share is in tests/support."""
    found = {}
    for path in TEST_MODULES:
        names = set()
        for node in nodes_of(path):
            if isinstance(node, ast.Import):
                names.update(alias.name for alias in node.names)
            elif isinstance(node, ast.ImportFrom):
                names.update(f"{node.module}.{alias.name}" for alias in node.names)
        found[path.name] = [name for name in names if any(part.startswith("test_") for part in name.split("."))]
    assert len(found) > 40
    assert {name: modules for name, modules in found.items() if modules} == {}
