"""The prefix tree: which runs of tokens several prompts share, so that each is computed once.

Prompts are tokenised whole and share the longest common *token* prefix (tokenising a prefix by itself would break
merges at the joint). A causal model computes the same keys and values for a shared prefix in every prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

MIN_SHARED_LENGTH = 4
"""Shorter shared runs are recomputed: an extra step through the model costs more than a few tokens."""
PAST_TOKENS_PER_NEW = 16
"""So many copied tokens of the past weigh as much as one new token in the budget of a batch."""
MIN_SAVED_TOKENS = 16
"""A shared run must save at least this many tokens over all prompts that share it."""


@dataclass
class Segment:
    """A run of tokens computed in one step: an inner node shared by several rows, or the rest of one row (a leaf).

    Args:
        tokens: the token ids.
        start: position of the first of them in its prompts.
        rows: indices of the prompts that pass through it.
        parent: the segment before it, or None.
    """

    tokens: tuple[int, ...]
    start: int
    rows: tuple[int, ...]
    parent: Segment | None
    children: list[Segment] = field(default_factory=list)
    slot: int = 0  # its row in the block of keys and values, set when that block is computed

    @property
    def is_leaf(self) -> bool:
        """Whether it ends a prompt."""
        return not self.children

    @property
    def stop(self) -> int:
        """Position after its last token."""
        return self.start + len(self.tokens)


def plan_tree(
    ids: Sequence[Sequence[int]],
    shareable: Sequence[int],
    *,
    keys: Sequence[Sequence[int]] | None = None,
    cuts: Sequence[int] | None = None,
) -> list[Segment]:
    """Root segments of the prefix tree over all prompts.

    Args:
        ids: token ids of each prompt.
        shareable: for each prompt how many of its first tokens may be shared; at most its length - 1, so that every
            row keeps a leaf of its own.
        keys: what must agree for tokens to be shared, one number a token; the ids themselves by default. Steered tokens
            have other keys than unsteered ones, so that only rows that are steered alike share.
        cuts: for each prompt a position that no segment runs across (0: none), so that a sweep repeats only what lies
            behind it.

    Returns:
        Roots in token order. Every row lies in exactly one leaf, and the segments from the root to that leaf spell
        its prompt.
    """
    keys = ids if keys is None else keys
    roots: list[Segment] = []
    # (rows that agree up to `start` and share one parent); an explicit stack, as prompts can nest deeply
    order = tuple(sorted(range(len(ids)), key=lambda row: tuple(keys[row])))
    stack: list[tuple[tuple[int, ...], int, Segment | None]] = [(order, 0, None)] if order else []
    while stack:
        rows, start, parent = stack.pop()
        for group in _worthwhile_groups(keys, shareable, rows, start):
            row = group[0]
            stop = _agreement(keys, shareable, group, start) if len(group) > 1 else len(ids[row])
            if cuts is not None:
                stop = min([stop, *(cuts[row] for row in group if cuts[row] > start)])
            segment = Segment(tuple(ids[row][start:stop]), start, group, parent)
            (parent.children if parent else roots).append(segment)
            if stop < len(ids[row]):
                stack.append((group, stop, segment))
    return roots


def _worthwhile_groups(
    keys: Sequence[Sequence[int]], shareable: Sequence[int], rows: tuple[int, ...], start: int
) -> list[tuple[int, ...]]:
    """Split sorted rows that agree up to `start` into groups that share a worthwhile run, and single rows."""
    groups: list[tuple[int, ...]] = []
    stack = [rows]
    while stack:
        group = stack.pop()
        if len(group) == 1:
            groups.append(group)
            continue
        stop = _agreement(keys, shareable, group, start)
        length = stop - start
        if length >= MIN_SHARED_LENGTH and length * (len(group) - 1) >= MIN_SAVED_TOKENS:
            groups.append(group)
            continue
        # not worth a step together: the rows part at `stop`, look for longer runs among those that go on alike
        by_next: dict[int, list[int]] = {}
        for row in group:
            if shareable[row] > stop:
                by_next.setdefault(keys[row][stop], []).append(row)
            else:
                groups.append((row,))
        stack.extend(tuple(part) for part in by_next.values())
    return groups


def _agreement(keys: Sequence[Sequence[int]], shareable: Sequence[int], rows: tuple[int, ...], start: int) -> int:
    """Length of the common prefix that all rows may share; rows are sorted, so first and last suffice for equality."""
    first, last = keys[rows[0]], keys[rows[-1]]
    limit = min(shareable[row] for row in rows)
    stop = min(start, limit)
    while stop < limit and first[stop] == last[stop]:
        stop += 1
    return stop


def ancestry(segment: Segment) -> list[Segment]:
    """The segments before it, root first."""
    chain: list[Segment] = []
    parent = segment.parent
    while parent is not None:
        chain.append(parent)
        parent = parent.parent
    return chain[::-1]


def children_of(segments: Sequence[Segment]) -> list[Segment]:
    """All children, in the order of their parents."""
    return [child for segment in segments for child in segment.children]


def by_length(segments: Sequence[Segment]) -> list[Segment]:
    """Sorted by length, so that neighbours need little padding; ties in the order of their rows."""
    return sorted(segments, key=lambda segment: (len(segment.tokens), segment.rows[0]))


def next_batch(waiting: Sequence[Segment], token_budget: int, beside: int = 1) -> list[Segment]:
    """The first of the waiting segments (sorted by length), as many as the budget holds when padded; one at least."""
    past = 0
    for count, segment in enumerate(waiting):
        past = max(past, segment.start)
        if count and _cost(count + 1, beside * len(segment.tokens), past) > token_budget:
            return list(waiting[:count])
    return list(waiting)


def padded_cost(batch: Sequence[Segment], beside: int = 1) -> int:
    """What a right-padded batch takes, in tokens: its new tokens, and a share of the past that each row repeats.

    Args:
        batch: segments of one pass.
        beside: how often their new tokens are repeated over one past.
    """
    width, past = max(len(segment.tokens) for segment in batch), max(segment.start for segment in batch)
    return _cost(len(batch), beside * width, past)


def _cost(rows: int, width: int, past: int) -> int:
    # A past token costs no pass through the blocks, but its keys and values are copied for every row; without that
    # share, two thousand leaves of one token would copy two thousand prefixes at once.
    return rows * (width + past // PAST_TOKENS_PER_NEW)
