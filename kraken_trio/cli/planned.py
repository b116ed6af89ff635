"""How ``relay --plan`` shows what a relay would need."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from rich.table import Table

from kraken_trio.cli.formatting import counted, shortened_bytes
from kraken_trio.cli.running import Output
from kraken_trio.relay.planning import MESSAGE_OVERHEAD, STREAM_BYTES

if TYPE_CHECKING:
    from kraken_trio.relay.planning import Load, Needs

__all__ = ["show_plan"]


def show_plan(load: Load, needs: Needs, *, is_assumed: bool = False) -> None:
    """Print it. ``is_assumed``: the number of symbols is."""
    table = Table(show_header=False, box=None, pad_edge=False)
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    for name, text in _rows(load, needs, is_assumed=is_assumed).items():
        table.add_row(name, text)
    console = Output(file=sys.stdout, highlight=False)
    console.print(table)
    for hint in needs.hints:
        console.print(f"note: {hint}", markup=False)


def _rows(load: Load, needs: Needs, *, is_assumed: bool) -> dict[str, str]:
    names = ", ".join(map(str, load.channels))
    standbys = f", and {counted(needs.shards * load.standbys, 'standby')}" if load.standbys else ""
    assumed = " (as many as Kraken lists, about: it was not asked)" if is_assumed else ""
    kept = f"{needs.kept / 3600:.1f} hours" if needs.kept >= 2 * 3600 else f"{needs.kept / 60:.0f} minutes"
    return {
        "asked for": f"{counted(load.symbols, 'symbol')}{assumed}: {names}",
        "events": f"{needs.events:,.0f} a second, {needs.peak_events:,.0f} at peak",
        "shards": f"{needs.shards}{standbys}",
        "the largest": (
            f"{counted(needs.shard_symbols, 'symbol')}, {needs.shard_events:,.0f} events a second at peak: "
            f"{needs.shard_load:.0%} of a core; {_bytes(needs.shard_memory)} of memory"
        ),
        "memory": f"{_bytes(needs.memory)} in all",
        "connections": (
            f"{needs.connections} to Kraken, {needs.shard_connections} for each process; "
            f"{_bytes(needs.received)} a second"
        ),
        "broker": f"{_bytes(needs.published)} a second",
        "of which": (
            f"{_bytes(needs.data)} are events ({load.form.value}), {_bytes(needs.key_frames)} are key frames "
            f"(every {load.keyframe_every:g} s)"
        ),
        "disk": (
            f"{_bytes(needs.disk_per_day)} a day, {counted(load.replicas, 'replica')} "
            f"({MESSAGE_OVERHEAD[load.broker]:g} bytes a message are the broker's own)"
        ),
        "kept": f"the last {kept}, if the stream is made as usual ({shortened_bytes(STREAM_BYTES)}, 6 hours)",
        "verified": f"after about {needs.verified_after:,.0f} s, at the start and after a loss of all connections",
    }


def _bytes(size: float) -> str:
    return shortened_bytes(round(size))
