import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

from personascope.errors import ActivationError, DataError
from personascope.probes import text_baseline
from personascope.probes.folds import fold_numbers, grouped_folds, pair_folds
from personascope.probes.nested import nested_ridge
from personascope.probes.ridge import DEFAULT_ALPHAS
from personascope.probes.text_baseline import (
    feature_baseline_choices,
    feature_baseline_scores,
    text_baseline_choices,
    text_baseline_scores,
)
from personascope.probes.topic_means import topic_balanced_folds

WORDS = np.array(["sun", "moon", "tree", "river", "stone", "cloud", "bird", "fox", "road", "lamp"])


def written(n=80, seed=0):
    """Texts of six random words, and a target that is the number of suns minus the number of moons."""
    drawn = np.random.default_rng(seed).choice(WORDS, size=(n, 6))
    y = (drawn == "sun").sum(axis=1) - (drawn == "moon").sum(axis=1)
    return [" ".join(row) for row in drawn], y.astype(float)


def test_a_target_that_is_in_the_words_is_found_and_one_that_is_not_is_not():
    texts, y = written(200)
    Y = np.stack([y, np.random.default_rng(5).normal(size=200)], axis=1)
    found = text_baseline_scores(texts, Y, grouped_folds(np.arange(200), 4, 0))
    assert np.corrcoef(found[:, 0], y)[0, 1] > 0.9
    assert abs(np.corrcoef(found[:, 1], Y[:, 1])[0, 1]) < 0.25


def test_predictions_are_those_of_a_plain_loop():
    texts, y = written(40)
    folds = grouped_folds(np.arange(40) // 2, 4, 0)
    found = text_baseline_scores(texts, y, folds)
    documents = np.array(texts)
    for number, (train, test) in enumerate(folds):
        errors = np.zeros(len(text_baseline._ALPHAS))
        splits = [(np.setdiff1d(train, held), held) for other, (_, held) in enumerate(folds) if other != number]
        for a, alpha in enumerate(text_baseline._ALPHAS):
            for rows, held in splits:
                words = TfidfVectorizer(ngram_range=(1, 2)).fit(documents[rows])
                model = Ridge(alpha=alpha).fit(words.transform(documents[rows]), y[rows])
                errors[a] += ((model.predict(words.transform(documents[held])) - y[held]) ** 2).sum()
        words = TfidfVectorizer(ngram_range=(1, 2)).fit(documents[train])
        model = Ridge(alpha=text_baseline._ALPHAS[int(errors.argmin())])
        model.fit(words.transform(documents[train]), y[train])
        assert found[test] == pytest.approx(model.predict(words.transform(documents[test])), abs=1e-6)


def test_what_is_tested_is_never_read_in_training():
    texts, y = written(40)
    folds = grouped_folds(np.arange(40), 4, 0)
    held = folds[1][1]
    changed = y.copy()
    changed[held] += 100.0
    before, after = (text_baseline_scores(texts, values, folds) for values in (y, changed))
    assert np.array_equal(before[held], after[held])
    assert not np.array_equal(before, after)


def test_the_vocabulary_comes_from_training_texts_only(monkeypatch):
    texts, y = written(40)
    texts = [f"{text} only{row}" for row, text in enumerate(texts)]
    sizes = []

    class Counted(TfidfVectorizer):
        def fit_transform(self, documents, y=None):
            result = super().fit_transform(documents, y)
            sizes.append((len(documents), sum(word.startswith("only") for word in self.vocabulary_)))
            return result

    monkeypatch.setattr(text_baseline, "TfidfVectorizer", Counted)
    text_baseline_scores(texts, y, grouped_folds(np.arange(40), 4, 0))
    assert sorted(sizes) == [(20, 20)] * 12 + [(30, 30)] * 4


def test_the_vocabulary_for_choices_comes_from_tasks_of_training_pairs_only(monkeypatch):
    texts, y = written(30)
    first, second = np.nonzero(y[:, None] > y)
    seen = []

    class Counted(TfidfVectorizer):
        def fit_transform(self, documents, y=None):
            seen.append(len(documents))
            return super().fit_transform(documents, y)

    monkeypatch.setattr(text_baseline, "TfidfVectorizer", Counted)
    text_baseline_choices(texts, first, second, np.ones(len(first)), grouped_folds(np.arange(30), 3, 0))
    # without one fold, and without two, of three
    assert sorted(seen) == [10] * 6 + [20] * 3


@pytest.mark.parametrize("names", [["no", "yes"], ["few", "many", "none"]])
def test_classes_that_are_in_the_words_are_found(names):
    texts, y = written(200)
    edges = [0.5] if len(names) == 2 else [-0.5, 0.5]
    classes = np.array(names)[np.digitize(y, edges)]
    found = text_baseline_scores(texts, classes, grouped_folds(np.arange(200), 4, 0), kind="classification")
    assert found.dtype == classes.dtype
    assert (found == classes).mean() > 0.8


def test_choices_between_texts_are_predicted_for_pairs_within_folds_only():
    texts, y = written(60)
    first, second = np.nonzero(y[:, None] != y)
    margin = y[first] - y[second]
    folds = grouped_folds(np.arange(60), 3, 0)
    scores = text_baseline_choices(texts, first, second, margin, folds)
    tested = np.concatenate([test for _, test in pair_folds(first, second, folds)])
    assert np.flatnonzero(~np.isnan(scores)).tolist() == sorted(tested.tolist())
    assert ((scores[tested] > 0) == (margin[tested] > 0)).mean() > 0.85


def test_swapping_a_pair_turns_its_score_round():
    texts, y = written(30)
    first, second = np.triu_indices(30, 1)
    margin = y[first] - y[second] + 0.3
    folds = grouped_folds(np.arange(30), 3, 0)
    scores = text_baseline_choices(texts, first, second, margin, folds)
    turned = text_baseline_choices(texts, second, first, -margin, folds)
    tested = ~np.isnan(scores)
    assert scores[tested] == pytest.approx(-turned[tested], abs=1e-3)


def test_texts_must_match_the_rows_and_have_words():
    texts, y = written(12)
    folds = grouped_folds(np.arange(12), 3, 0)
    with pytest.raises(DataError, match="11 texts for 12 rows"):
        text_baseline_scores(texts[:-1], y, folds)
    with pytest.raises(DataError, match="None of 12 texts has a word"):
        text_baseline_scores(["?!"] * 12, y, folds)
    with pytest.raises(DataError, match="2 folds are too few"):
        text_baseline_scores(texts, y, grouped_folds(np.arange(12), 2, 0))


def test_a_class_that_only_held_out_folds_have_is_refused():
    texts, _ = written(12)
    folds = grouped_folds(np.arange(12), 3, 0)
    classes = np.zeros(12, dtype=int)
    classes[folds[0][1]] = 1
    with pytest.raises(DataError, match="one class"):
        text_baseline_scores(texts, classes, folds, kind="classification")


def embedded(n=120, seed=0):
    """Dense features of texts and a target that is linear in them."""
    rng = np.random.default_rng(seed)
    F = rng.normal(size=(n, 10))
    return F, F @ rng.normal(size=10) + 0.3 * rng.normal(size=n)


def test_feature_predictions_are_those_of_nested_ridge_on_the_same_folds():
    F, y = embedded()
    folds = grouped_folds(np.arange(120) // 3, 4, 0)
    found = feature_baseline_scores(F, y, folds)
    assert found.shape == (120,)
    assert found == pytest.approx(
        nested_ridge(F, y[:, None], fold_numbers(folds, 120), DEFAULT_ALPHAS).predictions[:, 0]
    )
    assert np.corrcoef(found, y)[0, 1] > 0.9
    both = feature_baseline_scores(F, np.stack([y, y[::-1]], axis=1), folds)
    assert both[:, 0] == pytest.approx(found)
    held, changed = folds[1][1], y.copy()
    changed[held] += 100.0
    assert np.array_equal(feature_baseline_scores(F, changed, folds)[held], found[held])


@pytest.mark.parametrize("names", [["no", "yes"], ["few", "many", "none"]])
def test_classes_that_are_in_the_features_are_found(names):
    F, y = embedded(200)
    classes = np.array(names)[np.digitize(y, [0.0] if len(names) == 2 else [-1.0, 1.0])]
    found = feature_baseline_scores(F, classes, grouped_folds(np.arange(200), 4, 0), kind="classification")
    assert found.dtype == classes.dtype
    assert (found == classes).mean() > 0.8


def test_choices_are_predicted_from_features_of_tasks_for_pairs_within_folds_only():
    F, y = embedded(60)
    first, second = np.triu_indices(60, 1)
    margin = y[first] - y[second]
    margin[:40] = 0.0
    folds = grouped_folds(np.arange(60), 3, 0)
    scores = feature_baseline_choices(F, first, second, margin, folds)
    tested = np.concatenate([test for _, test in pair_folds(first, second, folds)])
    assert np.flatnonzero(~np.isnan(scores)).tolist() == sorted(tested.tolist())
    decided = tested[margin[tested] != 0]
    assert ((scores[decided] > 0) == (margin[decided] > 0)).mean() > 0.85
    turned = feature_baseline_choices(F, second, first, -margin, folds)
    assert scores[tested] == pytest.approx(-turned[tested], abs=1e-6)


def test_features_must_match_the_rows_and_be_numbers(unchecked_annotations):
    F, y = embedded(12)
    folds = grouped_folds(np.arange(12), 3, 0)
    with pytest.raises(DataError, match="11 rows of features"):
        feature_baseline_scores(F[:-1], y, folds)
    with pytest.raises(DataError, match="11 rows of features"):
        feature_baseline_choices(F[:-1], np.array([0]), np.array([1]), np.ones(1), folds)
    F[4, 2] = np.inf
    with pytest.raises(ActivationError, match="row 4 of 12"):
        feature_baseline_scores(F, y, folds)


def test_without_topic_means_only_what_the_words_say_beside_the_topic_is_predicted():
    texts, y = written(120)
    topics = np.arange(120) % 6
    levels = np.random.default_rng(1).normal(size=6)[topics] * 10
    named = [f"{text} topic{topic}" for text, topic in zip(texts, topics, strict=True)]
    folds = topic_balanced_folds(np.arange(120), topics, 4, 0)
    both = text_baseline_scores(named, np.stack([levels, y + levels], axis=1), folds, topics=topics)
    # a target that is its topic's mean leaves nothing, and one that adds the mean leaves what there was
    assert both[:, 0] == pytest.approx(np.zeros(120), abs=1e-8)
    assert np.corrcoef(both[:, 1], y)[0, 1] > 0.8
    train, test = folds[0]
    means = np.array([(y + levels)[train][topics[train] == topic].mean() for topic in range(6)])
    words = TfidfVectorizer(ngram_range=(1, 2), token_pattern=text_baseline._WORD).fit(np.array(named)[train])
    rest = (y + levels)[train] - means[topics[train]]
    fits = [
        Ridge(alpha=alpha)
        .fit(words.transform(np.array(named)[train]), rest)
        .predict(words.transform(np.array(named)[test]))
        for alpha in text_baseline._ALPHAS
    ]
    # the solver of sparse rows is iterative and stops at 1e-4: between processors the same fit differs by some 1e-6
    assert min(np.abs(fit - both[test, 1]).max() for fit in fits) < 1e-5
    F, z = embedded()
    dense = feature_baseline_scores(F, z + levels, folds, topics=topics)
    assert np.corrcoef(dense, z)[0, 1] > 0.9
    assert feature_baseline_scores(F, levels, folds, topics=topics) == pytest.approx(np.zeros(120), abs=1e-8)


def test_pairs_too_few_to_train_on_are_named_before_any_fit() -> None:
    texts = [f"word{task} thing" for task in range(6)]
    first, second = np.array([0, 2, 4]), np.array([1, 3, 0])
    folds = [(np.setdiff1d(np.arange(6), test), test) for test in np.arange(6).reshape(3, 2)]
    with pytest.raises(DataError, match="trained on outside folds"):
        text_baseline_choices(texts, first, second, np.array([1.0, -1.0, 1.0]), folds)
