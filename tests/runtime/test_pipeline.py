"""The ordered, bounded map: order, laziness, failure in its turn, whatever the timing."""

from __future__ import annotations

import itertools
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gender_classifier.runtime.pipeline import batched, ordered_map


class Scarce:
    """Stands for ``Thread.start`` on a system that gives so many threads."""

    def __init__(self, threads):
        self.left = threads
        self.start = threading.Thread.start

    def __call__(self, thread):
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("can't start new thread")
        self.start(thread)


@pytest.mark.parametrize("threads", [0, 1, 2])
@pytest.mark.parametrize("workers", [1, 4])
def test_fewer_threads_than_wanted_do_the_same_work_once(monkeypatch, threads, workers):
    scarce = Scarce(threads)
    monkeypatch.setattr(threading.Thread, "start", lambda thread: scarce(thread))
    calls = []

    def work(number):
        calls.append(number)
        time.sleep(0.001)
        if number == 30:
            raise ValueError("in its turn")
        return number

    results = ordered_map(work, range(50), workers=workers, ahead=6)
    assert [next(results) for _ in range(30)] == list(range(30))
    with pytest.raises(ValueError, match="in its turn"):
        next(results)
    assert sorted(calls) == sorted(set(calls)), "an item may be a stream, which can be read only once"


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0, 0.003), max_size=30), st.integers(1, 5), st.integers(1, 9))
def test_results_come_in_the_order_of_the_items(delays, workers, ahead):
    def slow(item):
        index, delay = item
        time.sleep(delay)
        return index

    assert list(ordered_map(slow, enumerate(delays), workers=workers, ahead=ahead)) == list(range(len(delays)))


def test_an_endless_iterator_is_read_a_few_items_ahead():
    taken = []

    def endless():
        for number in itertools.count():
            taken.append(number)
            yield number

    results = ordered_map(lambda number: number, endless(), workers=2, ahead=5)
    assert [next(results) for _ in range(10)] == list(range(10))
    assert len(taken) <= 15
    results.close()


def test_the_function_runs_beside_the_caller():
    """Two items wait for each other: they finish only when they run at the same time."""
    barrier = threading.Barrier(2, timeout=10)
    assert list(ordered_map(lambda _: barrier.wait() >= 0, range(2), workers=2, ahead=2)) == [True, True]


def test_a_raising_source_comes_after_the_results_before_it():
    def source():
        yield from range(3)
        raise OSError("the disk is gone")

    results = ordered_map(lambda number: number, source(), workers=2, ahead=8)
    assert [next(results) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(OSError, match="the disk is gone"):
        next(results)


def test_a_raising_function_comes_in_its_turn():
    def fail_at_two(number):
        if number == 2:
            raise TypeError("two")
        return number

    results = ordered_map(fail_at_two, range(5), workers=3, ahead=5)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(TypeError, match="two"):
        next(results)


def test_closing_cancels_what_has_not_started():
    started = []
    gate = threading.Event()

    def wait(number):
        started.append(number)
        gate.wait(10)
        return number

    results = ordered_map(wait, range(100), workers=1, ahead=50)
    thread = threading.Thread(target=lambda: next(results, None))
    thread.start()
    while not started:
        time.sleep(0.001)
    gate.set()
    thread.join()
    results.close()
    time.sleep(0.05)
    assert len(started) <= 50


def test_batches_by_weight():
    assert list(batched([1, 1, 3, 1, 0, 0, 1], 3, weight=lambda x: x)) == [[1, 1, 3], [1, 0, 0], [1]]
    assert list(batched([], 3, weight=lambda x: 1)) == []


def test_a_batch_gathered_before_a_failure_is_not_lost():
    def source():
        yield 1
        raise OSError("gone")

    groups = batched(source(), 4, weight=lambda x: 1)
    assert next(groups) == [1]
    with pytest.raises(OSError, match="gone"):
        next(groups)
