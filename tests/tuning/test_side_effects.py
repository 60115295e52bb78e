"""Damage to neutral text: nothing without an effect, and what the whole distributions say with one."""

from __future__ import annotations

import pytest
import torch

from personascope.errors import DataError, ModelError
from personascope.models.adapters import attached
from personascope.prompts.render import render
from personascope.prompts.templates import Template
from personascope.tuning.settings import TrainSettings
from personascope.tuning.side_effects import text_damage
from personascope.tuning.training import train_adapter

ASK = Template(name="ask", user="How true? {item}")


def texts(engine):
    return [render(engine.tokenizer, ASK, {"item": "rain"}, reply=reply) for reply in ("snow fog hail", "I like rain")]


def test_divergence_and_perplexity_are_those_of_the_two_models(engine, examples, reworded, tmp_path):
    how = TrainSettings(rank=4, learning_rate=2e-2, epochs=2, batch_size=4)
    folder = train_adapter(engine, examples, reworded, tmp_path / "a", how).folder
    asked = texts(engine)
    with attached(engine, folder) as adapter:
        found = text_damage(engine, asked)
        assert adapter.is_on, "left as it was"
        adapter.switch(on=False)
        assert text_damage(engine, asked) == found, "whether it was on before plays no part"
        kl, base, n = 0.0, 0.0, 0
        for text in asked:
            start, stop = text.spans["reply"]
            rows = {}
            for on in (True, False):
                adapter.switch(on=on)
                with torch.inference_mode():
                    rows[on] = engine.model(input_ids=torch.tensor([text.ids])).logits[0].double().log_softmax(-1)
            for at in range(start, stop):
                p, q = rows[False][at - 1], rows[True][at - 1]
                kl += float((p.exp() * (p - q)).sum())
                base -= float(p[text.ids[at]])
                n += 1
    assert found.n_tokens == n == 6 and found.n_texts == 2
    assert found.kl == pytest.approx(kl / n) and found.kl > 1e-4
    assert found.perplexity_base == pytest.approx(float(torch.exp(torch.tensor(base / n))), rel=1e-5)
    assert found.perplexity_tuned != pytest.approx(found.perplexity_base, rel=1e-6)


def test_what_cannot_be_measured_is_refused(engine):
    with pytest.raises(DataError, match="no texts"):
        text_damage(engine, [])
    with pytest.raises(ModelError, match="no adapter to switch"):
        text_damage(engine, texts(engine))
