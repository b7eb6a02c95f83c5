"""The house: imports run one way, optional packages stay out, and only scikit-learn's public names are used."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import sknn

ROOT = Path(sknn.__file__).parent
SOURCES = sorted(ROOT.rglob("*.py"))

# What the packages and modules below sknn may import, besides themselves.
BLOCKS = ("activations", "initializers", "losses", "normalization", "optimizers", "schedules")
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


def imports_of(path):
    """Yield (module, name or None) for each import, wherever in the file it stands, relative ones made absolute."""
    package = module_name(path).split(".")
    if path.name != "__init__.py":
        package = package[:-1]
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
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


each_source = pytest.mark.parametrize("path", SOURCES, ids=module_name)
each_inner_source = pytest.mark.parametrize(
    "path", [path for path in SOURCES if module_name(path) != "sknn"], ids=module_name
)


# ---- within the house -------------------------------------------------------------------


@each_inner_source
def test_a_module_imports_its_own_part_and_those_below(path):
    part = part_of(module_name(path))
    allowed = {part, *MAY_IMPORT[part]}
    assert [module for module in sorted(inner_imports(path)) if part_of(module) not in allowed] == []


def test_parts_stand_on_one_another_without_a_circle():
    below = {part: parts - {part} for part, parts in MAY_IMPORT.items()}
    assert set(TopologicalSorter(below).static_order()) == set(MAY_IMPORT)


@each_inner_source
def test_underscores_tell_what_is_private(path):
    """Private is a package that begins with an underscore, or a module of a public one; nothing within is marked."""
    names = module_name(path).split(".")[1:]
    assert not any(name.startswith("_") and name != "__init__" for name in names[1:]) or names[0] == "preprocessing"


def test_modules_import_one_another_without_a_circle():
    # what a package exports is gathered in its __init__, which its own modules may stand beside
    graph = {module_name(path): inner_imports(path) for path in SOURCES}
    for module, imported in graph.items():
        imported.difference_update({name for name in imported if module.startswith(f"{name}.")})
    assert set(TopologicalSorter(graph).static_order()) >= set(graph)


def test_the_reader_of_imports_sees_what_there_is():
    assert {"sknn._core.network", "sknn._core.stages", "sknn.normalization"} <= inner_imports(
        ROOT / "_core" / "epoch.py"
    )
    assert "sknn._backend.reference" in inner_imports(ROOT / "_backend" / "cpu" / "backend.py")
    assert ("numba", None) in imports_of(ROOT / "_backend" / "cpu" / "backend.py")
    assert ("cupy", None) in imports_of(ROOT / "_backend" / "cuda" / "backend.py")


# ---- what comes in from outside ---------------------------------------------------------


def roots(path):
    return {module.partition(".")[0] for module, _ in imports_of(path)}


@each_source
def test_only_the_backend_imports_cupy_and_numba(path):
    if not module_name(path).startswith("sknn._backend"):
        assert roots(path).isdisjoint({"cupy", "cupyx", "numba", "llvmlite"})


@each_source
def test_no_deep_learning_framework_is_imported(path):
    assert roots(path).isdisjoint({"torch", "tensorflow", "keras", "jax", "skorch"})


def private_parts(module, name):
    return [part for part in (*module.split("."), name or "") if part.startswith("_")]


@each_source
def test_only_public_names_of_scikit_learn_are_imported(path):
    borrowed = [(module, name) for module, name in imports_of(path) if module.partition(".")[0] == "sklearn"]
    assert [pair for pair in borrowed if private_parts(*pair)] == []


@each_source
def test_private_attributes_of_scikit_learns_modules_are_left_alone(path):
    """``sklearn.utils._x`` reached through a plain ``import sklearn``."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    attributes = [ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)]
    assert [text for text in attributes if text.startswith("sklearn.") and "._" in text] == []


def loaded_by(modules):
    """Return what is in sys.modules after importing ``modules`` in a new interpreter."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True, cwd=ROOT.parent)
    return set(output.stdout.split())


def within(loaded, *packages):
    return [name for name in loaded if any(f"{name}.".startswith(f"{package}.") for package in packages)]


OF_ONE_BACKEND = {name for name in NAMES if name.startswith(("sknn._backend.cpu.", "sknn._backend.cuda."))}


@pytest.mark.slow
@pytest.mark.parametrize("modules", [["sknn"], sorted(NAMES - OF_ONE_BACKEND)], ids=len)
def test_importing_loads_no_optional_or_slow_package(modules):
    loaded = loaded_by(modules)
    assert "sknn._estimators.classifier" in loaded
    assert within(loaded, "cupy", "numba", "llvmlite", "matplotlib", "torch") == []
    # scikit-learn loads scipy.stats itself: sknn must not add to that
    assert within(loaded - loaded_by(["sklearn.model_selection"]), "scipy.stats") == []
