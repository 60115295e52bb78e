import pytest

from personascope.instruments.facet_definitions import load_facet_definitions
from personascope.instruments.items import load_items
from personascope.instruments.upscale_prompts import INTENSITIES, SITUATIONS, build_request, parse_candidates

DEFINITION = load_facet_definitions()["patience"]
SEEDS = [item for item in load_items().items if item.facet == "patience" and item.key == -1]


def request(turn: int = 0, **changed):
    settings = {"batch": 7, "seed": 3, **changed}
    return build_request(DEFINITION, -1, turn, SEEDS, ["I growl at delays."], **settings)


def test_the_prompt_holds_the_pole_the_neighbours_the_exemplars_and_what_was_written() -> None:
    prompt = request().prompt
    assert f"Whoever agrees: {DEFINITION.low}" in prompt and f"Whoever disagrees: {DEFINITION.high}" in prompt
    assert all(near.boundary in prompt for near in DEFINITION.neighbours)
    assert sum(item.text in prompt for item in SEEDS) == 8
    assert "- I growl at delays." in prompt
    assert "Write 7 new statements" in prompt and "by denying the opposite" in prompt
    assert "{" not in prompt


def test_all_situations_and_strengths_meet_in_18_turns() -> None:
    cells = {(request(turn).situation, request(turn).intensity) for turn in range(18)}
    assert len(cells) == len(SITUATIONS) * len(INTENSITIES)


def test_prompts_are_a_function_of_the_turn_and_the_seed() -> None:
    assert request(2).prompt_sha256 == request(2).prompt_sha256 != request(3).prompt_sha256
    assert request(2).prompt_sha256 != request(2, seed=4).prompt_sha256


@pytest.mark.parametrize(
    ("answer", "texts"),
    [
        ("I wait.\nI rage at delays", ["I wait.", "I rage at delays."]),
        ("1. I wait calmly.\n2) I rage.\n(3) I shout at fools.", ["I wait calmly.", "I rage.", "I shout at fools."]),
        ("- “I wait calmly.”\n* **I rage** quickly", ["I wait calmly.", "I rage quickly."]),
        ("Sure! Here are some:\n\nHere are 5 statements:\nI wait calmly.\nLet me know.", ["I wait calmly."]),
        ('["I wait calmly", "I rage."]', ["I wait calmly.", "I rage."]),
        ('```json\n[{"text": "i wait calmly"}, 3]\n```', ["I wait calmly."]),
        ('"I wait calmly.",\n"I rage.",', ["I wait calmly.", "I rage."]),
        ("I wait calmly.\r\nI wait calmly.\r\n", ["I wait calmly."]),
        ("Statement 4: I wait calmly.", ["I wait calmly."]),
        ("", []),
        ("Okay.\n---\n[", []),
        ("I " + "very " * 200 + "wait.", []),
    ],
)
def test_answers_are_read_line_by_line(answer: str, texts: list[str]) -> None:
    assert parse_candidates(answer) == texts
