"""Half precision is judged against float32 and beside the library's own pass; a worse engine than that fails."""

from __future__ import annotations

import dataclasses

import pytest
import torch
from tiny_models import OPTIONS, tiny_engine

from personascope.models import precision
from personascope.models.precision import Precision, default_dtype, judge_precision


@pytest.fixture
def engines():
    return tiny_engine("llama", torch.bfloat16), tiny_engine("llama")


def test_sharing_prefixes_in_half_precision_is_no_further_from_float32_than_the_library(engines, prompts):
    found = judge_precision(*engines, prompts, OPTIONS)
    assert 1e-4 < found.library < 0.05
    assert 0.5 < found.ratio < 1.2
    assert found.n == len(prompts)


def test_float32_judged_against_itself_has_next_to_no_error(prompts):
    found = judge_precision(tiny_engine("llama"), tiny_engine("llama"), prompts, OPTIONS)
    assert found.ours < 1e-5
    assert found.noise < 1e-4
    assert found.agreement == 1.0


def test_an_engine_that_adds_errors_of_its_own_fails(engines, prompts):
    half, exact = engines
    run = half.run

    def coarse(*arguments, **keywords):
        outputs = run(*arguments, **keywords)
        return dataclasses.replace(outputs, residuals=outputs.residuals * 1.05)

    half.run = coarse
    found = judge_precision(half, exact, prompts, OPTIONS)
    assert found.ratio > 1.5
    assert not found.ok


def test_flips_beyond_the_noise_fail(engines, prompts):
    half, exact = engines
    run = half.run

    def flipped(*arguments, **keywords):
        outputs = run(*arguments, **keywords)
        return dataclasses.replace(outputs, option_logprobs=-outputs.option_logprobs)

    half.run = flipped
    found = judge_precision(half, exact, prompts, OPTIONS)
    assert found.agreement < 0.5
    assert not found.ok


@pytest.mark.parametrize(("ratio", "agreement", "ok"), [(1.1, 0.995, True), (1.11, 1.0, False), (1.0, 0.99, False)])
def test_both_limits_count(ratio, agreement, ok):
    assert Precision(ratio, 1.0, 0.1, agreement, 0, 10).ok == ok


def test_auto_takes_bfloat16_only_where_the_processor_multiplies_it(monkeypatch):
    for native, expected in ((True, torch.bfloat16), (False, torch.float32)):
        monkeypatch.setattr(precision.torch.cpu, "get_capabilities", lambda native=native: {"avx512_bf16": native})
        assert default_dtype(torch.device("cpu")) == expected
    assert default_dtype(torch.device("meta")) == torch.float32
