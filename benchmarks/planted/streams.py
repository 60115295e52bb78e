"""Ways in which an evaluation can be written: each a function from utilities to coordinates, and a version by name.

What a linear probe can reach of it has a closed form, as planted directions and noise are orthogonal.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float

from benchmarks.planted.persona_respondent import (
    D_MODEL,
    EVALUATION,
    LOUD,
    LOUD_SD,
    OFFSET,
    PRIVATE,
    SECOND,
    Coordinates,
    Stream,
    noise_sd,
    own_offsets,
)
from benchmarks.planted.personas import PERSONAS, columns_apart, planted_tasks

GAIN, FAINT, SNR_EACH, NUISANCE_GAIN, QUIET, RATIO = 3.0, 1.0, 2.0, 3.0, 0.2, 3.0
CLEAR_GAIN, LOUD_GAIN = 8.0, 3 * LOUD_SD


def nothing(u: Float[np.ndarray, "task persona"]) -> Coordinates:
    """No evaluation is written: only what the words give, and who is asked."""
    return np.zeros((u.shape[1], len(u), D_MODEL))


def along(u: Float[np.ndarray, "task persona"], column: int, gain: float) -> Coordinates:
    """Each persona's own utility along one column."""
    found = nothing(u)
    found[:, :, column] = gain * u.T
    return found


def shared(u: Float[np.ndarray, "task persona"], gain: float = GAIN) -> Coordinates:
    """All personas write their own utility along one direction."""
    return along(u, EVALUATION, gain)


def private(u: Float[np.ndarray, "task persona"], gain: float = GAIN) -> Coordinates:
    """Every persona writes its utility along a direction of its own."""
    found = nothing(u)
    for persona in range(u.shape[1]):
        found[persona, :, PRIVATE.start + persona] = gain * u[:, persona]
    return found


def copied(u: Float[np.ndarray, "task persona"], gain: float = 8.0) -> Coordinates:
    """Whoever is asked, the first persona's utility is written, and loudly."""
    return shared(np.repeat(u[:, :1], u.shape[1], axis=1), gain)


def two_directions(u: Float[np.ndarray, "task persona"]) -> Coordinates:
    """Along two quiet directions of equal signal to noise, one with `RATIO` times the signal and noise of the other.

    The covariance of the stream with u has one direction, (1, RATIO); the best probe has another, (RATIO, 1), because
    it goes by noise. Once the probe's is gone, (1, -RATIO) is left. With equal noise one removal would be enough.
    """
    gain = SNR_EACH**0.5 * QUIET
    return np.asarray(along(u, EVALUATION, gain) + along(u, SECOND, gain * RATIO))


def one_direction(u: Float[np.ndarray, "task persona"]) -> Coordinates:
    """Along one quiet direction, with the signal to noise that both of `two_directions` have."""
    return shared(u, (2 * SNR_EACH) ** 0.5 * QUIET)


def after_one_removal() -> float:
    """Population r under `two_directions` once the best probe's direction is gone."""
    gains, noise = np.array([1.0, RATIO]), np.array([1.0, RATIO**2])
    rest = np.array([1.0, -RATIO])
    return ceiling(SNR_EACH * float((rest @ gains) ** 2 / (rest**2 @ noise)))


def loud(u: Float[np.ndarray, "task persona"], gain: float = LOUD_GAIN) -> Coordinates:
    """Along a direction in which the stream varies more than in any other."""
    return along(u, LOUD, gain)


def with_private_nuisance(u: Float[np.ndarray, "task persona"]) -> Coordinates:
    """Faintly along one direction, and on every persona's own direction: its utility there, and chance for others."""
    found = shared(u, FAINT)
    chance = columns_apart(planted_tasks(), u.shape[1] ** 2, seed=50)
    for persona in range(u.shape[1]):
        for owner in range(u.shape[1]):
            is_own = persona == owner
            value = u[:, persona] if is_own else chance[:, persona * u.shape[1] + owner]
            found[persona, :, PRIVATE.start + owner] = NUISANCE_GAIN * value
    return found


def diversity_r(k: int) -> float:
    """Population r, on a persona left out, of the best probe of k personas under `with_private_nuisance`.

    With the private directions of those trained on at covariance g / k with u and variance g^2 + 1, and the shared one
    at covariance f and noise 1, weights are (noise covariance)^-1 covariance up to a factor.
    """
    own = np.full(k, NUISANCE_GAIN / k)
    covariance = np.append(FAINT, own)
    total = np.diag(np.append(FAINT**2 + 1, np.full(k, NUISANCE_GAIN**2 + 1)))
    # of u in the shared and in a private direction, in the rows of its owner alone
    total[0, 1:] = total[1:, 0] = FAINT * NUISANCE_GAIN / k
    weights = np.linalg.solve(total, covariance)
    spread = weights[0] ** 2 * (FAINT**2 + 1) + (weights[1:] ** 2).sum() * (NUISANCE_GAIN**2 + 1)
    return float(weights[0] * FAINT / np.sqrt(spread))


def identity_on_evaluation(size: float = OFFSET) -> Float[np.ndarray, "persona column"]:
    """Personas sit along the very direction of the evaluation."""
    found = np.zeros((len(PERSONAS), D_MODEL))
    found[:, EVALUATION] = size * np.linspace(-1, 1, len(PERSONAS))
    return found


def streams(u: Float[np.ndarray, "task persona"]) -> dict[str, Stream]:
    """Every version by name, for standardised utilities."""
    offsets, quiet = own_offsets(), noise_sd({EVALUATION: QUIET, SECOND: QUIET * RATIO})
    return {
        "shared": Stream(shared(u), offsets, 1),
        "private": Stream(private(u), offsets, 2),
        "content": Stream(nothing(u), offsets, 3),
        "copied": Stream(copied(u), offsets, 4),
        "rank one": Stream(one_direction(u), offsets, 10, quiet),
        "rank two": Stream(two_directions(u), offsets, 5, quiet),
        "loud": Stream(loud(u), offsets, 6),
        "nuisance": Stream(with_private_nuisance(u), offsets, 7),
        "identity": Stream(shared(u), identity_on_evaluation(), 8),
        "clear": Stream(shared(u, CLEAR_GAIN), offsets, 9),
    }


def ceiling(snr: float) -> float:
    """Largest r of a linear probe: sqrt(snr / (1 + snr))."""
    return float(np.sqrt(snr / (1 + snr)))


def fitted_r(snr: float, n: int, d: int = D_MODEL) -> float:
    """Expected r on new rows of least squares on n rows of d normal features (Browne 1975); ridge does no worse."""
    rho = snr / (1 + snr)
    squared = ((n - d - 3) * rho**2 + rho) / ((n - 2 * d - 2) * rho + d)
    return float(np.sqrt(squared))
