"""What comes out of a hidden nursery: the body's error, ours, or both; cancelled or not; interrupted or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import trio
import trio.testing

from kraken_trio._nursery import open_hidden_nursery

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable


async def background(error: BaseException | None) -> None:
    try:
        await trio.sleep_forever()
    finally:
        if error is not None:
            raise error


async def run(
    *,
    user: BaseException | None = None,
    ours: BaseException | None = None,
    cancelled: bool = False,
    start: Callable[[BaseException | None], Awaitable[None]] = background,
) -> trio.CancelScope:
    """A block whose body raises ``user`` while its background task, when cancelled, raises ``ours``."""
    with trio.CancelScope() as scope:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(start, ours)
            await trio.testing.wait_all_tasks_blocked()
            if cancelled:
                scope.cancel()
            if user is not None:
                raise user
            if not cancelled:
                nursery.cancel_scope.cancel()
            await trio.sleep_forever()
    return scope


async def fail_at_once(error: BaseException | None) -> None:
    assert error is not None
    raise error


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt, SystemExit, trio.TooSlowError])
@pytest.mark.parametrize("whose", ["user", "ours"])
async def test_one_error_comes_out_as_it_is(kind: type[BaseException], whose: str, cancelled: bool) -> None:
    error = kind("mine")
    error.__context__ = context = LookupError()
    with pytest.raises(kind) as info:
        await run(**{whose: error}, cancelled=cancelled)  # type: ignore[arg-type]  # whose is one of its names
    assert info.value is error
    if whose == "user":
        assert error.__context__ is context
    assert not isinstance(error.__cause__, BaseExceptionGroup)


async def test_context_of_an_error_in_an_except_clause_is_kept() -> None:
    with pytest.raises(ValueError, match="second") as info:
        async with open_hidden_nursery():
            try:
                raise KeyError("first")
            except KeyError:
                raise ValueError("second")  # noqa: B904 (its implicit context is the point)
    assert isinstance(info.value.__context__, KeyError)


async def test_background_error_ends_the_body() -> None:
    error = ValueError("ours")
    with pytest.raises(ValueError, match="ours") as info:
        await run(ours=error, start=fail_at_once)
    assert info.value is error


@pytest.mark.parametrize("cancelled", [False, True])
async def test_both_is_an_internal_error(cancelled: bool) -> None:
    user, ours = ValueError("user"), KeyError("ours")
    with pytest.raises(RuntimeError, match="a background task failed in addition to the body") as info:
        await run(user=user, ours=ours, cancelled=cancelled)
    cause = info.value.__cause__
    assert isinstance(cause, BaseExceptionGroup)
    assert set(cause.exceptions) >= {user, ours}


@pytest.mark.parametrize("cancelled", [False, True])
@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("first", [True, False])
async def test_an_interrupt_comes_first(kind: type[BaseException], first: bool, cancelled: bool) -> None:
    errors = kind("stop"), ValueError("other")
    user, ours = errors if first else errors[::-1]
    with pytest.raises(kind, match="stop") as info:
        await run(user=user, ours=ours, cancelled=cancelled)
    cause = info.value.__cause__
    assert isinstance(cause, BaseExceptionGroup)
    assert set(cause.exceptions) >= set(errors)


async def test_cancellation_from_outside_stays_there() -> None:
    assert (await run(cancelled=True)).cancelled_caught


async def test_nothing_raised() -> None:
    async with open_hidden_nursery() as nursery:
        nursery.start_soon(trio.lowlevel.checkpoint)


async def test_cancelling_the_nursery_itself_is_silent() -> None:
    async with open_hidden_nursery() as nursery:
        nursery.cancel_scope.cancel()
        await trio.sleep_forever()


@pytest.mark.filterwarnings("ignore::trio.TrioDeprecationWarning")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_group_of_the_body_is_not_taken_apart_whatever_trio_run_was_told() -> None:
    async def main() -> None:
        async with open_hidden_nursery():
            raise ExceptionGroup("mine", [error])

    error = ValueError()
    with pytest.raises(ExceptionGroup, match="mine") as info:
        trio.run(main, strict_exception_groups=False)
    assert info.value.exceptions == (error,)


async def test_a_background_task_with_a_nursery_of_its_own_is_only_cancelled() -> None:
    # Regression: its group of nothing but Cancelled counted as a failure beside the body's error.
    async def background() -> None:
        async with trio.open_nursery() as inner:
            inner.start_soon(trio.sleep_forever)
            inner.start_soon(trio.sleep_forever)

    mine = ValueError("mine")
    with trio.CancelScope() as outer, pytest.raises(ValueError, match="mine") as caught:
        async with open_hidden_nursery() as nursery:
            nursery.start_soon(background)
            await trio.lowlevel.checkpoint()
            outer.cancel()
            raise mine
    assert caught.value is mine
