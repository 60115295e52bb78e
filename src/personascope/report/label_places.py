"""Where the names of a scatter plot's points go, so that as few as possible cover each other."""

from __future__ import annotations

from collections.abc import Sequence

_SIDES = {
    "middle right": (0.0, 1.0),
    "middle left": (0.0, -1.0),
    "top center": (1.0, 0.0),
    "bottom center": (-1.0, 0.0),
    "top right": (1.0, 1.0),
    "top left": (1.0, -1.0),
    "bottom right": (-1.0, 1.0),
    "bottom left": (-1.0, -1.0),
}
FILLED = 0.78
"""Share of the plot that points fill in the direction in which they reach farthest."""
_LETTER, _LINE, _GAP, _DOT = 6.8, 15.0, 5.0, 6.0
"""Width of a letter, height of a line, distance from the point, and half of a point, in pixels."""
Box = tuple[float, float, float, float]


def label_places(x: Sequence[float], y: Sequence[float], names: Sequence[str], size: tuple[int, int]) -> list[str]:
    """A plotly `textposition` for each point: that which covers least of the points and of the other names.

    Names are placed one after the other and then twice again, when all others stand.

    Args:
        x: of the points; both axes have one scale.
        y: likewise.
        names: their names.
        size: about the width and height of the plot in pixels.
    """
    points, (width, height) = _in_pixels(x, y, size), size
    fixed: list[Box] = [(a - _DOT, b - _DOT, a + _DOT, b + _DOT) for a, b in points]
    fixed += [
        (-9e9, 0.0, 0.0, float(height)),
        (float(width), 0.0, 9e9, float(height)),
    ]  # beyond either side other things stand
    found: dict[int, str] = {}
    for index in [*range(len(points))] * 3:
        names_there = [_box(points[other], names[other], side) for other, side in found.items() if other != index]
        others = fixed[:index] + fixed[index + 1 :] + names_there
        covered = {
            side: sum(_overlap(_box(points[index], names[index], side), other) for other in others) for side in _SIDES
        }
        found[index] = min(_SIDES, key=covered.__getitem__)
    return [found[index] for index in range(len(points))]


def _in_pixels(x: Sequence[float], y: Sequence[float], size: tuple[int, int]) -> list[tuple[float, float]]:
    """The points in the middle of a plot, which they fill in one direction."""
    middles = [(min(values) + max(values)) / 2 for values in (x, y)]
    spans = [max(values) - min(values) for values in (x, y)]
    scale = min([FILLED * pixels / span for pixels, span in zip(size, spans, strict=True) if span > 0], default=1.0)
    return [
        (size[0] / 2 + scale * (a - middles[0]), size[1] / 2 + scale * (b - middles[1]))
        for a, b in zip(x, y, strict=True)
    ]


def _box(point: tuple[float, ...], name: str, side: str) -> Box:
    """Left, bottom, right, top of a name beside its point."""
    up, right = _SIDES[side]
    width = _LETTER * len(name)
    left = point[0] + right * (width / 2 + _GAP) - width / 2
    bottom = point[1] + up * (_LINE / 2 + _GAP) - _LINE / 2
    return left, bottom, left + width, bottom + _LINE


def _overlap(one: Box, other: Box) -> float:
    """Area that two boxes share."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    return max(0.0, width) * max(0.0, height)
