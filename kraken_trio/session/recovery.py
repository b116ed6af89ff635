"""Recovery of a subscription that failed: resubscribe it, with backoff, or park it.

Rules:

1. Retries back off, and are limited. After the last one the subscription is parked: unsubscribed, announced by a gap,
   and requested again after ``Settings.park_time``.
2. The count of failures in a row is reset when the subscription was live for ``Settings.stable_after``.
3. Unsubscribing is not repeated where it would not help: all channels but books stay subscribed after one resubscribe
   without data.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kraken_trio.events import Cause
from kraken_trio.session.lifecycle import Trigger
from kraken_trio.session.records import Parked, Resynced
from kraken_trio.session.steps import Happening, Step
from kraken_trio.session.timing import growing

if TYPE_CHECKING:
    from kraken_trio.evidence import ChecksumEvidence
    from kraken_trio.session.deliveries import Deliveries
    from kraken_trio.session.subscription import Subscription
    from kraken_trio.session.subscriptions import Subscriptions
    from kraken_trio.settings import Settings
    from kraken_trio.statistics import Counters

__all__ = ["Recovery"]

_THROTTLE_PAUSE: Final = 1.0
"""The first wait, in seconds, of a symbol that was refused with "Exceeded msg rate"; doubled for each further one."""


class Recovery:
    """Handles failures, and the attempts that follow."""

    def __init__(
        self,
        settings: Settings,
        counters: Counters,
        deliveries: Deliveries,
        subscriptions: Subscriptions,
        *,
        has_tokens: bool = False,
    ) -> None:
        self._settings = settings
        self._counters = counters
        self._deliveries = deliveries
        self._subscriptions = subscriptions
        self._has_tokens = has_tokens

    # Failures

    def fail(self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumEvidence | None = None) -> None:
        """Its data cannot be trusted: resubscribe it."""
        self._forgive(sub)
        self._break(sub, cause, detail, evidence, attempt=sub.attempts + 1)
        self.again(sub, detail)
        self._deliveries.advance(Trigger[cause.name], sub.key[1] or "")

    def refresh(self, sub: Subscription, detail: str) -> None:
        """It may be stale: resubscribe it. The caller limits how often."""
        self._break(sub, Cause.RESUBSCRIBED, detail, None, attempt=0)
        sub.resume_at = None
        self._subscriptions.happen(sub, Happening.FAILED)
        self._deliveries.advance(Trigger.RESUBSCRIBED, sub.key[1] or "")

    def expelled(self, sub: Subscription) -> None:
        """The exchange has unsubscribed it by itself."""
        detail = "the exchange unsubscribed it without a request"
        self._forgive(sub)
        self._break(sub, Cause.RESUBSCRIBED, detail, None, attempt=sub.attempts + 1)
        sub.data_due = None
        is_given_up = self._count_failure(sub)
        self._subscriptions.left(sub)
        if is_given_up:
            self._tell_parked(sub, detail)
        self._deliveries.advance(Trigger.RESUBSCRIBED, sub.key[1] or "")

    def _forgive(self, sub: Subscription) -> None:
        """Reset the count of failures if it was live for ``Settings.stable_after``."""
        if sub.step is Step.LIVE and self._subscriptions.now - sub.live_since >= self._settings.stable_after:
            sub.attempts = 0

    def _break(
        self, sub: Subscription, cause: Cause, detail: str, evidence: ChecksumEvidence | None, *, attempt: int
    ) -> None:
        sub.state.reset()
        self._counters.resyncs += 1
        frame = self._deliveries.frame
        self._deliveries.record(
            Resynced(request=sub.request, cause=cause, detail=detail, attempt=attempt, evidence=evidence, frame=frame)
        )
        self._subscriptions.gap(sub, cause, detail, evidence)

    def _no_first_data(self, sub: Subscription) -> None:
        if sub.renewed and not sub.state.must_verify:  # mutant: stays subscribed
            self._subscriptions.happen(sub, Happening.NO_DATA)
            return
        sub.renewed = True
        self.fail(sub, Cause.RESUBSCRIBED, "its first data did not come")

    # Retrying

    def throttle(self, sub: Subscription) -> None:
        """Request it again after a pause. A rate limit does not count as a failure of this subscription."""
        sub.throttled += 1
        sub.resume_at = self._subscriptions.now + growing(
            _THROTTLE_PAUSE, sub.throttled, self._settings.attempt_delay_max
        )
        self._subscriptions.happen(sub, Happening.NOT_NOW)

    def unauthorised(self, sub: Subscription, text: str) -> None:
        """The token was not accepted: request it again with another one, once."""
        if sub.is_token_renewed or not self._has_tokens:
            self._subscriptions.refused(sub, text)
            return
        sub.is_token_renewed = True
        self._deliveries.effects.renew_token = True
        sub.resume_at = self._subscriptions.now + self._settings.connect_timeout  # if none comes before
        self._subscriptions.happen(sub, Happening.NOT_NOW)

    def authorised(self) -> None:
        """There is another token: those that wait for it are requested at once."""
        for sub in list(self._subscriptions.by_key.values()):
            if sub.is_token_renewed and sub.step is Step.PAUSED:
                sub.resume_at = None
                self._subscriptions.happen(sub, Happening.DUE)

    def retry(self, sub: Subscription, text: str) -> None:
        """Request it again after a pause; after the last attempt unsubscribe it and park it."""
        sub.attempts += 1
        if sub.attempts > self._settings.attempts:
            self._give_up(sub)
            self._subscriptions.happen(sub, Happening.FAILED)
            self._tell_parked(sub, text)
        else:
            sub.resume_at = self._subscriptions.now + self._delay(sub.attempts)
            self._subscriptions.happen(sub, Happening.NOT_NOW)

    def again(self, sub: Subscription, text: str) -> None:
        """Unsubscribe it, then request it again; after the last attempt park it."""
        is_given_up = self._count_failure(sub)
        self._subscriptions.happen(sub, Happening.FAILED)
        if is_given_up:
            self._tell_parked(sub, text)

    def _count_failure(self, sub: Subscription) -> bool:
        """Count a failure in a row, and set the pause (none after the first). Returns whether it was the last."""
        sub.attempts += 1
        if sub.attempts > self._settings.attempts:  # mutant: last attempt
            self._give_up(sub)
            return True
        sub.resume_at = None if sub.attempts == 1 else self._subscriptions.now + self._delay(sub.attempts - 1)
        return False

    def _delay(self, nth: int) -> float:
        return growing(self._settings.attempt_delay, nth, self._settings.attempt_delay_max)

    def _give_up(self, sub: Subscription) -> None:
        """Have it parked once it is unsubscribed."""
        sub.attempts = self._settings.attempts  # after the park time it has one attempt
        sub.is_parked = True
        sub.resume_at = self._subscriptions.now + self._settings.park_time

    def _tell_parked(self, sub: Subscription, text: str) -> None:
        attempts, seconds = self._settings.attempts + 1, self._settings.park_time
        self._counters.parked += 1
        self._deliveries.record(
            Parked(request=sub.request, detail=text, attempts=attempts, seconds=seconds, frame=self._deliveries.frame)
        )
        rest = f"parked after {attempts} attempts, next attempt in {seconds:g} s"
        self._subscriptions.deny(sub, Cause.PARKED, f"{text} ({rest})")

    # Time

    def tick(self, now: float) -> None:
        """Do what is due."""
        for key in self._subscriptions.derived.pop_without_data(now):
            self._no_first_data(self._subscriptions.by_key[key])
        for key in self._subscriptions.derived.pop_rested(now):
            sub = self._subscriptions.by_key[key]
            sub.resume_at = None
            self._subscriptions.happen(sub, Happening.DUE)
