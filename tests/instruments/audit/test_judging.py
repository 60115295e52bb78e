import pytest

from personascope.errors import DataError
from personascope.instruments.audit.judging import Opinion, ask_judge, judge_from
from personascope.instruments.facet_definitions import load_facet_definitions


@pytest.mark.parametrize(
    ("answer", "opinion"),
    [
        ("facet=patience; pole=high; textonly=yes", Opinion("patience", 1, "applicable")),
        ("Facet: Greed-Avoidance; Pole: LOW; TextOnly: as-if", Opinion("greed_avoidance", -1, "as-if")),
        ("facet=kindness; pole=both; textonly=maybe", Opinion()),
        ("I would rather not say.", Opinion()),
        ("", Opinion()),
    ],
)
def test_an_answer_is_read_and_nothing_is_guessed(answer: str, opinion: Opinion) -> None:
    prompts: list[str] = []

    def generate(prompt: str) -> str:
        prompts.append(prompt)
        return answer

    judge = judge_from(generate, load_facet_definitions())
    assert judge(["I stay calm."]) == [opinion]
    assert '"I stay calm."' in prompts[0] and prompts[0].count("\n- ") == 25


def test_a_judge_that_skips_a_text_is_refused() -> None:
    with pytest.raises(DataError, match="1 opinions on 2 texts"):
        ask_judge(lambda texts: [Opinion()], ["a", "b"])
