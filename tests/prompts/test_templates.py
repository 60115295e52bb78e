import string

import pytest

from personascope.prompts.templates import AGREEMENT, CHOICE, ORDERS, TASK_ALONE, likert_template


def scale_of(template):
    """Label -> anchor as the respondent reads it."""
    lines = template.user.split("Scale:\n")[1].split("\n\n")[0].splitlines()
    return dict(line.split(" = ") for line in lines)


@pytest.mark.parametrize("anchors", [AGREEMENT, ("no", "yes"), ("never", "rarely", "often", "always")])
def test_the_two_orders_give_every_label_the_opposite_anchor(anchors):
    ascending, descending = (likert_template(order, anchors) for order in ORDERS)
    assert tuple(scale_of(ascending).values()) == anchors
    assert tuple(scale_of(descending).values()) == anchors[::-1]
    expected = tuple(str(n) for n in range(1, len(anchors) + 1))
    assert ascending.labels == descending.labels == tuple(scale_of(ascending)) == expected
    assert ascending.name != descending.name


def test_what_varies_comes_after_what_is_constant():
    for template, varying in [(likert_template("ascending"), "item"), (likert_template("descending"), "item")]:
        slots = [name for _, name, _, _ in string.Formatter().parse(template.user) if name]
        assert slots == ["framing", varying]
        assert template.user.endswith("{item}")
    assert CHOICE.user.endswith("Task A: {task_a}\nTask B: {task_b}")
    assert TASK_ALONE.user == "{item}" and TASK_ALONE.labels == ()
