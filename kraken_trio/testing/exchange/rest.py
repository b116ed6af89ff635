"""The REST interface of the fake exchange: requests in, responses out. Pure.

The checks of a private call come in this order: the method, the key, the signature over the raw bytes, the nonce, the
second factor, the permission, the rate limit. A forged request therefore cannot use up a nonce.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
from base64 import b64decode, b64encode
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final, Protocol, TypeAlias, TypeVar
from urllib.parse import parse_qsl

import attrs
import msgspec

from kraken_trio.testing import checks
from kraken_trio.testing.checks import valid
from kraken_trio.testing.exchange.account_view import ListedAccount, OrderRow, TradeRow
from kraken_trio.testing.exchange.market_spec import DEFAULT_MARKETS, MarketSpec
from kraken_trio.testing.exchange.rest_names import asset_name, pair_names
from kraken_trio.testing.exchange.tokens import Tokens
from kraken_trio.testing.faults.armed import ArmedFaults
from kraken_trio.testing.faults.rest import MAX_LAG, BreakRest, RestBreak

if TYPE_CHECKING:
    from kraken_trio.testing.exchange.account_view import AccountView

__all__ = ["READ_ONLY", "ApiKey", "RestCore", "RestFront", "RestRequest", "RestResponse"]

READ_ONLY: Final = frozenset({
    "query-funds", "query-open-trades", "query-closed-trades", "query-ledger", "create-ws-token",
})  # fmt: skip
"""The permissions of a key that can read everything and do nothing."""

_NEEDS: Final = {
    "GetWebSocketsToken": "create-ws-token",
    "GetApiKeyInfo": None,
    "BalanceEx": "query-funds",
    "OpenOrders": "query-open-trades",
    "QueryOrders": "query-open-trades",
    "ClosedOrders": "query-closed-trades",
    "TradesHistory": "query-closed-trades",
    "Ledgers": "query-ledger",
}
_COSTS: Final = {"TradesHistory": 2.0, "Ledgers": 2.0}
_PAGE: Final = 50
_WRONG_KEYS: Final = 5
"""Wrong keys in a row until nobody is answered for a while."""
_U64: Final = 2**64
_TIME: Final = re.compile(r"[0-9]{1,12}(\.[0-9]{1,9})?")
_OFFSET: Final = re.compile(r"[0-9]{1,9}")
_HTML: Final = (
    b"<!DOCTYPE html><html><head><title>api.kraken.com | 520: Web server is returning an unknown error</title></head>"
    b"<body><h1>Error 520</h1><p>Ray ID: 8f0e</p></body></html>"
)
_ENDLESS: Final = 64 * 1024 * 1024

_encode: Final = msgspec.json.Encoder(decimal_format="number").encode
_Row = TypeVar("_Row")
_Params: TypeAlias = Mapping[str, str]


def _names(names: Iterable[str]) -> frozenset[str]:
    return frozenset(checks.items("permissions", names, checks.text("the name of a permission"), "names in a set"))


@attrs.frozen(kw_only=True)
class ApiKey:
    """A key that the exchange knows. Its ``repr`` shows only the beginning of the key."""

    key: str = attrs.field(validator=valid(checks.text("the key")), repr=lambda key: repr(f"{key[:4]}…"))
    secret: str = attrs.field(validator=valid(checks.text("the secret, as Base64")), repr=False)
    permissions: frozenset[str] = attrs.field(default=READ_ONLY, converter=_names)
    """The names that ``GetApiKeyInfo`` uses."""
    otp: str | None = attrs.field(
        default=None, validator=valid(checks.optional(checks.text("the password"))), repr=False
    )
    """The password of its second factor; None: it has none."""
    nonce_window: int = attrs.field(default=0, validator=valid(checks.count))
    """How far a nonce may be below the highest one."""
    name: str = attrs.field(default="test key", validator=valid(checks.text("its name")))


@attrs.frozen(kw_only=True)
class RestRequest:
    """An HTTP request."""

    method: str
    target: str
    """The path, and the query."""
    headers: tuple[tuple[str, str], ...] = attrs.field(default=(), repr=False)
    body: bytes = attrs.field(default=b"", repr=False)

    def header(self, name: str) -> str:
        """The value of a header, empty if there is none."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), "")


@attrs.frozen(kw_only=True)
class RestResponse:
    """An HTTP response, and how it is sent."""

    status: int = 200
    content_type: str = "application/json; charset=utf-8"
    body: bytes = b""
    delay: float = 0.0
    """Seconds until it is sent."""
    sent: int | None = None
    """How many bytes of the body are sent before the connection is reset; None: all, and it is closed in order. -1: not
    even the head."""
    padding: int = 0
    """So many spaces follow the body."""


@attrs.define
class _KeyState:
    """What the exchange remembers of a key."""

    api: ApiKey
    last_nonce: int = 0
    points: float = 0.0
    counted: float = 0.0


class RestFront(Protocol):
    """What answers requests."""

    def respond(self, request: RestRequest, now: float) -> RestResponse: ...


class _No(StrEnum):
    """The errors."""

    METHOD = "EGeneral:Unknown method"
    PAIR = "EQuery:Unknown asset pair"
    ARGUMENTS = "EGeneral:Invalid arguments"
    LOCKOUT = "EGeneral:Temporary lockout"
    SIGNATURE = "EAPI:Invalid signature"
    PERMISSION = "EGeneral:Permission denied"
    KEY = "EAPI:Invalid key"
    NONCE = "EAPI:Invalid nonce"
    RATE = "EAPI:Rate limit exceeded"
    ORDER = "EOrder:Invalid order"
    OFFSET = "EGeneral:Invalid arguments:ofs"


class _Refused(Exception):  # noqa: N818 (named by what happened)
    """The error to answer with."""


class RestCore:
    """The interface, without I/O. Times are seconds of any clock; ``epoch_ns`` is the wall clock at ``now``.

    ``lag``
        Seconds, up to 60, that account calls are behind.
    ``limit``, ``decay``
        The rate counter of each key: the most points, and how many it loses in a second.
    ``lockout``
        Seconds for which nobody is answered after five wrong keys in a row.
    """

    def __init__(
        self,
        markets: Iterable[MarketSpec] = DEFAULT_MARKETS,
        *,
        keys: Iterable[ApiKey] = (),
        account: AccountView | None = None,
        tokens: Tokens | None = None,
        now: float = 0.0,
        epoch_ns: int = 1_790_000_000 * 10**9,
        lag: float = 0.0,
        limit: float = 15.0,
        decay: float = 0.33,
        lockout: float = 900.0,
    ) -> None:
        self.markets: tuple[MarketSpec, ...] = tuple(markets)
        self.account: AccountView = ListedAccount() if account is None else account
        self.tokens: Tokens = Tokens() if tokens is None else tokens
        self.system: str = "online"
        """What ``SystemStatus`` says."""
        self.calls: list[str] = []
        """The names of all calls, in order, refused ones as well."""
        self.nonces: dict[str, list[int]] = {}
        """The nonces that were accepted, by key."""
        self._opened = now
        self._epoch_ns = epoch_ns
        self._limit, self._decay, self._lockout = limit, decay, lockout
        self._keys = {api.key: _KeyState(api) for api in keys}
        self._wrong_keys = 0
        self._locked_until = float("-inf")
        self.armed: ArmedFaults[BreakRest] = ArmedFaults()
        self._lag = 0.0
        self.set_lag(lag)

    # Changing

    def set_lag(self, seconds: float) -> None:
        """How far account calls are behind from now on."""
        checks.number(least=0, most=MAX_LAG)("lag", seconds)
        self._lag = seconds

    def set_key(self, api: ApiKey) -> None:
        """Add a key, or change what one may do."""
        state = self._keys.get(api.key)
        if state is None:
            self._keys[api.key] = _KeyState(api)
        else:
            state.api = api

    def remove_key(self, key: str) -> None:
        """Delete a key."""
        self._keys.pop(key, None)

    def inject(self, fault: BreakRest) -> None:
        """Arm a fault."""
        checks.instance(BreakRest, wanted="a fault of the REST interface: BreakRest(...)")("fault", fault)
        self.armed.arm(fault)

    def clear_faults(self) -> None:
        """Disarm all faults."""
        self.armed.clear()

    def wall_ns(self, now: float) -> int:
        """``now`` as nanoseconds since 1970."""
        return self._epoch_ns + round((now - self._opened) * 1e9)

    # Answering

    def respond(self, request: RestRequest, now: float) -> RestResponse:
        """Answer a request."""
        path, _, query = request.target.partition("?")
        section, _, name = path.removeprefix("/0/").partition("/")
        if not path.startswith("/0/") or section not in {"public", "private"}:
            return RestResponse(status=404, content_type="text/html", body=b"<html><body>404 Not Found</body></html>")
        self.calls.append(name)
        fault = self.armed.take(BreakRest, lambda fault: fault.call in {None, name})
        if fault is not None and (broken := _broken(fault)) is not None:
            return broken
        try:
            if section == "public":
                result = self._public(name, dict(parse_qsl(query)), now)
            else:
                result = self._private(request, path, name, now)
        except _Refused as refused:
            return RestResponse(body=_encode({"error": [str(refused)]}))
        if fault is not None and fault.how is RestBreak.NO_RESULT_KEY:
            result = {"expires": 900}
        response = RestResponse(body=_encode({"error": [], "result": result}))
        if fault is not None and fault.how is RestBreak.SLOW:
            return attrs.evolve(response, delay=fault.seconds)
        if fault is not None and fault.how is RestBreak.CUT:
            return attrs.evolve(response, sent=len(response.body) * 2 // 3)
        return response

    # Public calls

    def _public(self, name: str, params: _Params, now: float) -> Any:
        wall = self.wall_ns(now)
        if name == "Time":
            return {"unixtime": wall // 10**9, "rfc1123": ""}
        if name == "SystemStatus":
            return {"status": self.system, "timestamp": "", "upcoming_maintenance": [], "emergency": []}
        if name == "AssetPairs":
            return self._asset_pairs(params.get("pair"))
        raise _Refused(_No.METHOD)

    def _asset_pairs(self, wanted: str | None) -> dict[str, Any]:
        rows = {}
        for spec in self.markets:
            names = pair_names(spec.symbol)
            rows[names.key] = _asset_pair(spec)
        if wanted is None:
            return rows
        known = {
            alias: names.key
            for spec in self.markets
            for names in [pair_names(spec.symbol)]
            for alias in (names.key, names.altname, names.wsname, spec.symbol)
        }
        try:
            keys = [known[alias] for alias in wanted.split(",")]
        except KeyError:
            raise _Refused(_No.PAIR) from None
        return {key: rows[key] for key in keys}

    # Private calls

    def _private(self, request: RestRequest, path: str, name: str, now: float) -> Any:
        if request.method != "POST":
            raise _Refused(_No.ARGUMENTS)
        if now < self._locked_until:
            raise _Refused(_No.LOCKOUT)
        key = self._known(request.header("API-Key"), now)
        params = _fields(request)
        if not _is_signed(key.api, request, path, params.get("nonce", "")):
            raise _Refused(_No.SIGNATURE)
        self._count_nonce(key, params.get("nonce", ""))
        if key.api.otp is not None and params.get("otp") != key.api.otp:
            raise _Refused(_No.PERMISSION)
        if name not in _NEEDS:
            raise _Refused(_No.METHOD)
        needed = _NEEDS[name]
        if needed is not None and needed not in key.api.permissions:
            raise _Refused(_No.PERMISSION)
        self._count_call(key, _COSTS.get(name, 1.0), now)
        if name == "GetWebSocketsToken":
            return {"token": self.tokens.issue(now), "expires": 900}
        if name == "GetApiKeyInfo":
            return _key_info(key)
        return self._account_call(name, params, self.wall_ns(now - self._lag))

    def _known(self, name: str, now: float) -> _KeyState:
        key = self._keys.get(name)
        if key is not None:
            self._wrong_keys = 0
            return key
        self._wrong_keys += 1
        if self._wrong_keys >= _WRONG_KEYS:
            self._wrong_keys = 0
            self._locked_until = now + self._lockout
            raise _Refused(_No.LOCKOUT)
        raise _Refused(_No.KEY)

    def _count_nonce(self, key: _KeyState, text: str) -> None:
        nonce = int(text) if text.isascii() and text.isdigit() and len(text) <= 20 else -1
        if not max(key.last_nonce - key.api.nonce_window, 0) < nonce < _U64:
            raise _Refused(_No.NONCE)
        key.last_nonce = max(key.last_nonce, nonce)
        self.nonces.setdefault(key.api.key, []).append(nonce)

    def _count_call(self, key: _KeyState, cost: float, now: float) -> None:
        points = max(key.points - (now - key.counted) * self._decay, 0.0)
        key.points, key.counted = points, now
        if points + cost > self._limit:
            raise _Refused(_No.RATE)
        key.points = points + cost

    def _account_call(self, name: str, params: _Params, at_ns: int) -> Any:
        account = self.account
        if name == "BalanceEx":
            return {
                asset_name(row.asset): {"balance": f"{row.balance:f}", "hold_trade": f"{row.held:f}"}
                for row in account.balances(at_ns)
            }
        if name == "Ledgers":
            found, count = _page(account.ledgers(at_ns), params, lambda row: row.time_ns, lambda row: row.ledger_id)
            rows = {
                row.ledger_id: {
                    "refid": row.ref_id, "time": _seconds(row.time_ns), "type": row.kind, "subtype": "",
                    "aclass": "currency", "asset": asset_name(row.asset), "amount": f"{row.amount:f}",
                    "fee": f"{row.fee:f}", "balance": f"{row.balance:f}",
                }
                for row in found
            }  # fmt: skip
            return {"ledger": rows, "count": count}
        if name == "TradesHistory":
            trades = account.trades(at_ns)
            if params.get("consolidate_taker", "true") != "false":
                trades = _consolidated(trades)
            fills, count = _page(trades, params, lambda row: row.time_ns, lambda row: row.trade_id)
            return {"trades": {row.trade_id: _trade(row) for row in fills}, "count": count}
        return _orders(name, account.orders(at_ns), params)


# Requests


def _fields(request: RestRequest) -> dict[str, str]:
    """The fields of the body, which is a form or JSON."""
    if request.header("Content-Type").partition(";")[0].strip() == "application/json":
        try:
            tree = json.loads(request.body)
        except ValueError:
            return {}
        return {name: str(value) for name, value in tree.items()} if isinstance(tree, dict) else {}
    try:
        return dict(parse_qsl(request.body.decode("ascii"), keep_blank_values=True))
    except ValueError:
        return {}


def _is_signed(api: ApiKey, request: RestRequest, path: str, nonce: str) -> bool:
    """Whether the signature is that of the key's owner, over the bytes as they came."""
    digest = hashlib.sha256(nonce.encode() + request.body).digest()
    proof = b64encode(hmac.digest(b64decode(api.secret), path.encode() + digest, "sha512"))
    return hmac.compare_digest(proof, request.header("API-Sign").encode())


# Answers


def _broken(fault: BreakRest) -> RestResponse | None:
    """The response of a call that is not carried out; None for other faults."""
    match fault.how:
        case RestBreak.HTML:
            return RestResponse(status=520, content_type="text/html; charset=UTF-8", body=_HTML)
        case RestBreak.EMPTY:
            return RestResponse()
        case RestBreak.ERROR:
            return RestResponse(body=_encode({"error": [fault.text]}))
        case RestBreak.RESET:
            return RestResponse(sent=-1)
        case RestBreak.ENDLESS:
            return RestResponse(body=b'{"error":[],"result":{}}', padding=_ENDLESS)
        case _:
            return None


def _key_info(key: _KeyState) -> dict[str, Any]:
    return {
        "apiKeyName": key.api.name,
        "apiKey": key.api.key,
        "nonce": str(key.last_nonce),
        "nonceWindow": key.api.nonce_window,
        "permissions": sorted(key.api.permissions),
        "iban": "AA00 N84G TEST KEYS",
        "validUntil": "0",
        "queryFrom": "0",
        "queryTo": "0",
        "createdTime": "1772542900",
        "modifiedTime": "1772543095",
        "ipAllowlist": [],
        "lastUsed": "1772627061",
    }


def _asset_pair(spec: MarketSpec) -> dict[str, Any]:
    names = pair_names(spec.symbol)
    leverage = [2, 3, 4, 5] if spec.marginable else []
    row: dict[str, Any] = {
        "altname": names.altname,
        "wsname": names.wsname,
        "aclass_base": "currency" if spec.multiplier is None else "tokenized_asset",
        "base": names.base,
        "aclass_quote": "currency",
        "quote": names.quote,
        "lot": "unit",
        "cost_decimals": 5,
        "pair_decimals": spec.price_precision,
        "lot_decimals": spec.qty_precision,
        "lot_multiplier": 1,
        "leverage_buy": leverage,
        "leverage_sell": leverage,
        "fees": [[0, Decimal("0.4")]],
        "fees_maker": [[0, Decimal("0.25")]],
        "fee_volume_currency": "ZUSD",
        "margin_call": 80,
        "margin_stop": 40,
        "ordermin": "0.0001",
        "costmin": "0.5",
        "tick_size": f"{Decimal(1).scaleb(-spec.price_precision):f}",
        "status": spec.status,
    }
    if spec.marginable:
        row |= {"long_position_limit": 250, "short_position_limit": 200}
    return row


def _seconds(time_ns: int) -> Decimal:
    """Seconds with four decimals, as the exchange writes times."""
    return Decimal(time_ns // 100_000).scaleb(-4)


def _trade(row: TradeRow) -> dict[str, Any]:
    return {
        "ordertxid": row.order_id,
        "postxid": "TKH2SE-M7IF5-CFI7LT",
        "pair": pair_names(row.symbol).key,
        "time": _seconds(row.time_ns),
        "type": row.side,
        "ordertype": row.order_type,
        "price": f"{row.price:f}",
        "cost": f"{row.cost:f}",
        "fee": f"{row.fee:f}",
        "vol": f"{row.qty:f}",
        "margin": "0.00000",
        "leverage": "0",
        "misc": "",
        "trade_id": row.number,
        "maker": row.maker,
    }


def _consolidated(fills: Sequence[TradeRow]) -> list[TradeRow]:
    """The taker fills of an order that follow each other as one trade, with an id that the stream does not know."""
    found: list[TradeRow] = []
    for fill in fills:
        last = found[-1] if found else None
        if last is None or last.maker or fill.maker or last.order_id != fill.order_id:
            found.append(fill)
            continue
        qty, cost = last.qty + fill.qty, last.cost + fill.cost
        found[-1] = attrs.evolve(
            last,
            trade_id=f"{last.trade_id[:-6]}CONSOL",
            time_ns=fill.time_ns,
            qty=qty,
            cost=cost,
            fee=last.fee + fill.fee,
            price=cost / qty,
        )
    return found


def _order(row: OrderRow, *, with_trades: bool) -> dict[str, Any]:
    pair = pair_names(row.symbol).altname
    order: dict[str, Any] = {
        "refid": None,
        "userref": row.userref,
        "status": row.status,
        "opentm": _seconds(row.opened_ns),
        "starttm": 0,
        "expiretm": 0 if row.expires_ns is None else row.expires_ns // 10**9,
        "descr": {
            "pair": pair,
            "type": row.side,
            "ordertype": row.order_type,
            "price": f"{row.trigger or row.limit_price:f}",
            "price2": "0",
            "leverage": "none",
            "order": f"{row.side} {row.qty:f} {pair} @ {row.order_type} {row.limit_price:f}",
            "close": "",
        },
        "vol": f"{row.qty:f}",
        "vol_exec": f"{row.filled:f}",
        "cost": f"{row.cost:f}",
        "fee": f"{row.fee:f}",
        "price": f"{row.avg_price:f}",
        "stopprice": "0.00000",
        "limitprice": "0.00000",
        "misc": "amended" if row.was_amended else "",
        "oflags": "fciq",
    }
    if row.cl_ord_id is not None:
        order["cl_ord_id"] = row.cl_ord_id
    if row.closed_ns is not None:
        order |= {"closetm": _seconds(row.closed_ns), "reason": row.reason}
    if with_trades:
        order["trades"] = list(row.trades)
    return order


def _orders(name: str, rows: Sequence[OrderRow], params: _Params) -> dict[str, Any]:
    with_trades = params.get("trades") == "true"
    if name == "OpenOrders":
        found = [row for row in rows if row.closed_ns is None]
        return {"open": {row.order_id: _order(row, with_trades=with_trades) for row in found}}
    if name == "QueryOrders":
        known = {row.order_id: row for row in rows}
        ids = params.get("txid", "").split(",")
        if not 1 <= len(ids) <= _PAGE or not all(ids):
            raise _Refused(_No.ARGUMENTS)
        if not known.keys() >= set(ids):
            raise _Refused(_No.ORDER)
        return {order_id: _order(known[order_id], with_trades=with_trades) for order_id in ids}
    closed = sorted((row for row in rows if row.closed_ns is not None), key=_closed_ns)
    by_open = params.get("closetime") == "open"
    found, count = _page(
        closed, params, (lambda row: row.opened_ns) if by_open else _closed_ns, lambda row: row.order_id
    )
    answer: dict[str, Any] = {"closed": {row.order_id: _order(row, with_trades=with_trades) for row in found}}
    return answer if params.get("without_count") == "true" else {**answer, "count": count}


def _closed_ns(row: OrderRow) -> int:
    return row.closed_ns or 0


def _page(
    rows: Sequence[_Row], params: _Params, time_ns: Callable[[_Row], int], name: Callable[[_Row], str]
) -> tuple[list[_Row], int]:
    """A page, newest first, and how many rows there are in all.

    ``start`` is exclusive, ``end`` inclusive; each is a time or an id.
    """
    times = {name(row): time_ns(row) for row in rows}

    def bound(key: str, other: int) -> int:
        text = params.get(key, "")
        if not text:
            return other
        if text in times:
            return times[text]
        if not _TIME.fullmatch(text):
            raise _Refused(_No.ARGUMENTS)
        return round(Decimal(text) * 10**9)

    start, end = bound("start", -1), bound("end", 2**63)
    offset = params.get("ofs", "0")
    if not _OFFSET.fullmatch(offset):
        raise _Refused(_No.OFFSET)
    found = [row for row in reversed(rows) if start < time_ns(row) <= end]
    return found[int(offset) : int(offset) + _PAGE], len(found)
