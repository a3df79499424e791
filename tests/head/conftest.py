"""The scripts of docs/head, which make the head that is shipped."""

import importlib
from types import SimpleNamespace

import pytest


@pytest.fixture(scope="session")
def scripts(request):
    """The scripts as modules: `make`, `parts`, `expressions`, `surface`."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(request.config.rootpath / "docs" / "head")
        names = ("make", "parts", "expressions", "surface")
        return SimpleNamespace(**{name: importlib.import_module(name) for name in names})
