"""Long imports are not looked through for garbage, and a process that imported torch before is left as it is."""

from __future__ import annotations

import gc
import sys

import pytest

from bsig.cli.imports import long_imports


def test_what_a_fresh_process_imports_is_never_looked_through(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    before = gc.get_freeze_count()
    try:
        with long_imports():
            assert not gc.isenabled()
            imported = [object()]
        assert gc.isenabled()
        assert gc.get_freeze_count() > before
        assert not any(kept is imported for kept in gc.get_objects())
    finally:
        gc.unfreeze()


def test_a_refused_import_leaves_the_search_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch")
    with pytest.raises(ImportError), long_imports():
        raise ImportError
    assert gc.isenabled()


@pytest.mark.parametrize("is_on", [True, False])
def test_where_torch_is_imported_nothing_changes(is_on: bool) -> None:
    before = gc.get_freeze_count()
    if not is_on:
        gc.disable()
    try:
        with long_imports():
            assert gc.isenabled() is is_on
        assert gc.isenabled() is is_on
        assert gc.get_freeze_count() == before
    finally:
        gc.enable()
