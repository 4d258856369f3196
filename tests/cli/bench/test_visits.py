"""The simulated hour obeys what queueing theory says, and the page it makes follows from the measured times."""

from __future__ import annotations

import math

import pytest

from bsig.cli.bench.visits import KEPT_ENCODINGS, AnswerTimes, Hour, Line, Visit, simulated_hours

ONE_QUESTION = Visit(own_pictures=0, questions=1, pause_s=0.0, finetune_share=0.0)


def test_a_line_makes_who_comes_too_soon_wait() -> None:
    line = Line()
    assert [line.served(now, 2.0) for now in (0.0, 1.0, 5.0)] == [2.0, 4.0, 7.0]
    assert (line.waits, line.busy_s) == ([0.0, 1.0, 0.0], 6.0)


@pytest.mark.parametrize("load", [0.3, 0.7])
def test_the_mean_wait_is_that_of_pollaczek_and_khinchine(load: float) -> None:
    service_s = 1.0
    hour = Hour(3600 * load / service_s, AnswerTimes(service_s, service_s), ONE_QUESTION, hours=10, seed=1)
    hour.run()
    waits = hour.answers.waits
    expected = load * service_s / (2 * (1 - load))  # random arrivals, every service alike
    assert math.isclose(sum(waits) / len(waits), expected, rel_tol=0.1)
    assert math.isclose(hour.answers.busy_s / hour.seconds, load, rel_tol=0.02)


def test_a_picture_is_encoded_once_while_it_is_kept_and_again_when_it_was_forgotten() -> None:
    times = AnswerTimes(new_s=1e-3, known_s=1e-4)
    alone = Hour(5, times, Visit(pause_s=0.0, questions=4, own_pictures=2, examples=10**6), hours=2)
    alone.run()
    visitors = len(alone.answer_seconds) // 12
    assert visitors > 3
    assert alone.encoded == 3 * visitors  # of twelve questions
    crowd = Hour(900, times, Visit(pause_s=600.0, questions=4, own_pictures=2, examples=10**6), hours=1)
    crowd.run()
    assert crowd.most_at_once > KEPT_ENCODINGS
    assert crowd.encoded > 0.9 * len(crowd.answer_seconds)


def test_more_visitors_wait_longer_and_the_same_draw_gives_the_same_rows() -> None:
    times, visit = AnswerTimes(0.8, 0.4), Visit(finetune_share=0.5)
    rows = simulated_hours(times, visit, (5, 100, 300))
    p95 = [row["answer, 95th percentile, s"] for row in rows]
    assert p95[0] <= p95[1] < p95[2]
    assert rows[0]["fine-tunes busy"] != rows[2]["fine-tunes busy"] == "100%"
    assert simulated_hours(times, visit, (100,)) == rows[1:2]
