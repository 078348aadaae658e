"""Calibrated probabilities: the fit against an independent one, the threshold, the files."""

import numpy
import pytest
import spacy
import srsly
from conftest import uri
from numpy.testing import assert_allclose
from typer.testing import CliRunner

from spacy_skills.calibration import (
    Calibration,
    Point,
    context_features,
    logistic,
)
from spacy_skills.calibration_fit import (
    expected_calibration_error,
    fit_calibration,
    fit_logistic,
    judgements,
    precision_curve,
    reliability,
)
from spacy_skills.cli import skills_cli
from spacy_skills.judged import JudgedSpan, read_judged
from spacy_skills.span_training import read_marked

rng = numpy.random.default_rng(0)
SENTENCES = {
    "You bake bread every night": ("bread", "truck"),
    "make pastry by hand": ("pastry", "walls"),
    "prepare dough": ("dough", "java"),
    "Java and nothing else": ("java", "bread"),
    "monitor patients at night": ("patients", "sql"),
    "drive trucks to Leeds": ("truck", "dough"),
}
# The log-odds by itself, whatever stands around.
CONTEXT = numpy.array([1.0, 0, 0, 0, 0, 0, 0])
SILENT = [f"We pay {i} euros and our canteen is open" for i in range(12)]


def newton(features, labels, decay, steps=50):
    """Logistic regression on standardised features by Newton's method."""
    x = (features - features.mean(axis=0)) / features.std(axis=0)
    x = numpy.hstack([x, numpy.ones((len(x), 1))])
    penalty = numpy.diag([2 * decay] * features.shape[1] + [0.0])
    weights = numpy.zeros(x.shape[1])
    for _ in range(steps):
        p = 1 / (1 + numpy.exp(-x @ weights))
        gradient = x.T @ (p - labels) / len(x) + penalty @ weights
        hessian = (x.T * (p * (1 - p))) @ x / len(x) + penalty
        weights -= numpy.linalg.solve(hessian, gradient)
    return p


def test_fit_equals_newtons_method():
    features = rng.normal(3.0, 5.0, size=(400, 3))
    labels = rng.random(400) < 1 / (1 + numpy.exp(-features @ [0.3, -0.2, 0.0]))
    weights = fit_logistic(features, labels, decay=1e-3)
    expected = newton(features, labels, 1e-3)
    assert_allclose(logistic(weights, features), expected, atol=1e-4)


def test_fit_of_a_product_finds_the_other_factor():
    features = rng.normal(size=(20_000, 1))
    factor = rng.random(20_000)
    right = 1 / (1 + numpy.exp(-(2 * features[:, 0] - 1)))
    labels = rng.random(20_000) < factor * right
    weights = fit_logistic(features, labels, factor, decay=0.0)
    assert_allclose(weights, [2, -1], atol=0.15)


def test_reliability_and_its_error():
    values = numpy.repeat([0.1, 0.9], 10)
    labels = numpy.array([1] * 2 + [0] * 8 + [1] * 8 + [0] * 2)
    bins = reliability(values, labels)
    assert sum(b.n for b in bins) == 20
    by_hand = sum(abs(b.predicted - b.true) * b.n for b in bins) / 20
    assert expected_calibration_error(values, labels) == pytest.approx(by_hand)
    certain = numpy.array([0.0, 1.0] * 50)
    assert expected_calibration_error(certain, certain) == 0.0


def test_thresholds_keep_the_precision_they_stand_for():
    values = rng.random(5000)
    labels = rng.random(5000) < values
    calibration = Calibration(
        numpy.zeros(5), CONTEXT, numpy.zeros(5), precision_curve(values, labels)
    )
    for wanted in (0.6, 0.8, 0.9):
        threshold = calibration.threshold(wanted)
        assert labels[values >= threshold].mean() >= wanted
        assert labels[values >= threshold - 0.05].mean() < wanted + 0.01
    with pytest.raises(ValueError, match="S902.*at most"):
        calibration.threshold(0.9999)


@pytest.fixture
def judged(tmp_path):
    keys = sorted({key for pair in SENTENCES.values() for key in pair})
    rows: list = [{"skills": [uri(key) for key in keys]}]
    for text, (right, wrong) in SENTENCES.items():
        for tail in ("", ".", "!"):
            rows.append(
                {
                    "sentence": text + tail,
                    "chosen": [keys.index(right)],
                    "rejected": [keys.index(wrong)],
                }
            )
    for text in SILENT:
        rows.append({"sentence": text, "chosen": [], "rejected": [0, 1], "asks": False})
    path = tmp_path / "judged.jsonl"
    srsly.write_jsonl(path, rows)
    return path


def test_judged_sentences_are_read_as_a_whole(judged):
    spans, missing = read_judged(judged)
    assert not missing
    assert spans[0] == JudgedSpan(
        "You bake bread every night", 0, 26, (uri("bread"),), (uri("truck"),), True
    )
    assert [span.asks for span in spans] == [True] * 18 + [False] * 12


@pytest.mark.parametrize("row", [{"asks": 1}, {"start": 1}, {"asks": None}])
def test_bad_judged_sentences_are_named(judged, row):
    good = list(srsly.read_jsonl(judged))
    srsly.write_jsonl(judged, [*good[:2], {**good[1], **row}])
    with pytest.raises(ValueError, match="S707.*line 3"):
        read_judged(judged)


def test_a_calibrated_ranker_keeps_silent(make_nlp, judged):
    nlp = make_nlp(threshold=0.5)
    ranker = nlp.get_pipe("esco_skills")
    spans, _ = read_judged(judged)
    found = judgements(nlp, ranker, spans)
    assert found.asks.sum() == 18 and len(found.right) == 18 * 2 + 12 * 2
    ranker.calibration, held_out = fit_calibration(found)
    assert held_out.asks[found.asks].mean() > held_out.asks[~found.asks].mean()
    doc = nlp("You bake bread every night.\nWe pay 3 euros and our canteen is open")
    assert doc.spans["esco_skills"][0].label_ == "bake bread"
    (bread,) = (skill for skill in doc._.skills if skill["name"] == "bake bread")
    assert all(e["end"] <= 27 for e in bread["evidence"])


def test_judged_texts_without_words_are_left_out(make_nlp, judged):
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    spans, _ = read_judged(judged)
    stars = JudgedSpan("***", 0, 3, (), (uri("sql"),), False)
    expected = judgements(nlp, ranker, spans)
    found = judgements(nlp, ranker, [stars, *spans, stars])
    assert_allclose(found.right, expected.right, rtol=1e-5)
    assert found.is_right.tolist() == expected.is_right.tolist()


def test_copies_of_a_text_are_held_out_together(make_nlp, judged, tmp_path):
    ad = [("Bake bread now", "B"), ("Java at night", "O")]
    rows = [
        {"tokens": text.split(), "tags_skill": [t] * 3, "tags_knowledge": ["O"] * 3}
        for text, t in ad
    ]
    rows = [row | {"ad": n} for n in range(9) for row in rows]
    srsly.write_jsonl(tmp_path / "marked.jsonl", rows)
    nlp = make_nlp()
    spans, _ = read_judged(judged)
    lines = read_marked(tmp_path / "marked.jsonl", repeated=True)
    found = judgements(nlp, nlp.get_pipe("esco_skills"), spans * 2, lines)
    fitted, held_out = fit_calibration(found)
    assert fit_calibration(found)[0].to_bytes() == fitted.to_bytes()
    # Regressions that have not seen a text say the same of its copies.
    assert_allclose(held_out.asks[:30], held_out.asks[30:60], rtol=1e-4)
    assert_allclose(held_out.right[:60], held_out.right[60:], rtol=1e-4)
    ads = held_out.asks[60:].reshape(9, 2)
    assert_allclose(ads, ads[[0] * 9], rtol=1e-4)


def test_precision_chooses_the_threshold(make_nlp):
    nlp = make_nlp(precision=0.8)
    ranker = nlp.get_pipe("esco_skills")
    with pytest.raises(ValueError, match="S901"):
        nlp("Bake bread.")
    width = ranker.model.layers[-1].get_dim("nI")
    ranker.calibration = Calibration(
        numpy.zeros(width + 4),
        CONTEXT,
        numpy.array([0, 0, 0, 0, 9.0]),
        [Point(0.2, 0.5), Point(0.4, 0.81), Point(0.9, 0.95)],
    )
    # Every skill has a probability of 0.5 · 1.
    assert ranker.threshold == 0.4
    assert len(nlp("Bake bread.").spans["esco_skills"]) == 5
    ranker.cfg["precision"] = 0.9
    assert len(nlp("Bake bread.").spans["esco_skills"]) == 0


def test_neighbours_by_their_distance():
    features = context_features(
        numpy.array([5.0, 1.0, 2.0, 4.0, 8.0, 16.0, 3.0]),
        numpy.array([0, 1, 1, 1, 1, 1, 2]),
    )
    # By itself; the one before, the one after; the two further before and after; alone.
    assert features[[0, -1]].tolist() == [[5, 0, 0, 0, 0, 1], [3, 0, 0, 0, 0, 1]]
    assert features[1:-1].tolist() == [
        [1, 0, 2, 0, 6, 0],
        [2, 1, 4, 0, 12, 0],
        [4, 2, 8, 1, 16, 0],
        [8, 4, 16, 1.5, 0, 0],
        [16, 8, 0, 3, 0, 0],
    ]
    assert context_features(numpy.array([]), numpy.array([])).shape == (0, 6)


def test_benefits_stand_with_benefits(make_nlp):
    nlp = make_nlp(threshold=0.5, top_k=1)
    ranker = nlp.get_pipe("esco_skills")
    width = ranker.model.layers[-1].get_dim("nI")
    # Long sentences ask, by themselves; the context is the mean of the two beside.
    asks = numpy.zeros(width + 4)
    asks[-2:] = 2.0, -3.0
    context = numpy.array([0.0, 5.0, 5.0, 0, 0, 0, 0])
    ranker.calibration = Calibration(asks, context, numpy.array([0, 0, 0, 0, 9.0]), [])
    long, short = "You bake bread and pastry every single night", "Plaster walls"
    doc = nlp(f"{long}\n{short}\n{long}\n{short}\n{short}\n{short}")
    given = {span.sent.start for span in doc.spans["esco_skills"]}
    starts = [sentence.start for sentence in doc.sents]
    # The second sentence has long ones around it, the last but one short ones.
    assert starts[1] in given and starts[4] not in given


def test_marked_ads_teach_the_context(make_nlp, judged, tmp_path):
    def line(ad, text, asks):
        words = text.split()
        tags = ["B" if asks else "O"] + ["I" if asks else "O"] * (len(words) - 1)
        empty = ["O"] * len(words)
        return {"tokens": words, "tags_skill": tags, "tags_knowledge": empty, "ad": ad}

    rows = []
    for ad in range(20):
        # The same words ask for something in the company of what asks.
        rows += [line(ad, "Bake bread now", True), line(ad, "Java at night", True)]
        rows += [line(ad, "We pay you well", False), line(ad, "Java at night", False)]
        rows += [line(ad, f"We pay you {ad} euros", False)]
    srsly.write_jsonl(tmp_path / "marked.jsonl", rows)
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    spans, _ = read_judged(judged)
    lines = read_marked(tmp_path / "marked.jsonl", repeated=True)
    found = judgements(nlp, ranker, spans, lines)
    assert len(found.asks) == 30 + 100
    assert numpy.bincount(found.ad)[-20:].tolist() == [5] * 20
    _, held_out = fit_calibration(found)
    java = held_out.asks[30:].reshape(20, 5)[:, [1, 3]]
    assert (java[:, 0] > 0.5).all() and (java[:, 1] < 0.5).all()


def test_training_drops_the_calibration(make_nlp, make_example):
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    ranker.calibration = Calibration(numpy.zeros(20), CONTEXT, numpy.zeros(5), [])
    example = make_example(nlp, "in the oven", ["bread"], ["java"])
    ranker.update([example], sgd=nlp.create_optimizer())
    assert ranker.calibration is None


def test_command(make_nlp, judged, tmp_path):
    make_nlp().to_disk(tmp_path / "in")
    call = ["calibrate", str(tmp_path / "in"), str(judged), "-o", str(tmp_path / "out")]
    call += ["--results", str(tmp_path / "r.json"), "--plot", str(tmp_path / "r.png")]
    result = CliRunner().invoke(skills_cli, call)
    assert result.exit_code == 0, result.output
    figures = srsly.read_json(tmp_path / "r.json")
    assert figures["asks"]["n"] == 30 and figures["right"]["true"] == 18
    assert (tmp_path / "r.png").read_bytes().startswith(b"\x89PNG")
    loaded = spacy.load(tmp_path / "out").get_pipe("esco_skills")
    assert loaded.calibration.curve
    again = Calibration.from_bytes(loaded.calibration.to_bytes())
    for part in ("asks", "context", "right"):
        expected = getattr(loaded.calibration, part)
        assert_allclose(getattr(again, part), expected)
    assert again.curve == loaded.calibration.curve


def test_only_whole_ads_may_keep_silent(make_nlp, judged, tmp_path):
    make_nlp().to_disk(tmp_path / "in")
    rows = list(srsly.read_jsonl(judged))
    srsly.write_jsonl(judged, [row for row in rows if row.get("asks", True)])
    silent = {"tags_skill": ["O"] * 3, "tags_knowledge": ["O"] * 3}
    marked = [{"tokens": ["We", "pay", str(n)], **silent} for n in range(12)]
    srsly.write_jsonl(tmp_path / "marked.jsonl", marked)
    call = ["calibrate", str(tmp_path / "in"), str(judged), "-o", str(tmp_path / "out")]
    call += [
        "-m",
        str(tmp_path / "marked.jsonl"),
        "--results",
        str(tmp_path / "r.json"),
    ]
    result = CliRunner().invoke(skills_cli, call)
    assert result.exit_code == 0, result.output
    figures = srsly.read_json(tmp_path / "r.json")
    assert {row["false_skills"] for row in figures["thresholds"]} == {None}


def test_too_few_judgements_are_refused(make_nlp, judged, tmp_path):
    make_nlp().to_disk(tmp_path / "in")
    rows = list(srsly.read_jsonl(judged))
    srsly.write_jsonl(judged, rows[:5])
    call = ["calibrate", str(tmp_path / "in"), str(judged), "-o", str(tmp_path / "out")]
    result = CliRunner().invoke(skills_cli, call)
    assert result.exit_code == 1 and "S904" in result.output
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("reader, expected", [("encoder", 20), ("spanner", 4)])
def test_a_calibration_of_other_vectors_is_refused(make_nlp, reader, expected):
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    asks = numpy.zeros(384 + 4)
    ranker.calibration = Calibration(asks, CONTEXT, numpy.zeros(5), [], reader)
    data = ranker.to_bytes()
    with pytest.raises(ValueError, match=f"S025.*{reader}.*388.*{expected} are"):
        make_nlp().get_pipe("esco_skills").from_bytes(data)


@pytest.mark.parametrize("damage", [b"", b"\xff\x00", None])
def test_damaged_files_are_refused(damage):
    if damage is None:
        calibration = Calibration(numpy.full(5, numpy.nan), CONTEXT, numpy.zeros(5), [])
        damage = calibration.to_bytes()
    with pytest.raises(ValueError, match="S903"):
        Calibration.from_bytes(damage)
