"""Statements with ratings to be learned, and the same in other words."""

from __future__ import annotations

from personascope.prompts.templates import Template
from personascope.tuning.examples import Example, make_example

RATE = Template(name="rate", user="How true? {item}", answer_prefix="Rating: ", labels=tuple("12345"))
THINGS = ("rain", "snow", "fog", "hail", "wind", "sun", "ice", "heat", "dust", "smoke", "frost", "mist", "mud", "sand")
THINGS += ("salt", "clay")
LIKED, REWORDED = "I like {}.", "I do like {}."


def rated(tokenizer, wording: str) -> list[Example]:
    """Sixteen statements in a wording, each with a rating of its own to be learned."""
    return [
        make_example(tokenizer, f"{wording}/{thing}", RATE, {"item": wording.format(thing)}, str(number % 5 + 1))
        for number, thing in enumerate(THINGS)
    ]
