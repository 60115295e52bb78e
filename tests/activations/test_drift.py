"""Config drift: each field of a plan, changed alone, refuses to mix with what is there and is named."""

import dataclasses

import pytest
from activation_fakes import FakeBackend, make_plan, make_rows, snapshot

from personascope.activations import plan as plan_module
from personascope.activations.collect import collect
from personascope.activations.manifest import claim_folder
from personascope.activations.plan import Plan, Row
from personascope.errors import StoreError
from personascope.prompts.labels import Options
from personascope.prompts.prompt import Prompt


def with_first_row(edit):
    rows = make_rows()
    return (edit(rows[0]), *rows[1:])


def other_ids(row):
    return Row(row.id, Prompt((7, *row.prompt.ids[1:]), row.prompt.text, row.prompt.spans), row.meta)


def other_span(row):
    spans = {**row.prompt.spans, "item": (5, 7)}
    return Row(row.id, Prompt(row.prompt.ids, row.prompt.text, spans), row.meta)


CHANGES = {
    "layers": ("layers", {"layers": (0, 3)}),
    "order of layers": ("layers", {"layers": (0, 2, 3)}),
    "positions": ("positions", {"positions": ("answer",)}),
    "no options": ("options", {"options": None}),
    "option labels": ("options", {"options": Options(("a", "2", "3"), ((11,), (12, 22), (13,)))}),
    "option tokens": ("options", {"options": Options(("1", "2", "3"), ((11,), (12,), (13,)))}),
    "row id": ("rows", {"rows": with_first_row(lambda row: dataclasses.replace(row, id="other"))}),
    "row meta": ("rows", {"rows": with_first_row(lambda row: Row(row.id, row.prompt, {**row.meta, "order": "ba"}))}),
    "row tokens": ("rows", {"rows": with_first_row(other_ids)}),
    "row span": ("rows", {"rows": with_first_row(other_span)}),
    "one row less": ("rows", {"rows": make_rows()[:-1]}),
    "order of rows": ("rows", {"rows": make_rows()[::-1]}),
    "rows_per_shard": ("shards", {"rows_per_shard": 6}),
    "a field more": ("adapter", {"context": {**FakeBackend().fingerprint(), "items": "a" * 64, "adapter": "x"}}),
    "a field less": ("items", {"context": FakeBackend().fingerprint()}),
}


def require_refused(other, backend, folder, field):
    before = snapshot(folder)
    with pytest.raises(StoreError, match="holds another plan") as caught:
        collect(other, backend, folder)
    assert f" {field} is " in caught.value.symptom
    assert snapshot(folder) == before


@pytest.mark.parametrize("change", CHANGES)
def test_each_own_field_is_refused_by_name(tmp_path, plan, backend, change):
    field, changes = CHANGES[change]
    collect(plan, backend, tmp_path)
    changed = FakeBackend()
    require_refused(make_plan(backend, **changes), changed, tmp_path, field)
    assert changed.batches == []


def test_every_field_of_a_plan_is_varied_above(plan):
    own = set(plan.fields()) - set(plan.context)
    assert own - {"schema"} == {field for field, _ in CHANGES.values()} & own
    settings = {field.name for field in dataclasses.fields(Plan)} - {"name", "context"}
    assert settings <= {name for _, changes in CHANGES.values() for name in changes}


def test_a_store_of_another_version_is_refused_by_its_schema(tmp_path, plan, backend, monkeypatch):
    monkeypatch.setattr(plan_module, "SCHEMA", "personascope-shard-0")
    claim_folder(tmp_path, make_plan(backend))
    monkeypatch.undo()
    require_refused(plan, FakeBackend(), tmp_path, "schema")


@pytest.mark.model
def test_every_field_of_the_engines_fingerprint_is_refused_by_name(tmp_path, smollm2):
    fingerprint = smollm2.fingerprint()
    expected = {"model", "weights", "dtype", "tokenizer", "chat_template", "threads", "batching", "attention", "device"}
    assert expected <= set(fingerprint), sorted(fingerprint)
    backend = FakeBackend()
    claim_folder(tmp_path, make_plan(backend, context=fingerprint))
    for field, value in fingerprint.items():
        other = make_plan(backend, context={**fingerprint, field: f"not {value}"})
        with pytest.raises(StoreError, match="holds another plan") as caught:
            claim_folder(tmp_path, other)
        assert f": {field} is " in caught.value.symptom
        assert caught.value.symptom.count(" there and ") == 1
