"""NautilusTrader as its users run it: a live node, from the socket to a strategy that has a managed order book.

It delivers deltas without verifying Kraken's checksum (which it does for level 3 books only).
"""

from __future__ import annotations

import http.server
import json
import threading
from typing import Any

from nautilus_trader.adapters.kraken.config import KrakenDataClientConfig
from nautilus_trader.adapters.kraken.factories import KrakenLiveDataClientFactory
from nautilus_trader.config import InstrumentProviderConfig, LoggingConfig, StrategyConfig, TradingNodeConfig
from nautilus_trader.live.node import TradingNode
from nautilus_trader.model.enums import BookType
from nautilus_trader.model.identifiers import InstrumentId
from nautilus_trader.trading.strategy import Strategy

from benchmarks.sides import common


def pair() -> dict[str, Any]:
    base, quote = common.SYMBOL.split("/")
    return {
        "altname": base + quote, "wsname": common.SYMBOL, "aclass_base": "currency", "base": base,
        "aclass_quote": "currency", "quote": quote, "lot": "unit", "cost_decimals": 5,
        "pair_decimals": common.PRICE_DECIMALS, "lot_decimals": common.QTY_DECIMALS, "lot_multiplier": 1,
        "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]], "fees_maker": [[0, 0.25]],
        "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40, "ordermin": "0.00005", "costmin": "0.5",
        "tick_size": common.tick(), "status": "online", "long_position_limit": 0, "short_position_limit": 0,
    }  # fmt: skip


class Rest(http.server.BaseHTTPRequestHandler):
    """The exchange's REST service, as far as the node asks it: which pairs there are."""

    def do_GET(self) -> None:
        found = pair()
        body = json.dumps(
            {"error": [], "result": {found["altname"]: found} if "AssetPairs" in self.path else {}}
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_args: Any) -> None:
        """Say nothing."""


class Watch(Strategy):  # type: ignore[misc]  # compiled
    """Counts, and reads the best bid."""

    def __init__(self, task: dict[str, Any]) -> None:
        super().__init__(StrategyConfig())
        self.task = task
        self.arrivals = common.Arrivals(task)
        self.snapshots = 1
        self.instrument_id = InstrumentId.from_str(f"{common.SYMBOL}.KRAKEN")

    def on_start(self) -> None:
        self.subscribe_order_book_deltas(self.instrument_id, BookType.L2_MBP, depth=self.task["depth"])

    def on_order_book_deltas(self, _deltas: object) -> None:
        book = self.cache.order_book(self.instrument_id)
        if book is not None:
            book.best_bid_price()
        if self.snapshots:
            self.snapshots -= 1
        elif self.arrivals.one():
            self.arrivals.finish(book=str(book.best_bid_price()) if book is not None else None)


def main() -> None:
    task = common.job()
    rest = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Rest)
    threading.Thread(target=rest.serve_forever, daemon=True).start()
    node = TradingNode(
        TradingNodeConfig(
            logging=LoggingConfig(log_level=task.get("log", "ERROR")),
            data_clients={
                "KRAKEN": KrakenDataClientConfig(
                    base_url_http_spot=f"http://127.0.0.1:{rest.server_port}",
                    base_url_ws_spot=task["url"],
                    base_url_ws_l3_spot=task["url"],
                    update_instruments_interval_mins=None,
                    instrument_provider=InstrumentProviderConfig(load_all=True),
                )
            },
        )
    )
    node.trader.add_strategy(Watch(task))
    node.add_data_client_factory("KRAKEN", KrakenLiveDataClientFactory)
    node.build()
    node.run()


main()
