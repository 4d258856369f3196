"""A filled-in form becomes a run: the data is checked, the run's folder is made whole, and it gets into line.

check = form_check(form, bench)                       what the data is, before anything starts
name = start_run(form, bench, queue, "my run")        checked again, and in line
"""

from __future__ import annotations

import contextlib
import shutil
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image

from bsig.inputs.datasets.splits import TrainingSplits, train_and_held_out
from bsig.inputs.datasets.torchvision_sets import PREFIX, torchvision_set
from bsig.inputs.errors import InputError
from bsig.inputs.images import read_image
from bsig.inputs.paths import BUNDLED_FEATURES
from bsig.model.dual_branch import DualBranch
from bsig.training.config import FinetuneConfig
from bsig.training.data_check import DataCheck, check_splits, estimated_seconds
from bsig.training.features.bundle import bundle_fits
from bsig.training.runs.folder import DATA, PROBE, RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED, RunRequest
from bsig.ui.screens.finetune.form import Form
from bsig.ui.workbench import Workbench

LARGEST_PROBE = 1024
BUNDLED_PICTURES = 1000
PROBES_TRIED = 200


def form_check(form: Form, bench: Workbench) -> DataCheck | None:
    """The data as it was found before anything starts; None where there are no pictures here to look at.

    All is known of the shipped features, and a data set of torchvision is downloaded by the run.

    Raises:
        InputError: a setting or the data cannot be used, in a sentence.
    """
    model, config, address = form.start_model(bench), form.config(bench), form.address(bench.limits)
    if form.kind == "zip":
        with bench.visitor_space.uploads.unpacked(form.zip_file or "", bench.limits.zip_limits) as upload:
            check = _check(upload.splits(config.training.seed), model, config)
        _check_pictures(bench, check, config.views.count)
        return check
    if form.kind == "bundled":
        _check_bundled(model, new_head=form.new_head)
        return None
    if form.kind == "torchvision":
        torchvision_set(address.removeprefix(PREFIX))
        return None
    return _check(train_and_held_out(address, config.training.seed), model, config)


def create_run(
    form: Form, bench: Workbench, runs: RunFolder, name: str, probe: str | None = None, probe_class: str | None = None
) -> str:
    """Makes a run's folder with everything it needs, ready for the line; returns the run's name.

    Args:
        form: the settings and the data.
        bench: the app's models, limits and visitors.
        runs: where the run is made.
        name: as the visitor wishes it; empty for one made of data and branch.
        probe: path of a picture whose maps are drawn every epoch; None for one of the data's own, with its class, where
            the data's pictures lie here.
        probe_class: the class of these maps; None for the predicted one.

    Raises:
        InputError: a setting, the data or the probe cannot be used, or a limit of this app is reached; nothing is left
            behind.
    """
    bench.visitor_spaces.check_password(form.password)
    _check_room(bench, runs)  # early as well, so that no zip is unpacked in vain
    check, config, address = form_check(form, bench), form.config(bench), form.address(bench.limits)
    own = None if probe else own_probe(form, bench, check)
    if own:
        probe_class = own.class_name
    request = RunRequest(
        form.kind, address, config, probe_class,
        seconds=bench.limits.finetune_seconds, keeps_features=not bench.is_public,
    )  # fmt: skip
    if bench.limits.finetune_seconds is not None:
        request = replace(request, estimated_seconds=_seconds(check, form, bench))
    with bench.visitor_space.lock:
        _check_room(bench, runs)
        wish = name.strip() or f"{Path(address).stem.replace('torchvision:', '')}-{config.training.branch}"
        folder = runs.create(wish, request, bench.checkpoint_names())
    try:
        if form.kind == "zip":
            with bench.visitor_space.uploads.unpacked(form.zip_file or "", bench.limits.zip_limits) as upload:
                request = replace(request, address=str(upload.move_to(folder / DATA)))
            runs.change_request(folder, request)
        if probe or own:
            with bench.decoding:
                picture = own.picture if own else read_image(probe or "", "the probe picture")
                picture.thumbnail((LARGEST_PROBE, LARGEST_PROBE), Image.Resampling.BICUBIC)
            picture.save(folder / PROBE)
    except InputError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except OSError as error:
        shutil.rmtree(folder, ignore_errors=True)
        raise InputError(f"run '{folder.name}' cannot be kept ({error}); free space.") from error
    return folder.name


def start_run(
    form: Form, bench: Workbench, queue: RunQueue, name: str, probe: str | None = None, probe_class: str | None = None
) -> str:
    """Creates a run and puts it into the line; returns its name.

    Raises:
        InputError: as `create_run`, or the line is full; nothing is left behind.
    """
    run_name = create_run(form, bench, queue.folder, name, probe, probe_class)
    try:
        queue.submit(run_name)
    except InputError:
        shutil.rmtree(queue.folder.runs / run_name, ignore_errors=True)
        raise
    return run_name


def resume_run(bench: Workbench, queue: RunQueue, name: str) -> None:
    """Puts a run that was cut off into the line again.

    Raises:
        InputError: as `RunQueue.resume`, or a limit of this app is reached.
    """
    with bench.visitor_space.lock:
        _check_waiting(bench, queue.folder)
        queue.resume(name)


@dataclass(frozen=True)
class OwnProbe:
    """A picture of the visitor's own data, and which class of the trained model it shows."""

    picture: Image.Image
    class_name: str


def own_probe(form: Form, bench: Workbench, check: DataCheck | None) -> OwnProbe | None:
    """The first picture that can be opened of those held out, else of those trained on.

    None where no pictures lie here: those of torchvision's sets are downloaded by the run, and of the shipped ones
    there are features alone.

    Raises:
        InputError: as `form_check`.
    """
    seed = form.config(bench).training.seed
    if check is None:
        return None
    if form.kind == "zip":
        with bench.visitor_space.uploads.unpacked(form.zip_file or "", bench.limits.zip_limits) as upload:
            return _first_picture(upload.splits(seed), form, bench, check)
    return _first_picture(train_and_held_out(form.address(bench.limits), seed), form, bench, check)


def _first_picture(splits: TrainingSplits, form: Form, bench: Workbench, check: DataCheck) -> OwnProbe | None:
    held_out = splits.held_out.samples if splits.held_out else ()
    names = form.start_model(bench).class_names
    for sample in [*held_out, *splits.train.samples][:PROBES_TRIED]:
        if sample.class_name not in check.match.index_of:
            continue
        with contextlib.suppress(InputError):
            name = sample.class_name if form.new_head else names[check.match.index_of[sample.class_name]]
            return OwnProbe(sample.open(), name)
    return None


def _check(splits: TrainingSplits, model: DualBranch, config: FinetuneConfig) -> DataCheck:
    return check_splits(
        splits, model, new_head=config.softmax_head is not None, views=config.views.count,
        epochs=config.training.epochs, batch_size=config.training.batch_size,
    )  # fmt: skip


def _check_bundled(model: DualBranch, *, new_head: bool) -> None:
    if new_head:
        raise InputError("the shipped features are of ImageNet's classes; choose your own data for a new label set.")
    if not bundle_fits(BUNDLED_FEATURES, model):
        raise InputError(
            f"the shipped features are of the default backbone and ImageNet's classes, not of '{model.name}'; choose "
            "your own data, or start from the default checkpoint."
        )


def _seconds(check: DataCheck | None, form: Form, bench: Workbench) -> float:
    """How long the run is thought to take; nothing is encoded of the shipped features."""
    if check:
        return check.seconds_encoding + check.seconds_training
    model, training = form.start_model(bench), form.config(bench).training
    return sum(estimated_seconds(
        model, 0, BUNDLED_PICTURES, classes=model.num_classes, epochs=training.epochs, batch_size=training.batch_size
    ))  # fmt: skip


def _check_pictures(bench: Workbench, check: DataCheck, views: int) -> None:
    name = "pictures" if views == 1 else f"pictures, each in {views} views"
    bench.limits.check(name, check.usable * views + check.held_out, bench.limits.finetune_pictures, "upload fewer")


def _check_room(bench: Workbench, runs: RunFolder) -> None:
    _check_waiting(bench, runs)
    bench.limits.check_count("runs", len(runs.names()), bench.limits.runs_kept, "delete one first")


def _check_waiting(bench: Workbench, runs: RunFolder) -> None:
    going = sum(run.state.standing not in ENDED for run in runs.read_all())
    bench.limits.check_count("runs in line", going, bench.limits.runs_waiting, "wait for one to end, or stop one")
