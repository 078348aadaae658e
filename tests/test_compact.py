"""Rankers in a small file: what is lost, what is shared, and what is refused."""

import numpy
import pytest
import spacy
import srsly
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from typer.testing import CliRunner

from spacy_skills.cli import skills_cli
from spacy_skills.compact import (
    MIN_SIZE,
    is_shipped,
    pack,
    restore_array,
    round_array,
    unpack,
)
from spacy_skills.spanner import SkillSpanner

TEXT = "You bake bread and monitor patients. Java is a plus"


@pytest.fixture
def nlp(make_nlp):
    return make_nlp(labels={}, pretrained=None)


@pytest.fixture
def packed(nlp, tmp_path):
    ranker = nlp.get_pipe("esco_skills")
    path = tmp_path / "small.ranker"
    path.write_bytes(pack(ranker, nlp.get_pipe("esco_matcher").finder))
    return path


def load(path, tiny_encoder, **config):
    nlp = spacy.blank("en")
    encoder = {
        "@architectures": "spacy_skills.TransformerEncoder.v1",
        "name": tiny_encoder,
    }
    model = {"@architectures": "spacy_skills.SkillRanker.v1", "encoder": encoder}
    config = {"model": model, "pretrained": str(path), **config}
    nlp.add_pipe("esco_skills", config=config)
    return nlp


def skills(doc):
    group = doc.spans["esco_skills"]
    return [(s.text, s.label_, s.kb_id_) for s in group], group.attrs["scores"]


@settings(deadline=None)
@given(
    hnp.arrays(
        "float32",
        st.tuples(st.just(8), st.just(MIN_SIZE // 8)),
        elements=st.floats(-1e4, 1e4, width=32),
        fill=st.floats(-1, 1, width=32),
    )
)
def test_no_number_moves_by_more_than_half_a_step(array):
    restored = restore_array(round_array(array))
    assert restored.dtype == numpy.float32
    step = numpy.abs(array).max(axis=1, keepdims=True) / 63
    assert (numpy.abs(restored - array) <= step * 0.501 + 1e-37).all()


def test_small_arrays_stay_exact():
    array = numpy.linspace(0, 1, 100, dtype="float32")
    assert round_array(array) is array


def test_alone_it_finds_what_the_whole_pipeline_finds(nlp, packed, tiny_encoder):
    found, scores = skills(load(packed, tiny_encoder)(TEXT))
    expected, expected_scores = skills(nlp(TEXT))
    assert found == expected and found
    numpy.testing.assert_allclose(scores, expected_scores, atol=0.02)


def test_settings_are_those_of_the_config_not_of_the_packed_ranker(
    packed, tiny_encoder
):
    nlp = load(packed, tiny_encoder, top_k=1, threshold=0.0)
    assert len(nlp("You bake bread.").spans["esco_skills"]) == 1


def test_round_trips_and_another_taxonomy(packed, tiny_encoder, taxonomy, tmp_path):
    nlp = load(packed, tiny_encoder)
    expected, _ = skills(nlp(TEXT))
    nlp.to_disk(tmp_path / "pipeline")
    assert skills(spacy.load(tmp_path / "pipeline")(TEXT))[0] == expected
    again = load(packed, tiny_encoder).from_bytes(nlp.to_bytes())
    assert skills(again(TEXT))[0] == expected
    smaller = type(taxonomy)(list(taxonomy)[:4], list(taxonomy.groups.values()))
    ranker = nlp.get_pipe("esco_skills")
    ranker.initialize(lambda: [], nlp=nlp, taxonomy=smaller, labels={})
    assert len(ranker.labels) == 4
    nlp.to_disk(tmp_path / "other")
    loaded = spacy.load(tmp_path / "other")
    assert skills(loaded(TEXT))[0] == skills(nlp(TEXT))[0] != expected


def test_initialize_without_a_taxonomy_keeps_the_skills(packed, tiny_encoder):
    nlp = load(packed, tiny_encoder)
    expected, _ = skills(nlp(TEXT))
    nlp.initialize()
    assert skills(nlp(TEXT))[0] == expected


def test_embeddings_that_encoder_and_spanner_share_are_kept_once(nlp, tiny_encoder):
    ranker, finder = nlp.get_pipe("esco_skills"), nlp.get_pipe("esco_matcher").finder
    alone = len(pack(ranker, finder))
    ranker.spanner = SkillSpanner.from_base(tiny_encoder, 1)
    with_spanner = len(pack(ranker, finder))
    embeddings = ranker.spanner.transformer.embeddings
    size = 4 * sum(weights.numel() for weights in embeddings.parameters())
    whole = len(srsly.msgpack_dumps(ranker.spanner.to_dict()))
    assert with_spanner - alone < whole - size
    parts = unpack(pack(ranker, finder))
    sentence = [nlp("Bake bread.")[:]]
    restored = SkillSpanner.from_dict(parts["spanner"])
    (found,), (expected,) = restored(sentence), ranker.spanner(sentence)
    assert found.spans == expected.spans
    numpy.testing.assert_allclose(found.asked, expected.asked, atol=1e-4)


@pytest.mark.parametrize("damage", [b"", b"\x00\x01", None])
def test_damaged_files_are_named(packed, tiny_encoder, damage):
    whole = packed.read_bytes()
    packed.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    with pytest.raises(ValueError, match=r"S010.*small\.ranker"):
        load(packed, tiny_encoder)


def test_missing_file_names_the_remedy(tiny_encoder):
    with pytest.raises(ValueError, match="S011.*esco-1.1.1-en"):
        load("nowhere.ranker", tiny_encoder)


def test_only_a_name_is_a_shipped_ranker(packed):
    """A pipeline's folder may lie beside its packed form."""
    assert is_shipped("esco-1.1.1-en")
    assert not is_shipped(packed.with_suffix(""))
    assert not is_shipped("nowhere")


def test_command_packs_a_pipeline(nlp, tmp_path, tiny_encoder):
    nlp.to_disk(tmp_path / "pipeline")
    args = ["pack", str(tmp_path / "pipeline"), str(tmp_path / "a.ranker")]
    result = CliRunner().invoke(skills_cli, args)
    assert result.exit_code == 0, result.output
    expected, _ = skills(nlp(TEXT))
    assert skills(load(tmp_path / "a.ranker", tiny_encoder)(TEXT))[0] == expected
    nlp.remove_pipe("esco_matcher")
    nlp.to_disk(tmp_path / "no_matcher")
    args[1] = str(tmp_path / "no_matcher")
    result = CliRunner().invoke(skills_cli, args)
    assert result.exit_code == 1


def test_pack_command_names_a_place_it_cannot_write_to(nlp, tmp_path):
    nlp.to_disk(tmp_path / "nlp")
    (tmp_path / "file").touch()
    call = ["pack", str(tmp_path / "nlp"), str(tmp_path / "file" / "small.ranker")]
    result = CliRunner().invoke(skills_cli, call)
    assert result.exit_code == 1 and "file" in result.output
    assert isinstance(result.exception, SystemExit)
