"""The examples, the demo, and the code of the README, of the guide and of architecture.md run as they stand."""

import gzip
import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.idx_files import write_idx_folder

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "examples" / "demo.py"
EXAMPLES = sorted(set(DEMO.parent.glob("*.py")) - {DEMO})
GUIDE = ROOT / "docs" / "guide.md"
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.M | re.S)
PYTHON_BLOCKS = BLOCK.findall((ROOT / "README.md").read_text())


@pytest.fixture
def run(monkeypatch, capsys, tmp_path):
    """Run a script as a program, in an empty folder; return what it prints."""

    def run_script(path, *arguments):
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("COLUMNS", "80")
        monkeypatch.delenv("FORCE_COLOR", raising=False)
        monkeypatch.setattr(sys, "argv", [str(path), *map(str, arguments)])
        runpy.run_path(str(path), run_name="__main__")
        return capsys.readouterr().out

    return run_script


@pytest.fixture
def demo(run):
    return lambda *arguments: run(DEMO, *arguments)


def write_easy_pictures(folder, n_pictures):
    """Fill the folder with pictures in three classes that are easy to tell apart."""
    labels = np.arange(n_pictures, dtype=np.uint8) % 3
    images = np.random.default_rng(0).integers(100, size=(n_pictures, 4, 4), dtype=np.uint8)
    images[:, 0, :3] += 150 * (labels[:, None] == np.arange(3)).astype(np.uint8)
    write_idx_folder(folder, images, labels, pack=gzip.compress)


def in_table(printed, label, pattern):
    """Return what both libraries have in a row of the demo's table."""
    return re.search(rf"{label} +│ +{pattern} │ +{pattern} │", printed).groups()


def test_there_are_examples():
    names = {path.stem for path in EXAMPLES}
    assert names >= {"quick_start", "grid_search_pipeline", "numpy_or_cupy"}


PLOTS = [path for path in EXAMPLES if path.stem.startswith("plot_")]


@pytest.mark.slow
@pytest.mark.parametrize("path", PLOTS, ids=lambda path: path.stem)
def test_a_plot_is_drawn(run, path, tmp_path):
    assert run(path)
    (picture,) = tmp_path.glob("*.png")
    assert picture.stat().st_size > 10_000


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in EXAMPLES if path not in PLOTS], ids=lambda path: path.stem)
def test_an_example_runs_and_says_what_it_shows(run, path):
    assert float(re.search(r"accuracy.*?(\d\.\d+)", run(path))[1]) > 0.9
    assert path.read_text().startswith('"""')


def test_the_demo_on_a_folder(demo, tmp_path):
    write_easy_pictures(tmp_path, 60)
    printed = demo("--data", tmp_path)
    assert "60 rows to train, 60 to test, 16 features" in printed
    assert "3-fold cross-validation on all rows" in printed
    assert len(set(in_table(printed, "best learning_rate_init", r"(0\.\d+)"))) == 1
    assert in_table(printed, "test accuracy", r"([\d.]+)%") == ("100.00", "100.00")
    assert in_table(printed, "epochs", r"(\d+)") == ("50", "50")
    assert min(map(float, in_table(printed, "fit time, median of 3", r"([\d.]+) s"))) > 0
    assert min(map(float, in_table(printed, "speed", r"([\d.]+) x"))) == 1


@pytest.mark.slow
def test_the_demo_searches_on_a_sample_of_many_rows(demo, tmp_path):
    write_easy_pictures(tmp_path, 10_002)
    printed = demo("--data", tmp_path)
    assert "3-fold cross-validation on a sample of 10000 rows" in printed
    assert in_table(printed, "test accuracy", r"([\d.]+)%") == ("100.00", "100.00")
    assert min(map(float, in_table(printed, "fit time", r"([\d.]+) s"))) > 0


@pytest.mark.slow
def test_the_demo_on_digits(demo):
    assert min(map(float, in_table(demo(), "test accuracy", r"([\d.]+)%"))) > 95


def test_the_demo_refuses_a_wrong_folder_without_a_traceback(demo, tmp_path, capsys):
    with pytest.raises(SystemExit) as stopped:
        demo("--data", tmp_path / "nowhere")
    assert stopped.value.code == 2
    assert "nowhere is not a folder: looked for train-images" in capsys.readouterr().err


def test_the_demo_refuses_a_broken_file(demo, tmp_path, capsys):
    write_easy_pictures(tmp_path, 3)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(b"text")
    with pytest.raises(SystemExit) as stopped:
        demo("--data", tmp_path)
    assert stopped.value.code == 2
    assert "t10k-labels-idx1-ubyte: not an IDX file" in capsys.readouterr().err


def test_the_demo_explains_itself(demo, capsys):
    with pytest.raises(SystemExit) as stopped:
        demo("--help")
    assert stopped.value.code == 0
    assert "--data DIR" in capsys.readouterr().out


def test_the_readme_has_code():
    assert PYTHON_BLOCKS


def run_readme():
    """Run the README's blocks of code, each by itself, and return the names that each leaves behind."""
    spaces = [{"__name__": "__main__"} for _ in PYTHON_BLOCKS]
    for block, space in zip(PYTHON_BLOCKS, spaces, strict=True):
        exec(compile(block, "README.md", "exec"), space)
    return spaces


@pytest.mark.slow
def test_the_code_of_the_readme_does_what_it_says(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    network, preprocessing = run_readme()
    assert network["search"].score(network["X_test"], network["y_test"]) > 0.95
    rows, pca = preprocessing["rows"], preprocessing["pca"]
    whole = preprocessing["PCA"](20, whiten=True, eps=1e-5).fit(rows)
    np.testing.assert_allclose(pca.explained_variance_, whole.explained_variance_, rtol=1e-9)


# ---- the guide --------------------------------------------------------------------------


def anchor(heading):
    """Return the anchor of a heading, as Markdown pages are shown."""
    return re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-")


def test_the_guide_lists_its_questions():
    text = GUIDE.read_text()
    headings, links = re.findall(r"^## (.+)$", text, re.M), re.findall(r"^- \[(.+)\]\(#(.+)\)$", text, re.M)
    assert links == [(heading, anchor(heading)) for heading in headings]


def guide_blocks():
    """Return a parameter for each block of code, named after the question that it answers."""
    sections = re.split(r"^## ", GUIDE.read_text(), flags=re.M)[1:]
    blocks = [(section.partition("\n")[0], code) for section in sections for code in BLOCK.findall(section)]
    return [pytest.param(code, id=anchor(heading)) for heading, code in blocks]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("code", guide_blocks())
def test_the_code_of_the_guide_runs(code, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    exec(compile(code, "guide.md", "exec"), {"__name__": "__main__"})
    assert "nan" not in capsys.readouterr().out.lower()


# ---- the architecture -------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_the_code_of_the_architecture_prints_a_plan_and_its_cost(capsys):
    (code,) = BLOCK.findall((ROOT / "docs" / "architecture.md").read_text())
    exec(compile(code, "architecture.md", "exec"), {"__name__": "__main__"})
    *plan, cost = capsys.readouterr().out.splitlines()
    assert plan[0].startswith("Gather(table=float64[1797, 64]")
    assert plan[-1].startswith("Advance(")
    assert cost.startswith("Cost(operations=")
