"""Settings refuse what cannot be meant, and say what they were given."""

from __future__ import annotations

import inspect
import re
from typing import Any

import attrs
import pytest
from hypothesis import given, strategies as st

from kraken_trio import ProtocolError, Settings, open_client
from kraken_trio.settings import MAX_FRAME_BYTES
from kraken_trio.wire import codec_for

FIELDS = attrs.fields(Settings)
NUMBERS = [field.name for field in FIELDS if isinstance(field.default, float)]
COUNTS = [field.name for field in FIELDS if type(field.default) is int]


def test_every_setting_is_a_flag_a_duration_or_a_count() -> None:
    assert {field.name for field in FIELDS} == {*NUMBERS, *COUNTS, "require_first_connection"}


def test_the_defaults_stand() -> None:
    assert Settings() == Settings.from_mapping({}) == Settings(**attrs.asdict(Settings()))
    assert Settings.from_mapping(attrs.asdict(Settings())) == Settings()


def test_settings_are_frozen_values() -> None:
    settings = Settings(ping_after=3)
    assert hash(settings) == hash(Settings(ping_after=3.0))
    with pytest.raises(attrs.exceptions.FrozenInstanceError):
        settings.ping_after = 4  # type: ignore[misc]  # frozen


@pytest.mark.parametrize("value", [0, -1, -0.5, float("nan"), float("inf"), True, "10", None])
@pytest.mark.parametrize("name", NUMBERS)
def test_a_duration_or_rate_is_positive_and_finite(name: str, value: Any) -> None:
    message = re.escape(f"Settings.{name} must be a positive, finite number, not {value!r}")
    with pytest.raises(ValueError, match=message):
        Settings(**{name: value})


@pytest.mark.parametrize("value", [0, -1, 1.0, True, "10", None])
@pytest.mark.parametrize("name", COUNTS)
def test_a_count_is_whole_and_at_least_one(name: str, value: Any) -> None:
    message = re.escape(f"Settings.{name} must be a whole number, at least 1, not {value!r}")
    with pytest.raises(ValueError, match=message):
        Settings(**{name: value})


@pytest.mark.parametrize("value", [1, 0, "yes", None])
def test_a_flag_is_true_or_false(value: Any) -> None:
    with pytest.raises(TypeError, match="require_first_connection"):
        Settings(require_first_connection=value)


def test_from_a_mapping() -> None:
    settings = Settings.from_mapping(
        {"require_first_connection": False, "ping_after": 3, "silence_limit": 7.5, "attempts": 2},
    )
    assert settings == Settings(require_first_connection=False, ping_after=3.0, silence_limit=7.5, attempts=2)
    assert type(settings.ping_after) is float


def test_everything_that_is_wrong_is_named() -> None:
    values: dict[Any, Any] = {
        "pingafter": 1,
        7: 1,  # a configuration file may hold anything
        "ping_after": "10",
        "attempts": 1.5,
        "request_burst": True,
        "require_first_connection": 1,
        "retry_delay": None,
        "close_timeout": True,
        "park_time": 10**400,
    }
    with pytest.raises(ValueError, match="no such setting") as caught:
        Settings.from_mapping(values)
    text = str(caught.value)
    assert text.startswith("no such setting: 7; no such setting: pingafter, did you mean 'ping_after'?; ")
    for problem in (
        "expected float, got '10' @ settings.ping_after",
        "expected int, got 1.5 @ settings.attempts",
        "expected int, got True @ settings.request_burst",
        "expected bool, got 1 @ settings.require_first_connection",
        "expected float, got None @ settings.retry_delay",
        "expected float, got True @ settings.close_timeout",
        "int too large to convert to float @ settings.park_time",
    ):
        assert problem in text


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("pingafter", "ping_after"),
        ("PING_AFTER", "ping_after"),
        ("ping-after", "ping_after"),
        ("silence_limits", "silence_limit"),
        ("connect_timeuot", "connect_timeout"),
        ("colour", None),
        ("", None),
        ("x" * 100_000, None),
        ("\x1b[31mred", None),
    ],
    ids=lambda value: str(value)[:20],
)
def test_an_unknown_name_is_answered_by_the_one_that_was_meant(name: str, meant: str | None) -> None:
    """Regression: it was answered by the names of all settings."""
    with pytest.raises(ValueError, match=r"^no such setting: ") as caught:
        Settings.from_mapping({name: 1})
    text = str(caught.value)
    assert text.isprintable()
    assert len(text) < 120
    assert ("did you mean" in text) is (meant is not None)
    assert meant is None or text.endswith(f", did you mean '{meant}'?")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"ping_after": -1}, "Settings.ping_after must be a positive, finite number, not -1.0"),
        ({"attempts": 0}, "Settings.attempts must be a whole number, at least 1, not 0"),
    ],
)
def test_a_value_out_of_its_range_is_named_with_the_reason(values: dict[str, Any], says: str) -> None:
    with pytest.raises(ValueError, match=re.escape(says)):
        Settings.from_mapping(values)


CONTRADICTIONS = [
    ({"ping_after": 10.0}, "ping_after=10.0 must be less than Settings.silence_limit=10.0"),
    ({"silence_limit": 4.0}, "ping_after=5.0 must be less than Settings.silence_limit=4.0"),
    ({"quick_delay": 5.5}, "quick_delay=5.5 must not exceed Settings.retry_delay=5.0"),
    ({"retry_delay_max": 4.0}, "retry_delay=5.0 must not exceed Settings.retry_delay_max=4.0"),
    ({"unavailable_delay": 601.0}, "unavailable_delay=601.0 must not exceed Settings.refused_delay_max=600.0"),
    ({"ban_delay": 601.0}, "ban_delay=601.0 must not exceed Settings.refused_delay_max=600.0"),
    ({"attempt_delay_max": 0.25}, "attempt_delay=0.5 must not exceed Settings.attempt_delay_max=0.25"),
    ({"max_frame_bytes": 8 * 1024 * 1024 + 1}, "max_frame_bytes must be at most 8388608, not 8388609"),
    ({"connect_budget": 121}, "connect_budget must be at most 120, not 121: Kraken bans"),
]


@pytest.mark.parametrize(("values", "says"), CONTRADICTIONS)
def test_contradictions_are_refused(values: dict[str, Any], says: str) -> None:
    for make in (Settings.from_mapping, lambda values: Settings(**values)):
        with pytest.raises(ValueError, match=re.escape(f"Settings.{says}")):
            make(values)


def test_every_contradiction_is_named() -> None:
    with pytest.raises(ValueError, match=r"ping_after=20\.0.*; set both; .*ban_delay=700\.0.*; set both$"):
        Settings(ping_after=20.0, ban_delay=700.0)


@pytest.mark.parametrize(
    "values",
    [
        {"ping_after": 2.0, "silence_limit": 2.5},
        {"quick_delay": 5.0},
        {"retry_delay": 60.0},
        {"unavailable_delay": 600.0, "ban_delay": 600.0},
        {"attempt_delay": 30.0},
        {"max_frame_bytes": MAX_FRAME_BYTES},
        {"connect_budget": 1},
    ],
)
def test_what_only_nearly_contradicts_is_taken(values: dict[str, Any]) -> None:
    settings = Settings(**values)
    assert {name: getattr(settings, name) for name in values} == values
    assert Settings.from_mapping(values) == settings


@given(st.sets(st.sampled_from(["stall_limit", "log_rate", "max_feeds", "require_first_connection"])))
def test_the_text_of_settings_is_what_is_not_as_by_default(names: set[str]) -> None:
    values = {name: False if name.startswith("require") else 7 for name in names}
    settings = Settings(**values)  # type: ignore[arg-type]  # any of its fields
    assert eval(repr(settings)) == settings
    assert repr(settings).count("=") == len(names)


def test_the_help_of_open_client_does_not_list_all_defaults() -> None:
    assert "settings: 'Settings' = Settings()," in str(inspect.signature(open_client))


def test_no_longer_frame_is_taken_than_is_decoded() -> None:
    assert Settings().max_frame_bytes == MAX_FRAME_BYTES
    with pytest.raises(ProtocolError, match="is longer than"):
        codec_for("v2").decode(b" " * (MAX_FRAME_BYTES + 1))


@pytest.mark.parametrize("name", ["request_rate", "log_rate"])
@pytest.mark.parametrize("value", [1e-309, 1e-7, 1e10, 10**400])
def test_a_rate_can_be_computed_with(name: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"Settings.{name} must be "):
        Settings(**{name: value})  # type: ignore[arg-type]  # any of its fields


@pytest.mark.parametrize("name", ["request_burst", "log_burst", "attempts"])
def test_a_count_can_be_computed_with(name: str) -> None:
    with pytest.raises(ValueError, match=f"Settings.{name} must be at most 1000000000"):
        Settings(**{name: 10**400})  # type: ignore[arg-type]  # any of its fields
