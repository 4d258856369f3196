"""A device is one that torch has here, or refused by name."""

from __future__ import annotations

import pytest
import torch

from bsig.inputs.errors import InputError
from bsig.model.devices import chosen_device


def test_auto_is_the_best_device_here(monkeypatch: pytest.MonkeyPatch) -> None:
    for cuda, mps, best in ((True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")):
        monkeypatch.setattr(torch.cuda, "is_available", lambda there=cuda: there)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda there=mps: there)
        assert chosen_device("auto") == best


def test_a_device_is_taken_as_named_where_it_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    for name in ("cpu", "cpu:0", "cuda", "cuda:0", "cuda:1"):
        assert chosen_device(name) == name
    for name in ("cuda:2", "cuda:-1", "cuda:x", "cuda:", "cpu:7", "cpu:", "gpu", ""):
        with pytest.raises(InputError, match=r"`device` .* must be one that torch finds here: auto, cpu, cuda"):
            chosen_device(name)


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_cuda_is_refused_where_there_is_none() -> None:
    with pytest.raises(InputError, match=r"`device` \(='cuda'\) must be one that torch finds here: auto, cpu"):
        chosen_device("cuda")
