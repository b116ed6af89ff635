"""Reference data is the one thing that is structured entry by entry: whatever its lists hold, the answer is bounded."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from kraken_trio import Asset, InstrumentUpdate, Pair, ProtocolError
from kraken_trio.wire import codec_for
from kraken_trio.wire.messages import Data
from kraken_trio.wire.tree import MAX_ENTRIES
from tests.wire.frames import ASSET, PAIR

if TYPE_CHECKING:
    from pathlib import Path


def frame(data: str, kind: str = "snapshot") -> str:
    return f'{{"channel":"instrument","type":"{kind}","data":{data}}}'


def decoded(data: str, kind: str = "snapshot") -> InstrumentUpdate:
    message = codec_for("v2").decode(frame(data, kind))
    assert isinstance(message, Data)
    (event,) = message.events
    assert isinstance(event, InstrumentUpdate)
    return event


def test_snapshot() -> None:
    event = decoded(f'{{"assets":[{ASSET}],"pairs":[{PAIR}]}}')
    assert event.snapshot
    assert event.assets == (
        Asset(
            id="USD",
            status="enabled",
            precision=4,
            precision_display=2,
            borrowable=True,
            collateral_value=Decimal("1.00"),
            margin_rate=Decimal("0.025000"),
        ),
    )
    assert event.pairs == (
        Pair(
            symbol="BTC/USD",
            base="BTC",
            quote="USD",
            status="online",
            price_precision=1,
            qty_precision=8,
            cost_precision=5,
            price_increment=Decimal("0.1"),
            qty_increment=Decimal("1E-8"),
            qty_min=Decimal("0.00010000"),
            cost_min=Decimal("0.50"),
            has_index=True,
            marginable=True,
            margin_initial=Decimal("0.20"),
            position_limit_long=Decimal(300),
            position_limit_short=Decimal(240),
        ),
    )
    assert str(event.pairs[0].qty_min) == "0.00010000"


@pytest.mark.parametrize("data", ["{}", '{"assets":[]}', '{"pairs":[]}', '{"assets":null,"pairs":null}'])
def test_a_list_may_be_empty_or_missing(data: str) -> None:
    event = decoded(data, "update")
    assert (event.assets, event.pairs, event.snapshot) == ((), (), False)


@pytest.mark.parametrize("text", ["0.5", '"0.5"', '"5E-1"'])
def test_a_number_may_be_a_text(text: str) -> None:
    # The documentation says that cost_min is a string; the wire sends a number.
    event = decoded(f'{{"pairs":[{PAIR.replace("0.50", text)}]}}')
    assert event.pairs[0].cost_min == Decimal("0.5")


def test_a_tokenised_asset_has_a_multiplier() -> None:
    event = decoded(f'{{"assets":[{ASSET[:-1]},"multiplier":1.02500}},{ASSET}]}}')
    assert [str(asset.multiplier) for asset in event.assets] == ["1.02500", "None"]


def test_unknown_fields_pass() -> None:
    event = decoded(f'{{"assets":[{ASSET[:-1]},"new":[1]}}],"venues":[]}}')
    assert event.assets[0].id == "USD"


@pytest.mark.parametrize("name", ["assets", "pairs"])
def test_what_is_no_list_of_objects_is_refused(name: str) -> None:
    lists = ("5", "0", "true", "false", "1.5", '""', '"abc"', '{"a":1}', "{}")
    entries = ("5", "null", "[]", '"abc"', "true", "0.5")
    for value in (*lists, *(f"[{entry}]" for entry in entries)):
        with pytest.raises(ProtocolError, match=f"the {name} of an instrument frame are a list of objects"):
            decoded(f'{{"{name}":{value}}}')


@pytest.mark.parametrize("data", ["null", "5", "[]", '"abc"', "[{}]"])
def test_data_is_an_object(data: str) -> None:
    with pytest.raises(ProtocolError, match="the data of an instrument frame is an object"):
        decoded(data)


@pytest.mark.parametrize(
    ("field", "value", "says"),
    [
        ("id", "5", "Expected `str`, got `int`"),
        ("id", "null", "Expected `str`, got `null`"),
        ("precision", "true", "Expected `int`, got `bool`"),
        ("precision", "1.0", "Expected `int`, got `decimal`"),
        ("borrowable", "1", "Expected `bool"),
        ("margin_rate", "true", "Expected `decimal"),
        ("margin_rate", '"x"', "Invalid decimal string"),
        ("margin_rate", "[]", "Expected `decimal"),
        ("precision", str(2**64), "a whole number of more than 64 bits"),
        ("margin_rate", "1e400", "not a price or quantity"),
        ("margin_rate", '"NaN"', "not a price or quantity"),
        ("margin_rate", '"-Infinity"', "not a price or quantity"),
    ],
)
def test_a_field_of_a_wrong_type_is_named(field: str, value: str, says: str) -> None:
    entry = {**json.loads(ASSET), field: "HERE"}
    with pytest.raises(ProtocolError, match=rf"{says}.* - at `assets\[1\]\.{field}`"):
        decoded(f'{{"assets":[{ASSET},{json.dumps(entry).replace(json.dumps("HERE"), value)}]}}')


def test_only_the_first_bad_entry_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame of eight megabytes has room for four million bad entries: an error object for each would be the end."""
    looked_at: list[Any] = []
    convert = msgspec.convert

    def spy(entry: Any, kind: Any) -> Any:
        looked_at.append(entry)
        return convert(entry, kind)

    monkeypatch.setattr(msgspec, "convert", spy)
    with pytest.raises(ProtocolError, match=r"missing required field `id` - at `assets\[1\]`"):
        decoded(f'{{"assets":[{ASSET},{",".join(["{}"] * 10_000)}]}}')
    assert len(looked_at) == 2


@pytest.mark.parametrize(("name", "entry"), [("assets", ASSET), ("pairs", PAIR)])
def test_the_number_of_entries_is_bounded(name: str, entry: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kraken_trio.wire.tree.MAX_ENTRIES", 100)
    assert len(getattr(decoded(f'{{"{name}":[{",".join([entry] * 100)}]}}'), name)) == 100
    with pytest.raises(ProtocolError, match="a frame with 101 entries: at most 100"):
        decoded(f'{{"{name}":[{",".join([entry] * 101)}]}}')
    assert MAX_ENTRIES > 10 * 1500  # of Kraken


def test_names_are_printable_and_short() -> None:
    """A program may print them."""
    event = decoded(
        f'{{"assets":[{ASSET.replace("USD", chr(0x202E) + "x" * 1000)}],'
        f'"pairs":[{PAIR.replace("online", "[2J" + "x" * 1000)}]}}'
    )
    texts = (event.assets[0].id, event.pairs[0].status)
    assert all(text.isprintable() and len(text) == 100 for text in texts)
    assert event.pairs[0].symbol == "BTC/USD"


def test_a_whole_recorded_snapshot(captures: Path) -> None:
    decoder = codec_for("v2")
    message = decoder.decode((captures / "v2_instrument_snapshot_2024.json").read_bytes().strip())
    assert isinstance(message, Data)
    (event,) = message.events
    assert isinstance(event, InstrumentUpdate)
    assert (len(event.assets), len(event.pairs)) == (296, 683)
    assert {pair.qty_precision for pair in event.pairs} == {5, 8}
    assert {pair.price_precision for pair in event.pairs} >= {0, 1, 10}
