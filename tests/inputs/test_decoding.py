"""Pictures are decoded in threads, come in their order, and no more of them are opened than the caller soon needs."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from bsig.inputs.decoding import decoded_ahead


def test_batches_come_in_order_with_what_was_made_of_each_source() -> None:
    batches = list(decoded_ahead(range(7), lambda number: number * number, 3, threads=2))
    assert batches == [[(0, 0), (1, 1), (2, 4)], [(3, 9), (4, 16), (5, 25)], [(6, 36)]]
    assert list(decoded_ahead([], abs, 3, threads=2)) == []


@pytest.mark.parametrize("ahead", [1, 2])
def test_sources_are_asked_for_so_many_batches_ahead_and_no_further(ahead: int) -> None:
    asked_for: list[int] = []

    def sources() -> Iterator[int]:
        for number in range(40):
            asked_for.append(number)
            yield number

    batches = decoded_ahead(sources(), abs, 4, 2, ahead)
    for number in range(3):
        assert next(batches)[0] == (4 * number, 4 * number)
        assert len(asked_for) == 4 * (number + 1 + ahead)
    batches.close()
    assert len(asked_for) == 4 * (3 + ahead)


def test_the_next_batch_is_decoded_in_other_threads_while_this_one_is_used() -> None:
    decoded, caller = threading.Event(), threading.get_ident()

    def decode(number: int) -> int:
        if number == 2:
            decoded.set()
        return threading.get_ident()

    batches = decoded_ahead(range(4), decode, 2, threads=1)
    first = next(batches)
    assert decoded.wait(5)
    assert caller not in {thread for _, thread in first}


def test_what_decoding_raises_is_raised_at_its_batch_and_ends_the_threads() -> None:
    batches = decoded_ahead([1, 2, 0, 4], lambda number: 1 / number, 2, threads=2)
    assert next(batches) == [(1, 1.0), (2, 0.5)]
    with pytest.raises(ZeroDivisionError):
        next(batches)
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("decode")]
