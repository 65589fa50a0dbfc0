"""An ordered, bounded, threaded map: what lets decoding run beside inference with flat memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

__all__ = ["batched", "ordered_map"]

In = TypeVar("In")
Out = TypeVar("Out")


def ordered_map(function: Callable[[In], Out], items: Iterable[In], *, workers: int, ahead: int) -> Iterator[Out]:
    """Applies ``function`` in threads and yields the results in the order of the items.

    At most ``ahead`` items are taken from ``items`` beyond the one whose result was yielded last, so memory does not
    grow with their number, and an endless iterator is fine. When ``items`` or ``function`` raises, the results before
    that point are yielded first. Closing the generator cancels what has not started.

    Args:
        function: Called once per item, from several threads.
        items: Read lazily, from the caller's thread only.
        workers: Number of threads, 1 or more.
        ahead: How many items may be under way, 1 or more.
    """
    pending: deque[Future[Out]] = deque()
    source = iter(items)
    failure: BaseException | None = None
    exhausted = False
    executor = ThreadPoolExecutor(workers, thread_name_prefix="decode")
    try:
        while True:
            while not exhausted and len(pending) < ahead:
                try:
                    item = next(source)
                except StopIteration:
                    exhausted = True
                except Exception as error:  # noqa: BLE001 - raised again below, after the results before it
                    failure, exhausted = error, True
                else:
                    pending.append(executor.submit(function, item))
            if not pending:
                break
            yield pending.popleft().result()
        if failure is not None:
            raise failure
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def batched(items: Iterable[In], size: int, weight: Callable[[In], int]) -> Iterator[list[In]]:
    """Groups consecutive items until their weights add up to ``size``; an item of weight 0 still counts as one place.

    When ``items`` raises, the group gathered so far is yielded first.
    """
    group: list[In] = []
    total = 0
    source = iter(items)
    while True:
        try:
            item = next(source)
        except StopIteration:
            break
        except Exception:
            if group:
                yield group
            raise
        group.append(item)
        total += max(1, weight(item))
        if total >= size:
            yield group
            group, total = [], 0
    if group:
        yield group
