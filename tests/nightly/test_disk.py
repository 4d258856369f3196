"""A disk that is full, and a user who may write nowhere: commands and the app work, or say in a sentence why not."""

from __future__ import annotations

import contextlib
import json
import os
import re
import resource
import shutil
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from forked import run_forked
from hostile_files import small_picture, zip_of
from http_visitor import CHECKPOINT, Visitor, running_app
from PIL import Image

from bsig.cli.main import main
from bsig.inputs.paths import ASSETS, CHECKPOINTS_FOLDER, EXAMPLES, ROOT

pytestmark = pytest.mark.nightly
CAT = EXAMPLES / "cat.jpg"
UNPRIVILEGED = "tests/support/unprivileged.py"
CLASSES = {"tabby": "cat.jpg", "espresso": "coffee.jpg"}
COMMANDS = {
    "explain": ["explain", CAT, "--out", "{out}"],
    "explain, several": ["explain", CAT, EXAMPLES, "--out", "{out}"],
    "explain, a zip": ["explain", "{data}/pictures.zip", "--out", "{out}"],
    "finetune": ["finetune", "{data}/photos", "--out", "{out}", "--fit-softmax-head", "--epochs", "1"],
    "evaluate": ["evaluate", "{data}/photos", "--checkpoint", "{own}", "--out", "{out}", "--mosaics", "0"],
    "evaluate, kept nowhere": ["evaluate", "{data}/photos", "--checkpoint", "{own}", "--mosaics", "0"],
    "calibrate": ["calibrate", "{own}", "{data}/photos"],
    "fit-readings": ["fit-readings", "{own}", "{data}/photos"],
    "bundle-features": ["bundle-features", "{data}/photos", "--checkpoint", "{own}", "--out", "{out}"],
    "new-model": ["new-model", "tf_efficientnet_lite0", "--out", "{out}"],
    "results": ["results", "--frontier", "{out}"],
    "bench": ["bench", "--table", ASSETS / "docs" / "performance.json", "--page", "{out}"],
}


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that all may look into; pytest's own are closed to other users."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        for name, file in CLASSES.items():
            (folder / "photos" / name).mkdir(parents=True)
            with Image.open(EXAMPLES / file) as photo:
                for number in range(12):
                    middle = photo.crop((number, number, photo.width - number, photo.height - number))
                    middle.resize((224, 224)).save(folder / "photos" / name / f"{number}.png")
        (folder / "pictures.zip").write_bytes(zip_of({"a.png": small_picture(), "b.png": small_picture()}))
        shutil.copytree(CHECKPOINTS_FOLDER / CHECKPOINT, folder / "own")
        yield folder


def command(name: str, folder: Path, out: Path) -> list[str]:
    places = {"out": out, "data": folder, "own": folder / "own"}
    return [str(word).format(**places) for word in COMMANDS[name]]


def check_refused(words: str) -> None:
    """The last line of stderr names the disk or the rights; what comes before it is progress and notes."""
    *_, last = words.strip().splitlines()
    assert last.startswith("bsig: ")
    assert last.endswith(".")
    assert re.search("space|rights|another|TMPDIR", last), last
    assert "Traceback" not in words


# --- a full disk ------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def full_disk() -> Iterator[None]:
    """No file takes another byte of this process, wherever it lies."""
    limits, folder = resource.getrlimit(resource.RLIMIT_FSIZE), tempfile.tempdir
    before = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
    tempfile.tempdir = None  # looked for anew
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, before)
        tempfile.tempdir = folder


@contextlib.contextmanager
def no_temporary_folder(missing: Path) -> Iterator[None]:
    """No place where Python looks for a temporary folder exists."""
    places = tempfile.tempdir, tempfile._candidate_tempdir_list
    tempfile.tempdir, tempfile._candidate_tempdir_list = None, lambda: [str(missing)]
    try:
        yield
    finally:
        tempfile.tempdir, tempfile._candidate_tempdir_list = places


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_on_a_full_disk_says_so_and_leaves_nothing(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsig.cli.evaluate.PARTS_FOLDER", folder / "parts")
    before = (folder / "own" / "checkpoint.json").read_bytes()
    with full_disk():
        code = main(command(name, folder, folder / "out"))
    output = capsys.readouterr()
    assert code == 2, output.err
    check_refused(output.err)
    assert (folder / "own" / "checkpoint.json").read_bytes() == before
    assert [path for path in (folder / "out").rglob("*") if path.is_file()] == []


def test_output_that_a_full_disk_does_not_take_is_said() -> None:
    code = "import sys; sys.stdout = open('/dev/full', 'w'); from bsig.cli.main import main; sys.exit(main(['paper']))"
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    process = run_forked("-c", code)
    assert process.returncode == 2
    check_refused(process.stderr)
    assert process.stderr.count("\n") == 1


# --- no temporary folder ----------------------------------------------------------------------------------------------

NEEDS_TEMPORARY_FOLDER = {"explain, a zip"}
WITHOUT_TEMPORARY_FOLDER = "tests/support/without_temporary_folder.py"


@pytest.mark.parametrize("name", COMMANDS)
def test_a_command_without_a_temporary_folder_works_or_says_that_it_needs_one(
    name: str, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bsig.cli.evaluate.PARTS_FOLDER", folder / "parts")
    monkeypatch.setenv("BSIG_CACHE", str(folder / "cache"))
    with no_temporary_folder(folder / "missing"):
        code = main(command(name, folder, folder / "out"))
    words = capsys.readouterr().err
    if name in NEEDS_TEMPORARY_FOLDER:
        assert code == 2, words
        check_refused(words)
        assert "TMPDIR" in words
        assert not (folder / "out").exists()
    else:
        assert code == 0, words


@pytest.mark.parametrize("kind", ["missing", "read-only"])
def test_where_tmpdir_cannot_be_written_the_system_s_own_folder_is_taken(
    kind: str, folder: Path, nobody: None, capsys: pytest.CaptureFixture[str]
) -> None:
    temporary = folder / "temporary"
    if kind == "read-only":
        temporary.mkdir(mode=0o555)
    arguments = command("evaluate, kept nowhere", folder, folder / "out")
    environment = {**os.environ, "TMPDIR": str(temporary), "BSIG_CACHE": str(folder / "cache"), "PYTHONPATH": str(ROOT)}
    (folder / "cache").mkdir(mode=0o777)
    (folder / "cache").chmod(0o777)
    process = run_forked("-c", MANY, json.dumps([arguments]), env=environment, timeout=600)
    assert "ENDED 0" in process.stderr, process.stderr


def test_an_app_without_a_temporary_folder_says_so_and_a_public_one_has_its_own(folder: Path) -> None:
    environment = {**os.environ, "TMPDIR": str(folder / "missing"), "BSIG_CACHE": str(folder / "cache")}
    environment.pop("GRADIO_TEMP_DIR", None)
    process = run_forked(
        WITHOUT_TEMPORARY_FOLDER, "app.py", "--port", 0, "--work-folder", folder / "work", env=environment
    )
    assert process.returncode == 2
    check_refused(process.stderr)
    assert "TMPDIR" in process.stderr
    with running_app(folder / "app", "--public", program=(WITHOUT_TEMPORARY_FOLDER, "app.py")) as (url, _):
        visitor = Visitor(url)
        assert visitor.compare(CAT.read_bytes(), "zebra")[-1]["class_name"] == "zebra"
        visitor.close()


@pytest.mark.parametrize("profile", ["local", "public"])
def test_an_app_whose_temporary_folders_are_removed_while_it_runs_makes_them_again(profile: str, folder: Path) -> None:
    """A system's cleaner takes what nobody has touched for days."""
    app = folder / "app"
    with running_app(app, *(["--public"] if profile == "public" else [])) as (url, _):
        visitor = Visitor(url)
        for name in ("zebra", "golf ball"):
            assert visitor.compare(CAT.read_bytes(), name)[-1]["class_name"] == name
            places = [app / "gradio", *app.glob("work/public/*/temporary")]
            for place in [*places, app / "tmp"]:
                shutil.rmtree(place, ignore_errors=True)
        assert visitor.compare(CAT.read_bytes(), "espresso")[-1]["class_name"] == "espresso"
        pictures = visitor.upload(
            zip_of({f"{name}/{n}.png": small_picture() for name in "ab" for n in range(4)}), "a.zip"
        )
        run = visitor.ask("finetune", pictures, "own", CHECKPOINT, "new", "full", 1, 0.1, 8, 0)[0]
        assert (run["standing"], run["epochs_done"]) == ("finished", 1), run
        visitor.close()
    assert "Traceback" not in (app / "log").read_text()


# --- a user without rights --------------------------------------------------------------------------------------------

MANY = """
import json, sys
sys.path.insert(0, "tests/support")
from unprivileged import drop_rights
drop_rights()
from bsig.cli.main import main
for arguments in json.loads(sys.argv[1]):
    print("ENDED", main(arguments), file=sys.stderr)
"""


@pytest.fixture
def nobody() -> None:
    """Skips where this process cannot become another user who still reads the interpreter."""
    process = run_forked(UNPRIVILEGED, "-m", "this") if hasattr(os, "geteuid") and os.geteuid() == 0 else None
    if process is None or process.returncode:
        pytest.skip("only root can become a user without rights, where the system allows it")


@pytest.mark.usefixtures("nobody")
def test_a_user_who_may_write_nowhere_is_told_so_by_every_command(folder: Path) -> None:
    """Neither into the place that `--out` names, nor into the home folder, nor into the checkpoint."""
    home = folder / "home"
    home.mkdir()
    environment = {**os.environ, "HOME": str(home), "BSIG_CACHE": str(home / "cache"), "PYTHONPATH": str(ROOT)}
    reading = ["doctor", CHECKPOINT, str(CAT)]
    commands = [reading, *(command(name, folder, home / "out") for name in COMMANDS if name != "explain, a zip")]
    process = run_forked("-c", MANY, json.dumps(commands), env=environment, timeout=600)
    assert process.returncode == 0, process.stderr
    parts = re.split(r"ENDED (\d+)\n", process.stderr)
    assert [int(code) for code in parts[1::2]] == [0, *([2] * (len(commands) - 1))], process.stderr
    for words in parts[2:-1:2]:
        check_refused(words)
    assert list(home.iterdir()) == []


@pytest.mark.usefixtures("nobody")
@pytest.mark.parametrize("public", [True, False])
def test_an_app_whose_work_folder_may_not_be_written_says_so(folder: Path, public: bool) -> None:
    options = ["--public"] if public else []
    process = run_forked(UNPRIVILEGED, "app.py", "--work-folder", folder / "work", *options)
    assert process.returncode == 2
    check_refused(process.stderr)
    assert str(folder / "work") in process.stderr


@pytest.mark.usefixtures("nobody")
def test_an_app_of_a_user_without_rights_answers_and_trains(folder: Path) -> None:
    """Its code and its home may only be read; features of uploaded pictures are kept in memory."""
    app, home = folder / "app", folder / "home"
    for place in (app, app / "work", app / "tmp"):
        place.mkdir()
        place.chmod(0o777)
    home.mkdir()
    environment = {"HOME": str(home), "BSIG_CACHE": str(home / "cache")}
    with running_app(app, "--public", program=(UNPRIVILEGED, "app.py"), env=environment) as (url, _):
        visitor = Visitor(url)
        assert visitor.compare(CAT.read_bytes(), "zebra")[-1]["class_name"] == "zebra"
        names = {f"{name}/{number}.png": small_picture(colour=f"#{number:06x}") for name in "ab" for number in range(4)}
        pictures = visitor.upload(zip_of(names), "own.zip")
        run = visitor.ask("finetune", pictures, "own", CHECKPOINT, "new", "full", 1, 0.1, 8, 0)[0]
        assert (run["standing"], run["epochs_done"]) == ("finished", 1), run
        visitor.close()
    assert "Traceback" not in (app / "log").read_text()
    assert list(home.iterdir()) == []
