"""Tokens that are read and steered: against hand-made prompts, against the engine, and in hostile text."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
import tokenizers
from transformers import PreTrainedTokenizerFast

from personascope.errors import DataError, SpanError
from personascope.models.intervention import Intervention
from personascope.prompts.prompt import Prompt
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE
from personascope.report.selection import Steered, show_selection
from personascope.report.selection_page import page
from personascope.report.selection_text import in_words, ranges, visible

V = np.arange(1, 5, dtype=np.float32)
HOSTILE = "<script>alert(1)</script> \"onload='x' & <img src=http://x.y/z> \x1b[31m \u202eback \u00b7 [+ {eot:\n"


@pytest.fixture(scope="module")
def letters() -> PreTrainedTokenizerFast:
    """Every byte is a token; the special token <e> ends turns."""
    alphabet = sorted(tokenizers.pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {letter: number for number, letter in enumerate([*alphabet, "<e>"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.BPE(vocabulary, []))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = tokenizers.decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<e>")


def prompt_of(tokenizer: PreTrainedTokenizerFast, text: str, **spans: tuple[int, int]) -> Prompt:
    return Prompt(tuple(tokenizer(text, add_special_tokens=False)["input_ids"]), text, spans)


@pytest.fixture(scope="module")
def short(letters) -> Prompt:
    """Tokens: A, new line, b, space, c, <e>, :"""
    return prompt_of(letters, "A\nb c<e>:", item=(2, 5), b=(2, 3), c=(4, 5), eot=(5, 6))


def test_the_table_has_a_row_for_every_token(letters, short) -> None:
    steer = [Intervention(8, V, "mean:b"), Intervention(9, V, "mean:b"), Intervention(8, -V, "last:item")]
    found = show_selection(letters, [short, short], read=("answer", "mean:item"), steer=steer).frame()
    assert found.columns == ["row", "index", "token_id", "token", "spans", "read", "steered"]
    assert found["row"].to_list() == [0] * 7 + [1] * 7
    first = found.filter(found["row"] == 0)
    assert first["index"].to_list() == list(range(7))
    assert first["token_id"].to_list() == list(short.ids)
    assert first["token"].to_list() == ["A", "\n", "b", " ", "c", "<e>", ":"]
    assert first["spans"].to_list() == [[], [], ["item", "b"], ["item"], ["item", "c"], ["eot"], []]
    assert first["read"].to_list() == [[], [], ["mean:item"], ["mean:item"], ["mean:item"], [], ["answer"]]
    up, down = ["layer 8 mean:b add +", "layer 9 mean:b add +"], ["layer 8 last:item add -"]
    assert first["steered"].to_list() == [[], [], up, [], down, [], []]
    assert found.filter(found["row"] == 1).drop("row").equals(first.drop("row"))


def test_the_terminal_shows_marks_places_and_a_legend(letters, short) -> None:
    shown = show_selection(
        letters, [short], read=("answer",), steer={"mean:b": 1.0, "mean:c": -0.5}, names=["one"], title="T", note="N."
    )
    assert shown.text().splitlines() == [
        "T",
        "N.",
        "1 prompt, 7 tokens in all: 1 read, 2 steered.",
        "Every token stands by itself; · is a space; ↵ is a new line.",
        "  { }   read: answer",
        "  [+ +] mean:b: the direction is added, in the prompt only; generated tokens are left alone.",
        "  [- -] mean:c: the direction is subtracted 0.5 times, in the prompt only; generated tokens are left",
        "        alone.",
        "+ is along the direction and - against it: at the positive coefficients of a sweep, or as the first",
        "one that is added at a layer.",
        "",
        "Prompt 0 (one), 7 tokens",
        "  A ↵",
        "  [+ b +] · [- c -] <e> {answer: : }",
        "  read at answer, 1 token: 6",
        "  steered at mean:b (add +), 1 token: 2",
        "  steered at mean:c (add -0.5), 1 token: 4",
    ]


def test_a_reader_inside_what_is_steered_and_marks_that_meet(letters, short) -> None:
    shown = show_selection(letters, [short], read=("first:item",), steer={"from:b": 1.0, "last:item": -1.0})
    assert "[+ {first:item: b } · +] [* c *] [+ <e> : +]" in shown.text()
    assert "[* *] several of these at once" in shown.text()


@pytest.mark.parametrize(
    ("one", "marked", "says"),
    [
        (Intervention(3, V, "from:item"), "+", "in the prompt, and it goes on through generated tokens"),
        (Intervention(3, V, "mean:item"), "+", "in the prompt only; generated tokens are left alone"),
        (Intervention(3, V, "from:item", phase="prompt"), "+", "in the prompt only; generated tokens are left alone"),
        (Intervention(3, V, "all", phase="generation"), "", "in generated tokens only; the prompt is left alone"),
        (Intervention(3, V, "item", phase="generation"), None, ""),
        (Intervention(3, V, "answer", keep_norm=True), "+", "the direction is added and the length kept after layer 3"),
        (Intervention(3, 0 * V, "all", erase=np.eye(4)[:1]), "0", "is taken out after layer 3, in the prompt, and"),
        (Intervention(3, V, "answer", erase=np.eye(4)[:1]), "=", "the part along the direction is set after layer 3"),
        (Intervention(3, 0 * V, "all", rows=(np.ones((7, 4)),)), "=", "replaced after layer 3, in the prompt only"),
        (Intervention(3, 0 * V, "all"), "", "nothing is changed after layer 3, for what would be added is zero"),
    ],
)
def test_every_kind_and_phase_is_said_in_words(letters, short, one, marked, says) -> None:
    if marked is None:
        with pytest.raises(SpanError):
            show_selection(letters, [short], steer=[one])
        return
    shown = show_selection(letters, [short], steer=[one])
    assert says in in_words(*shown.steered)
    assert {what.mark for at in shown.steered_at(0) for what in at} == set(marked)
    for text in (" ".join(shown.text().split()), shown.html()):
        assert says in text


def test_what_is_planned_looks_like_what_is_then_done(letters, short) -> None:
    done = [Intervention(layer, sign * V, where) for layer in (4, 7) for where, sign in (("mean:b", 1), ("mean:c", -1))]
    planned = [Steered("mean:b", layers=(4, 7)), Steered("mean:c", sign=-1.0, layers=(4, 7))]
    shown = [show_selection(letters, [short], steer=steer) for steer in (done, planned)]
    assert shown[0].text() == shown[1].text()
    assert shown[0].frame().equals(shown[1].frame())


def test_the_sign_is_that_of_the_first_direction_added_at_the_layer(letters, short) -> None:
    out = Intervention(4, -V, "first:b", erase=V[None] / np.linalg.norm(V))
    other = np.array([4, -3, 2, -1], np.float32)
    steer = [out, *(Intervention(layer, v, "mean:c") for layer, v in ((4, V), (4, -2 * V), (5, -V), (4, other)))]
    found = show_selection(letters, [short], steer=steer)
    assert [(one.layers, one.mark) for one in found.steered] == [((4,), "="), ((4, 5), "+"), ((4,), "-")]


@pytest.mark.parametrize("where", ["mean:itm", "last:task_a", "midle:item", "item"])
def test_a_position_that_a_prompt_lacks_is_an_error(letters, short, where: str) -> None:
    lacking = Prompt(short.ids, short.text, {"eot": (5, 6)})
    for prompts in ([short, lacking], [short]):
        with pytest.raises(SpanError):
            show_selection(letters, prompts, read=[where])
        with pytest.raises(SpanError):
            show_selection(letters, prompts, steer={where: 1.0})
    with pytest.raises(SpanError, match="no span 'item'"):
        show_selection(letters, [short, lacking], read=["mean:item"])


def test_names_are_one_for_each_prompt(letters, short) -> None:
    with pytest.raises(DataError, match="2 names for 1 prompts"):
        show_selection(letters, [short], names=["a", "b"])


def test_tokens_keep_the_space_that_they_begin_with() -> None:
    """Decoders of the SentencePiece kind take the first space off whatever is decoded alone."""
    words = {word: number for number, word in enumerate(["<unk>", "▁a", "▁sky", "▁is", "blue"])}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, "<unk>"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Metaspace()
    steps = [tokenizers.decoders.Replace("▁", " "), tokenizers.decoders.Fuse(), tokenizers.decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = tokenizers.decoders.Sequence(steps)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    assert fast.decode([2]) == "sky"
    shown = show_selection(fast, [Prompt((1, 2, 3, 4), "a sky isblue", {})])
    assert shown.tokens == ((" a", " sky", " is", "blue"),)


def test_what_cannot_be_seen_is_shown_by_signs_and_codes() -> None:
    assert visible(" a\n\tb") == "·a↵→b"
    assert visible("\x1b[31m\u202e\u200b\r\xa0é·") == r"\x1b[31m\u202e\u200b\r\xa0é\xb7"
    assert [ranges(numbers) for numbers in ([], [4], [1, 2, 3, 7, 9, 10])] == ["", "4", "1-3, 7, 9-10"]


class _Seen(HTMLParser):
    """Elements with their attributes, and the text within boxes of prompts."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.boxes: list[str] = []
        self.in_box = False
        self.feed(html)

    def handle_starttag(self, tag, attrs) -> None:
        self.elements.append((tag, dict(attrs)))
        self.in_box = tag == "span" and "title" in dict(attrs)

    def handle_endtag(self, tag) -> None:
        self.in_box = False

    def handle_data(self, data) -> None:
        if self.in_box:
            self.boxes.append(data)


def test_hostile_text_is_text_and_nothing_else(letters) -> None:
    prompt = prompt_of(letters, HOSTILE, item=(0, 10))
    how = {"names": [HOSTILE], "title": HOSTILE, "note": HOSTILE}
    shown = show_selection(letters, [prompt], read=("mean:item",), steer={"answer": 1.0}, **how)
    for html in (shown.html(), shown._repr_html_(), page([shown, shown], HOSTILE)):
        seen = _Seen(html)
        names = {name for name, _ in seen.elements}
        assert not names & {"script", "img", "iframe", "object", "embed", "a", "form", "input", "svg", "base"}
        assert {key for _, attributes in seen.elements for key in attributes if key.startswith("on")} == set()
        links = [attributes[key] for _, attributes in seen.elements for key in ("href", "src") if key in attributes]
        assert set(links) <= {"data:,"}
        assert "url(" not in html and "@import" not in html
        copies = html.count('<div class="prompt">')
        assert "".join(seen.boxes) == "".join(map(visible, shown.tokens[0])) * copies
        assert "default-src 'none'" in html or "<html" not in html
    assert "<html" not in shown._repr_html_()
    body = shown.text().partition("Prompt 0")[2]
    assert "\x1b" not in body and "\u202e" not in body


def test_pages_say_what_the_terminal_says(letters, short) -> None:
    shown = show_selection(letters, [short], read=("eot",), steer={"mean:b": 1.0, "mean:c": -1.0})
    html = shown.html()
    boxes = re.findall(r'<span class="t ([^"]*)" title="([^"]*)">([^<]*)</span>', html)
    assert [text for _, _, text in boxes] == ["A", "↵", "b", "·", "c", "&lt;e&gt;", ":"]
    assert [css.strip() for css, _, _ in boxes] == ["", "", "plus", "", "minus", "read", ""]
    assert boxes[2][1] == f"token 2, id {short.ids[2]}\nin: item, b\nsteered: mean:b add +"
    assert re.findall(r'class="label">([^<]*)<', html) == ["mean:b +", "mean:c -", "eot"]
    for line in ("read at eot, 1 token: 5", "steered at mean:c (add -), 1 token: 4"):
        assert line in html and line in shown.text()


def test_pages_are_legible_in_both_schemes(letters, short) -> None:
    """Contrast of WCAG 2 (4.5 for text) between ink and every ground, in the light and in the dark."""
    styles = show_selection(letters, [short]).html()
    schemes = [dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", part)) for part in re.split("@media", styles)]
    assert len(schemes) == 2 and schemes[0].keys() == schemes[1].keys()
    for colours in schemes:
        for ground in ("back", "band", "plus", "minus", "other"):
            assert _contrast(colours["ink"], colours[ground]) > 4.5
        assert _contrast(colours["muted"], colours["back"]) > 4.5
        assert _contrast(colours["read"], colours["band"]) > 3


def _contrast(one: str, other: str) -> float:
    def luminance(colour: str) -> float:
        parts = np.array([int(colour[i : i + 2], 16) for i in (1, 3, 5)]) / 255
        linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
        return float(linear @ [0.2126, 0.7152, 0.0722])

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.model
def test_the_tokens_that_are_shown_are_those_that_the_engine_changes(smollm2) -> None:
    """An offset at n of N tokens moves the mean over all tokens by n/N of itself, right after its layer."""
    texts = {"task_a": "Write a poem about an owl, in three lines.", "task_b": "Add 17 and 25."}
    prompt = render(smollm2.tokenizer, CHOICE, texts)
    offset = np.zeros(smollm2.d_model, np.float32)
    offset[3] = 64.0
    cell = [Intervention(20, offset, "mean:task_a"), Intervention(20, -offset, "mean:task_b")]
    shown = show_selection(smollm2.tokenizer, [prompt], read=("answer",), steer=cell)
    assert "".join(shown.tokens[0]) == prompt.text
    marks = ["".join(one.mark for one in at) for at in shown.steered_at(0)]
    for mark, words in (("+", texts["task_a"]), ("-", texts["task_b"])):
        marked = [token for token, own in zip(shown.tokens[0], marks, strict=True) if own == mark]
        assert "".join(marked).strip() == words

    where = ("all", "from:task_b", "answer")
    steered, plain = (
        smollm2.run([prompt], layers=[20], positions=where, interventions=cells).residuals[0, 0] for cells in (cell, ())
    )
    signs = np.array([{"+": 1, "-": -1}.get(mark, 0) for mark in marks])
    start = prompt.spans["task_b"][0]
    expected = [signs.mean() * 64, signs[start:].mean() * 64, signs[-1] * 64]
    np.testing.assert_allclose((steered - plain)[:, 3].numpy(), expected, atol=1e-2)
