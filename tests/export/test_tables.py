"""The tables in Parquet: rows are events, numbers exact, days begin with books, and the books can be rebuilt."""

from __future__ import annotations

from collections import Counter, defaultdict
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq
import pytest
from hypothesis import example, given, settings, strategies as st

import kraken_trio as kt
from kraken_trio.export import ExportError, export, run, sheets, to_df
from kraken_trio.export.files import ROW_GROUP_ROWS
from kraken_trio.export.times import DAY_NS, date_of
from tests.export import stories

if TYPE_CHECKING:
    from pathlib import Path

    from kraken_trio.export import ExportReport


def rows_of(folder: Path, report: ExportReport, table: str) -> dict[str, list[dict[str, Any]]]:
    """By the path of their file."""
    found = {}
    for file in report.files:
        if file.table == table:
            rows = pq.read_table(folder / file.path).to_pylist()
            assert len(rows) == file.rows
            found[file.path.as_posix()] = rows
    return found


def all_rows(folder: Path, report: ExportReport, table: str) -> list[dict[str, Any]]:
    return [row for rows in rows_of(folder, report, table).values() for row in rows]


def book_updates(source: Any, **options: Any) -> list[list[dict[str, Any]]]:
    """Rows of ``book_updates``, by day."""
    frame = to_df(source, "book_updates", engine="polars", **options)
    days: defaultdict[int, list[dict[str, Any]]] = defaultdict(list)
    day = 0
    for row in frame.to_dicts():
        if row["seq"] < (days[day][-1]["seq"] if days[day] else 0):
            day += 1
        days[day].append(row)
    return list(days.values())


@given(stories.recordings())
def test_rows_are_events(recorded: tuple[int, list[kt.Event]]) -> None:
    events = recorded[1]
    source = stories.in_memory(recorded)
    expected = Counter(
        {
            "book_updates": sum(
                len(event.bids) + len(event.asks) or 1
                for event in events
                if isinstance(event, kt.BookSnapshot | kt.BookUpdate)
            )
            + sum(isinstance(event, kt.Gap) and event.channel in {None, "book"} for event in events),
            "trades": sum(isinstance(event, kt.Trade) for event in events),
            "gaps": sum(isinstance(event, kt.Gap) for event in events),
        }
    )
    for table, count in expected.items():
        if not count:
            with pytest.raises(ExportError, match="nothing"):
                to_df(source, table)
            continue
        frame = to_df(source, table, engine="polars")
        if table == "book_updates":
            frame = frame.filter(~frame["derived"])
        assert len(frame) == count


@given(stories.recordings())
def test_rows_rebuild_every_book(recorded: tuple[int, list[kt.Event]]) -> None:
    depth, events = recorded
    expected = [(event, sides) for event, sides in stories.books(events, depth)]
    got = []
    for rows in book_updates(stories.in_memory(recorded)):
        got += [sides for seq, sides in stories.rebuilt(rows) if seq]
    assert got == [sides for _, sides in expected]


@given(stories.recordings())
def test_a_day_begins_with_the_whole_book(recorded: tuple[int, list[kt.Event]]) -> None:
    depth, events = recorded
    clock, day_of = 0, {}
    for event in events:
        clock = max(clock, event.received_ns // DAY_NS)
        day_of[id(event)] = clock
    before: dict[int, dict[str, Any]] = {}
    """The book at each day's beginning."""
    sides: dict[str, Any] = {"bid": {}, "ask": {}}
    for event, after in stories.books(events, depth):
        before.setdefault(day_of[id(event)], sides)
        sides = after
    for rows in book_updates(stories.in_memory(recorded)):
        first = rows[0]
        if first["seq"]:
            assert first["is_snapshot"] or first["gap"]
            continue
        assert first["is_snapshot"]
        assert first["derived"]
        time_ns = int(first["local_timestamp"].timestamp()) * 10**9
        assert time_ns % DAY_NS == 0
        assert next(stories.rebuilt(rows))[1] == before[time_ns // DAY_NS]
    # Nobody reads an update before a snapshot.
    for rows in book_updates(stories.in_memory(recorded)):
        known = False
        for row in rows:
            known = row["gap"] is None and (known or row["is_snapshot"])
            assert known or row["gap"]


@given(stories.recordings())
def test_trades_come_back_exactly(recorded: tuple[int, list[kt.Event]]) -> None:
    trades = [event for event in recorded[1] if isinstance(event, kt.Trade)]
    if not trades:
        return
    frame = to_df(stories.in_memory(recorded), "trades", engine="polars")
    assert frame["id"].to_list() == [trade.trade_id for trade in trades]
    assert frame["price"].to_list() == [trade.price for trade in trades]
    assert frame["amount"].to_list() == [trade.qty for trade in trades]
    assert frame["side"].to_list() == [trade.side.value for trade in trades]
    assert frame["timestamp"].to_list() == [trade.timestamp for trade in trades]
    assert frame["local_timestamp"].dt.epoch("ns").to_list() == [trade.received_ns for trade in trades]
    assert frame["epoch"].to_list() == [trade.epoch for trade in trades]


@given(stories.recordings())
def test_quotes_are_the_best_of_the_book(recorded: tuple[int, list[kt.Event]]) -> None:
    depth, events = recorded
    book = kt.OrderBook(depth)
    quotes: list[tuple[Any, ...]] = []
    day, last = 0, None

    def see() -> None:
        nonlocal last
        quote = best_of(book) if book.available else (None,) * 4
        if quote != last and (book.available or last is not None):
            last = quote
            quotes.append(quote)

    for event, _ in stories.books(events, depth):
        assert isinstance(event, kt.BookSnapshot | kt.BookUpdate | kt.Gap)
        if event.received_ns // DAY_NS > day:
            day, last = event.received_ns // DAY_NS, None
            if book.available and not (isinstance(event, kt.Gap) and event.cause is kt.Cause.NOT_RECORDED):
                see()  # a day begins with what was known
        book.apply(event)
        see()
    if not quotes:
        return
    frame = to_df(stories.in_memory(recorded), "quotes", engine="polars")
    assert list(frame.select("bid_price", "bid_amount", "ask_price", "ask_amount").iter_rows()) == quotes


def best_of(book: kt.OrderBook) -> tuple[Any, ...]:
    bid, ask = book.best_bid, book.best_ask
    return (*((bid.price, bid.qty) if bid else (None, None)), *((ask.price, ask.qty) if ask else (None, None)))


# Files


def test_one_file_per_table_symbol_and_day(tmp_path: Path) -> None:
    other = stories.Market(symbol="ETH/USD", seed=2, step_ns=30 * 10**9)
    other.play(300)
    events = stories.merged(stories.story(), other.events)
    requests = (*stories.REQUESTS, kt.Book("ETH/USD"), kt.Trades("ETH/USD"))
    report = export(stories.source(events, *requests), tmp_path)
    paths = {file.path.as_posix() for file in report.files}
    for table in ("trades", "book_updates", "quotes", "book_snapshots"):
        for symbol in ("BTC-USD", "ETH-USD"):
            for date in ("2026-11-29", "2026-11-30"):
                path = f"{table}/{symbol}/{date}.parquet"
                assert path in paths
                assert (tmp_path / path).stat().st_size > 0
    gaps = {path for path in paths if path.startswith("gaps/")}
    assert "gaps/2026-11-29.parquet" in gaps
    # Over all tables and symbols, the numbers are those of the events.
    first = "2026-11-29.parquet"
    numbers = [
        (row["seq"], row["symbol"])
        for table in ("trades", "book_updates")
        for path, rows in rows_of(tmp_path, report, table).items()
        if path.endswith(first)
        for row in rows
    ]
    gap_rows = [
        (row["seq"], row["symbol"])
        for path, rows in rows_of(tmp_path, report, "gaps").items()
        if path.endswith(first)
        for row in rows
    ]
    day = [event for event in events if date_of(event.received_ns // DAY_NS).day == 29]
    assert sorted({*numbers, *gap_rows}) == [(number, event.symbol) for number, event in enumerate(day, 1)]


def test_more_symbols_than_files_at_once_are_read_several_times(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    markets: list[list[kt.Event]] = []
    requests: list[kt.Request[Any]] = []
    for number in range(5):
        market = stories.Market(symbol=f"C{number}/USD", seed=number, step_ns=60 * 10**9 + number)
        market.play(200)
        markets.append(market.events)
        requests += [kt.Book(market.symbol), kt.Trades(market.symbol)]
    pair = kt.Pair(symbol="C0/USD", base="C0", quote="USD", status="online", price_precision=1, qty_precision=8)
    reference = kt.InstrumentUpdate(assets=(), pairs=(pair,), snapshot=True, received_ns=stories.START)
    events = [reference, *stories.merged(*markets)]
    requests.append(kt.Instruments())
    at_once = export(stories.source(events, *requests), tmp_path / "once")
    monkeypatch.setattr(run, "FILES_AT_ONCE", 16)
    in_parts = export(stories.source(events, *requests), tmp_path / "parts")
    assert at_once.rows == in_parts.rows
    assert at_once.events == in_parts.events
    for table in ("trades", "book_updates", "quotes", "gaps", "instruments"):
        one, other = (
            rows_of(tmp_path / name, report, table) for name, report in (("once", at_once), ("parts", in_parts))
        )
        assert one == other


def test_row_groups_are_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events = stories.story(3000, step_ns=10**8, outages=False)
    tops = export(stories.source(events), tmp_path / "a", tables=["book_updates"])
    metadata = pq.read_metadata(tmp_path / "a" / tops.files[0].path)
    assert metadata.num_row_groups == 1
    monkeypatch.setattr("kraken_trio.export.files.ROW_GROUP_ROWS", 1000)
    monkeypatch.setattr(sheets, "BATCH_ROWS", 100)
    tops = export(stories.source(events), tmp_path / "b", tables=["book_updates"])
    metadata = pq.read_metadata(tmp_path / "b" / tops.files[0].path)
    sizes = [metadata.row_group(number).num_rows for number in range(metadata.num_row_groups)]
    assert all(1000 <= size < 1200 for size in sizes[:-1])
    assert 64_000 <= ROW_GROUP_ROWS <= 256_000
    assert all_rows(tmp_path / "a", tops, "book_updates") == all_rows(tmp_path / "b", tops, "book_updates")


def test_rows_that_wait_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets, "MAX_HELD_ROWS", 700)
    monkeypatch.setattr(sheets, "BATCH_ROWS", 50)
    report = export(stories.source(stories.story(3000, step_ns=10**8)), tmp_path, interval=0)
    assert report.rows["book_updates"] > 3000
    for file in report.files:
        metadata = pq.read_metadata(tmp_path / file.path)
        assert all(metadata.row_group(number).num_rows <= 1500 for number in range(metadata.num_row_groups))


# Numbers


def test_exact_decimals_by_default_floats_on_demand(tmp_path: Path) -> None:
    exact = export(stories.source(stories.story()), tmp_path / "exact", tables=["trades"])
    floats = export(stories.source(stories.story()), tmp_path / "floats", tables=["trades"], floats=True)
    assert str(pq.read_schema(tmp_path / "exact" / exact.files[0].path).field("price").type) == "decimal128(38, 10)"
    assert str(pq.read_schema(tmp_path / "floats" / floats.files[0].path).field("price").type) == "double"
    one, other = all_rows(tmp_path / "exact", exact, "trades"), all_rows(tmp_path / "floats", floats, "trades")
    assert [float(row["amount"]) for row in one] == [row["amount"] for row in other]


@given(st.integers(1, 10**15), st.integers(0, 18))
def test_a_number_is_exact_or_an_error(digits: int, places: int) -> None:
    price = Decimal(digits).scaleb(-places)
    trade = next(event for event in stories.story(200) if isinstance(event, kt.Trade))
    source = stories.source([stories.replaced(trade, price=price)])
    if price == round(price, 10):
        assert to_df(source, "trades", engine="polars")["price"].to_list() == [price]
    else:
        with pytest.raises(ExportError, match=r"trades\.price of BTC/USD: .* decimals, or ask for floats"):
            to_df(source, "trades")
        assert to_df(source, "trades", engine="polars", floats=True)["price"].to_list() == [float(price)]
    assert to_df(source, "trades", engine="polars", decimals=18)["price"].to_list() == [price]


def test_a_level_that_holds_a_whole_number(tmp_path: Path) -> None:
    """A decoder may leave integers in levels of which nobody has asked the digits."""
    import msgspec

    level = kt.Level("1", "2")
    msgspec.structs.force_setattr(level, "price_text", 100)
    snapshot = kt.BookSnapshot(symbol="BTC/USD", bids=(level,), asks=(), received_ns=stories.START)
    for to in ("parquet", "csv", "tardis", "hftbacktest"):
        report = export(stories.source([snapshot]), tmp_path / to, to=to)
        assert report.events == 1
    assert to_df(stories.source([snapshot]), "book_updates", engine="polars")["price"].to_list() == [Decimal(100)]


# Snapshots at intervals


def test_book_snapshots_are_of_whole_seconds() -> None:
    market = stories.Market(step_ns=700_000_000)
    market.play(300)
    frame = to_df(stories.source(market.events), "book_snapshots", engine="polars", levels=3)
    times = frame["local_timestamp"].dt.epoch("ns").to_list()
    assert all(time % 10**9 == 0 for time in times)
    assert times == sorted(set(times))
    book, at, unknown = kt.OrderBook(10), 0, 0
    of_book = [event for event in market.events if isinstance(event, kt.BookSnapshot | kt.BookUpdate | kt.Gap)]
    for time, row in zip(times, frame.to_dicts(), strict=True):
        while at < len(of_book) and of_book[at].received_ns <= time:
            book.apply(of_book[at])
            at += 1
        if not book.available:
            unknown += 1
            assert all(row[f"{side}_{what}_0"] is None for side in ("bid", "ask") for what in ("price", "amount"))
            continue
        for side, levels in (("bid", book.bids), ("ask", book.asks)):
            best = [(level.price, level.qty) for level in levels[:3]]
            got = [(row[f"{side}_price_{rank}"], row[f"{side}_amount_{rank}"]) for rank in range(3)]
            assert got == best + [(None, None)] * (3 - len(best))
    assert unknown == sum(isinstance(event, kt.Gap) and event.channel == "book" for event in market.events)
    # Every second at which the book could be read has its row.
    assert len(times) > (times[-1] - times[0]) / 10**9 * 0.9


def test_book_snapshots_go_on_over_midnight() -> None:
    """Also between the last event of a day and the first one of the next; but not while nobody was watching."""
    events = stories.story(300, step_ns=37 * 10**9, outages=False)
    assert events[-1].received_ns // DAY_NS > events[0].received_ns // DAY_NS
    frame = to_df(stories.source(events), "book_snapshots", engine="polars", levels=1)
    times = frame["local_timestamp"].dt.epoch("s").to_list()
    assert times == list(range(times[0], events[-1].received_ns // 10**9 + 1))
    first = next(at for at, event in enumerate(events) if event.received_ns // DAY_NS > events[0].received_ns // DAY_NS)
    hole = kt.Gap(symbol="BTC/USD", cause=kt.Cause.NOT_RECORDED, received_ns=events[first].received_ns)
    frame = to_df(stories.source([*events[:first], hole]), "book_snapshots", engine="polars", levels=1)
    assert frame["local_timestamp"].dt.epoch("s").to_list()[-1] == events[first - 1].received_ns // 10**9


def test_book_snapshots_on_every_change() -> None:
    events = stories.story(500)
    frame = to_df(stories.source(events), "book_snapshots", engine="polars", levels=1, interval=0)
    quotes = to_df(stories.source(events), "quotes", engine="polars")
    assert frame["bid_price_0"].to_list() == quotes["bid_price"].to_list()
    assert frame["ask_amount_0"].to_list() == quotes["ask_amount"].to_list()
    assert frame["seq"].to_list() == quotes["seq"].to_list()


# The other tables


def test_all_other_tables(tmp_path: Path) -> None:
    now = stories.START
    ticker = kt.TickerUpdate(
        symbol="BTC/USD",
        bid=Decimal("1.0"),
        bid_qty=Decimal(2),
        ask=Decimal("1.1"),
        ask_qty=Decimal(3),
        change=Decimal("-0.5"),
        trades=7,
        received_ns=now,
        epoch=1,
    )
    candle = kt.Candle(
        symbol="BTC/USD",
        interval=5,
        interval_begin=stories.moment(now),
        open=Decimal(1),
        high=Decimal(2),
        low=Decimal("0.5"),
        close=Decimal(1),
        volume=Decimal("10.25"),
        vwap=Decimal("1.00001"),
        trades=3,
        snapshot=True,
        received_ns=now + 1,
        epoch=1,
    )
    pair = kt.Pair(
        symbol="BTC/USD",
        base="BTC",
        quote="USD",
        status="online",
        price_precision=1,
        qty_precision=8,
        price_increment=Decimal("0.1"),
        marginable=True,
    )
    asset = kt.Asset(id="BTC", status="enabled", precision=10, precision_display=5, collateral_value=Decimal("0.98"))
    update = kt.InstrumentUpdate(assets=(asset,), pairs=(pair, pair), snapshot=True, received_ns=now + 2, epoch=1)
    gap = kt.Gap(symbol=None, cause=kt.Cause.MALFORMED, detail='a, "b"\nc', missed=3, received_ns=now + 3, epoch=1)
    requests = (kt.Ticker("BTC/USD"), kt.Candles("BTC/USD", 5), kt.Instruments())
    source = stories.source([ticker, candle, update, gap], *requests)
    for to in ("parquet", "csv"):
        report = export(source, tmp_path / to, to=to)
        assert report.rows == {"tickers": 1, "candles": 1, "instruments": 2, "assets": 1, "gaps": 1}
        assert report.events == 4
    (row,) = to_df(source, "tickers", engine="polars").to_dicts()
    assert (row["bid"], row["change"], row["last"], row["trades"], row["timestamp"]) == (
        1,
        Decimal("-0.5"),
        None,
        7,
        None,
    )
    (row,) = to_df(source, "candles", engine="polars").to_dicts()
    assert (row["interval"], row["interval_begin"], row["vwap"]) == (5, stories.moment(now), Decimal("1.00001"))
    row, _ = to_df(source, "instruments", engine="polars").to_dicts()
    assert (row["symbol"], row["price_increment"], row["qty_min"], row["marginable"]) == (
        "BTC/USD",
        Decimal("0.1"),
        None,
        True,
    )
    (row,) = to_df(source, "assets", engine="polars").to_dicts()
    assert (row["asset"], row["collateral_value"]) == ("BTC", Decimal("0.98"))
    (row,) = to_df(source, "gaps", engine="polars").to_dicts()
    assert (row["symbol"], row["channel"], row["cause"], row["missed"]) == (None, None, "malformed", 3)


# Time


@settings(max_examples=30)
@given(st.integers(0, 8 * 3600), st.integers(1, 4 * 3600))
@example(5001, 10)
def test_a_part_is_what_the_whole_has_there(start: int, length: int) -> None:
    events = stories.story(600)
    start_ns = stories.START + start * 10**9
    end_ns = start_ns + length * 10**9
    whole = [
        trade.trade_id for trade in events if isinstance(trade, kt.Trade) and start_ns <= trade.received_ns < end_ns
    ]
    if whole:
        frame = to_df(stories.source(events), "trades", engine="polars", start=start_ns, end=stories.moment(end_ns))
        assert frame["id"].to_list() == whole
    expected = [sides for event, sides in stories.books(events, 10) if start_ns <= event.received_ns < end_ns]
    got = []
    if not expected:
        return
    for rows in book_updates(stories.source(events), start=start_ns, end=end_ns):
        got += [sides for seq, sides in stories.rebuilt(rows) if seq]
    assert got == expected


def test_a_clock_that_is_set_back_over_midnight(tmp_path: Path) -> None:
    """The order is that of the recording: a day that has begun goes on."""
    events = stories.story(400, outages=False)
    after = next(
        number for number, event in enumerate(events) if event.received_ns // DAY_NS > events[0].received_ns // DAY_NS
    )
    events[after + 3] = stories.replaced(events[after + 3], received_ns=events[after].received_ns - 10**9 * 60)
    report = export(stories.source(events), tmp_path, tables=["book_updates", "trades"])
    assert len(report.files) == 4
    got = []
    for rows in rows_of(tmp_path, report, "book_updates").values():
        got += [sides for seq, sides in stories.rebuilt(rows) if seq]
    assert got == [sides for _, sides in stories.books(events, 10)]


def test_a_hole_of_days_makes_no_files(tmp_path: Path) -> None:
    market = stories.Market(step_ns=10**9)
    market.play(20, outages=False)
    market.outage(kt.Cause.NOT_RECORDED)
    first = market.events[:-3]
    later = [stories.replaced(event, received_ns=event.received_ns + 3 * DAY_NS) for event in market.events[-3:]]
    report = export(stories.source([*first, *later]), tmp_path, tables=["book_updates", "book_snapshots", "gaps"])
    assert {file.date for file in report.files} == {"2026-11-29", "2026-12-02"}
    rows = rows_of(tmp_path, report, "book_updates")["book_updates/BTC-USD/2026-12-02.parquet"]
    assert [row["gap"] for row in rows[:2]] == ["not recorded", None]
    assert rows[1]["is_snapshot"]
    assert not any(row["derived"] for row in rows)
    tops = all_rows(tmp_path, report, "book_snapshots")
    times = [row["local_timestamp"] for row in tops]
    assert max(time for time in times if time.day == 29) <= stories.moment(first[-1].received_ns)


def test_a_quiet_book_has_a_file_of_every_day(tmp_path: Path) -> None:
    market = stories.Market(step_ns=10**9)
    market.snapshot()
    trades = stories.Market(symbol="BTC/USD", step_ns=3 * 3600 * 10**9, seed=5, now=market.now)
    for _ in range(30):
        trades.trade()
    report = export(stories.source([*market.events, *trades.events]), tmp_path, tables=["book_updates", "trades"])
    for path, rows in rows_of(tmp_path, report, "book_updates").items():
        assert len(rows) == 20, path
        assert all(row["is_snapshot"] for row in rows)
    assert len(rows_of(tmp_path, report, "book_updates")) == len(rows_of(tmp_path, report, "trades")) >= 2


# Real recordings


def test_real_recordings(captures: Path, tmp_path: Path) -> None:
    for name, symbol, updates in (("ethusd", "ETH/USD", 1128), ("xrpusd", "XRP/USD", 1146)):
        events = stories.of_capture(captures / f"v2_book25_{name}.cbcap")
        book = kt.Book(symbol, depth=25)
        source = stories.source(events, book)
        of_book = [event for event in events if isinstance(event, kt.BookSnapshot | kt.BookUpdate)]
        assert len(of_book) == updates + 1
        report = export(source, tmp_path / name)
        sent = sum(file.rows - file.derived for file in report.files if file.table == "book_updates")
        assert sent == sum(len(event.bids) + len(event.asks) for event in of_book)
        rows = [row for day in book_updates(source) for row in day]
        got = [sides for seq, sides in stories.rebuilt(rows) if seq]
        assert got == [sides for _, sides in stories.books(events, 25)]


# What must not be


def test_an_update_without_a_snapshot_is_an_error(tmp_path: Path) -> None:
    events = stories.story(20)[1:]
    with pytest.raises(ExportError, match="there is no snapshot before"):
        export(stories.source(events), tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_rows_that_are_lost_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from kraken_trio.export.files import ParquetFile

    write = ParquetFile.write

    def lose(self: ParquetFile, columns: Any) -> None:
        write(self, {name: values[1:] for name, values in columns.items()})

    monkeypatch.setattr(ParquetFile, "write", lose)
    with pytest.raises(ExportError, match=r"rows were written, but \d+ are in it"):
        export(stories.source(stories.story(50)), tmp_path)
    assert not list(tmp_path.rglob("*.parquet"))


def test_events_that_are_lost_are_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sheets.Sheets, "trade", lambda self, seq, event: None)
    with pytest.raises(ExportError, match=r"the events give \d+ rows of trades, but 0 were written"):
        export(stories.source(stories.story(50)), tmp_path)
