"""What is saved comes back, whichever way it goes and whatever was there before."""

import json
import pickle
import shutil
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import spacy
import torch
from conftest import uri
from numpy.testing import assert_allclose, assert_array_equal
from spacy.cli.package import package
from spacy.tokens import Doc, DocBin
from spacy.vocab import Vocab

from spacy_skills.calibration import N_ASKS, Calibration, Point
from spacy_skills.compact import pack
from spacy_skills.spanner import SkillSpanner
from spacy_skills.taxonomy import Taxonomy

RELEASES = sorted(p.parent for p in Path(__file__).parent.glob("releases/*/config.cfg"))
AD = "You bake bread and make pastry.\n• Java, SQL\nWe pay well."
OPTIONAL = ("finder", "spanner", "calibration")


def calibration(bias: float = 3.0) -> Calibration:
    asks = [0.0] * (16 + N_ASKS) + [bias]
    context, right = [1.0, 0, 0, 0, 0, 0, 0], [0.1, 6.0, 0.0, 0.0, -2.0]
    return Calibration(asks, context, right, [Point(0.5, 0.8)], "spanner")


@pytest.fixture(scope="module")
def nlp(make_nlp, tiny_encoder):
    """With all that a ranker may have."""
    nlp = make_nlp(top_k=3, labels={uri("java"): 7})
    ranker = nlp.get_pipe("esco_skills")
    torch.manual_seed(0)
    ranker.spanner = SkillSpanner.from_base(tiny_encoder, 1)
    ranker.calibration = calibration()
    ranker.finder = nlp.get_pipe("esco_matcher").finder
    return nlp


def found(doc):
    group = doc.spans["esco_skills"]
    return [
        (s.start, s.end, s.label_, s.kb_id_, round(float(p), 4), kind)
        for s, p, kind in zip(group, group.attrs["scores"], group.attrs["evidence"])
    ]


def through_disk(nlp, path):
    nlp.to_disk(path)
    return spacy.load(path)


def through_bytes(nlp, path):
    return spacy.blank("en").from_config(nlp.config).from_bytes(nlp.to_bytes())


def through_pickle(nlp, path):
    return pickle.loads(pickle.dumps(nlp))


def through_package(nlp, path):
    """As `spacy package` makes it, imported without being installed."""
    nlp.to_disk(path)
    output = path.with_name("packages")
    output.mkdir()
    package(path, output, name="skills", version="1.2.3", create_sdist=False)
    source = output / "en_skills-1.2.3" / "en_skills"
    # Its setup.py does so.
    shutil.copy(source.parent / "meta.json", source)
    spec = spec_from_file_location("en_skills", source / "__init__.py")
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    again = module.load()
    # What pip then installs beside it.
    assert any(r.startswith("spacy-skills>=") for r in again.meta["requirements"])
    return again


WAYS = pytest.mark.parametrize(
    "way", [through_disk, through_bytes, through_pickle, through_package]
)


@WAYS
def test_all_parts_come_back(nlp, tmp_path, way):
    again = way(nlp, tmp_path / "p")
    assert found(again(AD)) == found(nlp(AD)) and again(AD)._.skills
    old, new = (pipeline.get_pipe("esco_skills") for pipeline in (nlp, again))
    assert new.cfg == old.cfg and new.taxonomy == old.taxonomy
    assert all(getattr(new, part) is not None for part in OPTIONAL)
    assert_array_equal(new.calibration.asks, old.calibration.asks)
    assert new.calibration.reader == "spanner"
    nodes = zip(old.model.walk(), new.model.walk(), strict=True)
    for node, other in nodes:
        for name in node.param_names:
            assert_array_equal(node.get_param(name), other.get_param(name))
    del again.config["initialize"], again.config["training"]
    assert again.config["components"] == nlp.config["components"]


@pytest.mark.parametrize("way", [through_disk, through_bytes])
def test_parts_that_a_ranker_lacks_are_gone(nlp, make_nlp, tmp_path, way):
    nlp.to_disk(tmp_path / "p")
    bare = make_nlp(top_k=3)
    again = way(bare, tmp_path / "p").get_pipe("esco_skills")
    assert not any(getattr(again, part) for part in OPTIONAL)
    names = {path.name for path in (tmp_path / "p" / "esco_skills").iterdir()}
    if way is through_disk:
        assert names == {"cfg", "taxonomy", "model"}


@pytest.mark.parametrize("name", ["esco_matcher", "esco_skills"])
def test_components_by_themselves(nlp, make_nlp, tmp_path, name):
    component = nlp.get_pipe(name)
    component.to_disk(tmp_path / "c")
    for load in (
        lambda other: other.from_disk(tmp_path / "c"),
        lambda other: other.from_bytes(component.to_bytes()),
    ):
        other = make_nlp(top_k=1)
        assert load(other.get_pipe(name)) is other.get_pipe(name)
        key = "esco_matches" if name == "esco_matcher" else "esco_skills"
        spans, expected = (
            [(s.start, s.end, s.kb_id_) for s in doc.spans[key]]
            for doc in (other(AD), nlp(AD))
        )
        assert spans == expected


def test_the_config_decides_whether_to_round(nlp, tmp_path):
    nlp.to_disk(tmp_path / "p")
    for rounds in (True, False):
        encoder = {"model": {"encoder": {"int8": rounds}}}
        again = spacy.load(
            tmp_path / "p", config={"components": {"esco_skills": encoder}}
        )
        assert again.get_pipe("esco_skills").model.layers[0].attrs["int8"] is rounds


def test_what_was_cached_in_training_is_gone(make_nlp, make_example):
    nlp, other = make_nlp(), make_nlp()
    example = make_example(nlp, "in the oven", ["bread"], ["java"])
    for pipeline in (nlp, other):
        pipeline.get_pipe("esco_skills").update([example], sgd=nlp.create_optimizer())
    torch_model = other.get_pipe("esco_skills").model.layers[0].layers[0].transformer
    with torch.no_grad():
        torch_model.encoder.layer[0].output.dense.weight.mul_(3)
    data = other.get_pipe("esco_skills").to_bytes()
    ranker = nlp.get_pipe("esco_skills").from_bytes(data)
    fresh = make_nlp().get_pipe("esco_skills").from_bytes(data)
    (found,), (expected,) = (
        [logits for _, logits in r.rank([example.predicted])] for r in (ranker, fresh)
    )
    assert_allclose(found, expected, atol=1e-4)


def test_what_is_excluded_stays(nlp, make_nlp, tmp_path):
    ranker, other = nlp.get_pipe("esco_skills"), make_nlp().get_pipe("esco_skills")
    ranker.to_disk(tmp_path / "whole")
    for part in ("model", "cfg", "names", "spanner"):
        other.finder = other.spanner = "kept"
        other.cfg["top_k"] = 5
        other.from_disk(tmp_path / "whole", exclude=[part])
        assert (other.finder == "kept") == (part == "names")
        assert (other.spanner == "kept") == (part == "spanner")
        assert other.cfg["top_k"] == (5 if part == "cfg" else 3)
        other.from_bytes(ranker.to_bytes(exclude=[part, "calibration", "vocab"]))
        assert other.cfg["top_k"] == (5 if part == "cfg" else 3)
        assert len(other.labels) == 11


def test_docs_keep_their_skills(nlp):
    docs = list(nlp.pipe([AD, "", "Drive trucks.", " "]))
    data = DocBin(docs=docs, store_user_data=True).to_bytes()
    restored = [
        *DocBin().from_bytes(data).get_docs(Vocab()),
        *(Doc(Vocab()).from_bytes(doc.to_bytes()) for doc in docs),
        *pickle.loads(pickle.dumps(docs)),
    ]
    for doc, again in zip(docs * 3, restored, strict=True):
        assert again.text == doc.text and found(again) == found(doc)
        # DocBin makes tuples of lists.
        assert json.dumps(again._.skills) == json.dumps(doc._.skills)


def test_own_skills_stay_where_the_default_has_others(
    nlp, taxonomy, tiny_encoder, tmp_path
):
    """`pretrained` names a ranker of all skills; the pipeline was then given five."""
    shipped = tmp_path / "shipped.ranker"
    ranker = nlp.get_pipe("esco_skills")
    shipped.write_bytes(pack(ranker, ranker.finder))
    own = spacy.blank("en")
    encoder = {
        "@architectures": "spacy_skills.TransformerEncoder.v1",
        "name": tiny_encoder,
    }
    config = {"pretrained": str(shipped), "model": {"encoder": encoder}, "top_k": 2}
    fewer = own.add_pipe("esco_skills", config=config)
    assert len(fewer.labels) == 11
    five = Taxonomy(taxonomy.skills[3:8], taxonomy.groups.values())
    fewer.initialize(lambda: [], nlp=own, taxonomy=five, labels={})
    fewer.cfg["threshold"] = 0.0
    for way in (through_disk, through_bytes, through_pickle):
        again = way(own, tmp_path / "own")
        assert again.get_pipe("esco_skills").labels == tuple(five.uris)
        assert found(again(AD)) == found(own(AD)) != []
        assert {skill["uri"] for skill in again(AD)._.skills} <= set(five.uris)


@pytest.mark.parametrize("release", RELEASES, ids=lambda path: path.name)
def test_pipelines_of_former_releases(release, tmp_path):
    """See releases/README.md: they are never made again."""
    pipeline = spacy.load(release, exclude=["tokenizer"])
    expected = json.loads((release / "expected.json").read_text(encoding="utf8"))
    for nlp in (pipeline, through_bytes(pipeline, tmp_path)):
        for row in expected:
            doc = nlp(row["text"])
            group = doc.spans["esco_skills"]
            spans = [[s.start_char, s.end_char, s.kb_id_] for s in group]
            assert sorted(spans) == sorted(s[:3] for s in row["spans"])
            scores = {tuple(s[:3]): s[3] for s in row["spans"]}
            for span, score in zip(spans, group.attrs["scores"]):
                assert float(score) == pytest.approx(scores[tuple(span)], abs=0.01)
            uris = {skill["uri"] for skill in doc._.skills}
            assert uris == {skill["uri"] for skill in row["skills"]}
    assert expected and any(row["spans"] for row in expected)
