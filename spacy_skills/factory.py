"""The factory ``esco_skills`` and its default config."""

from collections.abc import Callable

from spacy.language import Language
from thinc.api import Config, Model

from .phrases import PhraseFunction
from .ranker import SkillRanker

DEFAULT_CONFIG = """
[model]
@architectures = "spacy_skills.SkillRanker.v1"
projection = true
skill_rate = 0.0

[model.encoder]
@architectures = "spacy_skills.TransformerEncoder.v1"
frozen = true
mixed_precision = false

[model.encoder.name]
@misc = "spacy_skills.bundled_minilm.v1"

[model.encoder.tokenizer_config]
use_fast = true

[model.encoder.transformer_config]
"""
# A ranker that comes with the package: a name in the folder `pretrained`.
DEFAULT_PRETRAINED = "esco-1.1.1-en"
DEFAULT_MODEL = Config().from_str(DEFAULT_CONFIG)["model"]


@Language.factory(
    "esco_skills",
    assigns=["doc.spans", "doc._.skills"],
    default_config={
        "model": DEFAULT_MODEL,
        "pretrained": DEFAULT_PRETRAINED,
        "phrases": {"@misc": "spacy_skills.clause_phrases.v1"},
        "top_k": 5,
        "threshold": 0.5,
        "precision": None,
        "group_level": 2,
        "spans_key": "esco_skills",
        "negatives_key": "esco_negatives",
        "matches_key": "esco_matches",
        "scorer": {"@scorers": "spacy_skills.ranking_scorer.v1"},
    },
    default_score_weights={
        "esco_mrr": 1.0,
        "esco_rp1": 0.0,
        "esco_rp5": 0.0,
        "esco_rp10": 0.0,
    },
)
def make_skill_ranker(
    nlp: Language,
    name: str,
    model: Model,
    pretrained: str | None,
    phrases: PhraseFunction,
    top_k: int,
    threshold: float,
    precision: float | None,
    group_level: int,
    spans_key: str,
    negatives_key: str,
    matches_key: str,
    scorer: Callable | None,
) -> SkillRanker:
    """Rank ESCO's skills for every sentence.

    model: a ``spacy_skills.SkillRanker.v1``.
    pretrained: what skills, weights and names are taken from: a ranker of the package, a
        file of ``spacy skills pack``, or None for a blank component. The model has to be
        built like the one that was packed, as the default one is.
    phrases: cuts a sentence into the pieces that are scored beside it.
    top_k: the most skills a sentence is given; threshold: the least probability.
    precision: the share of the given skills that is to be right, 0.8 for instance: chooses
        the threshold, by what the calibration has seen. Needs a calibrated ranker.
    group_level: down to which level ``doc._.skills`` names a skill's groups; 0 is the top.
    spans_key: where predictions go, and where gold skills are read from.
    negatives_key: where the batcher wrote what each sentence is a negative for.
    matches_key: where ``esco_matcher``, if there is one, left the literal matches.
    """
    ranker = SkillRanker(
        nlp.vocab,
        model,
        name,
        phrases=phrases,
        top_k=top_k,
        threshold=threshold,
        precision=precision,
        group_level=group_level,
        spans_key=spans_key,
        negatives_key=negatives_key,
        matches_key=matches_key,
        scorer=scorer,
    )
    if pretrained is not None:
        # Brings torch, which takes a second to import.
        from .compact import read_compact

        ranker.from_parts(read_compact(pretrained))
    return ranker
