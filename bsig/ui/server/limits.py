"""Every limit of the app, for its owner's machine or for strangers: all of them stand here and nowhere else.

    Limits.local()    one's own machine: paths are taken, everything is shared, nothing but memory and disk limits
    Limits.public()   for strangers: no path of the machine, limits on all that costs, each visitor's things apart

Each refusal is one sentence with the value, the rule and the remedy; `words()` says the same before anybody has filled
in a form. A backbone's name decides what is downloaded and how much memory is taken, so a public app takes timm's own
names alone, no paths and no hub addresses, and measures a network before it is loaded.
"""

from __future__ import annotations

import hmac
import math
import os
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from functools import cache, lru_cache
from typing import Any

import torch

from bsig.explain.wording import duration
from bsig.inputs.errors import InputError, megabytes
from bsig.inputs.zips import ZipLimits
from bsig.model.packaged_weights import DEFAULT_BACKBONE, installed_backbones
from bsig.ui.server.headers import ON_SPACES_VARIABLE

MEGABYTE = 2**20
PASSWORD_VARIABLE = "BSIG_FINETUNE_PASSWORD"
ELSEWHERE = "or run bsig on your own machine, where there is no such limit"


@dataclass(frozen=True)
class Limits:
    """The limits of one running app; None where there is no limit.

    Attributes:
        is_public: strangers may come: visitors are kept apart and shipped checkpoints are only read.
        takes_paths: paths and data sets of this machine may be named in forms.
        upload_bytes: size of one uploaded file.
        unpacked_bytes: size of one uploaded zip, unpacked.
        zip_files: files in one uploaded zip.
        finetune_pictures: pictures of one run, each counted once for every view.
        finetune_epochs, finetune_seconds: length of one run; a longer one is stopped and keeps its epochs.
        runs_waiting: a visitor's runs that wait or are being made; the app makes one run at a time.
        runs_kept: a visitor's runs.
        models_kept: a visitor's uploaded checkpoints and models from the Models tab.
        model_weights: parameters of a backbone.
        evaluation_pictures, evaluation_seconds: size and length of one evaluation of own pictures.
        evaluations_kept: a visitor's evaluations (everybody's together where visitors are not kept apart).
        kept_seconds: how long a visitor's things stay after the last request.
        closed_seconds: how long they stay once the last page is closed.
        password: what a fine-tune must come with; None asks for none.
    """

    is_public: bool
    takes_paths: bool
    upload_bytes: int
    unpacked_bytes: int = 8 * 2**30
    zip_files: int = 50_000
    finetune_pictures: int | None = None
    finetune_epochs: int | None = None
    finetune_seconds: float | None = None
    runs_waiting: int | None = None
    runs_kept: int | None = None
    models_kept: int | None = None
    model_weights: int | None = None
    evaluation_pictures: int | None = None
    evaluation_seconds: float | None = None
    evaluations_kept: int = 8
    kept_seconds: float | None = None
    closed_seconds: float | None = None
    password: str | None = field(default=None, repr=False)

    @classmethod
    def local(cls) -> Limits:
        """The limits of an app on one's own machine."""
        return cls(is_public=False, takes_paths=True, upload_bytes=2 * 2**30)

    @classmethod
    def public(cls, password: str | None = None) -> Limits:
        """The limits of an app for strangers, on a machine with two cores."""
        return cls(
            is_public=True,
            takes_paths=False,
            upload_bytes=200 * MEGABYTE,
            unpacked_bytes=400 * MEGABYTE,
            zip_files=5_000,
            finetune_pictures=2_000,
            finetune_epochs=50,
            finetune_seconds=120.0,
            runs_waiting=2,
            runs_kept=5,
            models_kept=5,
            model_weights=150_000_000,
            evaluation_pictures=300,
            evaluation_seconds=300.0,
            evaluations_kept=3,
            kept_seconds=3600.0,
            closed_seconds=60.0,
            password=password or None,
        )

    @classmethod
    def for_app(cls, *, public: bool, environment: Mapping[str, str] = os.environ) -> Limits:
        """The limits that `app.py` was asked for; on Hugging Face Spaces always the public ones.

        The password for fine-tuning is the environment's.
        """
        if public or environment.get(ON_SPACES_VARIABLE):
            return cls.public(environment.get(PASSWORD_VARIABLE))
        return cls.local()

    @property
    def asks_password(self) -> bool:
        """Whether a fine-tune must come with a password."""
        return self.password is not None

    @property
    def zip_limits(self) -> ZipLimits:
        """The limits of an uploaded data set."""
        return ZipLimits(files=self.zip_files, total_bytes=self.unpacked_bytes)

    def check_password(self, attempt: str | None) -> None:
        """Refuses a fine-tune without the right password; takes the same time for every wrong one.

        Raises:
            InputError: the password is another one. The sentence never repeats it.
        """
        if self.password is None:
            return
        if not hmac.compare_digest(_bytes_of(attempt or ""), _bytes_of(self.password)):
            fault = "is not the right one" if attempt else "is missing"
            raise InputError(f"the password for fine-tuning {fault}; ask whoever runs this app, {ELSEWHERE}.")

    def check(self, name: str, value: float | int, limit: float | int | None, remedy: str, unit: str = "") -> None:
        """Refuses a value above a limit.

        Raises:
            InputError: it is above; with name, value, rule and remedy.
        """
        if limit is not None and value > limit:
            suffix = f" {unit}" if unit else ""
            raise InputError(
                f"`{name}` (={value:,.10g}{suffix}) must be at most {limit:,.10g}{suffix} in this public app; "
                f"{remedy}, {ELSEWHERE}."
            )

    def check_count(self, subject: str, has: int, limit: int | None, remedy: str) -> None:
        """Refuses one more of a visitor's things when the limit is reached.

        Raises:
            InputError: the limit is reached; with both numbers and the remedy.
        """
        if limit is not None and has >= limit:
            raise InputError(f"you have {has} {subject}, a visitor of this public app may have {limit}; {remedy}.")

    def check_backbone(self, name: str) -> None:
        """Refuses a backbone that a stranger may not have loaded; a local app takes all.

        Raises:
            InputError: not one of timm's names, or a network that is too large.
        """
        if not self.is_public or name == DEFAULT_BACKBONE:
            return
        if name not in _timm_names():
            raise InputError(
                f"`backbone` (='{name}') must be one of timm's own names with published weights in this public app, no "
                f"path and no hub address; choose one from the list, {ELSEWHERE}."
            )
        if self.model_weights is not None:
            self.check("weights", weights_of(name), self.model_weights, f"choose a smaller backbone than '{name}'")

    def check_description(self, description: dict[str, Any]) -> None:
        """Refuses a checkpoint, by its description, whose backbone a stranger may not have loaded.

        Raises:
            InputError: as `check_backbone`.
        """
        backbone = description.get("backbone")
        self.check_backbone(str(backbone.get("name") if isinstance(backbone, dict) else backbone))

    def finetune_limits(self) -> str:
        """The limits that the Fine-tune form shows before it is filled in; empty in a local app."""
        if not self.is_public:
            return ""
        return (
            f"In this public app: a zip of at most {megabytes(self.upload_bytes)}, {self.finetune_pictures:,} "
            f"pictures (each counted once a view), {self.finetune_epochs} epochs and "
            f"{duration(self.finetune_seconds or 0)} a run; a run that takes longer is stopped and keeps its finished "
            f"epochs. One run is made at a time; you may have {self.runs_waiting} in line and {self.runs_kept} in all. "
            f"{self.lifetime()}"
        )

    def evaluate_limits(self) -> str:
        """The limits that the Evaluate screen shows before own pictures are measured; empty in a local app."""
        if not self.is_public:
            return ""
        return (
            f"In this public app: a zip of at most {megabytes(self.upload_bytes)}, {self.evaluation_pictures} "
            f"pictures and {duration(self.evaluation_seconds or 0)} an evaluation; one is made at a time, your last "
            f"{self.evaluations_kept} are kept. {self.lifetime()}"
        )

    def models_limits(self) -> str:
        """The limits that the Models screen shows; empty in a local app."""
        if not self.is_public:
            return ""
        return (
            f"In this public app: timm's own names of at most {(self.model_weights or 0) / 1e6:.0f} million weights, "
            f"checkpoint zips of at most {megabytes(self.upload_bytes)}, {self.models_kept} models and checkpoints a "
            f"visitor. {self.lifetime()}"
        )

    def lifetime(self) -> str:
        """A sentence on how long a visitor's things stay and who sees them; empty in a local app."""
        if not self.is_public:
            return ""
        return (
            f"Only you see what you make; it is deleted {duration(self.closed_seconds or 0)} after you close the page, "
            f"or {duration(self.kept_seconds or 0)} after you last used it: download what you want to keep."
        )

    def privacy(self) -> str:
        """Two sentences on what becomes of pictures in this app."""
        if not self.is_public:
            return (
                "Pictures are processed by this app on the machine it runs on and sent nowhere else. Uploads and maps "
                "lie in its temporary folder for at most two hours; fine-tunes stay until you delete them."
            )
        return (
            "Pictures go to the machine that runs this public app, are processed in its memory and sent nowhere else. "
            f"{self.lifetime()}"
        )

    def words(self) -> dict[str, str]:
        """Every limit in words, by the name of its field; the table of `assets/docs/hosting.md`."""
        names = [limit.name for limit in fields(self) if limit.name not in ("is_public", "password")]
        return {name: _in_words(name, getattr(self, name)) for name in names}


def _bytes_of(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")  # JSON can name halves of surrogate pairs


class Guesses:
    """The wrong passwords of all visitors together: so many at once, then one every few seconds.

    Of all together, because who guesses takes a new key for every guess.
    """

    def __init__(self, at_once: int = 5, every_s: float = 5.0) -> None:
        self._at_once, self._every_s = at_once, every_s
        self._paid_until = 0.0  # each wrong one costs `every_s`, from now on or from the end of what is to be paid
        self._lock = threading.Lock()

    def check(self) -> None:
        """Refuses one more guess, right or wrong, while too many were wrong.

        Raises:
            InputError: with the time to wait.
        """
        with self._lock:
            wait_s = self._paid_until - time.monotonic() - (self._at_once - 1) * self._every_s
        if wait_s > 0:
            raise InputError(
                f"too many wrong passwords were sent to this app; try again in {math.ceil(wait_s)} s, {ELSEWHERE}."
            )

    def note_wrong(self) -> None:
        """Notes a wrong guess."""
        with self._lock:
            self._paid_until = max(self._paid_until, time.monotonic()) + self._every_s


@cache
def pretrained_names() -> list[str]:
    """Timm's names with published weights, the installed ones first."""
    import timm

    return [*installed_backbones(), *timm.list_pretrained()]


@lru_cache(maxsize=256)
def weights_of(name: str) -> int:
    """The number of parameters of one of timm's networks, without making any of them.

    Raises:
        InputError: timm cannot make the network without its parameters.
    """
    import timm

    try:
        with torch.device("meta"):
            network = timm.create_model(name, pretrained=False)
    except (RuntimeError, NotImplementedError, TypeError, ValueError) as error:
        raise InputError(
            f"`backbone` (='{name}') cannot be measured before it is loaded; choose another, {ELSEWHERE}."
        ) from error
    return sum(parameter.numel() for parameter in network.parameters())


@cache
def _timm_names() -> frozenset[str]:
    """Timm's names, with and without the tag of their weights."""
    names = pretrained_names()
    return frozenset([*names, *(name.split(".")[0] for name in names)])


def _in_words(name: str, limit: float | int | None) -> str:
    if limit is None:
        return "no limit"
    if isinstance(limit, bool):
        return "yes" if limit else "no"
    if name.endswith("seconds"):
        return duration(limit)
    return megabytes(int(limit)) if name.endswith("bytes") else f"{limit:,}"
