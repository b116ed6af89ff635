"""What goes through a broker, and how: the protocol, pure, and below it one engine per kind of broker.

Up: a producer's verified events, in batches with a sequence of their own, and key frames. Down: the same events,
verified again, and a :class:`~kraken_trio.Gap` for whatever is missing.

========================================  =====================================================
:mod:`~kraken_trio.broker.subjects`       names: what a message is about
:mod:`~kraken_trio.broker.messages`       what is in it, and its bytes; its JSON Schema
:mod:`~kraken_trio.broker.position`       where a reader is
:mod:`~kraken_trio.broker.progress`       how far a program has received what it read
:mod:`~kraken_trio.broker.sharding`       which shard has which symbol
:mod:`~kraken_trio.broker.partitioning`   which partition of a topic has which key
:mod:`~kraken_trio.broker.states`         states of channels, on both sides of a broker
:mod:`~kraken_trio.broker.publisher`      a client's events → messages
:mod:`~kraken_trio.broker.outbox`         messages that the broker has not acknowledged, bounded
:mod:`~kraken_trio.broker.lease`          who may publish for a shard
:mod:`~kraken_trio.broker.reader`         messages → events and gaps
:mod:`~kraken_trio.broker.catalog`        what all shards publish
:mod:`~kraken_trio.broker.group`          which member of a consumer group reads what
:mod:`~kraken_trio.broker.seam`           what an engine does
:mod:`~kraken_trio.broker.nats`           one of them: NATS JetStream
:mod:`~kraken_trio.broker.kafka`          another: Apache Kafka
:mod:`~kraken_trio.broker.choice`         which one speaks with the broker of a URL
:mod:`~kraken_trio.broker.options`        how a stream is made, by the URL
:mod:`~kraken_trio.broker.login`          who a program is, for a broker; encryption
:mod:`~kraken_trio.broker.portal`         asyncio in a thread, for nats-py
========================================  =====================================================
"""
