"""Who the app is for, and every limit that follows from it: all of them stand here and nowhere else.

    Limits.local()    one's own machine: paths are taken, everything is shared, nothing but memory and disk limits
    Limits.public()   for strangers: no path of the machine, limits on all that costs, each visitor's things apart

Each refusal is one sentence with the value, the rule and the remedy; `words()` says the same before anybody has filled
in a form.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields

from bsig.explain.wording import duration
from bsig.inputs.errors import InputError, megabytes
from bsig.inputs.zips import ZipLimits

MEGABYTE = 2**20
PASSWORD_VARIABLE = "BSIG_FINETUNE_PASSWORD"
ON_SPACES_VARIABLE = "SPACE_ID"
ELSEWHERE = "or run bsig on your own machine, where there is no such limit"


@dataclass(frozen=True)
class Limits:
    """The limits of one running app; None where there is none.

    Attributes:
        is_public: strangers may come: visitors are kept apart and shipped checkpoints are only read.
        takes_paths: paths and data sets of this machine may be named in forms.
        upload_bytes: of one uploaded file.
        unpacked_bytes: of one uploaded zip, unpacked.
        zip_files: in one uploaded zip.
        finetune_pictures: of one run, each counted once for every view.
        finetune_epochs, finetune_seconds: of one run; a run that takes longer is stopped and keeps its epochs.
        runs_waiting: of one visitor, waiting or being made; all runs of all visitors are made one at a time.
        runs_kept: of one visitor.
        models_kept: of one visitor: uploaded checkpoints and models from the Models tab.
        model_weights: parameters of a backbone.
        evaluation_pictures, evaluation_seconds: of one evaluation of own pictures.
        evaluations_kept: of one visitor (of all together where visitors are not kept apart).
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
        """For one's own machine."""
        return cls(is_public=False, takes_paths=True, upload_bytes=2 * 2**30)

    @classmethod
    def public(cls, password: str | None = None) -> Limits:
        """For strangers, on a machine with two cores."""
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
        """As asked for; on Hugging Face Spaces always public. The password is the environment's."""
        if public or environment.get(ON_SPACES_VARIABLE):
            return cls.public(environment.get(PASSWORD_VARIABLE))
        return cls.local()

    @property
    def asks_password(self) -> bool:
        """Whether a fine-tune must come with a password."""
        return self.password is not None

    @property
    def zip_limits(self) -> ZipLimits:
        """Of an uploaded data set."""
        return ZipLimits(files=self.zip_files, total_bytes=self.unpacked_bytes)

    def check_password(self, given: str | None) -> None:
        """Refuses a fine-tune without the right password; takes the same time for every wrong one.

        Raises:
            InputError: the password is another one. The sentence never repeats it.
        """
        if self.password is None:
            return
        if not hmac.compare_digest((given or "").encode(), self.password.encode()):
            said = "is not the right one" if given else "is missing"
            raise InputError(f"the password for fine-tuning {said}; ask whoever runs this app, {ELSEWHERE}.")

    def check(self, name: str, value: float | int, limit: float | int | None, remedy: str, unit: str = "") -> None:
        """Refuses a value above a limit.

        Raises:
            InputError: it is above; with name, value, rule and remedy.
        """
        if limit is not None and value > limit:
            behind = f" {unit}" if unit else ""
            raise InputError(
                f"`{name}` (={value:,.10g}{behind}) must be at most {limit:,.10g}{behind} in this public app; "
                f"{remedy}, {ELSEWHERE}."
            )

    def check_count(self, what: str, has: int, limit: int | None, remedy: str) -> None:
        """Refuses one more of what a visitor already has as many of as are kept.

        Raises:
            InputError: with both numbers and the remedy.
        """
        if limit is not None and has >= limit:
            raise InputError(f"you have {has} {what}, a visitor of this public app may have {limit}; {remedy}.")

    def finetune_limits(self) -> str:
        """What a person should know before filling in the Fine-tune form; empty where nothing is limited."""
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
        """The same before own pictures are measured."""
        if not self.is_public:
            return ""
        return (
            f"In this public app: a zip of at most {megabytes(self.upload_bytes)}, {self.evaluation_pictures} "
            f"pictures and {duration(self.evaluation_seconds or 0)} an evaluation; one is made at a time, your last "
            f"{self.evaluations_kept} are kept. {self.lifetime()}"
        )

    def models_limits(self) -> str:
        """The same before a model is loaded or brought."""
        if not self.is_public:
            return ""
        return (
            f"In this public app: timm's own names of at most {(self.model_weights or 0) / 1e6:.0f} million weights, "
            f"checkpoint zips of at most {megabytes(self.upload_bytes)}, {self.models_kept} models and checkpoints a "
            f"visitor. {self.lifetime()}"
        )

    def lifetime(self) -> str:
        """How long a visitor's things are there and for whom."""
        if not self.is_public:
            return ""
        return (
            f"Only you see what you make; it is deleted {duration(self.closed_seconds or 0)} after you close the page, "
            f"or {duration(self.kept_seconds or 0)} after you last used it: download what you want to keep."
        )

    def privacy(self) -> str:
        """What becomes of pictures, in the words that are true of this app."""
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
        words = {
            "takes_paths": "no" if not self.takes_paths else "yes",
            "upload_bytes": megabytes(self.upload_bytes),
            "unpacked_bytes": megabytes(self.unpacked_bytes),
        }
        shown = {one.name for one in fields(self)} - {"is_public", "password"}
        for name in (one.name for one in fields(self) if one.name in shown and one.name not in words):
            value = getattr(self, name)
            words[name] = "no limit" if value is None else duration(value) if name.endswith("seconds") else f"{value:,}"
        return words
