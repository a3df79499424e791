from importlib.util import find_spec

import pytest


@pytest.fixture(scope="session")
def small_corpus(tmp_path_factory):
    """The built-in corpus at its smallest useful size; read it, never change it."""
    if find_spec("espeakng_loader") is None:
        pytest.skip("the built-in corpus needs espeakng-loader")
    from exomni.config.registry import build

    folder = tmp_path_factory.mktemp("corpus") / "small"
    build("corpus", {"name": "builtin", "sentences": 24, "pairs": 12}).build(folder)
    return folder
