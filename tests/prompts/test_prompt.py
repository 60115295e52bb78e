import dataclasses

import pytest

from personascope.prompts.prompt import Prompt


def test_a_prompt_is_as_long_as_its_tokens_and_cannot_be_changed():
    prompt = Prompt(ids=(5, 6, 7), text="abc", spans={"item": (1, 2)})
    assert len(prompt) == 3
    assert prompt == Prompt(ids=(5, 6, 7), text="abc", spans={"item": (1, 2)})
    with pytest.raises(dataclasses.FrozenInstanceError):
        prompt.ids = ()
