"""Latent traits: answers are cuts through normal propensities that hang together through a few traits.

    y_q = a_q . theta + e_q,   theta ~ N(mean, covariance),   e_q ~ N(0, noise_q),   option k when t_k < y_q <= t_k+1

the multidimensional graded response model with a normal ogive (Samejima 1969; Muraki & Carlson 1995). What is believed
of theta stays normal: an answer k cuts y_q to an interval, y's truncated mean and variance are exact, and theta follows
by regression on y_q (assumed-density filtering; Minka 2001, section 3). Where an answer is taken for the value of y_q
itself (`levels`), this is the Gaussian model of all items, whose order of questions does not depend on the answers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float, Int
from scipy.special import ndtr
from scipy.stats import norm

from personascope.errors import DataError
from personascope.interviews.respondents import Chosen, Probabilities, Scores, entropy_bits

_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(15)
_WEIGHTS = _WEIGHTS / _WEIGHTS.sum()
Spread = Float[np.ndarray, "shared item"]
_FAR = 40.0
"""Standard deviations that stand for no bound: beyond it a normal density is 0 in double precision."""


@dataclass(frozen=True, eq=False)
class LatentTraits:
    """Items as cuts through normal propensities.

    Args:
        items: ids.
        loadings: a, shape (item, trait).
        thresholds: t_1 .. t_K-1 of each item, rising, shape (item, option - 1).
        noise: variance of e, shape (item,).
        mean: of theta, shape (trait,).
        covariance: of theta, shape (trait, trait).
        levels: values of y that answers stand for where they are taken as exact, shape (item, option); None: intervals.
        names: of the traits that are reported.
        reported: what of theta they are, shape (reported, trait); by default theta itself.

    Raises:
        DataError: shapes that do not fit, thresholds that do not rise, a covariance that is none, no noise where
            answers are intervals.
    """

    items: tuple[str, ...]
    loadings: Float[np.ndarray, "item trait"]
    thresholds: Float[np.ndarray, "item cut"]
    noise: Float[np.ndarray, " item"]
    mean: Float[np.ndarray, " trait"]
    covariance: Float[np.ndarray, "trait trait"]
    levels: Float[np.ndarray, "item option"] | None = None
    names: tuple[str, ...] = ()
    reported: Float[np.ndarray, "reported trait"] | None = None

    def __post_init__(self) -> None:
        n, d = self.loadings.shape
        sizes = (len(self.items), len(self.thresholds), len(self.noise))
        if sizes != (n, n, n) or self.mean.shape != (d,) or self.covariance.shape != (d, d):
            raise DataError(
                f"Loadings {self.loadings.shape}, covariance {self.covariance.shape}; items, cuts, noises {sizes}.",
                "Loadings have a row for each item and a column for each trait.",
                "Make the shapes fit.",
            )
        if not (np.diff(self.thresholds, axis=1) > 0).all():
            raise DataError("Thresholds do not rise.", "Each option lies above the one before.", "Sort them.")
        if np.linalg.eigvalsh(self.covariance).min() < -1e-8 or (self.noise < 0).any():
            raise DataError("The covariance is none.", "It has a negative variance.", "Estimate it anew.")
        if self.levels is None and not (self.noise > 0).all():
            raise DataError("An item has no noise.", "Its answer would say everything.", "Give a variance above 0.")
        if self.reported is None and self.names and len(self.names) != d:
            raise DataError(f"{len(self.names)} names for {d} traits.", "", "Give one name for each.")

    @property
    def n_options(self) -> int:
        """K."""
        return int(self.thresholds.shape[1]) + 1

    @cached_property
    def targets(self) -> Float[np.ndarray, "reported trait"]:
        """What of theta is reported."""
        return np.eye(len(self.mean)) if self.reported is None else self.reported

    @property
    def is_exact(self) -> bool:
        """Whether answers are taken for the values of y."""
        return self.levels is not None

    def begin(self, n: int) -> LatentBelief:
        """The prior, of n interviews."""
        d = len(self.mean)
        return LatentBelief(self, np.tile(self.mean, (n, 1)), self.covariance.reshape(1, d, d).copy())


@dataclass(eq=False)
class LatentBelief:
    """A normal distribution of theta, after some answers.

    Args:
        model: of the items.
        mean: shape (interview, trait).
        covariance: shape (interview, trait, trait), or (1, trait, trait) while it is the same for all: before the first
            answer, and as long as exact answers are to the same questions.
    """

    model: LatentTraits
    mean: Float[np.ndarray, "interview trait"]
    covariance: Float[np.ndarray, "shared trait trait"]

    @property
    def n(self) -> int:
        """Number of interviews."""
        return len(self.mean)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the traits that are reported."""
        return self.model.names or tuple(f"trait {number + 1}" for number in range(len(self.model.targets)))

    def traits(self) -> tuple[Float[np.ndarray, "interview trait"], Float[np.ndarray, "interview trait"]]:
        """Mean and standard deviation of what is reported."""
        return self.project(self.model.targets)

    def project(
        self, wanted: Float[np.ndarray, "wanted trait"]
    ) -> tuple[Float[np.ndarray, "interview wanted"], Float[np.ndarray, "interview wanted"]]:
        """Mean and standard deviation of sums of theta."""
        variance = np.maximum(np.einsum("td,bde,te->bt", wanted, self.covariance, wanted, optimize=True), 0)
        return self.mean @ wanted.T, np.broadcast_to(np.sqrt(variance), (self.n, len(wanted)))

    def propensities(self) -> tuple[Scores, Spread]:
        """Mean and variance of y, noise included, of shapes (interview, item) and (shared, item)."""
        return self.mean @ self.model.loadings.T, self._known() + self.model.noise

    def _known(self) -> Spread:
        """Variance of a . theta."""
        spread: Spread = np.einsum("bqd,qd->bq", self._towards(), self.model.loadings)
        known: Spread = np.maximum(spread, 0)
        return known

    def _towards(self) -> Float[np.ndarray, "shared item trait"]:
        """Covariance of theta with y."""
        towards: Float[np.ndarray, "shared item trait"] = np.matmul(self.model.loadings, self.covariance)
        return towards

    def predict(self, items: Int[np.ndarray, " asked"] | None = None) -> Probabilities:
        """See `Belief`."""
        mean, variance = self.propensities()
        predicted = self._shares(mean, np.sqrt(np.maximum(variance, 1e-12)))
        return predicted if items is None else predicted[:, items]

    def _shares(self, mean: Scores, sd: np.ndarray) -> Probabilities:
        """Mass of normal propensities between the thresholds."""
        below = ndtr((self.model.thresholds - mean[..., None]) / sd[..., None])
        edges = np.concatenate([np.zeros_like(below[..., :1]), below, np.ones_like(below[..., :1])], axis=-1)
        p: Probabilities = np.diff(edges, axis=-1)
        return p

    def information(self) -> Scores:
        """About theta, in bits: of an exact answer 1/2 log2(variance of y / noise), of an interval by quadrature."""
        mean, variance = self.propensities()
        if self.model.is_exact:
            least = np.maximum(self.model.noise, 1e-6 * self._prior_variance())
            return np.broadcast_to(0.5 * np.log2(np.maximum(variance, least) / least), mean.shape)
        spread, noise = np.sqrt(self._known()), np.sqrt(self.model.noise)
        within = np.zeros_like(mean)
        for node, weight in zip(_NODES, _WEIGHTS, strict=True):
            within += weight * entropy_bits(self._shares(mean + node * spread, noise[None]))
        bits: Scores = np.maximum(entropy_bits(self.predict()) - within, 0)
        return bits

    def _prior_variance(self) -> Float[np.ndarray, " item"]:
        a = self.model.loadings
        variance: Float[np.ndarray, " item"] = np.einsum("qd,de,qe->q", a, self.model.covariance, a) + self.model.noise
        return variance

    def entropy(self) -> Float[np.ndarray, " interview"]:
        """Of theta, differential, in bits."""
        sign, log_det = np.linalg.slogdet(2 * np.pi * np.e * self.covariance)
        return np.broadcast_to(np.where(sign > 0, 0.5 * log_det, -np.inf) / np.log(2), (self.n,))

    def variance_reduction(self) -> Scores:
        """Expected fall of the summed variance of the reported traits."""
        return self.total_reduction(self.model.targets)

    def total_reduction(self, targets: Float[np.ndarray, "target trait"]) -> Scores:
        """Expected fall of the summed variance of some targets, such as the loadings of items that are not asked.

        Of each target that is cov(target, y)^2 / var(y)^2 times the expected fall of y's variance.
        """
        mean, variance = self.propensities()
        variance = np.maximum(variance, 1e-12)
        if self.model.is_exact:
            fall = variance
        else:
            p = self.predict()
            _, after = self._cut(mean, variance)
            fall = variance - (p * after).sum(axis=-1)
        together = ((self._towards() @ targets.T) ** 2).sum(axis=-1)
        return np.broadcast_to(together * fall / variance**2, mean.shape)

    def _cut(self, mean: Scores, variance: Spread) -> tuple[Probabilities, Probabilities]:
        """Mean and variance of y after each option, shape (interview, item, option) each."""
        sd = np.sqrt(variance)
        edges = (self.model.thresholds - mean[..., None]) / sd[..., None]
        far = np.full_like(edges[..., :1], _FAR)
        edges = np.concatenate([-far, np.clip(edges, -_FAR, _FAR), far], axis=-1)
        cut_mean, cut_variance = truncated_moments(edges[..., :-1], edges[..., 1:])
        return mean[..., None] + sd[..., None] * cut_mean, variance[..., None] * cut_variance

    def d_optimality(self) -> Scores:
        """log2 of the growth of the determinant of the information about theta at its mean (D-rule; Segall 1996)."""
        growth: Scores = np.log2(1 + self.fisher() * self._known())
        return growth

    def fisher(self) -> Scores:
        """Fisher information of each item about y's mean, at the mean of theta."""
        if self.model.is_exact:
            return 1 / np.broadcast_to(np.maximum(self.model.noise, 1e-6), (self.n, len(self.model.items)))
        sd = np.sqrt(self.model.noise)[:, None]
        edges = (self.model.thresholds - (self.mean @ self.model.loadings.T)[..., None]) / sd
        density = norm.pdf(edges) / sd
        zero = np.zeros_like(density[..., :1])
        slope = -np.diff(np.concatenate([zero, density, zero], axis=-1), axis=-1)
        p = self._shares(self.mean @ self.model.loadings.T, np.sqrt(self.model.noise)[None])
        information: Scores = (slope**2 / np.maximum(p, 1e-12)).sum(axis=-1)
        return information

    def observe(self, items: Chosen, options: Chosen) -> None:
        """Regress theta on the answer of each interview."""
        may_share = self.model.is_exact and len(self.covariance) == 1 and bool((items == items[0]).all())
        a = self.model.loadings[items[:1] if may_share else items]
        towards = np.matmul(self.covariance, a[:, :, None])[..., 0]
        mean = (self.mean * self.model.loadings[items]).sum(axis=1)
        variance = np.maximum((towards * a).sum(axis=1) + self.model.noise[items[: len(a)]], 1e-12)
        after, left = self._told(items, options, mean, variance)
        self.mean = self.mean + towards * ((after - mean) / variance)[:, None]
        shrink = (variance - left) / variance**2
        self.covariance = self.covariance - shrink[:, None, None] * towards[:, :, None] * towards[:, None, :]

    def _told(
        self, items: Chosen, options: Chosen, mean: np.ndarray, variance: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Mean and variance of y once its answer is known."""
        if self.model.levels is not None:
            return self.model.levels[items, options], np.zeros_like(variance)
        sd, rows = np.sqrt(variance), np.arange(len(items))
        cuts = (self.model.thresholds[items] - mean[:, None]) / sd[:, None]
        far = np.full((len(cuts), 1), _FAR)
        edges = np.concatenate([-far, np.clip(cuts, -_FAR, _FAR), far], axis=1)
        cut_mean, cut_variance = truncated_moments(edges[rows, options], edges[rows, options + 1])
        return mean + sd * cut_mean, variance * cut_variance

    def repeat(self, times: int) -> LatentBelief:
        """See `Belief`."""
        covariance = self.covariance if len(self.covariance) == 1 else np.repeat(self.covariance, times, axis=0)
        return LatentBelief(self.model, np.repeat(self.mean, times, axis=0), covariance)

    def pick(self, interviews: Int[np.ndarray, " kept"]) -> LatentBelief:
        """See `Belief`."""
        covariance = self.covariance if len(self.covariance) == 1 else self.covariance[interviews]
        return LatentBelief(self.model, self.mean[interviews], covariance)

    def with_(self, interviews: Int[np.ndarray, " told"], told: LatentBelief) -> LatentBelief:
        """See `Belief`."""
        mean = self.mean.copy()
        covariance = np.broadcast_to(self.covariance, (self.n, *self.covariance.shape[1:])).copy()
        mean[interviews], covariance[interviews] = told.mean, told.covariance
        return LatentBelief(self.model, mean, covariance)


def truncated_moments(low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean and variance of a standard normal between two bounds, stable in the tails.

    Args:
        low: lower bounds.
        high: upper bounds, above the lower ones.
    """
    flip = low + high > 0  # the tail on the left is where differences of the distribution function keep their digits
    lo, hi = np.where(flip, -high, low), np.where(flip, -low, high)
    top = np.maximum(norm.logcdf(hi), -1e300)
    mass = -np.expm1(norm.logcdf(lo) - top)
    log_mass = top + np.log(np.maximum(mass, 1e-300))
    ratio_lo, ratio_hi = np.exp(norm.logpdf(lo) - log_mass), np.exp(norm.logpdf(hi) - log_mass)
    mean = ratio_lo - ratio_hi
    variance = 1 + lo * ratio_lo - hi * ratio_hi - mean**2
    narrow = (hi - lo) < 1e-3  # a slice so thin is a uniform distribution, whose variance the formula loses
    variance = np.where(narrow, (hi - lo) ** 2 / 12, np.clip(variance, 0, 1))
    mean = np.clip(mean, lo, hi)
    return np.where(flip, -mean, mean), variance
