from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from benchmarks import known_people

from personascope.errors import FileFormatError
from personascope.measures.consistency import scale_consistency

DATA = Path(__file__).parents[2].parent / "shared" / "data"
needs_data = pytest.mark.skipif(not DATA.is_dir(), reason="the human data are not beside this repository")


@pytest.fixture(scope="module")
def found():
    return {record.name: record for record in known_people.records(DATA, n_resamples=100)}


@needs_data
def test_every_known_figure_comes_out(found):
    assert [record for record in found.values() if not record.ok] == []
    assert len(found) == 1 + 5 + 5 + 6 + 1 + 6 + 4 + 5


@needs_data
def test_figures_carry_their_interval_and_number(found):
    record = found["BIG5 alpha E"]
    assert record.low < record.value < record.high < record.low + 0.01
    assert record.n == known_people.BIG5_N
    assert found["AMBI alpha X"].n == 2_017
    assert "1 of 19719 respondents left out" in found["BIG5 respondents"].note


@needs_data
def test_a_wrong_key_misses_the_figure(monkeypatch):
    monkeypatch.setattr(known_people, "unkeyed", lambda key: key)
    records = known_people._big5(DATA, 0)
    assert {record.name for record in records if not record.ok} == {
        f"BIG5 alpha, un-keyed {scale}" for scale in "EACON"
    }


@needs_data
def test_all_scales_of_the_spi_have_the_alphas_of_pingouin():
    import pingouin

    answers, key = known_people.spi(DATA)
    scored = scale_consistency(answers, key, respondents="people", n_resamples=0)
    for row in scored.iter_rows(named=True):
        items, signs = zip(*key.scales[row["scale"]], strict=True)
        keyed = np.where(np.array(signs) > 0, answers.answers(items), 7 - answers.answers(items))
        assert row["alpha"] == pytest.approx(pingouin.cronbach_alpha(data=pd.DataFrame(keyed))[0], abs=1e-12)
        assert row["alpha"] - 0.02 < row["omega_total"] < row["alpha"] + 0.05


def test_a_folder_without_the_data_is_an_error(tmp_path):
    with pytest.raises(FileFormatError, match="does not exist"):
        known_people.records(tmp_path)
