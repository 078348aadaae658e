from collections import Counter

import pytest
import spacy
from conftest import uri
from spacy.util import registry

from spacy_skills.strategies import (
    make_random_negatives,
    make_sibling_negatives,
    make_topic_order,
)

LABELS = ["java"] * 5 + ["python"] * 3 + ["sql"] * 4 + ["bread"] * 6 + ["truck"]


@pytest.fixture
def examples(make_example):
    nlp = spacy.blank("en")
    made = [make_example(nlp, f"{s} {i}", [s]) for i, s in enumerate(LABELS)]
    return [*made, make_example(nlp, "both", ["java", "bread"])]


def make_batcher(**settings):
    settings = {"sampler": make_random_negatives(), **settings}
    return registry.batchers.get("spacy_skills.negative_sampling.v1")(**settings)


def pairs(batch, key):
    return [
        (eg.reference.text, span.kb_id_)
        for eg in batch
        for span in eg.reference.spans[key]
    ]


def test_an_epoch_shows_every_positive_pair_once(examples):
    batcher = make_batcher(skills_per_batch=2, positives_per_skill=2)
    batches = list(batcher(examples))
    seen = Counter(pair for b in batches for pair in pairs(b, "esco_skills"))
    expected = [(f"{s} {i}", uri(s)) for i, s in enumerate(LABELS)]
    expected += [("both", uri("java")), ("both", uri("bread"))]
    assert seen == Counter(expected)
    assert all(0 < len(b) for b in batches)


def test_negatives_are_at_the_set_ratio_and_never_positives(examples):
    batcher = make_batcher(
        skills_per_batch=1, positives_per_skill=3, negatives_per_positive=2.0
    )
    gold = {
        eg.reference.text: {span.kb_id_ for span in eg.reference.spans["esco_skills"]}
        for eg in examples
    }
    for batch in batcher(examples):
        positives = pairs(batch, "esco_skills")
        negatives = pairs(batch, "esco_negatives")
        assert len(negatives) == 2 * len(positives)
        assert {skill for _, skill in negatives} == {skill for _, skill in positives}
        assert not any(skill in gold[text] for text, skill in negatives)
        texts = [eg.reference.text for eg in batch]
        assert len(texts) == len(set(texts))


def test_siblings_reach_the_batch(examples, taxonomy_path):
    batcher = make_batcher(
        sampler=make_sibling_negatives(taxonomy_path), skills_per_batch=1
    )
    languages = {"java", "python", "sql"}
    for batch in batcher(examples):
        for text, skill in pairs(batch, "esco_negatives"):
            if skill.rsplit("/", 1)[1] in languages:
                assert text.split()[0] in languages | {"both"}


def test_same_seed_same_batches(examples):
    runs = [
        [
            pairs(b, k)
            for b in make_batcher(seed=3)(examples)
            for k in b[0].reference.spans
        ]
        for _ in range(2)
    ]
    assert runs[0] == runs[1]


def test_the_order_of_the_examples_decides_nothing(examples):
    def run(given):
        batches = make_batcher(seed=3, skills_per_batch=2)(given)
        return [
            [pairs(b, k) for k in ("esco_skills", "esco_negatives")] for b in batches
        ]

    assert run(examples) == run(examples[::-1])


def test_batches_by_topic_with_their_own_negatives(examples, taxonomy_path):
    batcher = make_batcher(
        order=make_topic_order(taxonomy_path), in_batch=True, skills_per_batch=3
    )
    for batch in batcher(examples):
        positive = {text for text, _ in pairs(batch, "esco_skills")}
        assert {text for text, _ in pairs(batch, "esco_negatives")} <= positive


def test_the_corpus_keeps_its_labels_and_the_next_epoch_differs(examples):
    batcher = make_batcher(skills_per_batch=2)
    before = [eg.reference.to_bytes() for eg in examples]
    first = [pairs(b, "esco_negatives") for b in batcher(examples)]
    second = [pairs(b, "esco_negatives") for b in batcher(examples)]
    assert first != second
    assert [eg.reference.to_bytes() for eg in examples] == before


def test_a_stream_is_pooled_a_buffer_at_a_time(examples):
    taken = []

    def stream():
        for example in examples:
            taken.append(example)
            yield example

    batches = make_batcher(buffer_size=5)(stream())
    next(batches)
    assert len(taken) == 5
    rest = sum(len(pairs(b, "esco_skills")) for b in batches)
    assert len(taken) == len(examples) and rest > 0


def test_nothing_in_nothing_out():
    assert list(make_batcher()([])) == []
