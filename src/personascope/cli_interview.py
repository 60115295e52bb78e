"""The command of the live interview."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from cyclopts.validators import Number
from rich import get_console
from rich.markup import escape

if TYPE_CHECKING:
    from personascope.interviews.session import Session

console = get_console()


def interview(
    who: Annotated[
        str, Parameter(help="person (you, here), simulated, or a model: alias, folder, hub name.")
    ] = "person",
    *,
    out: Annotated[Path, Parameter(help="File of the transcript; given again, the interview goes on.")] = Path(
        "interview.json"
    ),
    persona: str = "assistant",
    questions: Annotated[int, Parameter(validator=Number(gte=1))] = 40,
    sd: float | None = None,
    items: Annotated[Path | None, Parameter(help="Item file with HEXACO facets; the built-in bank without it.")] = None,
    seed: int = 0,
) -> None:
    """Interview somebody: always the question that is expected to tell most, and after every answer the profile.

    Where the respondent lies is told against a synthetic population, whose numbers are those of people in general, and
    whose items nobody has answered: it is no norm.

    Args:
        who: is asked.
        out: where to.
        persona: of a model.
        questions: at most.
        sd: stop when every facet is known to this many standard deviations of people; 1 is knowing nothing.
        items: the bank.
        seed: of the population's items, and of a simulated respondent.
    """
    from personascope.experiments.live_interview import (
        PERSON,
        SIMULATED,
        model_respondent,
        open_interview,
        simulated_respondent,
    )
    from personascope.prompts.scales import agreement_anchors
    from personascope.report.interview_tables import profile_table

    session = open_interview(who, out, persona=persona, questions=questions, sd=sd, items=items, seed=seed)
    anchors, truth, respond = agreement_anchors(session.n_options), None, None
    if who == SIMULATED:
        respond, truth = simulated_respondent(session.bank, session.n_options, seed)
    elif who != PERSON:
        with console.status("loading the model"):
            respond = model_respondent(who, persona, session.n_options)
    if session.answers:
        console.print(f"{len(session.answers)} answers in {out}; going on.", markup=False, highlight=False)
    while (item := session.next_item()) is not None:
        console.print(f"\n{len(session.answers) + 1}. [bold]{escape(item.text)}[/bold]", highlight=False)
        option = _asked(session, anchors) if respond is None else respond(item)
        if option is None:
            break
        if option == 0:
            session.undo()
            continue
        session.tell(item, option)
        console.print(f"   {option}: {anchors[option - 1]}", highlight=False)
        console.print(profile_table(session.profile(), "domain"), highlight=False)
    console.print(profile_table(session.profile(), "facet", truth), highlight=False)
    console.print(
        "Standard deviations of a synthetic population; no norm." + (" ◇: the truth." if truth else ""), highlight=False
    )
    console.print(f"Transcript: {out.resolve()}", markup=False, highlight=False, soft_wrap=True)


def _asked(session: Session, anchors: Sequence[str]) -> int | None:
    """A person's answer: an option, 0 to take the last answer back, None to stop for now."""
    shown = "  ".join(f"{number} {anchor}" for number, anchor in enumerate(anchors, start=1))
    console.print(f"   {shown}  b back  q stop", markup=False, highlight=False)
    if hasattr(signal, "siginterrupt"):  # polars restarts a read that Ctrl-C interrupts: it would wait for Enter
        signal.siginterrupt(signal.SIGINT, True)
    while True:
        try:
            given = console.input("   > ").strip().lower()
        except EOFError:
            return None
        if given == "q":
            return None
        if given == "b" and session.answers:
            return 0
        if given.isdecimal() and 1 <= int(given) <= len(anchors):
            return int(given)
        console.print(f"   1 to {len(anchors)}, b or q, please.", highlight=False)
