"""Errors of librdkafka: what they mean here, in words that say what to do."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from confluent_kafka import KafkaError, KafkaException

from kraken_trio._text import printable
from kraken_trio.broker.seam import BrokerLost

if TYPE_CHECKING:
    from collections.abc import Mapping

_INTERNAL = re.compile(
    r"^(?:\S+/(?:bootstrap|\d+): )+|\w+://\S+/bootstrap: |"
    r"Connect to ipv[46]#\S+ failed: | \(after \d+ms in state \w+[^)]*\)"
)
"""What librdkafka puts around an error, for those who know its inside."""
_IS_IT_RUNNING: Final = (
    "is a broker there, with a listener of this kind, TLS or not? does this machine reach its advertised.listeners?"
)
_NO_KAFKA: Final = "Invalid response size"
"""How librdkafka takes the first words of another protocol. Its advice is to allow messages of that size."""
_ADVICE: Final[Mapping[int, str]] = {
    KafkaError._ALL_BROKERS_DOWN: _IS_IT_RUNNING,
    KafkaError._TRANSPORT: _IS_IT_RUNNING,
    KafkaError._TIMED_OUT: _IS_IT_RUNNING,
    KafkaError._RESOLVE: "no such host: see the URL, and advertised.listeners of the broker",
    KafkaError._SSL: "TLS does not work: see tls=BrokerTls(ca=…), and whether this listener speaks TLS",
    KafkaError._AUTHENTICATION: "see the user, the password and the mechanism of login=BrokerLogin(…)",
    KafkaError.SASL_AUTHENTICATION_FAILED: "see the user, the password and the mechanism of login=BrokerLogin(…)",
    KafkaError.TOPIC_AUTHORIZATION_FAILED: (
        "allow this user Describe and Read on both topics, and for a relay Write (and Create, if they do not exist)"
    ),
    KafkaError.CLUSTER_AUTHORIZATION_FAILED: "allow this user Create and IdempotentWrite on the cluster",
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED: (
        "allow this user Describe and Write on the transactional ids that begin with the topic's name"
    ),
    KafkaError.INVALID_REPLICATION_FACTOR: (
        "there are fewer brokers than replicas= of the URL, or else default.replication.factor, says"
    ),
    KafkaError.NOT_ENOUGH_REPLICAS: "fewer replicas are in sync than min.insync.replicas says",
    KafkaError.UNKNOWN_TOPIC_OR_PART: "the topic does not exist: a relay that publishes to it makes it",
}
HOPELESS: Final = frozenset({KafkaError._AUTHENTICATION, KafkaError._SSL, KafkaError.SASL_AUTHENTICATION_FAILED})
"""Trying again does not help."""
LOST: Final = HOPELESS | {KafkaError._ALL_BROKERS_DOWN}
"""Of what librdkafka tells while it goes on trying: what we do not wait for."""
_MISCONFIGURED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
        KafkaError.INVALID_REPLICATION_FACTOR,
        KafkaError.POLICY_VIOLATION,
    }
)
"""Likewise, of what a broker answers."""
NO_TOPIC: Final = frozenset(
    {KafkaError.UNKNOWN_TOPIC_OR_PART, KafkaError._UNKNOWN_PARTITION, KafkaError._UNKNOWN_TOPIC}
)
PASSING: Final = frozenset(
    {
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    }
)
"""While brokers start, or lead in turn."""
TELLING: Final = (
    *HOPELESS,
    KafkaError._RESOLVE,
    KafkaError._TRANSPORT,
    KafkaError._BAD_MSG,
)
"""Of several errors, these say best what is wrong."""


def words(error: KafkaError | KafkaException) -> str:
    """What happened, for people, and what to do about it."""
    found = error_of(error)
    advice = _ADVICE.get(found.code())
    if found.code() == KafkaError._ALL_BROKERS_DOWN:
        # It would tell how many of how many, and count what it knows under two names twice.
        return f"no broker can be reached ({advice})"
    if _NO_KAFKA in found.str():
        return "what answers there does not speak Kafka (is it the port of a broker, and of a listener without TLS?)"
    text = printable(_INTERNAL.sub("", found.str()) or found.name(), 300)
    return f"{text} ({advice})" if advice else text


def error_of(error: KafkaError | KafkaException) -> KafkaError:
    """Exceptions of librdkafka carry an error."""
    if isinstance(error, KafkaException):
        found = error.args[0]
        return found if isinstance(found, KafkaError) else KafkaError(KafkaError._FAIL, str(error))
    return error


class MisconfiguredError(BrokerLost):
    """Trying again does not help: somebody has to do something."""


def loss(error: KafkaException, before: str = "") -> BrokerLost:
    """What is raised for an error of a broker."""
    cls = MisconfiguredError if error_of(error).code() in _MISCONFIGURED else BrokerLost
    return cls(f"{before}{words(error)}")
