"""Read answers where they are: the distribution over the options at each prompt's last token, and nothing else."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from personascope.models.tree import Segment
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt
from personascope.shapes import Hidden, OptionLogProbs

ROWS_PER_HEAD = 64
"""Rows unembedded at once: with 262k tokens a float32 row of logits is 1 MB."""


class Answers:
    """Log-probabilities of the options, one row a prompt, filled as leaves arrive."""

    def __init__(self, prompts: Sequence[Prompt], options: Options | None) -> None:
        self.options = options
        n_options = len(options.labels) if options else 0
        self.option_logprobs = torch.full((len(prompts), n_options), torch.nan)
        self.other_logmass = torch.full((len(prompts),), torch.nan if options else 0.0)  # without options: log 1

    def read(self, batch: list[Segment], hidden: Hidden, logits: Callable[[Tensor], Tensor]) -> int:
        """Read one batch of leaves from the last block's output; returns the number of rows unembedded."""
        assert self.options is not None
        last = torch.tensor([len(segment.tokens) - 1 for segment in batch], device=hidden.device)
        rows = torch.tensor([segment.rows[0] for segment in batch])
        at_answer = hidden[torch.arange(len(batch), device=hidden.device), last]
        self.option_logprobs[rows], self.other_logmass[rows] = option_logprobs(at_answer, logits, self.options)
        return len(batch)


def option_logprobs(
    hidden: Tensor, logits: Callable[[Tensor], Tensor], options: Options
) -> tuple[OptionLogProbs, Tensor]:
    """(log-probability of each option, log-probability of everything else) of last-block outputs (row, d_model)."""
    chosen, others = [], []
    inside = torch.tensor([token for tokens in options.token_ids for token in tokens], device=hidden.device)
    for part in torch.split(hidden, ROWS_PER_HEAD):
        scores = logits(part)
        # torch's float32 log_softmax sums a large vocabulary to 1e-5 only, its logsumexp to 1e-6
        logprobs = scores - scores.logsumexp(dim=-1, keepdim=True)
        columns = [logprobs[:, list(tokens)].logsumexp(dim=-1) for tokens in options.token_ids]
        chosen.append(torch.stack(columns, dim=1))
        others.append(logprobs.index_fill(1, inside, -torch.inf).logsumexp(dim=-1))
    return torch.cat(chosen).float().cpu(), torch.cat(others).float().cpu()
