"""The page of steered choices and answers: what a push does, how far it can go, and what is written meanwhile."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import plotly.graph_objects as go

from personascope.report import figures_steered_answers as answers
from personascope.report import figures_steering_across as across
from personascope.report import figures_steering_dose as doses
from personascope.report import figures_steering_effects as effects
from personascope.report import figures_steering_range as limits
from personascope.report import sentences_steered as told
from personascope.report import sentences_steering as spoken
from personascope.report import sentences_steering_across as elsewhere
from personascope.report import sentences_steering_range as bounds
from personascope.report.figures_steering import push_curves
from personascope.report.findings_steering import named_keys, of_all_pairs, opening
from personascope.report.outline import Outline, Part, Tables, no_figure, no_words
from personascope.report.theme import Styles

_CHOICES = ("steering_effects", "steering_curves", "steering_dose", "steering_position")
_CROSS = ("cross_effects", "cross_curves")
_KEYS = ("persona", "target", "pair_type", "read_out", "layer", "coefficient")
_CROSSED = ("persona", "target", "layer", "coefficient")
_Start = dict[str, Any]
_Draw = Callable[[Tables, Styles], go.Figure | None]


def _start(tables: Tables, names: Sequence[str], keys: Sequence[str]) -> _Start:
    """Where all figures of a section open: the largest effect of the first of its tables that is there."""
    found: _Start = {}
    for name in names:
        if name in tables:
            frame = tables[name] if "pair_type" in keys else of_all_pairs(tables[name])
            frame = named_keys(frame)
            known = opening(frame, [key for key in keys if key in frame.columns])
            found = {**known, **found}
    return found


def _choices(name: str, draw: Callable[..., go.Figure | None]) -> _Draw:
    return lambda tables, _: draw(tables[name], _start(tables, _CHOICES, _KEYS))


def _one(name: str, keys: Sequence[str], draw: Callable[..., go.Figure | None], **more: Any) -> _Draw:
    """A figure that opens at its own table's largest effect."""
    return lambda tables, _: draw(tables[name], _start(tables, (name,), keys), **more)


def _curves(name: str, names: Sequence[str], asked: Sequence[str], keys: Sequence[str]) -> _Draw:
    """Curves of which selectors choose one value of each of `keys`; the section opens by its columns `asked`."""

    def draw(tables: Tables, _: Styles) -> go.Figure:
        # each type of pair has curves of its own beside those of all pairs
        frame = named_keys(tables[name] if "pair_type" in keys else of_all_pairs(tables[name]))
        own = [key for key in keys if key in frame.columns]
        return push_curves(frame, own, {key: at for key, at in _start(tables, names, asked).items() if key in own})

    return draw


def _ratings(tables: Tables, _: Styles) -> go.Figure:
    frame = answers.with_asked(tables["steered_open"])
    return answers.rating_curves(frame, opening(frame, ("rubric", "persona", "asked", "layer")))


def _compliance(tables: Tables, _: Styles) -> go.Figure:
    frame = tables["steered_compliance"]
    full = frame.rename({"share": "value"})
    return answers.compliance_bars(frame, opening(full, ("outcome", "persona", "tier", "layer")))


STEERING = (
    Outline(
        "steered-choices",
        "Steering choices",
        (
            Part(
                "steering_curves",
                "choice-curves",
                "Read-out against the coefficient, with a 95 % band, and label mass below. Thin grey lines: random "
                "directions of the same length. Hollow dots: outside the usable range.",
                spoken.curves,
                _curves("steering_curves", _CHOICES, _KEYS, ("persona", "target", "pair_type", "layer")),
            ),
            Part(
                "steering_effects",
                "effect-maps",
                "Swing of the read-out between + and −. A star marks cells in which the probe direction does more than "
                "every random one.",
                spoken.effects,
                _choices("steering_effects", effects.effect_maps),
            ),
            Part(
                "steering_effects",
                "effect-layers",
                "What a push up adds to the unsteered read-out, what a push down takes from it, and both together, "
                "over layers with 95 % intervals. Grey dots: random directions.",
                no_words,
                _choices("steering_effects", effects.effects_by_layer),
            ),
            Part(
                "steering_effects",
                "effect-pairs",
                "The same at one layer and strength, by type of pair, with 95 % intervals. Grey bars: random "
                "directions.",
                no_words,
                _choices("steering_effects", effects.pair_types),
            ),
            Part(
                "steering_dose",
                "dose-response",
                "Dose and response by layer. Left: slope with its 95 % interval, before random directions (bars). "
                "Right: range in which the curve goes on in one direction; the broad line is the usable range.",
                spoken.dose,
                _choices("steering_dose", doses.dose_summary),
            ),
            Part(
                "steering_position",
                "position-curves",
                "What the same pushes do to the preference for a place, which is no preference for a task.",
                spoken.position,
                _choices("steering_position", doses.position_curves),
            ),
        ),
        "A label is a word: that its probability moves does not say that the model would do the task, and that it "
        "moves beyond a few random directions of the same length is a small test. Pairs share tasks.",
    ),
    Outline(
        "usable-range",
        "How far it can be pushed",
        (
            Part(
                "steering_ranges",
                "usable-ranges",
                "Lines: strengths that do no damage. Crosses: the next strength, and the guards that fail there.",
                bounds.ranges,
                lambda tables, _: limits.usable_ranges(tables["steering_ranges"]),
            ),
            Part(
                "steering_guards",
                "guard-curves",
                "The worst direction of each kind under every guard. Broken line: the limit; hollow dots: it fails.",
                bounds.guards,
                lambda tables, _: limits.guard_curves(
                    tables["steering_guards"], {"layer": tables["steering_guards"]["layer"][0]}
                ),
            ),
            Part(
                "steering_norms",
                "steered-norms",
                "Length of the residual stream at the steered and the answering tokens.",
                bounds.norms,
                lambda tables, _: limits.steered_norms(tables["steering_norms"]),
            ),
        ),
        "The limits are conventions, and the guards see only what they measure: plain texts, answer labels and runs of "
        "words. A model can be damaged in other ways within them.",
    ),
    Outline(
        "steered-writing",
        "What it writes when steered",
        (
            Part(
                "steered_written",
                "steered-written",
                "Choices made by beginning a task: what the answer says, what it does, and what becomes of the text.",
                told.written,
                _one("steered_written", ("read_out", "layer"), answers.written_curves),
            ),
            Part("steered_judge", "steered-judge", "", told.judge, no_figure),
            Part(
                "steered_open",
                "steered-ratings",
                "Ratings of free answers by a judge that does not see the push, with 95 % bands.",
                told.ratings,
                _ratings,
            ),
            Part(
                "steered_compliance",
                "steered-compliance",
                "What becomes of requests, by tier and coefficient.",
                told.compliance,
                _compliance,
            ),
            Part("steered_answers", "steered-quotes", "", told.quoted, no_figure, told.quotes),
        ),
        "A judge that is itself a small model follows places more than meanings. Few answers stand behind every dot, "
        "and a text that falls apart can lose a quality without anything having been steered.",
    ),
    Outline(
        "steered-spans",
        "Steering at a few words",
        (
            Part("span_judge", "span-judge", "", told.judge, no_figure),
            Part(
                "steered_spans",
                "span-disclosure",
                "How openly an answer deals with what may be wrong, from 1 (ignores it) to 5 (refuses), when only a "
                "few words of the message are steered.",
                told.spans,
                _one("steered_spans", ("version", "steered", "layer"), answers.span_curves),
            ),
            Part(
                "steered_spans",
                "span-flagged",
                "Share of answers that at least hint at a problem.",
                no_words,
                _one("steered_spans", ("version", "steered", "layer"), answers.span_curves, value="flagged"),
            ),
        ),
        "There are few scenarios, written by one hand. That steering moves an answer more at some words than at others "
        "can be owed to their place or length as well as to what they say.",
    ),
    Outline(
        "isolated-steering",
        "Each task steered alone",
        (
            Part(
                "spliced",
                "spliced-curves",
                "The same push with both tasks steered in one run, and with each steered in a run of its own. Grey: "
                "random directions.",
                elsewhere.spliced,
                _one("spliced", ("mode", "layer"), across.spliced_curves),
            ),
        ),
        "Spliced runs put together keys and values that never met, a state the model was not trained in; a smaller "
        "effect there can be owed to that.",
    ),
    Outline(
        "cross-steering",
        "Steering other personas",
        (
            Part(
                "cross_effects",
                "cross-swings",
                "Swing under each persona, with 95 % intervals.",
                elsewhere.cross,
                lambda tables, styles: across.cross_swings(
                    tables["cross_effects"], _start(tables, _CROSS, _CROSSED), styles
                ),
            ),
            Part("cross_differences", "cross-differences", "", elsewhere.differences, no_figure),
            Part(
                "cross_curves",
                "cross-curves",
                "Read-out against the coefficient under each persona, label mass below.",
                elsewhere.cross_curves,
                _curves("cross_curves", _CROSS, _CROSSED, ("persona", "target", "layer")),
            ),
        ),
        "A direction that steers every persona may be one of agreement, of a place or of an answer's form as well as "
        "one of preference. Personas that like the same tasks share directions for that alone.",
    ),
)
