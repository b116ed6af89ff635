"""Apache Kafka as the broker: :class:`KafkaEngine`. Needs ``pip install kraken-trio[kafka]``.

==================================================  ===========================================================
:mod:`~kraken_trio.broker.kafka.engine`             the engine, and its links
:mod:`~kraken_trio.broker.kafka.owner`              the producer of a shard's owner, and how it fences earlier ones
:mod:`~kraken_trio.broker.kafka.control`            the topic of leases and catalogs
:mod:`~kraken_trio.broker.kafka.records`            records of consumer groups, by compare and set
:mod:`~kraken_trio.broker.kafka.follower`           a topic that is read from its beginning to its end
:mod:`~kraken_trio.broker.kafka.source`             messages of some keys, from a place on
:mod:`~kraken_trio.broker.kafka.topics`             the topics, and how they are made
:mod:`~kraken_trio.broker.kafka.client`             what all clients of librdkafka share here
:mod:`~kraken_trio.broker.kafka.asking`             what is asked of brokers
:mod:`~kraken_trio.broker.kafka.address`            a URL
:mod:`~kraken_trio.broker.kafka.errors`             errors, in words
==================================================  ===========================================================

Two topics: ``NAME`` has data and key frames, keyed by symbol, so that each symbol is in one partition; ``NAME.control``
has, in its partition 0, leases and catalogs, and is compacted.

**The fence.** Each shard has a transactional id, ``NAME.SHARD``. An owner has a transaction open all the time, and
commits it now and then. Who becomes the owner calls ``init_transactions``: Kafka aborts the transaction of the one
before it, and refuses whatever that one still sends, however late. What it had been acknowledged stays: readers read
``read_uncommitted``, since what is aborted was lost by nobody, and not committed yet is no reason to wait.

**The lease.** The owner writes a record into the control topic when it begins (its offset is the owner's number), and
one each third of the lease's time. Standbys read them; one takes over when none has come for the lease's time, by its
own clock.
"""

from kraken_trio.broker.kafka.engine import KafkaEngine

__all__ = ["KafkaEngine"]
