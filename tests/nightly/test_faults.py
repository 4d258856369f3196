"""The app where a machine gives it little, and where it is killed: it works, or says in a sentence why not."""

from __future__ import annotations

import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from forked import free_port
from hostile_files import small_picture, zip_of
from http_visitor import CHECKPOINT, RefusedError, Visitor, running_app, wait_until_healthy

from bsig.inputs.errors import InputError
from bsig.inputs.paths import CHECKPOINTS_FOLDER, EXAMPLES, ROOT
from bsig.model.checkpoints.listing import list_checkpoints
from bsig.model.checkpoints.load import load_checkpoint
from bsig.training.runs.folder import RunFolder
from bsig.training.runs.queue import RunQueue
from bsig.training.runs.run import ENDED
from bsig.ui.components.examples import bundled_examples
from bsig.ui.screens.finetune.form import Form
from bsig.ui.screens.finetune.new_run import create_run
from bsig.ui.server.limits import Limits
from bsig.ui.server.visitor_space import VisitorSpaces
from bsig.ui.workbench import Workbench

CAT = next(example.path for example in bundled_examples() if example.key == "cat")
KILLS = 20
GIGABYTE = 2**30


# --- folders that cannot be used --------------------------------------------------------------------------------------


@pytest.mark.parametrize("place", ["a file", "below a file", "of the system"])
def test_a_work_folder_that_cannot_be_used_is_refused_in_one_sentence(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("x")
    folder = {"a file": tmp_path / "file", "below a file": tmp_path / "file" / "work", "of the system": Path("/proc/x")}
    with pytest.raises(InputError, match="choose another"):
        VisitorSpaces(Limits.public(), folder[place])
    with pytest.raises(InputError, match="choose another"):
        RunQueue(RunFolder(folder[place]), CHECKPOINTS_FOLDER)


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file takes another byte, of this process."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)


@pytest.mark.nightly
def test_a_run_on_a_full_disk_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    spaces = VisitorSpaces(Limits.local(), tmp_path / "work")
    bench = Workbench(visitor_spaces=spaces)
    pictures = {f"{name}/{number}.png": small_picture() for name in ("tench", "banana") for number in range(3)}
    (tmp_path / "pets.zip").write_bytes(zip_of(pictures))
    runs = bench.visitor_space.runs
    assert runs
    runs.runs.mkdir(parents=True)
    bench.model(None)
    for form in (Form(), Form(kind="zip", zip_file=str(tmp_path / "pets.zip"))):
        with full_disk(), pytest.raises(InputError, match="free space"):
            create_run(form, bench, runs, "mine")
        assert list(runs.runs.iterdir()) == []
    assert create_run(Form(), bench, runs, "mine") == "mine"
    spaces.close()


# --- little of everything ---------------------------------------------------------------------------------------------


def bare_environment(temporary: Path) -> dict[str, str]:
    """No language, no home, and only one place for temporary files."""
    variables = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV") if name in os.environ}
    return {**variables, "LANG": "C", "LC_ALL": "C", "HOME": "/nonexistent", "TMPDIR": str(temporary)}


def limit_process() -> None:
    """64 open files, 4 GB of memory, one core."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
    resource.setrlimit(resource.RLIMIT_DATA, (4 * GIGABYTE, 4 * GIGABYTE))  # not libraries' read-only files
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


@pytest.mark.nightly
def test_commands_with_few_files_and_little_memory_in_a_path_with_blanks(tmp_path: Path) -> None:
    """`python -O`, another working directory, no language, no home; data and results named with umlauts."""
    place = tmp_path / "a path with blanks"
    for kind, example in {"Kätzchen": "cat.jpg", "Kaffee": "coffee.jpg"}.items():
        (place / "Bilder" / kind).mkdir(parents=True)
        for number in range(4):
            content = (EXAMPLES / example).read_bytes() + bytes([number])
            (place / "Bilder" / kind / f"{number}.jpg").write_bytes(content)
    environment = {**bare_environment(tmp_path), "PYTHONPATH": str(ROOT), "BSIG_CACHE": str(tmp_path / "cache")}
    class_map = "Kätzchen=Egyptian cat,Kaffee=espresso"
    for arguments in (
        ["explain", "Bilder/Kätzchen/0.jpg", "--class", "golf ball", "--out", "Erklärung"],
        ["finetune", "Bilder", "--out", "mein-Zweig", "--fit-softmax-head", "--epochs", "1"],
        ["evaluate", "Bilder", "--class-map", class_map, "--mosaics", "4", "--out", "Maße.json"],
    ):
        process = subprocess.run(
            [sys.executable, "-O", "-m", "bsig", *arguments], cwd=place, env=environment, capture_output=True,
            encoding="utf-8", preexec_fn=limit_process, check=False,
        )  # fmt: skip
        assert process.returncode == 0, process.stderr
    explanation = json.loads((place / "Erklärung" / "explanation.json").read_text(encoding="utf-8"))
    assert explanation["class_name"] == "golf ball"
    assert load_checkpoint(place / "mein-Zweig").class_names == ("Kaffee", "Kätzchen")
    assert json.loads((place / "Maße.json").read_text(encoding="utf-8"))["counts"]["used"] == 8


@pytest.mark.nightly
def test_an_app_with_few_files_and_little_memory_in_a_path_with_blanks(tmp_path: Path) -> None:
    """`python -O`, another working directory, no language, no home, 64 open files, 4 GB of memory."""
    app = tmp_path / "a path with blanks"
    app.mkdir()
    shutil.copy(ROOT / "app.py", app)
    shutil.copytree(ROOT / "bsig", app / "bsig")
    for name in ("assets", "checkpoints"):
        (app / name).symlink_to(ROOT / name)
    writable = tmp_path / "work"
    writable.mkdir()
    port = free_port()
    command = [sys.executable, "-O", str(app / "app.py"), "--public", "--port", str(port), "--work-folder", "work"]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=tmp_path,
            env=bare_environment(writable),
            stdout=log,
            stderr=log,
            preexec_fn=limit_process,
        )
        try:
            wait_until_healthy(f"http://127.0.0.1:{port}", process, tmp_path / "log", 300)  # type: ignore[arg-type]
            visitor = Visitor(f"http://127.0.0.1:{port}")
            *_, answer = visitor.compare(CAT.read_bytes(), "golf ball", name="Kätzchen.jpg")
            assert answer["class_name"] == "golf ball"
            run = visitor.ask("finetune", None, "mine", CHECKPOINT, "own", "full", 1, 0.1, 64, 0)[0]
            assert (run["standing"], run["epochs_done"]) == ("finished", 1), run
            others = [Visitor(f"http://127.0.0.1:{port}") for _ in range(80)]  # more than there are files
            for other in others:
                with contextlib.suppress(Exception):
                    other.http.get("/health", timeout=0.2)
            for other in others:
                other.close()
            *_, answer = visitor.compare(CAT.read_bytes(), "zebra")
            assert answer["class_name"] == "zebra"
            visitor.close()
        finally:
            process.terminate()
            process.wait(timeout=30)
    assert "Traceback" not in (tmp_path / "log").read_text(errors="replace")


# --- killed -----------------------------------------------------------------------------------------------------------


def _check_disk(work: Path) -> None:
    """Whatever lies there is whole: states, events, checkpoints."""
    runs = RunFolder(work)
    for name in runs.names():
        run = runs.read(name)
        assert run.state.standing in ENDED, run.state
        if run.state.standing == "finished":
            assert (run.state.checkpoint, run.state.epochs_done) == (name, 3)
    for row in list_checkpoints(runs.checkpoints) if runs.checkpoints.is_dir() else []:
        assert "error" not in row, row
        load_checkpoint(runs.checkpoints / row["name"])
    for file in work.rglob("*.json"):
        json.loads(file.read_text())


@pytest.mark.nightly
def test_killed_at_any_moment_the_app_and_its_worker_leave_whole_files_and_ended_runs(tmp_path: Path) -> None:
    generator, work = random.Random(7), tmp_path / "work"
    for number in range(KILLS):
        # An app that starts says of the runs before it how they ended.
        with running_app(tmp_path) as (url, process):
            _check_disk(work)
            visitor = Visitor(url)
            for name in ("left", "right"):
                with contextlib.suppress(RefusedError):
                    visitor.send("finetune", None, f"{name}{number}", CHECKPOINT, "own", "full", 3, 0.1, 64, 0)
            time.sleep(generator.uniform(0.0, 6.0))
            app = psutil.Process(process.pid)
            victims = [app, *app.children(recursive=True)]
            if generator.random() < 0.5:
                victims.reverse()
            for victim in victims:
                with contextlib.suppress(psutil.NoSuchProcess):
                    victim.kill()
            visitor.close()
    with running_app(tmp_path) as (url, _):
        _check_disk(work)
        visitor = Visitor(url)
        run = visitor.ask("finetune", None, "last", CHECKPOINT, "own", "full", 3, 0.1, 64, 0)[0]
        assert run["standing"] == "finished"
        visitor.close()
