"""Clocks, randomness and sockets come in through seams, and through nothing else.

So a program can be run again exactly as it was: the simulation (``tests/simulation``) replaces what the seams let in.
This reads the source, because a clock that is looked at once in a thousand runs is found by no run.
"""

from __future__ import annotations

import ast
import fnmatch
import re
from functools import cache
from pathlib import Path

import pytest

import kraken_trio

PACKAGE = Path(kraken_trio.__file__).parent

FORBIDDEN = (
    # clocks
    "time.*", "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today", "datetime.date.today",
    "trio.current_time", "os.times", "os.clock*",
    # randomness
    "random.*", "secrets.*", "uuid.*", "os.urandom", "os.getrandom", "ssl.RAND_*",
    # sockets, and other ways out of the program
    "socket.*", "select.*", "asyncio.*", "threading.*", "subprocess.*", "multiprocessing.*", "concurrent.*",
    "trio.socket.*", "trio.open_tcp_*", "trio.open_ssl_*", "trio.open_unix_socket", "trio.serve_*",
    "trio.SocketListener", "trio.to_thread.*", "trio.from_thread.*", "trio.run_process", "trio.lowlevel.open_process",
    # a way around this list
    "__import__", "importlib.*",
)  # fmt: skip
HARMLESS = (
    "random.Random",  # if it is given a seed
    "socket.gaierror", "socket.EAI_NONAME",  # names of errors
)  # fmt: skip

IS_FORBIDDEN = re.compile("|".join(map(fnmatch.translate, FORBIDDEN))).match

TRIO_TIME = "trio.current_time"
ALLOWED: dict[str, dict[str, str]] = {
    "__init__.py": {"importlib.import_module": "parts of the package that many programs do without"},
    "_version.py": {"importlib.metadata.*": "the version"},
    "_compiled.py": {"importlib.import_module": "the compiled modules, if they were built"},
    "broker/kafka/client.py": {
        "trio.to_thread.run_sync": "calls of librdkafka that block",
        "threading.Lock": "its clients must not be closed while a thread uses them",
    },
    "broker/kafka/control.py": {TRIO_TIME: "how old a lease is"},
    "broker/kafka/follower.py": {TRIO_TIME: "how long the broker has not answered"},
    "broker/kafka/records.py": {"secrets.token_hex": "a key that nobody else has"},
    "broker/kafka/engine.py": {"trio.to_thread.run_sync": "calls of librdkafka that block"},
    "broker/kafka/owner.py": {TRIO_TIME: "when to commit; how long the broker has not answered"},
    "client.py": {
        TRIO_TIME: "which a shared budget of snapshots is told",
        "time.time_ns": "the wall clock of open_client; open_with takes another",
        "random.random": "the jitter of open_client; open_with takes another",
    },
    "admission/process.py": {
        "time.monotonic": "the budget of the process; open_client takes another admission",
        "threading.Lock": "the budget is that of all threads",
    },
    "admission/host.py": {
        "time.*": "the budget of the host, which processes share",
        "trio.to_thread.run_sync": "a file that may be locked",
    },
    "broker/nats/engine.py": {
        "trio.socket.getaddrinfo": "where the servers are, asked for in Trio: the portal has no threads for it",
        "socket.SOCK_STREAM": "what is looked up",
    },
    "broker/nats/owning.py": {
        "asyncio.*": "what runs in the loop of the portal",
        "time.*": "how old a lease message is; where the sequences of a new stream begin",
    },
    "broker/nats/records.py": {"asyncio.*": "what runs in the loop of the portal"},
    "broker/nats/reading.py": {"asyncio.*": "what runs in the loop of the portal"},
    "broker/nats/store.py": {"asyncio.*": "what runs in the loop of the portal"},
    "broker/nats/wire.py": {"asyncio.*": "what runs in the loop of the portal"},
    "broker/portal.py": {
        "asyncio.*": "it is the door to a loop of asyncio",
        "threading.Thread": "in which that loop runs",
    },
    "auth/account.py": {TRIO_TIME: "how long a question may take"},
    "auth/nonce.py": {"threading.Lock": "a key has one caller at a time, in all threads"},
    "auth/rest.py": {TRIO_TIME: "what deadlines are counted from"},
    "auth/tokens.py": {TRIO_TIME: "how old a token is"},
    "runtime/actor.py": {TRIO_TIME: "it tells the session what time it is"},
    "runtime/sharing.py": {TRIO_TIME: "when a member of a group has last said that it is there"},
    "runtime/streamer.py": {TRIO_TIME: "how long a connection has held, and how old a subscription is"},
    "stream.py": {
        "time.time_ns": "the wall clock of open_stream; open_stream_with takes another",
        "random.random": "the jitter of open_stream; open_stream_with takes another",
    },
    "runtime/replayer.py": {TRIO_TIME: "when what it replays is due"},
    "runtime/recorder.py": {
        TRIO_TIME: "when what it records happened, by the clock of the loop",
        "trio.to_thread.run_sync": "a disk; record takes another way to run what blocks",
    },
    "runtime/feed.py": {TRIO_TIME: "how long a feed has held up reading"},
    "broker/choice.py": {"importlib.import_module": "engines, each of which needs an extra"},
    "relay/intake.py": {TRIO_TIME: "it tells the publisher what time it is"},
    "relay/sending.py": {TRIO_TIME: "it tells the publisher and the lease what time it is"},
    "relay/producer.py": {
        TRIO_TIME: "what its lease is, of which it tells",
        "secrets.token_hex": "a part of the holder's name, unless it is given one",
    },
    "transport/websockets.py": {"trio.open_tcp_stream": "the network of connect; connect_over takes another"},
    "transport/trio_websocket.py": {
        "trio.open_tcp_stream": "the network of connect; connect_over takes another",
        TRIO_TIME: "the deadline of the close handshake",
    },
    "transport/tunnel.py": {"trio.open_tcp_stream": "the network of a Tunnel, unless it is given another"},
    "transport/lookup.py": {
        "trio.socket.getaddrinfo": "the network of a TcpByName, unless it is given another",
        "trio.open_tcp_stream": "the network of a TcpByName, unless it is given another",
        "socket.SOCK_STREAM": "what is looked up",
    },
    "transport/upgrade.py": {"time.time": "a Retry-After that is a date, in an answer without a date of its own"},
    "metrics/shards.py": {
        "trio.open_tcp_*": "its purpose are real sockets",
        "trio.serve_listeners": "its purpose are real sockets",
    },
    "metrics/server.py": {
        "trio.open_tcp_listeners": "its purpose is a real socket",
        "trio.serve_listeners": "its purpose is a real socket",
    },
    "export/frames.py": {"importlib.util.find_spec": "which library for data frames is installed"},
    "cli/log.py": {"threading.*": "a thread writes what may block, for commands without an event loop, too"},
    "cli/relay.py": {"time.time_ns": "when connections were attempted, for other machines"},
    "cli/record.py": {"time.*": "what its lines begin with"},
    "relay/standby.py": {TRIO_TIME: "how long it has run"},
    "relay/supervisor.py": {
        TRIO_TIME: "when processes began, and ended",
        "trio.lowlevel.open_process": "its purpose are real processes",
        "subprocess.PIPE": "how they are talked to",
    },
    "cli/*": {
        TRIO_TIME: "for display",
        "select.*": "may the terminal be written to?",
        "trio.to_thread.run_sync": "writing to a terminal that may block",
    },
    "cli/doctor/probe.py": {
        "socket.*": "families of addresses",
    },
    "cli/doctor/machine.py": {
        "time.*": "the clocks of a Machine, which tests replace",
        "socket.*": "looking up a name, which is one of its checks",
        "trio.socket.getaddrinfo": "the network of a Machine",
        "trio.open_tcp_stream": "the network of a Machine",
    },
    "cli/doctor/command.py": {
        "time.time": "when the checks ended, for Prometheus",
        "time.time_ns": "this clock, which is compared with the broker's",
    },
    "cli/serving/server.py": {
        "trio.open_tcp_listeners": "its purpose is a real socket",
        "trio.serve_listeners": "its purpose is a real socket",
    },
    "testing/exchange/shell.py": {TRIO_TIME: "it tells the core what time it is"},
    "testing/exchange/server.py": {
        "time.time_ns": "when open_exchange is given no epoch_ns",
        TRIO_TIME: "it tells the core what time it is",
        "trio.open_tcp_listeners": "unless open_exchange is given a network of memory",
        "trio.serve_listeners": "unless open_exchange is given a network of memory",
    },
    "testing/exchange/rest_memory.py": {TRIO_TIME: "it tells the core what time it is"},
    "testing/exchange/rest_server.py": {
        TRIO_TIME: "it tells the core what time it is",
        "trio.open_tcp_listeners": "its purpose is a real socket",
        "trio.serve_listeners": "its purpose is a real socket",
        "socket.S*": "how a socket is reset",
    },
    "testing/exchange/peer.py": {
        TRIO_TIME: "the deadline of a goodbye",
        "socket.S*": "how a socket is reset",
    },
    "testing/network/proxy.py": {
        "trio.open_tcp_stream": "it stands between real sockets",
        "trio.open_tcp_listeners": "it stands between real sockets",
        "trio.serve_listeners": "it stands between real sockets",
        "socket.S*": "how a socket is reset",
    },
    "testing/__main__.py": {"trio.to_thread.run_sync": "reading commands"},
    "testing/memory_broker.py": {TRIO_TIME: "when messages arrive, and leases end"},
    "testing/network/network.py": {TRIO_TIME: "when bytes arrive"},
    "testing/network/link.py": {TRIO_TIME: "when bytes arrive"},
    "testing/network/virtual_time.py": {"random.*": "it seeds them"},
}
"""What may stand where, and why."""


class Uses(ast.NodeVisitor):
    """Every dotted name of a module that a source uses, with its line; an unseeded generator is ``random.Random()``."""

    def __init__(self) -> None:
        self.modules: dict[str, str] = {}
        self.found: list[tuple[int, str]] = []

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.asname:
                self.modules[alias.asname] = alias.name
            else:
                self.modules[alias.name.partition(".")[0]] = alias.name.partition(".")[0]

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        for alias in node.names:
            name = f"{node.module}.{alias.name}"
            self.modules[alias.asname or alias.name] = name
            self.found.append((node.lineno, name))

    def dotted(self, node: ast.expr) -> str | None:
        if isinstance(node, ast.Name):
            return self.modules.get(node.id, node.id if node.id == "__import__" else None)
        if isinstance(node, ast.Attribute):
            owner = self.dotted(node.value)
            return None if owner is None else f"{owner}.{node.attr}"
        return None

    def visit_Attribute(self, node: ast.Attribute) -> None:
        name = self.dotted(node)
        if name is None:
            self.generic_visit(node)
        else:
            self.found.append((node.lineno, name))

    def visit_Name(self, node: ast.Name) -> None:
        name = self.dotted(node)
        if name is not None:
            self.found.append((node.lineno, name))

    def visit_Call(self, node: ast.Call) -> None:
        if self.dotted(node.func) == "random.Random" and not (node.args or node.keywords):
            self.found.append((node.lineno, "random.Random()"))
        self.generic_visit(node)


@cache
def offences(source: str) -> list[tuple[int, str]]:
    """What a source uses of what is forbidden: the line, and the name."""
    uses = Uses()
    uses.visit(ast.parse(source))
    return sorted((line, name) for line, name in set(uses.found) if name not in HARMLESS and IS_FORBIDDEN(name))


def allowed_in(path: str) -> dict[str, str]:
    return {
        name: reason
        for where, names in ALLOWED.items()
        if fnmatch.fnmatch(path, where)
        for name, reason in names.items()
    }


FILES = {path.relative_to(PACKAGE).as_posix(): path.read_text("utf-8") for path in sorted(PACKAGE.rglob("*.py"))}


@pytest.mark.parametrize("path", FILES)
def test_clocks_randomness_and_sockets_stay_in_their_seams(path: str) -> None:
    allowed = allowed_in(path)
    found = [
        f"kraken_trio/{path}:{line}: {name}"
        for line, name in offences(FILES[path])
        if not any(fnmatch.fnmatchcase(name, pattern) for pattern in allowed)
    ]
    assert not found, (
        "these make a run different from the one before. Take them as an argument (open_with has wall_ns, jitter and "
        "connect), or, if this is the seam itself, say so in ALLOWED:\n" + "\n".join(found)
    )


JSON_ELSEWHERE = (
    "testing/",
    "encoding.py",
    "recording/records.py",
    "broker/messages.py",
    "broker/nats/",
    "broker/position.py",
    "broker/group.py",
    "relay/lines.py",
)
"""The fake exchange; and our own JSON, of the log and for brokers, which is no protocol of the exchange."""


@pytest.mark.parametrize("path", [path for path in FILES if not path.startswith(("wire/", *JSON_ELSEWHERE))])
def test_the_exchanges_json_is_read_and_written_in_wire_only(path: str) -> None:
    """Everybody may use msgspec's structs, which events are."""
    uses = Uses()
    uses.visit(ast.parse(FILES[path]))
    assert not [name for _, name in uses.found if name.startswith(("msgspec.json", "msgspec.convert", "msgspec.to_"))]


def test_what_is_allowed_is_used() -> None:
    """Or the list grows until it allows everything."""
    for where, names in ALLOWED.items():
        used = [name for path, text in FILES.items() if fnmatch.fnmatch(path, where) for _, name in offences(text)]
        for pattern in names:
            assert any(fnmatch.fnmatchcase(name, pattern) for name in used), f"{where} does not use {pattern}"


@pytest.mark.parametrize(
    ("planted", "name"),
    [
        ("import time\nnow = time.monotonic()", "time.monotonic"),
        ("import time as t\nnow = t.time()", "time.time"),
        ("from time import perf_counter", "time.perf_counter"),
        ("from datetime import datetime\nx = datetime.now()", "datetime.datetime.now"),
        ("import datetime\nx = datetime.date.today()", "datetime.date.today"),
        ("import random\nx = [random.choice([1])]", "random.choice"),
        ("from random import Random\nx = Random()", "random.Random()"),
        ("import random\nx = random.SystemRandom", "random.SystemRandom"),
        ("import secrets\nx = secrets.token_hex(4)", "secrets.token_hex"),
        ("import uuid\ndef f(x=uuid.uuid4): ...", "uuid.uuid4"),
        ("import os\nx = os.urandom(3)", "os.urandom"),
        ("import socket\nx = socket.socket()", "socket.socket"),
        ("import trio\nasync def f(): await trio.open_tcp_stream('x', 1)", "trio.open_tcp_stream"),
        ("from trio import open_tcp_stream as dial", "trio.open_tcp_stream"),
        ("import trio\nx = trio.current_time", "trio.current_time"),
        ("import trio\nx = trio.to_thread.run_sync", "trio.to_thread.run_sync"),
        ("from trio.lowlevel import open_process", "trio.lowlevel.open_process"),
        ("import trio.socket\nx = trio.socket.getaddrinfo", "trio.socket.getaddrinfo"),
        ("x = __import__('time').time()", "__import__"),
        ("def f():\n    from importlib import import_module", "importlib.import_module"),
    ],
)
def test_what_is_planted_is_found(planted: str, name: str) -> None:
    assert name in [found for _, found in offences(planted)]


@pytest.mark.parametrize(
    "innocent",
    [
        "from datetime import datetime, timedelta\nx: datetime = y - timedelta(1)",
        "from random import Random\nx = Random(5)\nx.random()",
        "import trio\nasync def f():\n    await trio.sleep(1)\n    with trio.move_on_after(2): ...",
        "time = 5\nprint(time)\nself.random.random()",
        "import os\nos.strerror(3)",
    ],
)
def test_the_innocent_is_left_alone(innocent: str) -> None:
    assert not offences(innocent)
