"""What can be done along directions: add them, project them out, clamp a coordinate; and put given rows in place.

h is a row of the residual stream after the direction's layer at a token that `where` names, u the direction's unit
vector, s its strength and N its `reference_norm`; h' goes on to the next block.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from personascope.direction import Direction
from personascope.errors import DataError, DirectionError
from personascope.models.intervention import Intervention, Phase
from personascope.steering.random_subspaces import orthonormal


def add(
    direction: Direction,
    where: str,
    *,
    phase: Phase | None = None,
    keep_norm: bool = False,
    model: str | None = None,
    d_model: int | None = None,
) -> Intervention:
    """Push along a direction: h' = h + s N u; with `keep_norm` h' = |h| (h + s N u) / |h + s N u|.

    Args:
        direction: its strength is a fraction of the mean residual norm at its layer.
        where: position of `prompts.positions`, e.g. "answer", "from:item", "mean:task_a".
        phase: "prompt", "generation", or None as the position says (see `Intervention`).
        keep_norm: turn the row without making it longer or shorter.
        model: name of the model it will be used on, checked when given.
        d_model: width of that model's residual stream, checked when given.

    Raises:
        DirectionError: the direction was fitted on another model or has another width.
    """
    require_fitted_on(direction, model, d_model)
    return Intervention(direction.layer, direction.offset(), where, keep_norm=keep_norm, phase=phase)


def project_out(
    directions: Direction | Sequence[Direction],
    where: str,
    *,
    phase: Phase | None = None,
    model: str | None = None,
    d_model: int | None = None,
) -> Intervention:
    """Take directions out: h' = h - Q' Q h, with Q orthonormal rows (by QR) that span them; strengths do not matter.

    Args:
        directions: one, or several at one layer; they need not be at right angles.
        where: position of `prompts.positions`.
        phase: see `add`.
        model: see `add`.
        d_model: see `add`.

    Raises:
        DirectionError: no direction, one that is a combination of those before it, directions of different models,
            layers or widths, or of another model than the one that is named.

    Source: Elazar et al. (2021), arXiv 2006.00995, section 2.
    """
    given = [directions] if isinstance(directions, Direction) else list(directions)
    places = {(one.model, one.layer, len(one.vector)) for one in given}
    if len(places) != 1:
        raise DirectionError(
            f"Directions of {len(places)} models, layers or widths were to be projected out together.",
            f"They are (model, layer, width) {sorted(places)}." if places else "None was given.",
            "Make one intervention for each layer; several work side by side.",
        )
    for one in given:
        require_fitted_on(one, model, d_model)
    try:
        basis = orthonormal(np.stack([one.vector for one in given]))
    except DataError as error:
        raise DirectionError(
            "Directions that are to be projected out depend on each other.",
            "One of them is a combination of those before it, so there is nothing left of it.",
            "Leave it out.",
        ) from error
    nothing = np.zeros(basis.shape[1], dtype=np.float32)
    return Intervention(given[0].layer, nothing, where, erase=basis.astype(np.float32), phase=phase)


def clamp(
    direction: Direction,
    where: str,
    *,
    phase: Phase | None = None,
    model: str | None = None,
    d_model: int | None = None,
) -> Intervention:
    """Set the coordinate along a direction: h' = h - (u'h) u + s N u, whatever it was before.

    Args:
        direction: at strength 0 its component is projected out.
        where: position of `prompts.positions`.
        phase: see `add`.
        model: see `add`.
        d_model: see `add`.

    Raises:
        DirectionError: the direction was fitted on another model or has another width.
    """
    require_fitted_on(direction, model, d_model)
    return Intervention(direction.layer, direction.offset(), where, erase=direction.vector[None], phase=phase)


def replace(rows: Sequence[Float[np.ndarray, "_ _"]], *, layer: int, where: str) -> Intervention:
    """Put given activations in place (patching): h' = the row given for that token of that prompt.

    Args:
        rows: for each prompt of the call, in order, one row for each token that `where` names in it, shape
            (token, d_model).
        layer: 0-based decoder block after which they are put.
        where: position of `prompts.positions`.

    Raises:
        DirectionError: no rows, rows of different widths, or numbers that are not finite.
    """
    shapes = [given.shape for given in rows]
    if len({shape[1] for shape in shapes}) != 1 or not all(np.isfinite(given).all() for given in rows):
        raise DirectionError(
            f"Rows of shapes {shapes[:5]}{' ...' if len(shapes) > 5 else ''} cannot replace the residual stream.",
            "For every prompt they need the model's width, and finite numbers.",
            "Give one array of shape (token, d_model) for each prompt.",
        )
    return Intervention(layer, np.zeros(shapes[0][1], dtype=np.float32), where, rows=tuple(rows))


def require_fitted_on(direction: Direction, model: str | None, d_model: int | None) -> None:
    """Raise DirectionError for a direction of another model or width; None is not compared."""
    if model is not None and direction.model != model:
        raise DirectionError(
            f"A direction fitted on {direction.model!r} cannot steer {model!r}.",
            "Residual streams of different models share no axes.",
            "Fit the direction on the model that you steer.",
        )
    if d_model is not None and len(direction.vector) != d_model:
        raise DirectionError(
            f"The direction has width {len(direction.vector)}, the model's residual stream {d_model}.",
            "It was fitted on another model or on other features.",
            "Fit the direction on the model that you steer.",
        )
