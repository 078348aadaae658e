"""Real small parts: a taxonomy of a dozen skills and a transformer of a few thousand weights."""

from functools import partial
from pathlib import Path

import pytest
import spacy
import torch
from hypothesis import settings
from spacy.language import Language
from spacy.tokens import Doc, Span, SpanGroup
from spacy.training import Example
from transformers import BertConfig, BertModel, BertTokenizerFast

from spacy_skills.taxonomy import Group, Skill, Taxonomy

# What takes 50 ms here may take a second where other things run too.
settings.register_profile("no deadline", deadline=None)
settings.load_profile("no deadline")

SKILLS = {
    "python": ("Python (computer programming)", ["Python"], "languages"),
    "java": ("Java (computer programming)", ["Java"], "languages"),
    "sql": ("SQL", ["structured query language"], "languages"),
    "bread": ("bake bread", ["make bread", "bake loaves"], "baking"),
    "pastry": ("bake pastry", ["make pastry"], "baking"),
    "dough": ("prepare dough", [], "baking"),
    "wires": ("install electrical wiring", ["lay cables"], "building"),
    "walls": ("plaster walls", ["apply plaster"], "building"),
    "wounds": ("dress wounds", ["bandage wounds"], "care"),
    "patients": ("monitor patients", ["observe patients"], "care"),
    "truck": ("drive trucks", [], "alone"),
}


def uri(key: str) -> str:
    return f"http://example.org/skill/{key}"


@pytest.fixture(scope="session")
def taxonomy() -> Taxonomy:
    return make_taxonomy()


def make_taxonomy() -> Taxonomy:
    groups = sorted({group for _, _, group in SKILLS.values()})
    return Taxonomy(
        [
            Skill(
                uri=uri(key),
                name=name,
                kind="skill/competence",
                alt_names=tuple(alternatives),
                description=f"What it takes to {name}.",
                reuse_level="sector-specific",
                broader=(uri(group),),
            )
            for key, (name, alternatives, group) in SKILLS.items()
        ],
        [
            Group(uri=uri(g), name=g, code="", description="", broader=())
            for g in groups
        ],
    )


@pytest.fixture(scope="session")
def taxonomy_path(taxonomy, tmp_path_factory):
    path = tmp_path_factory.mktemp("taxonomy") / "taxonomy.bin"
    taxonomy.to_disk(path)
    return path


@pytest.fixture(scope="session")
def tiny_encoder(tmp_path_factory) -> str:
    return make_tiny_encoder(tmp_path_factory.mktemp("tiny-bert"))


def make_tiny_encoder(folder: Path) -> str:
    """A BERT of two layers and 16 dimensions with random weights and no dropout."""
    words = sorted(
        {
            w
            for n, alts, _ in SKILLS.values()
            for t in [n, *alts]
            for w in t.lower().split()
        }
    )
    letters = [chr(i) for i in range(ord("a"), ord("z") + 1)]
    vocab = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *words, *letters]
    vocab += [f"##{letter}" for letter in letters] + list(".,()&/-")
    (folder / "vocab.txt").write_text("\n".join(vocab), encoding="utf8")
    BertTokenizerFast(str(folder / "vocab.txt"), model_max_length=64).save_pretrained(
        folder
    )
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(vocab),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=64,
        hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
        initializer_range=0.5,
    )
    BertModel(config).save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="session")
def make_nlp(taxonomy, tiny_encoder):
    """A factory of initialised pipelines: sentencizer, matcher and ranker."""

    return partial(make_pipeline, taxonomy, tiny_encoder)


def make_pipeline(
    taxonomy: Taxonomy,
    tiny_encoder: str,
    *,
    model: dict | None = None,
    labels: dict | None = None,
    **config,
) -> Language:
    nlp = spacy.blank("en")
    nlp.add_pipe("ad_sentencizer")
    nlp.add_pipe("esco_matcher")
    encoder = {
        "@architectures": "spacy_skills.TransformerEncoder.v1",
        "name": tiny_encoder,
        **(model or {}).pop("encoder", {}),
    }
    architecture = {
        "@architectures": "spacy_skills.SkillRanker.v1",
        "encoder": encoder,
        **(model or {}),
    }
    # All skills, however improbable with random weights.
    settings = {"pretrained": None, "threshold": 0.0, **config}
    nlp.add_pipe("esco_skills", config={"model": architecture, **settings})
    nlp.get_pipe("esco_matcher").initialize(lambda: [], nlp=nlp, taxonomy=taxonomy)
    nlp.get_pipe("esco_skills").initialize(
        lambda: [], nlp=nlp, taxonomy=taxonomy, labels=labels or {}
    )
    return nlp


@pytest.fixture
def make_example():
    """An Example of one sentence, with the skills it is a positive and a negative for."""

    def make(nlp: Language, text: str, positives=(), negatives=None) -> Example:
        reference = nlp.make_doc(text)
        groups = {"esco_skills": positives}
        if negatives is not None:
            groups["esco_negatives"] = negatives
        for key, skills in groups.items():
            spans = [
                Span(reference, 0, len(reference), label="", kb_id=uri(skill))
                for skill in skills
            ]
            reference.spans[key] = SpanGroup(reference, name=key, spans=spans)
        words = [token.text for token in reference]
        spaces = [bool(token.whitespace_) for token in reference]
        starts = [i == 0 for i in range(len(words))]
        predicted = Doc(nlp.vocab, words=words, spaces=spaces, sent_starts=starts)
        return Example(predicted, reference)

    return make
