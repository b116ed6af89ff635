"""The fake exchange's REST interface: its checks, accounts, tokens and faults."""

from __future__ import annotations

import json
import ssl
from decimal import Decimal
from typing import Any
from urllib.parse import urlencode

import pytest
import trio
from hypothesis import given, strategies as st

import kraken_trio as kt
from kraken_trio.auth.answers import ErrorKind, RestError
from kraken_trio.auth.nonce import KeyRing
from kraken_trio.auth.over_httpx import MAX_ANSWER_BYTES
from kraken_trio.auth.rest import Rest
from kraken_trio.auth.tokens import Tokens
from kraken_trio.testing.exchange.account_view import BalanceRow, LedgerRow, ListedAccount, OrderRow, TradeRow
from kraken_trio.testing.exchange.rest import READ_ONLY, ApiKey, RestCore, RestRequest
from kraken_trio.testing.exchange.rest_names import PairNames, asset_name, pair_names
from kraken_trio.testing.exchange.rest_server import open_rest
from kraken_trio.testing.faults.rest import BreakRest, RestBreak

KEY, SECRET = "the-key-of-a-test", "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE="
EPOCH = 1_790_000_000
NS = 10**9
API = ApiKey(key=KEY, secret=SECRET)
CREDENTIALS = kt.Credentials(KEY, SECRET)


class Client:
    """Signed calls at times of the test's choice."""

    def __init__(self, core: RestCore, credentials: kt.Credentials = CREDENTIALS) -> None:
        self.core = core
        self.credentials = credentials
        self.nonce = 1000

    def send(
        self, name: str, now: float = 0.0, *, nonce: int | None = None, method: str = "POST", **params: str
    ) -> Any:
        self.nonce += 1
        path = f"/0/private/{name}"
        signed = self.credentials.sign(path, self.nonce if nonce is None else nonce, params.items())
        request = RestRequest(method=method, target=path, headers=tuple(signed.headers.items()), body=signed.body)
        return json.loads(self.core.respond(request, now).body, parse_float=Decimal)

    def result(self, name: str, now: float = 0.0, **params: Any) -> Any:
        answer = self.send(name, now, **params)
        assert answer["error"] == []
        return answer["result"]

    def error(self, name: str, now: float = 0.0, **more: Any) -> str:
        answer = self.send(name, now, **more)
        assert "result" not in answer
        [error] = answer["error"]
        return str(error)


def opened(**more: Any) -> Client:
    return Client(RestCore(**{"keys": [API], "epoch_ns": EPOCH * NS, "limit": 10_000.0, **more}))


def public(core: RestCore, name: str, **params: str) -> Any:
    query = f"?{urlencode(params)}" if params else ""
    return json.loads(core.respond(RestRequest(method="GET", target=f"/0/public/{name}{query}"), 0.0).body)


# The checks, in their order


def test_only_post() -> None:
    assert opened().error("BalanceEx", method="GET") == "EGeneral:Invalid arguments"


def test_five_unknown_keys_in_a_row_lock_out() -> None:
    client = opened(lockout=100.0)
    stranger = Client(client.core, kt.Credentials("another-key", SECRET))
    assert [stranger.error("BalanceEx") for _ in range(4)] == ["EAPI:Invalid key"] * 4
    assert client.result("BalanceEx") == {}  # so they were not in a row
    assert [stranger.error("BalanceEx") for _ in range(5)] == ["EAPI:Invalid key"] * 4 + ["EGeneral:Temporary lockout"]
    assert client.error("BalanceEx", 99.0) == "EGeneral:Temporary lockout"
    assert client.result("BalanceEx", 100.0) == {}


def test_a_forged_request_uses_up_no_nonce() -> None:
    client = opened()
    forger = Client(client.core, kt.Credentials(KEY, "AgICAgICAgICAgICAgICAgICAgICAgIC"))
    assert forger.error("BalanceEx", nonce=2**63) == "EAPI:Invalid signature"
    assert client.result("BalanceEx") == {}


@given(st.lists(st.integers(0, 50), min_size=1, max_size=30), st.integers(0, 10))
def test_a_nonce_is_higher_than_the_last_less_the_window(nonces: list[int], window: int) -> None:
    client = opened(keys=[ApiKey(key=KEY, secret=SECRET, nonce_window=window)])
    highest, accepted = 0, []
    for nonce in nonces:
        answer = client.send("BalanceEx", nonce=nonce)
        if nonce > max(highest - window, 0):
            assert answer == {"error": [], "result": {}}
            highest = max(highest, nonce)
            accepted.append(nonce)
        else:
            assert answer == {"error": ["EAPI:Invalid nonce"]}
    assert client.core.nonces.get(KEY, []) == accepted


@pytest.mark.parametrize(("nonce", "is_good"), [(2**64 - 1, True), (2**64, False), (10**25, False), (-5, False)])
def test_a_nonce_has_64_bits(nonce: int, is_good: bool) -> None:
    assert (opened().send("BalanceEx", nonce=nonce)["error"] == []) == is_good


def test_a_second_factor() -> None:
    client = opened(keys=[ApiKey(key=KEY, secret=SECRET, otp="123456")])
    assert client.error("BalanceEx") == "EGeneral:Permission denied"
    client.credentials = kt.Credentials(KEY, SECRET, "123456")
    assert client.result("BalanceEx") == {}


@pytest.mark.parametrize(
    ("call", "permission"),
    [
        ("GetWebSocketsToken", "create-ws-token"),
        ("BalanceEx", "query-funds"),
        ("OpenOrders", "query-open-trades"),
        ("ClosedOrders", "query-closed-trades"),
        ("TradesHistory", "query-closed-trades"),
        ("Ledgers", "query-ledger"),
    ],
)
def test_each_call_needs_its_permission(call: str, permission: str) -> None:
    client = opened(keys=[ApiKey(key=KEY, secret=SECRET, permissions=READ_ONLY - {permission})])
    assert client.error(call) == "EGeneral:Permission denied"
    client.core.set_key(ApiKey(key=KEY, secret=SECRET, permissions=frozenset({permission})))
    assert client.send(call)["error"] == []
    assert client.result("GetApiKeyInfo")["permissions"] == [permission]
    client.core.remove_key(KEY)
    assert client.error(call) == "EAPI:Invalid key"


def test_the_rate_counter() -> None:
    """15 points, of which a third of one comes back in a second; a page of history costs two."""
    client = opened(limit=15.0)
    for _ in range(7):
        client.result("TradesHistory")
    client.result("BalanceEx")
    assert client.error("BalanceEx") == "EAPI:Rate limit exceeded"
    assert client.error("BalanceEx", 3.0) == "EAPI:Rate limit exceeded"
    assert client.result("BalanceEx", 3.1) == {}
    assert client.error("TradesHistory", 6.2) == "EAPI:Rate limit exceeded"


def test_unknown_calls() -> None:
    client = opened()
    assert client.error("AddOrder") == "EGeneral:Unknown method"
    assert public(client.core, "Depth") == {"error": ["EGeneral:Unknown method"]}
    assert client.core.respond(RestRequest(method="GET", target="/v2"), 0.0).status == 404


@given(st.binary(max_size=100), st.sampled_from(["application/json", "application/x-www-form-urlencoded", ""]))
def test_whatever_is_sent_is_answered(body: bytes, kind: str) -> None:
    headers = (("API-Key", KEY), ("API-Sign", "x"), ("Content-Type", kind))
    response = opened().core.respond(
        RestRequest(method="POST", target="/0/private/BalanceEx", headers=headers, body=body), 0.0
    )
    assert json.loads(response.body) == {"error": ["EAPI:Invalid signature"]}


def test_a_key_shows_nothing() -> None:
    assert SECRET not in repr(API)
    assert KEY not in repr(API)


# Public calls


def test_pairs_have_three_names() -> None:
    core = opened().core
    rows = public(core, "AssetPairs")["result"]
    assert list(rows) == [
        "XXBTZUSD", "XETHZUSD", "XXRPZUSD", "SHIBUSD", "XXBTZJPY", "TRXXBT", "AAPLxUSD", "GSTEUR",
    ]  # fmt: skip
    for alias in ("XXBTZUSD", "XBTUSD", "XBT/USD", "BTC/USD"):
        assert public(core, "AssetPairs", pair=alias)["result"] == {"XXBTZUSD": rows["XXBTZUSD"]}
    assert rows["XXRPZUSD"]["pair_decimals"] == 5
    assert rows["XXRPZUSD"]["tick_size"] == "0.00001"
    assert "long_position_limit" not in rows["GSTEUR"]
    assert public(core, "AssetPairs", pair="XBTUSD,NOPE") == {"error": ["EQuery:Unknown asset pair"]}


def test_names() -> None:
    assert pair_names("DOGE/USDT") == PairNames("XDGUSDT", "XDGUSDT", "XDG/USDT", "XXDG", "USDT")
    assert pair_names("ETH/BTC") == PairNames("XETHXXBT", "ETHXBT", "ETH/XBT", "XETH", "XXBT")
    assert asset_name("USDT") == "USDT"


def test_time_and_status() -> None:
    core = opened().core
    assert public(core, "Time")["result"]["unixtime"] == EPOCH
    core.system = "maintenance"
    assert public(core, "SystemStatus")["result"]["status"] == "maintenance"


# The account


def fill(number: int, *, order: str = "O1", maker: bool = True, qty: str = "1") -> TradeRow:
    return TradeRow(
        trade_id=f"T{number:05}-AAAAA-AAAAAA", order_id=order, symbol="BTC/USD", time_ns=(EPOCH + number) * NS,
        side="buy", price=Decimal(100), qty=Decimal(qty), cost=100 * Decimal(qty), maker=maker, number=number,
    )  # fmt: skip


def order(number: int, **more: Any) -> OrderRow:
    return OrderRow(
        order_id=f"O{number}", symbol="BTC/USD", side="buy", qty=Decimal(2), limit_price=Decimal(100),
        opened_ns=(EPOCH + number) * NS, **more,
    )  # fmt: skip


def pages(client: Client, count: int, **params: str) -> list[str]:
    found: list[str] = []
    for offset in range(0, count + 50, 50):
        page = client.result("TradesHistory", 1000.0, ofs=str(offset), consolidate_taker="false", **params)
        assert page["count"] == count
        assert len(page["trades"]) <= 50
        found += page["trades"]
    return found


@pytest.mark.parametrize("count", [0, 1, 50, 51, 120])
def test_history_comes_in_pages_of_50_newest_first(count: int) -> None:
    client = opened(account=ListedAccount(fills=[fill(number) for number in range(count)]))
    assert pages(client, count) == [fill(number).trade_id for number in reversed(range(count))]


def test_history_between_two_times_or_ids() -> None:
    """The start is exclusive, the end inclusive."""
    client = opened(account=ListedAccount(fills=[fill(number) for number in range(10)]))
    wanted = [fill(number).trade_id for number in (5, 4, 3)]
    assert pages(client, 3, start=str(EPOCH + 2), end=f"{EPOCH + 5}.0000") == wanted
    assert pages(client, 3, start=fill(2).trade_id, end=fill(5).trade_id) == wanted
    wrong: list[dict[str, Any]] = [{"start": "yesterday"}, {"end": "1e99"}]
    for params in wrong:
        assert client.error("TradesHistory", **params) == "EGeneral:Invalid arguments"
    assert client.error("TradesHistory", ofs="-1") == "EGeneral:Invalid arguments:ofs"


def test_a_row_of_history() -> None:
    client = opened(account=ListedAccount(fills=[fill(7)]))
    [row] = client.result("TradesHistory", 1000.0)["trades"].values()
    assert (row["pair"], row["ordertxid"], row["maker"], row["trade_id"]) == ("XXBTZUSD", "O1", True, 7)
    assert str(row["time"]) == f"{EPOCH + 7}.0000"


def test_taker_fills_of_an_order_are_one_trade_unless_asked_otherwise() -> None:
    """The trap: the id of that trade is none of the stream."""
    fills = [
        fill(1, maker=False), fill(2, maker=False, qty="3"), fill(3), fill(4, maker=False),
        fill(5, order="O2", maker=False),
    ]  # fmt: skip
    client = opened(account=ListedAccount(fills=fills))
    rows = client.result("TradesHistory", 1000.0)["trades"]
    assert [Decimal(row["vol"]) for row in rows.values()] == [1, 1, 1, 4]
    assert not {fills[0].trade_id, fills[1].trade_id} & rows.keys()
    assert pages(client, 5) == [fill.trade_id for fill in reversed(fills)]


def test_orders_as_they_were() -> None:
    account = ListedAccount()
    done = {"closed_ns": (EPOCH + 20) * NS, "status": "closed", "filled": Decimal(2), "trades": ("T1",)}
    account.order_versions += [
        ((EPOCH + 1) * NS, order(1, cl_ord_id="mine")), ((EPOCH + 2) * NS, order(2)),
        ((EPOCH + 20) * NS, order(1, **done)),
    ]  # fmt: skip
    client = opened(account=account)
    assert list(client.result("OpenOrders", 10.0)["open"]) == ["O1", "O2"]
    assert client.result("ClosedOrders", 10.0) == {"closed": {}, "count": 0}
    assert list(client.result("OpenOrders", 20.0)["open"]) == ["O2"]
    closed = client.result("ClosedOrders", 20.0, trades="true", without_count="true")
    assert list(closed) == ["closed"]
    assert closed["closed"]["O1"]["trades"] == ["T1"]
    by_open = client.result("ClosedOrders", 20.0, closetime="open", start=str(EPOCH), end=str(EPOCH + 5))
    assert list(by_open["closed"]) == ["O1"]
    found = client.result("QueryOrders", 20.0, txid="O2,O1")
    assert [(name, row["status"], row["vol_exec"]) for name, row in found.items()] == [
        ("O2", "open", "0"), ("O1", "closed", "2"),
    ]  # fmt: skip
    assert client.result("QueryOrders", 10.0, txid="O1")["O1"]["cl_ord_id"] == "mine"
    assert client.error("QueryOrders", 20.0, txid="O3") == "EOrder:Invalid order"
    for wrong in ("", "O1,,O2", ",".join(["O1"] * 51)):
        assert client.error("QueryOrders", txid=wrong) == "EGeneral:Invalid arguments"


def test_an_account_may_be_behind() -> None:
    account = ListedAccount(
        fills=[fill(0), fill(30)],
        entries=[
            LedgerRow(
                ledger_id="L1", ref_id="T1", time_ns=(EPOCH + 30) * NS, kind="trade", asset="USD", amount=Decimal(-5),
                balance=Decimal(95),
            )
        ],
        holdings=[(0, BalanceRow(asset="USD", balance=Decimal(100)))],
    )  # fmt: skip
    account.holdings.append(((EPOCH + 30) * NS, BalanceRow(asset="USD", balance=Decimal(95), held=Decimal(1))))
    client = opened(account=account, lag=60.0)
    assert client.result("TradesHistory", 89.0)["count"] == 1
    assert client.result("Ledgers", 89.0)["ledger"] == {}
    assert client.result("BalanceEx", 89.0) == {"ZUSD": {"balance": "100", "hold_trade": "0"}}
    assert client.result("TradesHistory", 90.0)["count"] == 2
    client.core.set_lag(0.0)
    assert client.result("Ledgers", 30.0)["ledger"]["L1"]["amount"] == "-5"
    assert client.result("BalanceEx", 30.0) == {"ZUSD": {"balance": "95", "hold_trade": "1"}}
    with pytest.raises(ValueError, match="from 0 to 60"):
        client.core.set_lag(61.0)


# Faults


def test_faults_wait_for_their_call() -> None:
    client = opened()
    client.core.inject(BreakRest(how=RestBreak.ERROR, call="OpenOrders", times=2, text="EService:Busy"))
    client.core.inject(BreakRest(how=RestBreak.ERROR, times=None, text="EService:Unavailable"))
    assert client.error("BalanceEx") == "EService:Unavailable"
    assert [client.error("OpenOrders") for _ in range(3)] == ["EService:Busy"] * 2 + ["EService:Unavailable"]
    client.core.clear_faults()
    assert client.result("OpenOrders") == {"open": {}}
    with pytest.raises(TypeError, match="a fault of the REST interface"):
        client.core.inject(RestBreak.HTML)  # type: ignore[arg-type]  # wrong on purpose


# Over sockets


def caller(url: str, ssl_context: ssl.SSLContext | None = None) -> Rest:
    return Rest(url, credentials=CREDENTIALS, wall_ns=lambda: EPOCH * NS, ssl_context=ssl_context, keys=KeyRing())


async def test_over_a_socket() -> None:
    core = opened().core
    async with open_rest(core) as url:
        rest = caller(url)
        assert (await Tokens(rest).fresh()).value
        assert await rest.call("BalanceEx") == {}
        assert len(await rest.call("AssetPairs", private=False)) == 8
    assert core.calls == ["GetWebSocketsToken", "GetApiKeyInfo", "BalanceEx", "AssetPairs"]


@pytest.mark.parametrize(
    ("how", "text"),
    [
        (RestBreak.HTML, "HTTP 520"),
        (RestBreak.EMPTY, "an empty answer"),
        (RestBreak.RESET, "no answer: "),
        (RestBreak.CUT, "no answer: "),
        (RestBreak.ENDLESS, f"the answer is longer than {MAX_ANSWER_BYTES} bytes"),
    ],
)
async def test_a_fault_over_a_socket(how: RestBreak, text: str) -> None:
    core = opened().core
    core.inject(BreakRest(how=how))
    async with open_rest(core) as url:
        with pytest.raises(RestError, match=text) as caught:
            await caller(url).call("BalanceEx", retries=0)
        assert caught.value.kind is ErrorKind.TRANSIENT
        assert await caller(url).call("BalanceEx") == {}


async def test_nobody_listens() -> None:
    async with open_rest(opened().core) as url:
        pass
    with pytest.raises(RestError, match=r"cannot connect to .*: Connection refused; check the address"):
        await caller(url).call("BalanceEx", retries=0)


async def test_over_tls() -> None:
    import trustme

    authority = trustme.CA()
    server, client = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH), ssl.create_default_context()
    authority.issue_cert("localhost", "127.0.0.1").configure_cert(server)
    authority.configure_trust(client)
    async with open_rest(opened().core, ssl_context=server) as url:
        assert url.startswith("https://")
        assert await caller(url, client).call("BalanceEx") == {}
        with pytest.raises(RestError, match="the certificate was refused: ") as caught:
            await caller(url).call("BalanceEx")
        assert caught.value.kind is ErrorKind.ADDRESS


@pytest.mark.parametrize(
    "sent",
    [b"", b"\x00\x01\r\n\r\n", b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab"],
    ids=["nothing", "no HTTP", "half a head", "half a body"],
)
async def test_peers_that_do_not_speak_http(sent: bytes) -> None:
    core = opened().core
    async with open_rest(core) as url:
        host, _, port = url.removeprefix("http://").partition(":")
        async with await trio.open_tcp_stream(host, int(port)) as stream:
            await stream.send_all(sent)
            await stream.send_eof()
            with trio.fail_after(5):
                while await stream.receive_some():
                    pass
        assert await caller(url).call("BalanceEx") == {}
    assert core.calls == ["BalanceEx"]
