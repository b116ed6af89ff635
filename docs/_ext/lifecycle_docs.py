"""A client's states and a subscription's steps, drawn when the documentation is built from the tables that decide them.

``lifecycle-diagram``, ``lifecycle-table``
    of :mod:`kraken_trio.session.lifecycle`;
``steps-diagram``, ``steps-table``, ``steps-matrix``, ``happenings-table``
    of :mod:`kraken_trio.session.steps`.

Only the places of boxes and arrows are given here, by hand. A diagram of the lifecycle has a place for each pair of
states that its table connects. That of the steps has one for the usual moves; all others are listed below it. A place
for a pair that the table does not connect is an error, as is a missing one: the picture cannot differ from the table.
"""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar, Final

import drawing
from docutils import nodes
from drawing import Arrow, Diagram, table
from sphinx.addnodes import pending_xref
from sphinx.errors import ExtensionError
from sphinx.pycode import ModuleAnalyzer
from sphinx.util.docutils import SphinxDirective

from kraken_trio import ConnectionState, SubscriptionState, Trades
from kraken_trio.channels import CHANNELS
from kraken_trio.session import lifecycle, steps, subscription
from kraken_trio.session.lifecycle import TRANSITIONS, StateMachine, Trigger, Verdict
from kraken_trio.session.steps import MOVES, Happening, Move, Outcome, Step, moves
from kraken_trio.session.subscription import Subscription
from kraken_trio.statistics import Counters
from kraken_trio.wire import codec_for

if TYPE_CHECKING:
    import enum
    from collections.abc import Iterable, Iterator
    from types import ModuleType

    from sphinx.application import Sphinx
    from sphinx.util.typing import ExtensionMetadata

__all__ = ["setup"]

_D, _C, _S, _R = (
    ConnectionState.DISCONNECTED,
    ConnectionState.CONNECTING,
    ConnectionState.SUBSCRIBED,
    ConnectionState.RESYNCING,
)

# ---------------------------------------------------------------------------------------------------------------------
# The client
# ---------------------------------------------------------------------------------------------------------------------

STATE_CENTRES: Final = {_D: (134, 80), _C: (726, 80), _S: (430, 268), _R: (430, 496)}
STATE_ARROWS: Final = {
    (_D, _C): Arrow(points=((222, 66), (638, 66)), label=(430, 48), per_line=3),
    (_C, _D): Arrow(points=((638, 94), (222, 94)), label=(430, 114), per_line=3),
    (_C, _S): Arrow(points=((668, 108), (500, 240)), label=(582, 176), on_line=True),
    (_C, _R): Arrow(points=((740, 108), (740, 496), (518, 496)), label=(740, 300), on_line=True),
    (_S, _R): Arrow(points=((450, 296), (450, 468)), label=(464, 382), anchor="start"),
    (_R, _S): Arrow(points=((410, 468), (410, 296)), label=(396, 382), anchor="end"),
    (_S, _D): Arrow(points=((360, 240), (192, 108)), label=(278, 176), per_line=2, on_line=True),
    (_R, _D): Arrow(points=((342, 496), (120, 496), (120, 108)), label=(120, 300), on_line=True),
}


def word_of(trigger: Trigger) -> str:
    """What the diagram and the table call it: its cause, with more where two have the same."""
    idle = " (nothing wanted)" if trigger is Trigger.CONNECTED_IDLE else ""
    return f"{trigger.cause.value}{idle}"


def draw_lifecycle() -> str:
    """The diagram. Raises if the places and the table do not agree."""
    found: dict[tuple[ConnectionState, ConnectionState], list[str]] = defaultdict(list)
    for (source, trigger), verdict in TRANSITIONS.items():
        if isinstance(verdict, ConnectionState):
            found[source, verdict].append(word_of(trigger))
    if wrong := set(found) ^ set(STATE_ARROWS):
        pairs = ", ".join(f"{source.name} to {target.name}" for source, target in wrong)
        msg = f"the lifecycle's table and the places of its diagram do not agree on: {pairs}"
        raise ExtensionError(msg)
    if set(STATE_CENTRES) != set(ConnectionState):
        msg = "the lifecycle's diagram has no place for a state"
        raise ExtensionError(msg)
    x, y = STATE_CENTRES[StateMachine().state]
    return Diagram(
        key="kt-lifecycle",
        title="The states of a client, and what leads from one to another",
        size=(860, 536),
        box=(176, 56),
        boxes={state.name: centre for state, centre in STATE_CENTRES.items()},
        good=_S.name,
        first=(x - 88, y),
        arrows=[(STATE_ARROWS[pair], words) for pair, words in found.items()],
        in_words=" ".join(
            f"From {source.value} to {target.value}: {', '.join(words)}." for (source, target), words in found.items()
        ),
    ).draw()


def depend(directive: SphinxDirective, *modules: ModuleType) -> None:
    """Have the page built again when one of these has changed, or one of the files that draw it."""
    for file in (*(module.__file__ for module in modules), drawing.__file__, __file__):
        if file is not None:
            directive.env.note_dependency(file)


def link_to(member: enum.Enum, page: str) -> pending_xref:
    """A link to the description of a member of one of our public enumerations."""
    return pending_xref(
        "",
        nodes.literal(text=member.name),
        refdomain="py",
        reftype="attr",
        reftarget=f"kraken_trio.{type(member).__name__}.{member.name}",
        refdoc=page,
        refwarn=True,
    )


class LifecycleDiagram(SphinxDirective):
    """Draw the table of the lifecycle."""

    def run(self) -> list[nodes.Node]:
        depend(self, lifecycle)
        return [nodes.raw("", draw_lifecycle(), format="html")]


class LifecycleTable(SphinxDirective):
    """Write the table of the lifecycle: a row per trigger, a column per state."""

    columns: ClassVar[tuple[ConnectionState, ...]] = (_D, _C, _S, _R)

    def run(self) -> list[nodes.Node]:
        depend(self, lifecycle)
        head = ("trigger", *(state.name for state in self.columns))
        return [table(head, map(self.row, Trigger), css="kt-lifecycle-table")]

    def row(self, trigger: Trigger) -> list[list[nodes.Node]]:
        more = word_of(trigger).removeprefix(trigger.cause.value)
        name = link_to(trigger.cause, self.env.docname)
        return [[name, nodes.Text(more)], *([self.cell(TRANSITIONS[state, trigger])] for state in self.columns)]

    def cell(self, verdict: ConnectionState | Verdict) -> nodes.Node:
        if isinstance(verdict, ConnectionState):
            return nodes.strong(text=verdict.name)
        return nodes.inline(text="stays" if verdict is Verdict.STAYS else "—")


# ---------------------------------------------------------------------------------------------------------------------
# A subscription
# ---------------------------------------------------------------------------------------------------------------------

STEP_CENTRES: Final = {
    Step.TO_SUBSCRIBE: (140, 170),
    Step.SUBSCRIBING: (394, 170),
    Step.CONFIRMED: (648, 170),
    Step.LIVE: (902, 170),
    Step.HELD: (267, 40),
    Step.REFUSED: (521, 40),
    Step.PAUSED: (267, 330),
    Step.TO_UNSUBSCRIBE: (775, 330),
    Step.PARKED: (267, 460),
    Step.UNSUBSCRIBING: (775, 460),
    Step.GONE: (775, 590),
}
STEP_ARROWS: Final = {
    (Step.TO_SUBSCRIBE, Step.SUBSCRIBING): Arrow(points=((215, 170), (319, 170)), label=(267, 154)),
    (Step.SUBSCRIBING, Step.CONFIRMED): Arrow(points=((469, 170), (573, 170)), label=(521, 154)),
    (Step.CONFIRMED, Step.LIVE): Arrow(points=((723, 170), (827, 170)), label=(775, 154)),
    # refused
    (Step.SUBSCRIBING, Step.HELD): Arrow(points=((362, 146), (299, 64)), label=(331, 105), on_line=True),
    (Step.HELD, Step.TO_SUBSCRIBE): Arrow(points=((235, 64), (172, 146)), label=(203, 105), on_line=True),
    (Step.SUBSCRIBING, Step.REFUSED): Arrow(points=((426, 146), (489, 64)), label=(458, 105), on_line=True),
    (Step.HELD, Step.REFUSED): Arrow(points=((342, 40), (446, 40)), label=(394, 24)),
    # a pause
    (Step.SUBSCRIBING, Step.PAUSED): Arrow(points=((374, 194), (287, 306)), label=(331, 250), on_line=True),
    (Step.PAUSED, Step.TO_SUBSCRIBE): Arrow(points=((247, 306), (180, 194)), label=(214, 250), on_line=True),
    # a resubscribe
    (Step.SUBSCRIBING, Step.TO_UNSUBSCRIBE): Arrow(points=((430, 194), (700, 316)), label=(552, 250), on_line=True),
    (Step.CONFIRMED, Step.TO_UNSUBSCRIBE): Arrow(points=((668, 194), (750, 306)), label=(709, 250), on_line=True),
    (Step.LIVE, Step.TO_UNSUBSCRIBE): Arrow(points=((882, 194), (800, 306)), label=(841, 250), on_line=True),
    (Step.TO_UNSUBSCRIBE, Step.UNSUBSCRIBING): Arrow(points=((790, 354), (790, 436)), label=(802, 395), anchor="start"),
    (Step.UNSUBSCRIBING, Step.TO_UNSUBSCRIBE): Arrow(points=((760, 436), (760, 354)), label=(748, 395), anchor="end"),
    (Step.UNSUBSCRIBING, Step.TO_SUBSCRIBE): Arrow(
        points=((730, 484), (730, 530), (90, 530), (90, 194)), label=(394, 530), on_line=True
    ),
    (Step.UNSUBSCRIBING, Step.PAUSED): Arrow(points=((700, 446), (342, 340)), label=(521, 393), on_line=True),
    (Step.UNSUBSCRIBING, Step.PARKED): Arrow(points=((700, 460), (342, 460)), label=(521, 460), on_line=True),
    (Step.PARKED, Step.TO_SUBSCRIBE): Arrow(
        points=((192, 460), (140, 460), (140, 194)), label=(140, 380), on_line=True
    ),
    (Step.UNSUBSCRIBING, Step.GONE): Arrow(points=((775, 484), (775, 566)), label=(787, 525), anchor="start"),
}
APART: Final = frozenset({Happening.LOST, Happening.LOST_FOR_GOOD, Happening.UNWANTED, Happening.DROPPED})
"""Happenings that lead from nearly every step to one: they are not drawn."""


def draw_steps() -> str:
    """The diagram. Raises if there is a place for what cannot happen."""
    found: dict[tuple[Step, Step], list[str]] = defaultdict(list)
    for source, happening, move in moves():
        if happening not in APART and (source, move.step) in STEP_ARROWS:
            found[source, move.step].append(happening.value)
    if wrong := set(STEP_ARROWS) - set(found) or set(STEP_CENTRES) ^ set(Step):
        msg = f"the table of steps and the places of its diagram do not agree on: {wrong}"
        raise ExtensionError(msg)
    x, y = STEP_CENTRES[Step.TO_SUBSCRIBE]
    return Diagram(
        key="kt-steps",
        title="The steps of a subscription, and what leads from one to another",
        size=(990, 626),
        box=(156, 48),
        boxes={step.value: centre for step, centre in STEP_CENTRES.items()},
        good=Step.LIVE.value,
        first=(x - 78, y),
        arrows=[(STEP_ARROWS[pair], words) for pair, words in found.items()],
        in_words=" ".join(
            f"From {source.value} to {target.value}: {', '.join(words)}." for (source, target), words in found.items()
        ),
    ).draw()


def not_drawn() -> Iterator[tuple[Happening, list[Step], Step]]:
    """The moves that the diagram leaves out: what happens, at which steps, and the next one."""
    found: dict[tuple[Happening, Step], list[Step]] = defaultdict(list)
    for source, happening, move in moves():
        if happening in APART or (source, move.step) not in STEP_ARROWS:
            found[happening, move.step].append(source)
    for (happening, target), sources in found.items():
        yield happening, sources, target


def docs_of(cls: type[enum.Enum]) -> dict[str, str]:
    """The docstrings of the members, as they are in the source."""
    analyzer = ModuleAnalyzer.for_module(cls.__module__)
    return {
        name: " ".join(lines) for (owner, name), lines in analyzer.find_attr_docs().items() if owner == cls.__name__
    }


def listed(members: Iterable[enum.Enum]) -> list[nodes.Node]:
    """``a, b, c``."""
    found: list[nodes.Node] = []
    for member in members:
        found += [nodes.Text(", "), nodes.literal(text=member.value)] if found else [nodes.literal(text=member.value)]
    return found


def shown_as(step: Step) -> SubscriptionState | None:
    """What users see of a subscription at this step."""
    if step is Step.GONE:
        return None
    request = Trades("BTC/USD")
    sub = Subscription(request, CHANNELS["trade"](request, Counters(), codec_for("v2")))
    sub.step = step
    return sub.status


class StepsDirective(SphinxDirective):
    """What the directives about steps share."""

    def prose(self, text: str) -> list[nodes.Node]:
        found, _messages = self.state.inline_text(text, self.lineno)
        return list(found)


class StepsDiagram(StepsDirective):
    """Draw the table of steps, and list what is not drawn."""

    def run(self) -> list[nodes.Node]:
        depend(self, steps)
        steps_of_all = set(Step) - {Step.GONE}
        rows = [
            [
                listed([happening]),
                [nodes.Text("any")] if set(sources) == steps_of_all else listed(sources),
                listed([target]),
            ]
            for happening, sources, target in not_drawn()
        ]
        return [
            nodes.raw("", draw_steps(), format="html"),
            nodes.paragraph(text="Moves that are not drawn:"),
            table(("happening", "at", "leads to"), rows, css="kt-not-drawn"),
        ]


class StepsTable(StepsDirective):
    """Write what each step means, and what users see of it."""

    def run(self) -> list[nodes.Node]:
        depend(self, steps, subscription)
        docs = docs_of(Step)
        rows = [
            [
                listed([step]),
                self.prose(docs[step.name]),
                [link_to(state, self.env.docname)] if (state := shown_as(step)) else [],
            ]
            for step in Step
        ]
        return [table(("step", "meaning", "shown as"), rows, css="kt-steps-table")]


class HappeningsTable(StepsDirective):
    """Write what each happening means, and what is done then."""

    def run(self) -> list[nodes.Node]:
        depend(self, steps)
        docs, actions = docs_of(Happening), docs_of(steps.Action)
        done: dict[Happening, dict[str, None]] = defaultdict(dict)
        for _source, happening, move in moves():
            done[happening].setdefault(actions.get(move.action.name, ""))
        rows = [
            [listed([happening]), self.prose(docs[happening.name]), self.prose(" ".join(filter(None, done[happening])))]
            for happening in Happening
        ]
        return [table(("happening", "meaning", "then"), rows, css="kt-happenings")]


def hyphenated(step: Step) -> str:
    """The step's name, which may be broken in a narrow column."""
    return re.sub(r"(un(?=sub)|sub|con|re(?=f))", "\\1\N{SOFT HYPHEN}", step.value)


class StepsMatrix(StepsDirective):
    """Write the table of steps: a row per happening, a column per step."""

    columns: ClassVar[tuple[Step, ...]] = tuple(step for step in Step if step is not Step.GONE)

    def run(self) -> list[nodes.Node]:
        depend(self, steps)
        rows = [
            [[nodes.Text(happening.value)], *([self.cell(step, happening)] for step in self.columns)]
            for happening in Happening
        ]
        whole = table(("", *(hyphenated(step) for step in self.columns)), rows, css="kt-matrix")
        return [nodes.container("", whole, classes=["kt-wide"])]

    def cell(self, step: Step, happening: Happening) -> nodes.Node:
        cell = MOVES[step, happening]
        if isinstance(cell, Move):
            return nodes.strong(text=hyphenated(cell.step))
        return nodes.inline(text="stays" if cell is Outcome.STAYS else "—")


def setup(app: Sphinx) -> ExtensionMetadata:
    app.add_directive("lifecycle-diagram", LifecycleDiagram)
    app.add_directive("lifecycle-table", LifecycleTable)
    app.add_directive("steps-diagram", StepsDiagram)
    app.add_directive("steps-table", StepsTable)
    app.add_directive("steps-matrix", StepsMatrix)
    app.add_directive("happenings-table", HappeningsTable)
    return {"version": "2", "parallel_read_safe": True, "parallel_write_safe": True}
