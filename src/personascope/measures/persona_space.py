"""How personas lie to each other by what they prefer: topic profiles, a map, correlations, clusters, representatives.

All take the utilities of one model: columns persona, task, utility, topic, one row for each persona and task. Personas
use the scale to different extents, so each is standardised over its tasks (z): scale and shift of its utilities do not
matter, nor does the order of rows; results come in order of name. All raise `DataError` for a missing or repeated row,
a task with two topics, a persona that likes all tasks the same, fewer than 3 tasks and, in a comparison, 3 personas.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform
from sklearn.decomposition import PCA
from sklearn.metrics import adjusted_rand_score, silhouette_samples

from personascope.errors import DataError
from personascope.measures.intervals import cell_means, percentile_interval, resampled_means
from personascope.measures.reliability import correlate
from personascope.measures.tables import require_columns, require_unique

MIN_PERSONAS, MIN_TASKS = 3, 3
_DIGITS = 9  # what is closer is a tie: rescaling a persona moves the last bits, and must not move a choice


@dataclass(frozen=True, eq=False)
class PersonaMap:
    """Principal components of personas, and their correlations.

    Args:
        scores: one row per persona: persona, component_1, component_2 ... turned so that the furthest out is positive.
        components: one row for each of all components: component, share (of the variance between personas),
            null_mean and null_95 (mean and 95th percentile of the share under the null of `persona_map`), p.
        correlations: one row per pair: persona, other, r, low, high (95 %, tasks resampled), n, r_corrected (never
            clipped; null without reliabilities), above_one (|r_corrected| > 1: few tasks, or reliabilities too low).
    """

    scores: pl.DataFrame
    components: pl.DataFrame
    correlations: pl.DataFrame

    def frame(self) -> pl.DataFrame:
        """The scores."""
        return self.scores


@dataclass(frozen=True, eq=False)
class PersonaClusters:
    """A tree of personas, cut where the mean silhouette is highest.

    Args:
        members: one row per persona: persona, cluster (from 1, in order of the first name in it), silhouette.
        n_clusters: where the tree is cut.
        candidates: one row per number of clusters: n_clusters, silhouette, stability, stability_low, stability_high
            (mean, 2.5th and 97.5th percentile over resampled tasks of the adjusted Rand index with the clusters of all
            tasks; null when no resample could be used), n_resamples (those used).
        distances: 1 - r over tasks, shape (persona, persona).
        tree: linkage of `scipy.cluster.hierarchy`, shape (persona - 1, 4).
    """

    members: pl.DataFrame
    n_clusters: int
    candidates: pl.DataFrame
    distances: Float[np.ndarray, "persona persona"]
    tree: Float[np.ndarray, "merge 4"]

    def frame(self) -> pl.DataFrame:
        """The members."""
        return self.members


def persona_profiles(utilities: pl.DataFrame, *, n_resamples: int = 10_000, seed: int = 0) -> pl.DataFrame:
    """Mean standardised utility of each persona on each topic: persona, topic, z, low, high, n (tasks).

    Topics are fixed, their tasks a sample, drawn anew within each topic and standardised anew. The 95 % intervals are
    too narrow for few tasks (see `means_interval`), null for one, and do not count the error of the utilities.
    """
    space = _Space.of(utilities, min_personas=1)
    topics, cells, n = np.unique(space.topics, return_inverse=True, return_counts=True)
    values, alone = np.concatenate([space.z, space.z**2]).T, np.arange(len(cells))
    draws = resampled_means(values, cells, alone, n_resamples=n_resamples, seed=seed)
    profile = _standardised(cell_means(np.ones((1, len(cells))), values, cells), n)[0]
    resampled, rows = _standardised(draws, n), []
    for p, persona in enumerate(space.personas):
        for t, topic in enumerate(topics.tolist()):
            low, high = percentile_interval(resampled[:, t, p]) if n[t] > 1 else (None, None)
            rows.append({"persona": persona, "topic": topic, "z": profile[t, p], "low": low, "high": high, "n": n[t]})
    return pl.DataFrame(rows, schema_overrides={"low": pl.Float64, "high": pl.Float64}, infer_schema_length=None)


def extreme_tasks(utilities: pl.DataFrame, k: int = 3, *, below_median_se: bool = False) -> pl.DataFrame:
    """The k tasks that each persona likes most and least.

    Extremes are in part noise: `below_median_se` leaves out tasks whose se is above the persona's median.

    Returns:
        2 k rows per persona, best first, ties by task: persona, end ("top" or "bottom"), rank (1 is the most extreme),
        task, topic, utility, z, mean_z (over all personas), difference (z - mean_z: this persona's own taste); and se.

    Raises:
        DataError: see the module; `below_median_se` without se; k below 1, or more than half of the tasks.
    """
    _Space.of(utilities, min_personas=1)
    u, z = pl.col("utility").cast(pl.Float64), pl.col("z")
    table = utilities.sort("persona", "task").with_columns(z=((u - u.mean()) / u.std(ddof=0)).over("persona"))
    table = table.with_columns(mean_z=z.mean().over("task")).with_columns(difference=z - pl.col("mean_z"))
    if below_median_se:
        require_columns(utilities, ["se"])
        table = table.filter(pl.col("se") <= pl.col("se").median().over("persona"))
    most = min(len(part) for _, part in table.group_by("persona")) // 2
    if not 1 <= k <= most:
        raise DataError(f"k is {k}, and these tasks have room for {most} at either end.", "", f"Use 1 to {most}.")
    table = table.sort("persona", z.round(_DIGITS), "task", descending=[False, True, False])
    ahead = pl.int_range(1, pl.len() + 1).over("persona")
    behind = pl.int_range(pl.len(), 0, -1).over("persona")
    end = pl.when(ahead <= k).then(pl.lit("top")).otherwise(pl.lit("bottom"))
    table = table.with_columns(end=end, rank=pl.min_horizontal(ahead, behind)).filter(pl.col("rank") <= k)
    columns = ["persona", "end", "rank", "task", "topic", "utility", "z", "mean_z", "difference"]
    return table.select(*columns, *(["se"] if "se" in table.columns else []))


def persona_map(
    utilities: pl.DataFrame,
    *,
    reliabilities: Mapping[str, float] | None = None,
    n_permutations: int = 1_000,
    n_resamples: int = 2_000,
    seed: int = 0,
) -> PersonaMap:
    """Principal components of the persona x task matrix (`sklearn.decomposition.PCA`), against shuffled tasks.

    After standardising, each task is centred over personas: what all personas share is not on the map, unless some hold
    it more firmly, or are measured with less noise, than others; then that is a component. Unrelated personas give
    P - 1 components with shares around 1 / (P - 1), the first well above; hence the null, which shuffles the tasks of
    what is each persona's own. p is the share of shuffles whose component of that rank explains as much, never zero
    (Phipson & Smyth 2010); after a strong component the next p are cautious, since shares sum to 1.

    Args:
        utilities: see the module.
        reliabilities: of each persona, in (0, 1], to correct r for attenuation: r / sqrt(product) (Spearman 1904).
        n_permutations: of the null.
        n_resamples: of tasks, for the intervals of the correlations.
        seed: of both.

    Raises:
        DataError: see the module; personas that are all the same; a reliability missing or out of range.
    """
    space = _Space.of(utilities, min_personas=MIN_PERSONAS)
    shares, rng = _shares(space.z), np.random.default_rng(seed)
    own = space.z - space.z.mean(axis=0)  # to shuffle the shared part too would make every persona's own equally large
    null = np.stack([_shares(rng.permuted(own, axis=1)) for _ in range(n_permutations)])
    scores = PCA(min(len(shares), space.z.shape[1]), svd_solver="full").fit_transform(space.z)
    furthest = np.abs(scores).round(_DIGITS).argmax(axis=0)
    scores = scores * np.where(scores[furthest, np.arange(scores.shape[1])] < 0, -1.0, 1.0)
    columns = {"component": np.arange(1, len(shares) + 1), "share": shares, "null_mean": null.mean(axis=0)}
    columns["null_95"] = np.percentile(null, 95, axis=0)
    columns["p"] = (1 + (null >= shares - 1e-12).sum(axis=0)) / (1 + n_permutations)
    named = {f"component_{number}": column for number, column in enumerate(scores.T, start=1)}
    pairs = _pairs(space, reliabilities, n_resamples, seed)
    return PersonaMap(pl.DataFrame({"persona": space.personas, **named}), pl.DataFrame(columns), pairs)


def persona_clusters(utilities: pl.DataFrame, *, n_resamples: int = 200, seed: int = 0) -> PersonaClusters:
    """Average-linkage clusters of personas on 1 - r; their number by the mean silhouette (Rousseeuw 1987).

    Unlike the map, r keeps what all personas share; it is not corrected, so a persona whose utilities are mostly noise
    ends up alone. The silhouette cannot choose one cluster and splits unrelated personas too: then it is low, and so is
    the stability, for which `n_resamples` of the tasks are drawn (those with a constant persona are not used).
    """
    space = _Space.of(utilities, min_personas=MIN_PERSONAS)
    distances, counts = _distances(space.z), range(2, len(space.personas))
    tree = hierarchy.linkage(squareform(distances), "average")
    cuts = [_cut(tree, count) for count in counts]
    widths = [np.asarray(silhouette_samples(distances, cut, metric="precomputed")) for cut in cuts]
    rng, agreement = np.random.default_rng(seed), []
    for _ in range(n_resamples):
        drawn = space.z[:, rng.integers(space.z.shape[1], size=space.z.shape[1])]
        if (np.ptp(drawn, axis=1) > 0).all():
            again = hierarchy.linkage(squareform(_distances(drawn)), "average")
            agreement.append([adjusted_rand_score(cuts[count - 2], _cut(again, count)) for count in counts])
    rows, silhouettes = [], [float(width.mean()) for width in widths]
    for count, width, indices in zip(counts, silhouettes, np.reshape(agreement, (-1, len(counts))).T, strict=True):
        mean = float(indices.mean()) if len(indices) else None
        rows.append((count, width, mean, *percentile_interval(indices), len(indices)))
    reals = dict.fromkeys(("silhouette", "stability", "stability_low", "stability_high"), pl.Float64)
    candidates = pl.DataFrame(rows, {"n_clusters": pl.Int64, **reals, "n_resamples": pl.Int64}, orient="row")
    best = int(np.round(silhouettes, _DIGITS).argmax())  # the fewest, of equals
    members = pl.DataFrame({"persona": space.personas, "cluster": cuts[best] + 1, "silhouette": widths[best]})
    return PersonaClusters(members, counts[best], candidates, distances, tree)


def representatives(clusters: PersonaClusters, k: int | None = None) -> pl.DataFrame:
    """The k personas that stand for the sweep: the medoid of each of k clusters, ties by name.

    Returns:
        One row per cluster of the tree cut into k (by default as it is; `DataError` for a k it cannot be cut into):
        cluster, persona (the medoid), mean_distance (from it to the others; null for one alone), n, members.
    """
    count, names = clusters.n_clusters if k is None else k, clusters.members["persona"].to_list()
    if not 1 <= count <= len(names):
        raise DataError(f"{count} representatives of {len(names)} personas.", "", "Ask for 1 up to all of them.")
    labels, rows = _cut(clusters.tree, count), []
    for cluster in range(count):
        (inside,) = np.nonzero(labels == cluster)
        total = clusters.distances[np.ix_(inside, inside)].sum(axis=1).round(_DIGITS)
        mean = float(total.min() / (len(inside) - 1)) if len(inside) > 1 else None
        rows.append((cluster + 1, names[inside[total.argmin()]], mean, len(inside), [names[i] for i in inside]))
    schema = {"cluster": pl.Int64, "persona": pl.String, "mean_distance": pl.Float64, "n": pl.Int64}
    return pl.DataFrame(rows, {**schema, "members": pl.List(pl.String)}, orient="row")


@dataclass(frozen=True, eq=False)
class _Space:
    """The standardised matrix, personas and tasks in order of name, and the topic of each task."""

    personas: tuple[str, ...]
    topics: tuple[str, ...]
    z: Float[np.ndarray, "persona task"]

    @classmethod
    def of(cls, utilities: pl.DataFrame, *, min_personas: int) -> _Space:
        require_columns(utilities, ["persona", "task", "utility", "topic"])
        require_unique(utilities, ["persona", "task"])
        personas = utilities.select("persona").unique().sort("persona")
        tasks = utilities.select("task", "topic").unique().sort("task", "topic")
        torn = tasks.filter(tasks["task"].is_duplicated())
        if torn.height:
            raise DataError(f"Task {torn['task'][0]!r} has topics {torn['topic'][:2].to_list()}.", "", "File it once.")
        gaps = personas.join(tasks, how="cross").join(utilities, on=["persona", "task"], how="anti")
        if gaps.height:
            symptom = f"Persona {gaps['persona'][0]!r} has no utility of task {gaps['task'][0]!r} ({gaps.height} gaps)."
            raise DataError(symptom, "A gap is never filled in.", "Leave out the task or the persona, and report it.")
        if personas.height < min_personas or tasks.height < MIN_TASKS:
            symptom = f"There are {personas.height} personas and {tasks.height} tasks."
            raise DataError(symptom, "", f"Use at least {min_personas} personas and {MIN_TASKS} tasks.")
        values = utilities.sort("persona", "task")["utility"].cast(pl.Float64).to_numpy().reshape(personas.height, -1)
        spread = values.std(axis=1, keepdims=True)
        flat = spread[:, 0] <= 1e-12 * np.abs(values).max(axis=1)
        if flat.any():
            symptom = f"Persona {personas['persona'][int(flat.argmax())]!r} gives all tasks the same utility."
            raise DataError(symptom, "It has no profile and no correlation.", "Leave it out and say so.")
        z = (values - values.mean(axis=1, keepdims=True)) / spread
        return cls(tuple(personas["persona"].to_list()), tuple(tasks["topic"].to_list()), z)


def _standardised(
    moments: Float[np.ndarray, "draw topic column"], n: Int[np.ndarray, " topic"]
) -> Float[np.ndarray, "draw topic persona"]:
    """Topic means on the scale of each draw."""
    first, second = np.split(moments, 2, axis=2)
    centre, square = (np.einsum("t,dtp->dp", n / n.sum(), part) for part in (first, second))
    variance = square - centre**2
    return np.asarray((first - centre[:, None]) / np.sqrt(np.where(variance > 1e-12, variance, np.nan))[:, None])


def _shares(z: Float[np.ndarray, "persona task"]) -> Float[np.ndarray, " component"]:
    """Share of each component in the variance between personas, largest first."""
    centred = z - z.mean(axis=0)
    values = np.maximum(np.linalg.eigvalsh(centred @ centred.T)[:0:-1], 0)
    if values.sum() <= 1e-9 * z.size:
        raise DataError("All personas have the same utilities, up to scale.", "", "Map personas that differ.")
    return np.asarray(values / values.sum())


def _pairs(space: _Space, reliabilities: Mapping[str, float] | None, n_resamples: int, seed: int) -> pl.DataFrame:
    """The correlations of `PersonaMap`."""
    given = {} if reliabilities is None else {name: reliabilities.get(name, np.nan) for name in space.personas}
    for name, value in given.items():
        if not 0 < value <= 1:
            symptom = f"The reliability of persona {name!r} is {value}."
            raise DataError(symptom, "", "Give one in (0, 1] for every persona, or none at all.")
    rows: list[dict[str, Any]] = []
    for (i, name), (j, other) in combinations(enumerate(space.personas), 2):
        found = correlate(space.z[i], space.z[j], n_resamples=n_resamples, seed=seed)
        corrected = found.r / float(np.sqrt(given[name] * given[other])) if given else None
        row = {"persona": name, "other": other, **vars(found), "r_corrected": corrected}
        rows.append(row | {"above_one": None if corrected is None else abs(corrected) > 1})
    return pl.DataFrame(rows, schema_overrides={"r_corrected": pl.Float64, "above_one": pl.Boolean})


def _distances(z: Float[np.ndarray, "persona task"]) -> Float[np.ndarray, "persona persona"]:
    """1 - r, symmetric to the last bit and zero on the diagonal."""
    r = np.corrcoef(z)
    distances: Float[np.ndarray, "persona persona"] = (1 - (r + r.T) / 2).round(12)
    np.fill_diagonal(distances, 0)
    return distances


def _cut(tree: Float[np.ndarray, "merge 4"], n_clusters: int) -> Int[np.ndarray, " persona"]:
    """Clusters from 0, numbered in order of their first persona."""
    labels = hierarchy.cut_tree(tree, n_clusters=n_clusters)[:, 0]
    _, first, codes = np.unique(labels, return_index=True, return_inverse=True)
    return np.asarray(first.argsort().argsort()[codes])
