"""The setting itself: set_config, get_config, config_context, the environment variable."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from sknn import config_context, get_config, set_config
from sknn._common import config as _config


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch):
    monkeypatch.delenv("SKNN_BACKEND", raising=False)
    monkeypatch.setattr(_config, "_global_setting", {})


def setting():
    return get_config()["backend"]


def in_thread(function):
    """Return what ``function`` returns in a thread of its own."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(function).result()


def test_follows_X_by_default():
    assert get_config() == {"backend": "auto"}


def test_the_config_is_a_copy():
    get_config()["backend"] = "cupy"
    assert setting() == "auto"


@pytest.mark.parametrize("name", ["auto", "numpy", "cupy"])
def test_set_config_holds_until_the_next(name):
    set_config(backend="numpy")
    set_config(backend=name)
    assert setting() == name
    set_config()
    assert setting() == name


def test_contexts_nest():
    with config_context(backend="cupy"):
        assert setting() == "cupy"
        with config_context(backend="numpy"):
            assert setting() == "numpy"
            with config_context():
                assert setting() == "numpy"
        assert setting() == "cupy"
    assert setting() == "auto"


def test_an_error_leaves_all_contexts():
    with pytest.raises(KeyError), config_context(backend="cupy"), config_context(backend="numpy"):
        raise KeyError
    assert setting() == "auto"


def test_a_context_goes_before_set_config_in_it():
    with config_context(backend="numpy"):
        set_config(backend="cupy")
        assert setting() == "numpy"
    assert setting() == "cupy"


def test_threads_have_contexts_of_their_own():
    both_inside = threading.Barrier(2, timeout=10)

    def seen_in(name):
        with config_context(backend=name):
            both_inside.wait()
            seen = setting()
            both_inside.wait()
        return seen, setting()

    with ThreadPoolExecutor(2) as pool:
        assert list(pool.map(seen_in, ["numpy", "cupy"])) == [("numpy", "auto"), ("cupy", "auto")]


def test_a_new_thread_does_not_see_the_context_of_another():
    with config_context(backend="cupy"):
        assert in_thread(setting) == "auto"


def test_set_config_reaches_all_threads():
    set_config(backend="cupy")
    assert in_thread(setting) == "cupy"
    in_thread(lambda: set_config(backend="numpy"))
    assert setting() == "numpy"


def test_the_environment_is_asked_when_nothing_else_is_set(monkeypatch):
    monkeypatch.setenv("SKNN_BACKEND", "cupy")
    assert setting() == in_thread(setting) == "cupy"
    set_config(backend="numpy")
    assert setting() == "numpy"
    with config_context(backend="auto"):
        assert setting() == "auto"


# ---- what is no backend -------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tpu", "CuPy", "", 1, ["numpy"]])
@pytest.mark.parametrize("change", [set_config, lambda backend: config_context(backend=backend).__enter__()])
def test_an_unknown_backend_is_refused_and_changes_nothing(change, name):
    with pytest.raises(ValueError) as caught:
        change(backend=name)
    assert str(caught.value) == f"backend must be one of 'auto', 'numpy', 'cupy'; got {name!r}."
    assert setting() == "auto"


@pytest.mark.parametrize("name", ["tpu", "NumPy"])
def test_an_unknown_backend_in_the_environment_is_named_with_its_variable(monkeypatch, name):
    monkeypatch.setenv("SKNN_BACKEND", name)
    with pytest.raises(ValueError) as caught:
        get_config()
    assert str(caught.value) == (
        f"the environment variable SKNN_BACKEND must be one of 'auto', 'numpy', 'cupy'; got {name!r}."
    )
    with config_context(backend="numpy"):
        assert setting() == "numpy"
