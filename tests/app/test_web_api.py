"""The web API through `gradio_client`: answers are the library's, refusals are one sentence, the app goes on."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from gradio_client import Client, handle_file
from gradio_client.exceptions import AppError
from in_process import served_demo
from PIL import Image
from tolerances import FLOAT32, PROBABILITY, assert_close

from bsig import CAM_METHODS, READINGS, TREATMENTS, Explainer, Explanation, list_checkpoints
from bsig.explain.drawing.comparison import BRANCHES, Drawing, branch_picture
from bsig.explain.readings import comparison_readings
from bsig.inputs.paths import ROOT
from bsig.ui.components.examples import bundled_examples
from bsig.ui.workbench import Workbench

pytestmark = pytest.mark.filterwarnings(
    "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
)  # of the server's and the client's own sockets
CHECKPOINT = "imagenet1k-efficientnet_lite0"
CAT = next(example.path for example in bundled_examples() if example.key == "cat")


@pytest.fixture(scope="module")
def bench() -> Workbench:
    return Workbench()


@pytest.fixture(scope="module")
def client(bench: Workbench, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with served_demo(bench) as url:
        yield Client(url, verbose=False, download_files=str(tmp_path_factory.mktemp("answers")))


def _compare(client: Client, image: Path, class_name: str = "", method: str = "cam", weights: str = "signed") -> Any:
    return client.predict(handle_file(str(image)), CHECKPOINT, class_name, method, weights, api_name="/compare")


def _assert_same(answer: dict[str, Any], explanation: Explanation) -> None:
    assert (answer["class_index"], answer["class_name"]) == (explanation.class_index, explanation.class_name)
    for branch in BRANCHES:
        evidence = getattr(explanation, branch)
        assert_close(np.array(answer[branch]["map"], dtype=np.float32), evidence.map, FLOAT32)
        assert_close(np.array(answer[branch]["probability"]), np.array(evidence.probability), PROBABILITY)


@pytest.fixture(scope="module")
def picture() -> Image.Image:
    with Image.open(CAT) as image:
        return image.convert("RGB").resize((300, 260))


# --- who may ask ------------------------------------------------------------------------------------------------------


def test_a_stranger_who_lets_a_name_stand_for_this_machine_reads_nothing(client: Client) -> None:
    for path in ("", "config", "health", "gradio_api/info"):
        response = httpx.get(f"{client.src}{path}", headers={"host": "rebound.evil.example"})
        assert response.status_code == 403
        assert "rebound.evil.example" in response.json()["detail"]
        assert httpx.get(f"{client.src}{path}", headers={"host": "localhost:7860"}).status_code == 200


def test_a_strangers_page_sends_no_file_and_no_question(client: Client) -> None:
    files = {"files": ("x.png", b"x")}
    body = {"data": [], "session_hash": "x"}
    for origin in ("https://evil.example", "null"):
        headers = {"origin": origin}
        assert httpx.post(f"{client.src}gradio_api/upload", files=files, headers=headers).status_code == 403
        assert httpx.post(f"{client.src}gradio_api/call/runs", json=body, headers=headers).status_code == 403
    own = {"origin": client.src.rstrip("/")}
    assert httpx.post(f"{client.src}gradio_api/upload", files=files, headers=own).status_code == 200


# --- answers ----------------------------------------------------------------------------------------------------------


def test_the_names_of_the_api(client: Client) -> None:
    endpoints = client.view_api(return_format="dict", print_info=False)["named_endpoints"]
    assert {"/compare", "/checkpoints", "/logit_shift", "/sign_collapse", "/evaluate"} <= set(endpoints)
    names = [parameter["parameter_name"] for parameter in endpoints["/compare"]["parameters"]]
    assert names[:2] == ["image", "checkpoint"]
    assert names[3:] == ["method", "weights", "finer_grid", "reading", "reading_settings", "other_class"]


@pytest.mark.parametrize(
    ("class_name", "method", "weights"),
    [("", "cam", "signed"), ("golf ball", "layer-cam", "signed"), ("574", "grad-cam", "nonnegative"),
     ("zebra", "cam", "paper")],
)  # fmt: skip
def test_compare_answers_what_the_library_says(
    client: Client, bench: Workbench, class_name: str, method: str, weights: str
) -> None:
    *pictures, answer = _compare(client, CAT, class_name, method, weights)
    model = bench.model(None)
    explanation = (
        Explainer(model)
        .encode(CAT)
        .explain(class_name or None, method, weights, **comparison_readings(model, method, weights))
    )
    _assert_same(answer, explanation)
    assert answer["finding"]
    assert answer["sigmoid"]["reading"] == ("levelled" if (method, weights) == ("cam", "signed") else "plain")
    assert READINGS[explanation.reading].title in answer["reading_text"]
    for branch, path in zip(BRANCHES, pictures, strict=True):
        expected = np.asarray(branch_picture(explanation, branch, Drawing()))
        with Image.open(path) as image:
            np.testing.assert_array_equal(np.asarray(image.convert("RGB")), expected)


def test_compare_on_the_finer_grid_answers_what_the_library_says(client: Client, bench: Workbench) -> None:
    *_, answer = client.predict(
        handle_file(str(CAT)), CHECKPOINT, "golf ball", "cam", "signed", finer_grid=True, api_name="/compare"
    )
    model = bench.model(None)
    encoded = Explainer(model).encode(CAT).finer_grid()
    _assert_same(answer, encoded.explain("golf ball", "cam", **comparison_readings(model, "cam", "signed")))
    assert (answer["grid_hw"], answer["logits_grid_hw"]) == ([14, 14], [7, 7])


@pytest.mark.parametrize(
    ("parameters", "question"),
    [({"reading": "plain"}, {"reading": "plain"}),
     ({"reading_settings": "lambda=3"}, {"reading": "levelled", "reading_settings": {"lambda": 3}}),
     ({"reading": "pairwise", "other_class": "tabby"}, {"reading": "pairwise", "other_class": "tabby"}),
     ({"reading": "pairwise", "other_class": "zebra"}, {"reading": "pairwise", "other_class": "zebra"})],
)  # fmt: skip
def test_compare_reads_the_maps_as_asked(
    client: Client, bench: Workbench, parameters: dict[str, str], question: dict[str, Any]
) -> None:
    """One picture and one class, so that an answer kept for another reading, number or second class would show."""
    request = (handle_file(str(CAT)), CHECKPOINT, "golf ball", "cam", "signed")
    *_, answer = client.predict(*request, **parameters, api_name="/compare")
    explanation = Explainer(bench.model(None)).encode(CAT).explain("golf ball", "cam", **question)
    assert_close(np.array(answer["sigmoid"]["map"], dtype=np.float32), explanation.sigmoid.map, FLOAT32)
    assert answer["other_name"] == explanation.other_name


def test_a_reading_that_does_not_fit_is_refused_in_a_sentence(client: Client) -> None:
    request = (handle_file(str(CAT)), CHECKPOINT, "golf ball", "cam", "signed")
    for parameters, part in (
        ({"reading": "sideways"}, "`reading` (='sideways') must be one of plain"),
        ({"reading_settings": "lambda=99"}, "`lambda` (=99.0) of the reading 'levelled' must be a number from 0 to 16"),
        ({"reading_settings": "lambda=nan"}, "`lambda` (=nan)"),
        ({"reading": "pairwise"}, "must name a class other than 'golf ball'"),
    ):
        ask = partial(client.predict, *request, **parameters, api_name="/compare")
        assert part in _refusal(ask)


def test_a_request_that_was_written_before_the_finer_grid_is_answered_on_the_models_own(client: Client) -> None:
    """Five values, as the endpoint took them, in two plain requests and without gradio_client, which fills in more."""
    with CAT.open("rb") as file:
        (path,) = httpx.post(f"{client.src}gradio_api/upload", files={"files": ("cat.jpg", file)}).json()
    picture = {"path": path, "meta": {"_type": "gradio.FileData"}}
    address = f"{client.src}gradio_api/call/compare"
    event = httpx.post(address, json={"data": [picture, CHECKPOINT, "golf ball", "cam", "signed"]}).json()["event_id"]
    answer = httpx.get(f"{address}/{event}", timeout=60).text
    assert "event: complete" in answer
    assert '"grid_hw": [7, 7]' in answer
    event = httpx.post(address, json={"data": [picture, CHECKPOINT, "golf ball", "cam"]}).json()["event_id"]
    assert "event: error" in httpx.get(f"{address}/{event}", timeout=60).text, "only what came later may be left out"


def test_the_pages_script_asks_for_progress_without_the_queue(client: Client) -> None:
    """Gradio's address of an endpoint and the settings that the page's script reads it from (`static/page.js`)."""
    answer = httpx.post(f"{client.src}gradio_api/run/progress", json={"data": ["run no-such-run"]}).json()
    assert answer["data"] == [{"html": "", "standing": "", "has_ended": True}]
    page = httpx.get(client.src).text
    assert "window.gradio_config" in page
    assert '"api_prefix":"/gradio_api"' in page


def test_checkpoints_lists_what_can_be_loaded(client: Client, bench: Workbench) -> None:
    rows = client.predict(api_name="/checkpoints")
    assert [row["name"] for row in rows] == [row["name"] for row in list_checkpoints(bench.folder)]
    assert CHECKPOINT in [row["name"] for row in rows]


def test_logit_shift_moves_the_softmax_map_and_no_probability(client: Client) -> None:
    answer = client.predict(handle_file(str(CAT)), CHECKPOINT, "", 0.0, "bottom right", api_name="/logit_shift")
    assert answer["largest_softmax_probability_change"] < 1e-5
    assert answer["largest_sigmoid_probability_change"] > 1e-3
    after = np.array(answer["softmax_map"]["after"])
    row, column = np.unravel_index(after.argmax(), after.shape)
    assert row >= 4
    assert column >= 4
    maps = [np.array(answer["centred_map"][side], dtype=np.float32) for side in ("before", "after")]
    np.testing.assert_allclose(maps[0], maps[1], atol=1e-3)


def test_logit_shift_by_delta_adds_delta_times_the_sum_of_features(client: Client, bench: Workbench) -> None:
    delta = -0.02
    answer = client.predict(handle_file(str(CAT)), CHECKPOINT, "", delta, "", api_name="/logit_shift")
    total = bench.encode(CAT, None).features[0].sum(dim=0).numpy()
    for branch in ("softmax_map", "sigmoid_map"):
        change = np.array(answer[branch]["after"]) - np.array(answer[branch]["before"])
        np.testing.assert_allclose(change, delta * total, rtol=1e-3, atol=1e-3)
    assert answer["largest_softmax_probability_change"] < 1e-5


def test_no_shift_moves_nothing(client: Client) -> None:
    answer = client.predict(handle_file(str(CAT)), CHECKPOINT, "", 0.0, "", api_name="/logit_shift")
    assert answer["softmax_map"]["after"] == answer["softmax_map"]["before"]
    assert answer["largest_sigmoid_probability_change"] == 0


def test_sign_collapse_answers_the_diagnostics(client: Client) -> None:
    answer = client.predict(handle_file(str(CAT)), CHECKPOINT, "", "cam", api_name="/sign_collapse")
    assert isinstance(answer, dict)
    assert answer


def test_evaluate_answers_the_results_that_ship(client: Client) -> None:
    name = "birds10-efficientnet_lite0"
    answer = client.predict(name, "shipped", None, "cam", "signed", 200, api_name="/evaluate")
    (run,) = answer["runs"]
    (table,) = run["tables"]
    assert (run["data"], table["method"], table["weights"]) == ("birds10", "cam", "signed")
    assert table["columns"]["sigmoid"]["metrics"]["absent_area"]["difference"]["high"] < 0
    assert "methods" in _refusal(lambda: client.predict(name, "shipped", None, "x", "signed", 9, api_name="/evaluate"))


# --- pictures of every kind: the right picture ------------------------------------------------------------------------


def _as_rgba(picture: Image.Image) -> tuple[bytes, str, Image.Image]:
    alpha = np.tile(np.linspace(0, 255, picture.width).astype(np.uint8), (picture.height, 1))
    layer = picture.copy()
    layer.putalpha(Image.fromarray(alpha))
    white = Image.new("RGBA", picture.size, "white")
    return _saved(layer, "PNG"), "picture.png", Image.alpha_composite(white, layer).convert("RGB")


def _as_sixteen_bit(picture: Image.Image) -> tuple[bytes, str, Image.Image]:
    grey = picture.convert("L")
    wide = Image.fromarray(np.asarray(grey).astype(np.uint16) * 257)
    assert wide.mode == "I;16"
    return _saved(wide, "PNG"), "picture.png", grey.convert("RGB")


def _as_animation(picture: Image.Image) -> tuple[bytes, str, Image.Image]:
    frames = [picture.quantize(64), Image.new("P", picture.size, 3)]
    content = _saved(frames[0], "GIF", save_all=True, append_images=frames[1:], duration=100)
    return content, "picture.gif", frames[0].convert("RGB")


def _as_cmyk(picture: Image.Image) -> tuple[bytes, str, Image.Image]:
    content = _saved(picture.convert("CMYK"), "TIFF")
    return content, "picture.tif", picture.convert("CMYK").convert("RGB")


def _as_turned_by_exif(picture: Image.Image) -> tuple[bytes, str, Image.Image]:
    exif = Image.Exif()
    exif[0x0112] = 6
    stored = picture.transpose(Image.Transpose.ROTATE_90)
    content = _saved(stored, "PNG", exif=exif)
    return content, "picture.png", picture


def _as_one_pixel(picture: Image.Image) -> tuple[bytes, str, Image.Image]:
    pixel = picture.resize((1, 1))
    return _saved(pixel, "PNG"), "picture.png", pixel


def _saved(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


@pytest.mark.parametrize(
    "writer", [_as_rgba, _as_sixteen_bit, _as_animation, _as_cmyk, _as_turned_by_exif, _as_one_pixel]
)
def test_every_kind_of_picture_is_seen_as_it_is_meant(
    client: Client,
    bench: Workbench,
    picture: Image.Image,
    tmp_path: Path,
    writer: Callable[[Image.Image], tuple[bytes, str, Image.Image]],
) -> None:
    content, name, expected = writer(picture)
    file = tmp_path / name
    file.write_bytes(content)
    *_, answer = _compare(client, file, "zebra")
    model = bench.model(None)
    _assert_same(
        answer, Explainer(model).encode(expected).explain("zebra", **comparison_readings(model, None, "signed"))
    )


# --- what cannot be used: one sentence --------------------------------------------------------------------------------


def _refusal(ask: Callable[[], Any]) -> str:
    with pytest.raises(AppError) as caught:
        ask()
    words = str(caught.value)
    assert "\n" not in words
    assert "Traceback" not in words
    assert 20 < len(words) < 400 or "must be one of" in words
    return words


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("notes.jpg", b"these are words, not a picture\n" * 20, "is not a picture that can be opened"),
        ("empty.jpg", b"", "is empty (0 bytes)"),
        ("cut.png", None, "may be cut short"),
        ("huge.png", None, "has 20000 x 20000 = 400 million pixels; the limit is 64 million"),
    ],
)
def test_a_file_that_is_no_usable_picture_is_refused_in_words(
    client: Client, tmp_path: Path, picture: Image.Image, name: str, content: bytes | None, words: str
) -> None:
    file = tmp_path / name
    if name == "huge.png":
        content = _saved(Image.new("1", (20000, 20000)), "PNG")
    elif content is None:
        content = _saved(picture, "PNG")[:20000]
    file.write_bytes(content)
    sentence = _refusal(lambda: _compare(client, file))
    assert words in sentence or (name == "huge.png" and "the limit is 64 million" in sentence)
    assert _refusal(lambda: client.predict(handle_file(str(file)), CHECKPOINT, "", 0.0, "", api_name="/logit_shift"))
    *_, answer = _compare(client, CAT)
    assert answer["class_name"] == "Egyptian cat"


@pytest.mark.parametrize(
    ("question", "names"),
    [
        ({"class_name": "unicorn"}, ["unicorn"]),
        ({"class_name": "1000"}, ["1000"]),
        ({"class_name": "-1"}, ["-1"]),
        ({"method": "no-cam"}, ["no-cam", *CAM_METHODS]),
        ({"weights": "absolute"}, ["absolute", *TREATMENTS]),
    ],
)
def test_an_unknown_class_method_or_treatment_is_refused_with_what_there_is(
    client: Client, question: dict[str, str], names: list[str]
) -> None:
    sentence = _refusal(lambda: _compare(client, CAT, **question))
    assert all(name in sentence for name in names), sentence
    *_, answer = _compare(client, CAT)
    assert answer["class_name"] == "Egyptian cat"


@pytest.mark.parametrize("name", ["no-such", "../../etc", "/"])
def test_only_listed_checkpoints_are_loaded(client: Client, name: str) -> None:
    sentence = _refusal(lambda: client.predict(handle_file(str(CAT)), name, "", "cam", "signed", api_name="/compare"))
    assert CHECKPOINT in sentence


@pytest.mark.parametrize("target", ["centre of the earth", "0, 0"])
def test_an_unknown_target_is_refused(client: Client, target: str) -> None:
    sentence = _refusal(
        lambda: client.predict(handle_file(str(CAT)), CHECKPOINT, "", 0.0, target, api_name="/logit_shift")
    )
    assert "top left" in sentence


def test_importing_bsig_imports_no_gradio() -> None:
    code = "import sys, bsig; sys.exit('gradio' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0
