"""The checks of a relay: from what was seen at the broker to findings. Each is a function, and measures nothing itself.

Ages are by the broker's clock: from when it stored a message to when it stored the newest one that was seen.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import attrs

from kraken_trio._text import printable
from kraken_trio.cli.doctor import checks
from kraken_trio.cli.doctor.checks import failed, judged, seconds, skipped
from kraken_trio.cli.doctor.findings import Finding, Level, Limit
from kraken_trio.cli.formatting import counted, listed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = [
    "RELAY_CHECKS",
    "ShardSeen",
    "broker",
    "catalog",
    "clock",
    "is_owned",
    "keyframes",
    "lag",
    "owners",
    "present",
    "reader",
    "shards",
    "split",
    "stream",
]

RELAY_CHECKS: Final = (
    "relay-broker",
    "relay-stream",
    "relay-shards",
    "relay-catalog",
    "relay-owner",
    "relay-keyframes",
    "relay-clock",
    "relay-lag",
    "relay-book",
)
"""Their names, in the order in which they are made."""

CONNECT: Final = Limit(1.0, 5.0)
CLOCK: Final = Limit(1.0, 10.0)
"""More, and a start by time begins elsewhere than was meant."""
LAG: Final = Limit(1.0, 5.0)
FIRST_BOOK: Final = 1.5
"""In intervals of key frames: the time within which a late reader's first book should be verified."""
SILENCE: Final = 2.0
"""In intervals, too: whoever publishes says something within that."""
_OF_LOGIN: Final = re.compile(r"log ?in\b|allow|authori[sz]|password|credential|permission", re.IGNORECASE)
_OF_SERVER: Final = "is not enabled: "
"""After which stands what to do with the server."""
_OF_TLS: Final = re.compile(r"\bTLS\b(?! or not)|\bSSL\b|certificate", re.IGNORECASE)
"""But not the question whether a listener speaks "TLS or not", which stands behind any failure to connect to Kafka."""
_OF_ANOTHER: Final = "does not speak"
_OF_PLAIN: Final = "does not encrypt"
_STALE: Final = (3.0, 12.0)
"""In intervals, too: from which age on a catalog or a key frame is late, and dead: readers ignore it then."""


@attrs.frozen(kw_only=True)
class ShardSeen:
    """The newest catalog of a shard."""

    shard: int
    shards: int
    producer: int
    age: float
    """Seconds."""
    every: float
    """Seconds between two key frames."""
    requests: int
    silent: float | None = None
    """Nothing of it came for so many seconds; None if something came."""


def split(error: str) -> tuple[str, str]:
    """What an error says has happened, and what to do."""
    if "; " not in error:
        if _OF_SERVER in error:
            says, _, cure = error.rpartition(": ")
            return says, cure
        if _OF_LOGIN.search(error):
            return error, (
                "set KRAKEN_BROKER_USER and KRAKEN_BROKER_PASSWORD (or _TOKEN), or name a file (--broker-creds, "
                "--broker-nkey); and see what the broker allows this user"
            )
        if _OF_ANOTHER in error:
            return error, "see the port in the URL, and what listens there"
        if _OF_PLAIN in error:
            return (
                error,
                "write nats:// instead of tls:// in the URL, or have the server encrypt (tls in its configuration)",
            )
        if _OF_TLS.search(error):
            return error, "see the names in the certificate, and --broker-ca, --broker-cert and --broker-key"
    return checks.split(error)


def broker(name: str, took: float | None, error: str = "") -> Finding:
    """Whether the broker was reached, and how long that took."""
    if took is None:
        says, cure = split(error)
        return failed("relay-broker", f"{name}: {says}", cure)
    cure = "check the network and the load of the broker"
    return judged("relay-broker", took, CONNECT, f"connected to {name} after {seconds(took)}", cure)


def stream(name: str, catalogs: int) -> Finding:
    """Whether a relay has ever published into the stream or topic."""
    name = printable(name, 60)
    if not catalogs:
        cure = "start kraken-trio relay with this URL; if one runs, compare the paths of the two URLs, and read its log"
        return failed("relay-stream", f"nothing is published into {name}", cure)
    return Finding(check="relay-stream", level=Level.OK, says=f"{name}: {counted(catalogs, 'catalog')}")


def shards(seen: Sequence[ShardSeen]) -> Finding:
    """Whether all shards are there, and agree how many there are. Old catalogs of another number do not count."""
    fresh = _current(seen)
    if not fresh:
        says = f"nobody publishes: the newest catalog is {seconds(min(one.age for one in seen))} old"
        return failed("relay-shards", says, "start kraken-trio relay with this URL; if one runs, read its log")
    numbers = sorted({one.shards for one in fresh})
    if len(numbers) > 1:
        cure = "start all of them with the same number; after a change the old ones must end"
        return failed("relay-shards", f"shards of {' and of '.join(map(str, numbers))} publish at a time", cure)
    (number,) = numbers
    missing = sorted(set(range(number)) - {one.shard for one in fresh})
    if missing:
        names = listed([f"{shard}/{number}" for shard in missing])
        cure = "start them: what they should publish is missing; if they run, read their log"
        return failed("relay-shards", f"{len(missing)} of {number} are missing: {names}", cure)
    requests = sum(one.requests for one in fresh)
    says = f"{counted(number, 'shard')}, {counted(requests, 'request')}"
    if not requests:
        cure = "read the relay's log: is it connected to the exchange, and does the exchange take these symbols?"
        return failed("relay-shards", f"{says}: nothing is published", cure)
    return Finding(check="relay-shards", level=Level.OK, says=says, value=number)


def present(seen: Sequence[ShardSeen]) -> Sequence[ShardSeen]:
    """Without those that are left of another number of shards: than of who publishes, or published last."""
    fresh = {one.shards for one in _current(seen)} or {min(seen, key=lambda one: one.age).shards}
    return [one for one in seen if one.shards in fresh]


def catalog(one: ShardSeen) -> Finding:
    """How old a shard's newest catalog is."""
    cure = "its owner is gone, and nobody has taken over, or it cannot publish: read its log"
    says = f"{seconds(one.age)} old, every {seconds(one.every)}"
    return judged("relay-catalog", one.age, _limit(one.every), says, cure, subject=_name(one))


def is_owned(one: ShardSeen, ttl: float) -> bool:
    """Whether somebody publishes this shard."""
    return one.age <= max(ttl, _STALE[0] * one.every) and not _is_silent(one)


def owners(seen: Sequence[ShardSeen], ttl: float) -> Sequence[Finding]:
    """Who owns each shard: an owner publishes its catalog, and nobody else can. One producer owns one shard."""
    found = []
    for one in seen:
        name = _name(one)
        if one.age > max(ttl, _STALE[0] * one.every):
            cure = "start its process, or a standby; if one runs, read its log: it cannot get the lease, or connect"
            found.append(failed("relay-owner", f"nobody has held its lease for {seconds(one.age)}", cure, name))
            continue
        if one.silent is not None and _is_silent(one):
            cure = "start its process, or a standby; if one runs, read its log: it cannot get the lease, or connect"
            says = f"nothing has come from it for {seconds(one.silent)}, and key frames come every {seconds(one.every)}"
            found.append(failed("relay-owner", says, cure, name))
            continue
        same = [f"{other.shard}" for other in seen if other.producer == one.producer and other is not one]
        if same:
            cure = "two streams are mixed up: give each relay a stream of its own"
            found.append(failed("relay-owner", f"producer {one.producer} owns {', '.join(same)}, too", cure, name))
        else:
            says = f"producer {one.producer}"
            found.append(Finding(check="relay-owner", subject=name, level=Level.OK, says=says, value=one.producer))
    return found


def keyframes(one: ShardSeen, ages: Mapping[str, float | None], *, is_owned: bool = True) -> Finding:
    """How old the newest key frames of a few of its channels and symbols are; None for those of which none came."""
    name = _name(one)
    if not ages:
        return skipped("relay-keyframes", "it publishes nothing that has key frames", name)
    cure = "its books are not verified, or the broker is too slow for its key frames: read its log and its metrics"
    if not is_owned:
        cure = "nobody publishes them: see relay-owner above"
    without = [printable(key, 40) for key, age in ages.items() if age is None]
    if without:
        says = f"none of {listed(without)} within {seconds(one.every * _STALE[0])}"
        return failed("relay-keyframes", says, cure, name)
    oldest = max(age for age in ages.values() if age is not None)
    says = f"the oldest of {len(ages)} is {seconds(oldest)} old ({listed([printable(key, 40) for key in ages])})"
    return judged("relay-keyframes", oldest, _limit(one.every), says, cure, subject=name)


def clock(ahead: float | None) -> Finding:
    """This clock less the broker's, when a message came that had just been stored."""
    if ahead is None:
        return skipped("relay-clock", "no new message came")
    says = f"this clock is {seconds(abs(ahead))} {'ahead of' if ahead >= 0 else 'behind'} the broker's"
    cure = "synchronise the clocks of this machine and of the broker's: timedatectl set-ntp true, or install chrony"
    return judged("relay-clock", abs(ahead), CLOCK, says, cure)


def lag(took: float | None) -> Finding:
    """From the receipt of an event by the relay to its storage by the broker: by two clocks."""
    if took is None:
        return skipped("relay-lag", "no new event came: the market is quiet, or nobody publishes")
    says = f"an event was stored {seconds(max(took, 0.0))} after the relay received it (by the clocks of both)"
    cure = "the relay or the broker is overloaded: look at the relay's waiting events, and take more shards"
    return judged("relay-lag", max(took, 0.0), LAG, says, cure)


def reader(symbol: str, every: float, took: float | None, verified: int, problem: str | None) -> Finding:
    """What a program sees that opens the stream now: how long its first verified book took."""
    symbol = printable(symbol, 60)
    if problem is not None:
        says, cure = split(problem)
        return failed("relay-book", printable(says, 300), cure, symbol)
    if took is None:
        cure = (
            "read the relay's log: is it connected to the exchange? "
            "if its key frames above are fresh, the exchange has a problem with this symbol"
        )
        return failed("relay-book", "no verified book came", cure, symbol)
    limit = Limit(FIRST_BOOK * every, 3 * FIRST_BOOK * every)
    says = f"verified after {seconds(took)}, {counted(verified, 'checksum')}"
    return judged("relay-book", took, limit, says, "see its key frames above", subject=symbol)


def _limit(every: float) -> Limit:
    late, dead = _STALE
    return Limit(late * every, dead * every)


def _current(seen: Sequence[ShardSeen]) -> Sequence[ShardSeen]:
    """Without the dead; nor those of another number of shards than is heard: they have ended."""
    fresh = [one for one in seen if not _is_dead(one)]
    heard = {one.shards for one in fresh if not _is_silent(one)}
    return [one for one in fresh if not heard or one.shards in heard]


def _is_dead(one: ShardSeen) -> bool:
    return one.age > _STALE[1] * one.every


def _is_silent(one: ShardSeen) -> bool:
    return one.silent is not None and one.silent >= SILENCE * one.every


def _name(one: ShardSeen) -> str:
    return f"{one.shard}/{one.shards}"
