"""show_versions, for bug reports."""

import platform
from importlib import metadata

import numpy as np

import sknn


def test_show_versions_names_what_computes(capsys):
    sknn.show_versions()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith(f"python: {platform.python_version()} on ")
    said = dict(line.split(": ", 1) for line in lines)
    assert said["sknn"] in (sknn.__version__, "not installed")  # run from a checkout
    assert said["numpy"] == np.__version__
    assert said["kernels on NumPy"] == "fused by Numba"
    for package in ("scipy", "scikit-learn", "numba"):
        assert said[package] == metadata.version(package)


def test_what_is_not_installed_is_said_to_be_so(capsys, monkeypatch):
    def nothing_is_installed(package):
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(metadata, "version", nothing_is_installed)
    sknn.show_versions()
    lines = capsys.readouterr().out.splitlines()[1:-1]
    assert {line.split(": ")[1] for line in lines} == {"not installed"}
    assert {"cupy-cuda12x", "cupy-cuda13x", "matplotlib"} <= {line.split(": ")[0] for line in lines}
