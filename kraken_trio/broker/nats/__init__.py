"""NATS JetStream (2.10 or newer): ``nats://host:4222/kraken``, the last part being the name of the stream.

====================================  =================================================================================
in the stream ``kraken``              all messages of all shards, at ``kraken.<subject>``
``kraken.3.lease``                    the fence: each message of shard 3 names the sequence of the last one here, and is
                                      refused after the next owner's. That sequence is the number of the owner
in the bucket ``kraken-leases``       who owns a shard; an entry that is not renewed for three seconds is gone
in the bucket ``kraken-groups``       what consumer groups keep
====================================  =================================================================================

The first producer makes both if they are missing, the stream as the URL says:
``nats://a,b,c/kraken?replicas=3&max_age=24h&max_bytes=50GiB&storage=file``. One that is there is left as it is; it must
take the subjects ``kraken.>``. To make it by hand::

    nats stream add kraken --subjects 'kraken.>' --storage file --replicas 1 --retention limits --discard old
        --max-age 6h --max-bytes 8GiB --dupe-window 30s --allow-batch --defaults

A server that is killed loses nothing that was acknowledged. One that loses its power may, unless its configuration has
``jetstream { sync_interval: always }``.

Messages for a stream with one replica are sent one after the other without waiting. Where there are more, the server
takes only one at a time from an owner: so the messages of a window go as one atomic batch, if the stream allows it.
``?batches=atomic`` does that with one replica, too: several times faster where ``sync_interval`` is ``always``, because
the disk is waited for once a batch, and several times slower where it is not.

==================================================  ===========================================================
:mod:`~kraken_trio.broker.nats.engine`              the engine, and its links
:mod:`~kraken_trio.broker.nats.owning`              the stream, leases, and the fence: the producing side
:mod:`~kraken_trio.broker.nats.reading`             messages of some keys, from a place on
:mod:`~kraken_trio.broker.nats.records`             records of consumer groups, in a bucket
:mod:`~kraken_trio.broker.nats.store`               messages that replace the one before; streams and buckets
:mod:`~kraken_trio.broker.nats.wire`                a connection, by nats-py in the loop of a portal
==================================================  ===========================================================
"""

from kraken_trio.broker.nats.engine import NatsEngine

__all__ = ["NatsEngine"]
