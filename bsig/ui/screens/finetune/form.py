"""The Fine-tune form's values -> a checked request."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, get_args

from PIL import Image

from bsig.inputs.datasets.splits import train_and_held_out
from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.inputs.zips import extract_zip, extracted_zip
from bsig.model.backbones import chosen_device
from bsig.model.dual_branch import BranchKind, DualBranch
from bsig.training.config import FinetuneConfig, SoftmaxHeadConfig, TrainingConfig, Views
from bsig.training.data_check import DataCheck, check_data, check_match, estimated_seconds, matched
from bsig.training.features.bundle import BUNDLED_FEATURES, bundle_fits
from bsig.training.finetune import start_model
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import DATA, ENDED, PROBE, DataKind, RunFolder, RunRequest
from bsig.ui.server.allowed_models import check_backbone
from bsig.ui.server.limits import Limits
from bsig.ui.workbench import Workbench

DATA_KINDS: dict[DataKind, str] = {
    "bundled": "Shipped features: 1,000 ImageNet classes",
    "zip": "Upload a zip",
    "folder": "A folder on this machine",
    "torchvision": "A torchvision data set",
}
TORCHVISION = ("Imagenette", "OxfordIIITPet", "Flowers102", "Caltech101", "FGVCAircraft", "EuroSAT", "DTD")
BACKBONE = "timm: "
LARGEST_PROBE = 1024
BUNDLED_PICTURES = 1000
Number = float | int | None  # what an emptied field gives


@dataclass(frozen=True)
class Form:
    """What the visitor filled in, in the order of the screen's components."""

    kind: DataKind = "bundled"
    zip_file: str | None = None
    folder: str = ""
    dataset: str = TORCHVISION[0]
    labels: str = "own"
    start: str = ""
    branch: str = "full"
    epochs: Number = 10
    learning_rate: Number = 0.2
    schedule: str = "cosine"
    batch_size: Number = 32
    weight_decay: Number = 5e-4
    positive_weight: Number = None
    initialisation: str = "clone"
    views: Number = 1
    device: str = "auto"
    seed: Number = 0
    password: str | None = field(default=None, repr=False)

    def config(self, bench: Workbench) -> FinetuneConfig:
        """The settings, each checked.

        Raises:
            InputError: a setting breaks its rule or a limit of this app; the sentence names it.
        """
        bench.limits.check("epochs", self.epochs or 0, bench.limits.finetune_epochs, "choose fewer")
        training = TrainingConfig(
            branch=_one_of("branch", self.branch, get_args(BranchKind)),
            epochs=_whole("epochs", self.epochs),
            learning_rate=_number("learning_rate", self.learning_rate),
            schedule=_one_of("schedule", self.schedule, ("cosine", "constant")),
            batch_size=_whole("batch_size", self.batch_size),
            weight_decay=_number("weight_decay", self.weight_decay),
            positive_weight=None if not self.positive_weight else _number("positive_weight", self.positive_weight),
            initialisation=_one_of("initialisation", self.initialisation, ("clone", "fresh")),
            seed=_whole("seed", self.seed),
        )
        config = FinetuneConfig(
            softmax_head=SoftmaxHeadConfig() if self.labels == "new" else None,
            training=training,
            views=Views(_whole("views", self.views), seed=training.seed),
            device=chosen_device(bench.device if bench.is_public else self.device),
        )
        return _started_from(config, (self.start or "").strip() or bench.default_checkpoint, bench)


def _started_from(config: FinetuneConfig, start: str, bench: Workbench) -> FinetuneConfig:
    if start.startswith(BACKBONE):
        name = start.removeprefix(BACKBONE).strip()
        check_backbone(bench.limits, name)
        return replace(config, backbone=name)
    return replace(config, start_from=str(bench.checkpoint_path(start)))


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> Any:
    if value not in allowed:
        raise InputError(f"`{name}` (={value}) must be one of: {', '.join(allowed)}.")
    return value


def _whole(name: str, value: Number) -> int:
    number = _number(name, value)
    if number != int(number):
        raise InputError(f"`{name}` (={value}) must be a whole number.")
    return int(number)


def _number(name: str, value: Number) -> float:
    if value is None or not abs(value) < float("inf"):
        raise InputError(f"`{name}` (={value}) must be a number; fill it in.")
    return float(value)


def start_of(form: Form, bench: Workbench) -> DualBranch:
    """The model that the form starts from; a checkpoint that the page has loaded is not loaded twice."""
    start = form.start or ""  # what comes over HTTP may be empty
    if start.startswith(BACKBONE):
        return start_model(form.config(bench), bench.folder)
    return bench.model(start.strip() or None)


def address_of(form: Form, bench: Workbench) -> str:
    """What the data is called, or where it lies.

    Raises:
        InputError: nothing is chosen, or a kind that this app does not take.
    """
    if form.kind not in kinds_taken(bench.limits):
        raise InputError(
            f"`data` (={form.kind}) must be one of: {', '.join(kinds_taken(bench.limits))}; this public app reads no "
            "files and data sets of its machine: upload a zip."
        )
    if form.kind == "bundled":
        return BUNDLED_FEATURES.stem
    if form.kind == "torchvision":
        return f"torchvision:{form.dataset.strip()}"
    if form.kind == "folder":
        if not form.folder.strip():
            raise InputError("`folder` (empty) must be the path of a folder of class folders; fill it in.")
        return form.folder.strip()
    if not form.zip_file:
        raise InputError("no zip is chosen; upload one that holds a folder of pictures for each class.")
    return Path(form.zip_file).name


def looked_over(form: Form, bench: Workbench) -> DataCheck | None:
    """The data, checked before anything starts; None for the shipped features, which need no check.

    Raises:
        InputError: it cannot be used, in a sentence.
    """
    model, new_head, config = start_of(form, bench), form.labels == "new", form.config(bench)
    address = address_of(form, bench)
    if form.kind == "bundled":
        _check_bundled(model, new_head=new_head)
        return None
    training = config.training

    def checked(where: str) -> DataCheck:
        return check_data(
            where, model, new_head=new_head, views=config.views.count, epochs=training.epochs,
            batch_size=training.batch_size, seed=training.seed,
        )  # fmt: skip

    if form.kind == "zip":
        with extracted_zip(form.zip_file or "", bench.limits.zip_limits) as folder:
            found = checked(str(folder))
        _check_pictures(bench, found.usable * config.views.count + found.held_out, config.views.count)
        return found
    return checked(address)


def _check_bundled(model: DualBranch, *, new_head: bool) -> None:
    if new_head:
        raise InputError("the shipped features are of ImageNet's classes; choose your own data for a new label set.")
    if not bundle_fits(BUNDLED_FEATURES, model):
        raise InputError(
            f"the shipped features are of the default backbone and ImageNet's classes, not of '{model.name}'; choose "
            "your own data, or start from the default checkpoint."
        )


def submitted(
    form: Form, bench: Workbench, runs: RunFolder, name: str, probe: str | None, probe_class: str | None
) -> str:
    """A run's folder with everything it needs, ready for the line; returns its name.

    Raises:
        InputError: a setting, the data or the probe cannot be used, or a limit of this app is reached; nothing is left
            behind.
    """
    bench.limits.check_password(form.password)
    config, address, model = form.config(bench), address_of(form, bench), start_of(form, bench)
    if form.kind == "bundled":
        _check_bundled(model, new_head=form.labels == "new")
    if form.kind == "folder":
        _counted(address, model, config)
    wanted = name.strip() or f"{Path(address).stem.replace('torchvision:', '')}-{config.training.branch}"
    request = RunRequest(
        form.kind, address, config, probe_class,
        seconds=bench.limits.finetune_seconds, keeps_features=not bench.is_public,
    )  # fmt: skip
    with bench.visitor_space.lock:
        _check_room(bench, runs)
        folder = runs.create(wanted, request, bench.checkpoint_names())
    try:
        encoded, trained, classes = 0, BUNDLED_PICTURES, model.num_classes
        if form.kind == "zip":
            root = extract_zip(form.zip_file or "", folder / DATA, bench.limits.zip_limits)
            encoded, trained, classes = _counted(str(root), model, config)
            _check_pictures(bench, encoded, config.views.count)
            request = replace(request, address=str(root))
        if bench.limits.finetune_seconds is not None:
            request = replace(request, estimated_seconds=sum(estimated_seconds(
                model, encoded, trained, classes=classes, epochs=config.training.epochs,
                batch_size=config.training.batch_size,
            )))  # fmt: skip
        runs.change_request(folder, request)
        if probe:
            picture = read_image(probe, "the probe picture")
            picture.thumbnail((LARGEST_PROBE, LARGEST_PROBE), Image.Resampling.BICUBIC)
            picture.save(folder / PROBE)
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"run '{folder.name}' cannot be kept ({error}); free space.") from error
    return folder.name


def started(
    form: Form, bench: Workbench, queue: RunQueue, name: str, probe: str | None, probe_class: str | None
) -> str:
    """`submitted`, and put into the line; returns its name.

    Raises:
        InputError: as `submitted`, or the line is full; nothing is left behind.
    """
    made = submitted(form, bench, queue.folder, name, probe, probe_class)
    try:
        queue.submit(made)
    except InputError:
        shutil.rmtree(queue.folder.runs / made, ignore_errors=True)
        raise
    return made


def resumed(bench: Workbench, queue: RunQueue, name: str) -> None:
    """Puts a run that was cut off into the line again.

    Raises:
        InputError: as `RunQueue.resume`, or a limit of this app is reached.
    """
    with bench.visitor_space.lock:
        _check_waiting(bench, queue.folder)
        queue.resume(name)


def kinds_taken(limits: Limits) -> dict[DataKind, str]:
    """What can be trained on here, with its words: what lies on the app's machine only where it is one's own."""
    return {key: words for key, words in DATA_KINDS.items() if limits.takes_paths or key in ("bundled", "zip")}


def _check_room(bench: Workbench, runs: RunFolder) -> None:
    _check_waiting(bench, runs)
    bench.limits.check_count("runs", len(runs.names()), bench.limits.runs_kept, "delete one first")


def _check_waiting(bench: Workbench, runs: RunFolder) -> None:
    going = sum(run.state.standing not in ENDED for run in runs.read_all())
    bench.limits.check_count("runs in line", going, bench.limits.runs_waiting, "wait for one to end, or stop one")


def _check_pictures(bench: Workbench, encoded: int, views: int) -> None:
    name = "pictures" if views == 1 else f"pictures, each in {views} views"
    bench.limits.check(name, encoded, bench.limits.finetune_pictures, "upload fewer")


def _counted(address: str, model: DualBranch, config: FinetuneConfig) -> tuple[int, int, int]:
    """Pictures to encode (every view counts), pictures to train on, classes.

    Raises:
        InputError: too few classes match.
    """
    splits = train_and_held_out(address, config.training.seed)
    images, held_out = splits.train, splits.held_out
    match = matched(images, model, new_head=config.softmax_head is not None)
    check_match(images, match, model)
    count = sum(sample.class_name in match.index_of for sample in images.samples)
    held = sum(sample.class_name in match.index_of for sample in held_out.samples) if held_out else 0
    classes = len(images.class_names) if config.softmax_head else model.num_classes
    return count * config.views.count + held, count, classes
