"""Controls where they must find nothing, and where they must catch what is no preference: content, and chance."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

from benchmarks.planted import streams as ways
from benchmarks.planted.asking import PLACE, chosen, material, task_features, usual, usual_streams
from benchmarks.planted.held import between, near
from benchmarks.planted.persona_respondent import TONE_GAIN, Chooser, content, noise_sd
from benchmarks.planted.personas import PERSONAS, content_utilities, planted_tasks
from benchmarks.planted.preference_rows import FIRST
from benchmarks.records import Record
from personascope.experiments.rows import Rows
from personascope.measures.outcomes import Outcomes
from personascope.probes.confounds import evaluate_without_text, evaluate_without_topic_means
from personascope.probes.evaluate import evaluate_ridge
from personascope.probes.folds import grouped_folds
from personascope.probes.leave_one_group import leave_one_group_folds, leave_one_group_out
from personascope.probes.text_baseline import text_baseline_scores
from personascope.probes.topic_means import topic_balanced_folds

WHO = PERSONAS[0]
NULL = 3 / 240**0.5
"""Three standard errors of a correlation of 0."""
TONE_SHARE = 0.7
N_RUNS = 20
"""Respondents without preferences, each as all personas."""


def rows() -> list[Record]:
    """All figures of controls."""
    return [*topics_left_out(), *without_confounds(), *false_alarms()]


@cache
def of(name: str) -> Rows:
    """The assistant's rows: preferences that are the topics' tone and are nowhere written, or that are written."""
    if name == "content":
        chooser = Chooser(content_utilities(planted_tasks(), share=TONE_SHARE))
        return task_features(usual_streams()[name], chosen(chooser, PERSONAS[:2]), (WHO,))[WHO]
    return task_features(usual_streams()[name], usual(), (WHO,))[WHO]


def common(predictions: np.ndarray) -> dict[str, Any]:
    """What all evaluations are given."""
    place = {"persona": WHO, "position": PLACE[1], "layer": PLACE[0]}
    return {"names": ["utility"], "texts_predictions": predictions, "n_resamples": 300, **place}


def words_of(own: Rows, folds: Any, **how: Any) -> np.ndarray:
    """Out-of-fold predictions of the text baseline, (task, 1)."""
    return text_baseline_scores(own.texts, own.target[:, None], folds, **how)


def topics_left_out() -> list[Record]:
    """Pooled over topics that were left out, within them, and by the words."""
    found = []
    for name in ("content", "shared"):
        own = of(name)
        words = words_of(own, leave_one_group_folds(own.groups))
        out = leave_one_group_out(own.features, own.target[:, None], groups=own.groups, **common(words))
        pooled, within = (out.score("utility", what) for what in ("pooled", "within groups"))
        least, most = ways.fitted_r(ways.GAIN**2, 230), ways.ceiling(ways.GAIN**2)
        if name == "shared":
            found += [
                between("topics left out, written: pooled", pooled.value, least - 0.04, most + 0.03, "as probes", most),
                between("topics left out, written: within", within.value, least - 0.06, most + 0.03, "the same", most),
                between("topics left out, written: by the words", pooled.text_baseline, -0.4, NULL, "null", 0.0),
            ]
            continue
        top = (TONE_SHARE * TONE_GAIN**2 / (TONE_GAIN**2 + 1)) ** 0.5
        over = evaluate_ridge(
            own.features,
            own.target[:, None],
            groups=own.groups,
            **common(words_of(own, grouped_folds(own.groups, 4, 0))),
        )[0].over_text
        of_words = "no more than the tone's share, .7, allows"
        found += [
            between(
                "trap: content, topics left out, pooled",
                pooled.value,
                0.7 * top,
                top + 0.04,
                "looks like a preference",
                top,
            ),
            near("topics left out, content: within", within.value, 0.0, NULL, "3 SE"),
            near(
                "topics left out, content: mean over topics",
                out.score("utility", "mean over groups").value,
                0.0,
                NULL,
                "3 SE",
            ),
            between(
                "topics left out, content: by the words", pooled.text_baseline, 0.7 * TONE_SHARE**0.5, 0.88, of_words
            ),
            between("content: over the words", over, -0.5, 0.05, "nothing beyond them", 0.0),
        ]
    return found


def without_confounds() -> list[Record]:
    """Probes without topic means and without what the words predict."""
    found, tasks = [], planted_tasks()
    least, most = ways.fitted_r(ways.GAIN**2, 180), ways.ceiling(ways.GAIN**2)
    for name in ("content", "shared"):
        own = of(name)
        folds = topic_balanced_folds(np.arange(len(own.target)), own.groups, 4, 0)
        words = words_of(own, folds, topics=own.groups)
        demeaned = evaluate_without_topic_means(own.features, own.target[:, None], topics=own.groups, **common(words))[
            0
        ].value
        left = _without(own, tasks.lexicon)
        if name == "shared":
            spread = (noise_sd() ** 2).sum() + (content(tasks) ** 2).mean(axis=0).sum() + ways.GAIN**2
            low, high = _within_topics(own)
            by_words = (TONE_GAIN**2 + 1.5**2) / spread
            found += [
                between(
                    "without topic means, written",
                    demeaned,
                    low - 0.06,
                    high + 0.03,
                    "topics' part of the evaluation is noise then",
                    high,
                ),
                between("without text, written", left.result.value, least - 0.04, most + 0.03, "as probes", most),
                near(
                    "without text, written: variance left",
                    left.variance_left,
                    1 - by_words,
                    0.03,
                    "planted tone and length",
                ),
            ]
            continue
        found += [
            near("without topic means, content", demeaned, 0.0, NULL, "3 SE"),
            between("without text, content", left.result.value, -0.5, NULL, "null of topics that are held out", 0.0),
            between(
                "trap: without the text's length alone, content",
                _without(own, tasks.lexicon[:, 2:]).result.value,
                0.45,
                0.84,
                "what the features of the text lack stays in",
            ),
        ]
    return found


def _within_topics(own: Rows) -> tuple[float, float]:
    """Of a probe of what utilities are within topics, from a stream that holds all of them: fitted and population r.

    With a share w of the variance within topics, the population r is sqrt(w snr / (1 + snr)). A test row's target also
    holds the error of the mean of its topic, of the 7 or 8 training rows.
    """
    means = np.bincount(own.groups, weights=own.target) / np.bincount(own.groups)
    share = float((own.target - means[own.groups]).var() / own.target.var())
    squared = share * ways.GAIN**2 / (1 + ways.GAIN**2)
    return ways.fitted_r(squared / (1 - squared), 180) / (1 + 1 / 7.5) ** 0.5, squared**0.5


def _without(own: Rows, lexicon: np.ndarray) -> Any:
    words = words_of(own, grouped_folds(own.groups, 4, 0))
    return evaluate_without_text(own.features, own.target[:, None], lexicon, groups=own.groups, **common(words))[0]


def false_alarms() -> list[Record]:
    """Respondents that prefer the first place alone, many times over: how often a control lets chance pass."""
    own, n = of("shared"), len(planted_tasks().topics)
    first, second = np.array([pair for i, j in material().pairs for pair in ((i, j), (j, i))]).T
    silent = task_features(usual_streams()["content"], usual(), (WHO,))[WHO].features
    utilities = []
    for seed in range(N_RUNS):
        odds, mass = Chooser(np.zeros((n, len(PERSONAS))), (FIRST,) * 5, noise_sd=0.5, seed=100 + seed).table()
        for persona in range(len(PERSONAS)):
            L, m = odds[persona, first, second], np.exp(mass[persona, first, second])
            asked = Outcomes.soft(first, second, m / (1 + np.exp(-L)), m / (1 + np.exp(L)))
            utilities.append(asked.fit(n_tasks=n).values)
    Y = np.stack(utilities, axis=1)
    how = common(text_baseline_scores(own.texts, Y, grouped_folds(own.groups, 4, 0)))
    how["names"] = [str(k) for k in range(Y.shape[1])]
    found = evaluate_ridge(silent, Y, groups=own.groups, **how)
    p = np.array([result.controls.p_value for result in found])
    low, over = (np.array([getattr(result, name) for result in found]) for name in ("low", "over_text_low"))
    r = np.array([result.value for result in found])
    error, outside = (3 * (rate * (1 - rate) / len(p)) ** 0.5 for rate in (0.05, 0.025))
    return [
        near("position only: p at most .05", (p <= 0.05).astype(float), 1 / 21, error, "20 shuffles; 3 SE of 100 runs"),
        between("position only: r", r, -0.15, 0.03, "null, at or below 0", 0.0),
        between(
            "position only: interval of r above 0", (low > 0).astype(float), 0.0, 0.025 + outside, "nominal .025", 0.025
        ),
        between(
            "position only: over the words, interval above 0",
            (over > 0).astype(float),
            0.0,
            0.025 + outside,
            "nominal .025",
            0.025,
        ),
    ]
