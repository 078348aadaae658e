import pickle

import numpy
import pytest
import spacy
from conftest import uri
from numpy.testing import assert_allclose
from spacy.tokens import Doc, DocBin
from spacy.util import registry

from spacy_skills.skills import SAMPLING_LOGIT

AD = "Install electrical wiring and plaster walls. We are nice."


def found(doc):
    group = doc.spans["esco_skills"]
    return [
        (s.start, s.end, s.label_, s.kb_id_, round(float(p), 4))
        for s, p in zip(group, group.attrs["scores"])
    ]


def test_ranks_before_any_training(make_nlp):
    doc = make_nlp()(AD)
    group = doc.spans["esco_skills"]
    assert [s.label_ for s in group][:2] == [
        "install electrical wiring",
        "plaster walls",
    ]
    assert group[0].kb_id_ == uri("wires")
    assert group[0].text == "Install electrical wiring"
    assert group[1].text == "plaster walls"
    assert len(group) == len(group.attrs["scores"]) == 2 * 5
    scores = group.attrs["scores"]
    assert (0 <= scores).all() and (scores <= 1).all()
    assert (numpy.diff(scores[:5]) <= 0).all() and (numpy.diff(scores[5:]) <= 0).all()
    assert all(span.sent.start <= span.start < span.sent.end for span in group)


def test_top_k_and_threshold(make_nlp):
    assert len(make_nlp(top_k=1)(AD).spans["esco_skills"]) == 2
    assert len(make_nlp(top_k=99)(AD).spans["esco_skills"]) == 2 * 11
    assert len(make_nlp(top_k=0)(AD).spans["esco_skills"]) == 0
    everything = make_nlp(top_k=99)(AD).spans["esco_skills"].attrs["scores"]
    cut = float(numpy.median(everything))
    some = make_nlp(top_k=99, threshold=cut)(AD).spans["esco_skills"].attrs["scores"]
    assert sorted(some) == sorted(everything[everything >= cut])


@pytest.mark.parametrize(
    "text", ["", " ", "\n\n\t", "🎉🎉", "a", "." * 50, "\u0000\u200b"]
)
def test_odd_texts(make_nlp, text):
    nlp = make_nlp()
    batch = list(nlp.pipe(["Bake bread", text, "Bake bread"]))
    assert batch[0].spans["esco_skills"][0].kb_id_ == uri("bread")
    assert found(batch[0]) == found(batch[2])
    assert [d.spans["esco_skills"].name for d in batch] == ["esco_skills"] * 3


def test_a_megabyte_in_one_line(make_nlp):
    nlp = make_nlp(top_k=1)
    words = "bake bread and install electrical wiring".split() * 25_000
    doc = Doc(nlp.vocab, words=words, sent_starts=[True] + [False] * (len(words) - 1))
    assert len(nlp(doc).spans["esco_skills"]) == 1


def test_without_sentence_bounds_they_are_found(make_nlp):
    nlp = make_nlp(top_k=1)
    expected = nlp(AD)
    nlp.remove_pipe("ad_sentencizer")
    found = nlp(AD)
    skills, others = (
        [span.label_ for span in doc.spans["esco_skills"]] for doc in (expected, found)
    )
    assert skills == others and len(skills) > 1


def test_result_does_not_depend_on_the_batch(make_nlp):
    nlp = make_nlp()
    texts = [AD, "Bake bread", "Monitor patients, dress wounds.", "Java"] * 20
    alone = [nlp(text).spans["esco_skills"].attrs["scores"] for text in texts[:4]]
    for batch_size in (1, 7, 80):
        docs = list(nlp.pipe(texts, batch_size=batch_size))
        for i, doc in enumerate(docs):
            assert_allclose(
                doc.spans["esco_skills"].attrs["scores"], alone[i % 4], atol=1e-5
            )


def test_two_processes(make_nlp):
    nlp = make_nlp()
    texts = [AD, "Bake bread", "", "Java"] * 5
    single = [found(doc) for doc in nlp.pipe(texts)]
    double = [found(doc) for doc in nlp.pipe(texts, n_process=2, batch_size=4)]
    assert [[f[:4] for f in d] for d in double] == [[f[:4] for f in d] for d in single]


def test_prior_lifts_what_ads_name_often(make_nlp):
    plain = make_nlp()
    lifted = make_nlp(labels={uri("truck"): 1000})
    text = "We are nice."
    assert lifted.get_pipe("esco_skills").label_data == {uri("truck"): 1000}

    def score(nlp):
        ranker = nlp.get_pipe("esco_skills")
        (_, scores), *_ = ranker.rank([nlp(text)])
        return scores[ranker.labels.index(uri("truck"))]

    assert score(lifted) > score(plain)


@pytest.mark.parametrize("how", ["disk", "bytes", "pickle"])
def test_round_trips(make_nlp, tmp_path, how):
    nlp = make_nlp(labels={uri("java"): 3})
    expected = found(nlp(AD))
    if how == "disk":
        nlp.to_disk(tmp_path / "pipeline")
        again = spacy.load(tmp_path / "pipeline")
    elif how == "bytes":
        again = spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())
    else:
        again = pickle.loads(pickle.dumps(nlp))
    assert found(again(AD)) == expected
    assert again.get_pipe("esco_skills").labels == nlp.get_pipe("esco_skills").labels


def test_annotations_survive_docs(make_nlp):
    nlp = make_nlp()
    doc = nlp(AD)
    expected = found(doc)
    assert found(Doc(spacy.blank("en").vocab).from_bytes(doc.to_bytes())) == expected
    data = DocBin(docs=[doc]).to_bytes()
    (again,) = DocBin().from_bytes(data).get_docs(spacy.blank("en").vocab)
    assert found(again) == expected


def test_labels_stay_out_of_meta(make_nlp):
    nlp = make_nlp()
    assert "esco_skills" not in nlp.meta["labels"]
    assert len(nlp.get_pipe("esco_skills").labels) == 11


def batch(nlp, make_example):
    return [
        make_example(nlp, "work with ovens", ["bread"], ["wires"]),
        make_example(nlp, "work with drills", ["wires"], ["bread", "pastry"]),
        make_example(nlp, "no pair at all", [], []),
    ]


@pytest.mark.parametrize("encoder", [{"frozen": True}, {"frozen": False}])
@pytest.mark.parametrize("skill_rate", [0.0, 1.0])
def test_learns(make_nlp, make_example, encoder, skill_rate):
    nlp = make_nlp(model={"encoder": encoder, "skill_rate": skill_rate})
    optimizer = registry.optimizers.get("Adam.v1")(learn_rate=0.02)
    losses = []
    for _ in range(20):
        with nlp.select_pipes(enable=["esco_skills"]):
            losses.append(
                nlp.update(batch(nlp, make_example), sgd=optimizer)["esco_skills"]
            )
    assert losses[-1] < 0.5 * losses[0]


def test_loss_covers_the_chosen_pairs_only(make_nlp, make_example):
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    examples = batch(nlp, make_example)
    losses = ranker.update(examples)
    scores = dict(
        zip(range(3), (s for _, s in ranker.rank([e.predicted for e in examples])))
    )
    column = ranker.labels.index
    total = 0.0
    for i, skill, label in (
        (0, "bread", 1),
        (0, "wires", 0),
        (1, "wires", 1),
        (1, "bread", 0),
        (1, "pastry", 0),
    ):
        logit = scores[i][column(uri(skill))] + SAMPLING_LOGIT
        total += numpy.logaddexp(0, -logit if label else logit)
    assert losses["esco_skills"] == pytest.approx(total / 5, rel=1e-4)


def test_same_updates_same_weights(make_nlp, make_example):
    states = []
    for _ in range(2):
        nlp = make_nlp(model={"encoder": {"frozen": False}, "skill_rate": 0.5})
        ranker = nlp.get_pipe("esco_skills")
        optimizer = registry.optimizers.get("Adam.v1")(learn_rate=0.01)
        for _ in range(3):
            ranker.update(batch(nlp, make_example), sgd=optimizer)
        states.append(
            ranker.model.layers[-1].to_bytes() + ranker.model.layers[1].to_bytes()
        )
    assert states[0] == states[1]


def test_update_without_chosen_negatives_is_refused(make_nlp, make_example):
    nlp = make_nlp()
    with pytest.raises(ValueError, match="S005.*negative_sampling"):
        nlp.get_pipe("esco_skills").update([make_example(nlp, "Bake", ["bread"])])


def test_update_with_a_foreign_skill_names_it(make_nlp, make_example):
    nlp = make_nlp()
    with pytest.raises(ValueError, match="S006.*skill/flying"):
        nlp.get_pipe("esco_skills").update([make_example(nlp, "Fly", ["flying"], [])])


def test_nothing_to_learn_from(make_nlp, make_example):
    nlp = make_nlp()
    ranker = nlp.get_pipe("esco_skills")
    assert ranker.update([]) == {"esco_skills": 0.0}
    assert ranker.update([make_example(nlp, "", [], [])]) == {"esco_skills": 0.0}


def test_score_ranks_all_skills_whatever_is_shown(make_nlp, make_example):
    examples = lambda nlp: [  # noqa: E731
        make_example(nlp, "bake bread", ["bread"]),
        make_example(nlp, "no skill here", []),
    ]
    full, cut = make_nlp(), make_nlp(top_k=0, threshold=1.0)
    expected = full.evaluate(examples(full))
    assert expected["esco_mrr"] == expected["esco_rp1"] == 1.0
    assert cut.evaluate(examples(cut))["esco_mrr"] == 1.0


def test_uninitialised_component_says_what_to_do(tiny_encoder):
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy_skills.TransformerEncoder.v1",
        "name": tiny_encoder,
    }
    nlp.add_pipe(
        "esco_skills", config={"model": {"encoder": model}, "pretrained": None}
    )
    with pytest.raises(ValueError, match=r"(?s)S004.*spacy_skills.Taxonomy.v1"):
        nlp.initialize()
    with pytest.raises(ValueError, match="S004"):
        nlp("text")


def test_mixed_files_are_refused(make_nlp, taxonomy, tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "p")
    one = type(taxonomy)([taxonomy.skills[0]], taxonomy.groups.values())
    one.to_disk(tmp_path / "p" / "esco_skills" / "taxonomy")
    with pytest.raises(ValueError, match="S008.*11 skills.*1"):
        spacy.load(tmp_path / "p")


def test_damaged_model_is_named(make_nlp, tmp_path):
    nlp = make_nlp()
    nlp.to_disk(tmp_path / "p")
    path = tmp_path / "p" / "esco_skills" / "model"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(ValueError, match="S007"):
        spacy.load(tmp_path / "p")


def test_a_taxonomy_of_one_skill(taxonomy, tiny_encoder):
    nlp = spacy.blank("en")
    model = {
        "@architectures": "spacy_skills.TransformerEncoder.v1",
        "name": tiny_encoder,
    }
    ranker = nlp.add_pipe(
        "esco_skills", config={"model": {"encoder": model}, "pretrained": None}
    )
    one = type(taxonomy)([taxonomy.skills[0]], taxonomy.groups.values())
    ranker.initialize(lambda: [], nlp=nlp, taxonomy=one, labels={})
    doc = nlp("Bake bread")
    assert [span.kb_id_ for span in doc.spans["esco_skills"]] == [uri("python")]
