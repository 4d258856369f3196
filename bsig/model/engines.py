"""The encoder as it is run for explaining: the same features up to a stated tolerance, sooner.

    fast_features(encoder, "torch", inputs)         BatchNorm folded into the convolutions (`folding.py`)
    fast_features(encoder, "onnxruntime", inputs)   the same network run by ONNX Runtime, where it is installed; on CPUs

The encoder itself is never changed: its bytes are what checkpoints are checked by, and its own features are what
training caches. What runs fast is made at first use, compared with the encoder on random pictures, kept as long as the
encoder lives, and made again when its tensors were written to, moved or replaced.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import threading
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bsig.inputs.errors import InputError, first_line

ENGINES = ("torch", "onnxruntime")
ONNX_PACKAGES = ("onnxruntime", "onnx")
TOLERANCE = 1e-4
"""How far a feature may be from the encoder's own, in shares of the largest one; rounding moves it by some 1e-6."""
CANNOT_RUN = (RuntimeError, ValueError, TypeError, AttributeError, KeyError, IndexError, AssertionError)
Run = Callable[[Tensor], Tensor]
LayerTensors = Sequence[Mapping[str, Tensor | None]]
State = list[tuple[int, int]]


@dataclass(frozen=True)
class FastEncoder:
    """A faster network in place of an encoder.

    Attributes:
        run: inputs -> features; None for the encoder itself, where nothing is gained.
        change: the largest difference from the encoder's features on random pictures, in shares of the largest one.
        tensors: those of each of the encoder's layers.
        state: where they were in memory, and how often each had been written to.
    """

    run: Run | None
    change: float
    tensors: LayerTensors
    state: State

    def is_outdated(self) -> bool:
        """Whether a tensor of the encoder was written to, moved or replaced."""
        return _state(self.tensors) != self.state


_FAST_ENCODERS: WeakKeyDictionary[nn.Module, dict[tuple[Any, ...], FastEncoder]] = WeakKeyDictionary()
_MAKING = threading.Lock()


def check_engine(name: str, device: torch.device | str = "cpu") -> None:
    """Refuses an engine that cannot run here.

    Raises:
        InputError: it is none of `ENGINES`, is not installed, or does not run on the device.
    """
    if name not in ENGINES:
        raise InputError(f"`engine` (='{name}') must be one of {', '.join(ENGINES)}.")
    if name == "onnxruntime":
        packages = [package for package in ONNX_PACKAGES if importlib.util.find_spec(package) is None]
        if packages:
            raise InputError(
                f"`engine` (='{name}') is not installed: pip install {' '.join(packages)}, or use 'torch'."
            )
        if torch.device(device).type != "cpu":
            raise InputError(f"`engine` (='{name}') runs on CPUs, `device` is '{device}'; use 'torch' there.")


def fast_features(encoder: nn.Module, engine: str, inputs: Float[Tensor, "b 3 H W"]) -> Float[Tensor, "b ..."]:
    """The encoder's features without gradient, each within `TOLERANCE` of its own.

    Raises:
        InputError: as `check_engine`; or the engine cannot run this network, or not within the tolerance.
    """
    run = fast_encoder(encoder, engine, inputs).run or encoder
    with torch.no_grad():
        return run(inputs)


def fast_encoder(encoder: nn.Module, engine: str, inputs: Float[Tensor, "b 3 H W"]) -> FastEncoder:
    """The faster network for inputs of this size, made if it is not there yet.

    Raises:
        InputError: as `fast_features`.
    """
    # ONNX Runtime's network is made for one size of picture; the folded one takes any.
    key = (engine, *inputs.shape[2:]) if engine == "onnxruntime" else (engine,)
    fast = _FAST_ENCODERS.get(encoder, {}).get(key)
    if fast is None or fast.is_outdated():
        with _MAKING:
            fast = _FAST_ENCODERS.setdefault(encoder, {}).get(key)
            if fast is None or fast.is_outdated():
                fast = _FAST_ENCODERS[encoder][key] = _new_fast_encoder(encoder, engine, inputs)
    return fast


def _tensors(encoder: nn.Module) -> LayerTensors:
    return [tensors for layer in encoder.modules() for tensors in (layer._parameters, layer._buffers) if tensors]


def _state(tensors: LayerTensors) -> State:
    return [
        (tensor.data_ptr(), tensor._version) for layer in tensors for tensor in layer.values() if tensor is not None
    ]


@torch.no_grad()
def _new_fast_encoder(encoder: nn.Module, engine: str, inputs: Tensor) -> FastEncoder:
    check_engine(engine, inputs.device)
    tensors = _tensors(encoder)
    state = _state(tensors)
    example = torch.randn(2, *inputs.shape[1:], generator=torch.Generator().manual_seed(0)).to(inputs)
    run: Run | None
    run, change = _folded(encoder, example)
    if engine == "onnxruntime":
        run, change = _checked_onnx_run(run or encoder, encoder, example)
    return FastEncoder(run, change, tensors, state)


def _folded(encoder: nn.Module, example: Tensor) -> tuple[nn.Module | None, float]:
    """The encoder with BatchNorm folded, and how far that moves features; None where nothing is to be gained.

    That is a network without BatchNorm behind a convolution, or one whose features would move too far.
    """
    from bsig.model.folding import fold_batch_norm, foldable_pairs

    try:
        pairs = foldable_pairs(encoder, example)
        if pairs:
            network = fold_batch_norm(encoder, pairs)
            change = _change(network, encoder, example)
            if change <= TOLERANCE:
                return network, change
    except CANNOT_RUN:
        pass  # a network that reads its layers' weights in a way of its own
    return None, 0.0


def _change(run: Run, encoder: nn.Module, example: Tensor) -> float:
    own = encoder(example)
    return float((run(example) - own).abs().max() / own.abs().max())


def _checked_onnx_run(network: nn.Module, encoder: nn.Module, example: Tensor) -> tuple[Run, float]:
    try:
        run = _onnx_run(network, example[:1])
        # Two pictures: a network that was exported for a batch of one alone fails here.
        change = _change(run, encoder, example)
    except Exception as error:
        # The exporter and ONNX Runtime raise a dozen kinds of their own for what they do not know.
        reason = first_line(error)[:120]
        raise InputError(f"`engine` (='onnxruntime') cannot run this network ({reason}); use 'torch'.") from error
    if not change <= TOLERANCE:
        raise InputError(
            f"`engine` (='onnxruntime') moves this network's features by {change:.1g} of their range; at most "
            f"{TOLERANCE:g} is allowed: use 'torch'."
        )
    return run, change


def _onnx_run(network: nn.Module, example: Tensor) -> Run:
    """The network as ONNX Runtime runs it, in float32, for any number of pictures of the example's size."""
    import onnxruntime

    file = io.BytesIO()
    # On failure it prints the whole network.
    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        # The older of PyTorch's exporters, which it calls deprecated: 0.4 s for the default encoder, the newer one 7 s.
        torch.onnx.export(
            network, (example,), file, dynamo=False,  # type: ignore[arg-type]  # a file in memory will do
            opset_version=17, input_names=["inputs"],
            dynamic_axes={"inputs": {0: "b"}},
        )  # fmt: skip
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=["CPUExecutionProvider"])

    def run(inputs: Tensor) -> Tensor:
        return torch.from_numpy(session.run(None, {"inputs": inputs.contiguous().numpy()})[0])

    return run
