"""Saved pipelines that were damaged: the error names the component, the file and the remedy."""

import json
import pickle
import random
import re
import resource
import shutil
from contextlib import contextmanager

import numpy
import pytest
import spacy
import srsly
import torch
from conftest import uri
from test_round_trips import calibration, found

from spacy_skills.spanner import SkillSpanner
from spacy_skills.taxonomy import Taxonomy

AD = "Bake bread. Java, SQL"
PARTS = {
    "esco_skills": ["cfg", "taxonomy", "model", "names", "spanner", "calibration"],
    "esco_matcher": ["cfg", "taxonomy", "drop_names", "names"],
}
FILES = [(component, part) for component in PARTS for part in PARTS[component]]


def noise(length: int) -> bytes:
    return random.Random(length).randbytes(length)


DAMAGES = {
    "empty": lambda data: b"",
    "cut in half": lambda data: data[: len(data) // 2],
    "cut by a byte": lambda data: data[:-1],
    "noise": lambda data: noise(len(data)),
    "noise within": lambda data: data[:-20] + noise(9) + data[-11:],
    "something else": lambda data: b'{"a": "pipeline\'s meta.json"}',
}


@pytest.fixture(scope="module")
def nlp(make_nlp, tiny_encoder):
    nlp = make_nlp(top_k=3)
    ranker, matcher = nlp.get_pipe("esco_skills"), nlp.get_pipe("esco_matcher")
    ranker.spanner = SkillSpanner.from_base(tiny_encoder, 1)
    ranker.calibration = calibration()
    ranker.finder = matcher.finder
    matcher.drop_names = {"bread maker": [uri("bread")]}
    return nlp


@pytest.fixture(scope="module")
def original(nlp, tmp_path_factory):
    path = tmp_path_factory.mktemp("original") / "p"
    nlp.to_disk(path)
    return path


@pytest.fixture
def saved(original, tmp_path):
    return shutil.copytree(original, tmp_path / "p")


@pytest.fixture(scope="module")
def loaded(make_nlp):
    """To load components into, which is faster than making a pipeline each time."""
    return make_nlp()


def refused(loaded, saved, component, part, code):
    """The component is not loaded, and the message says all there is to say."""
    with pytest.raises((ValueError, OSError)) as error:
        loaded.get_pipe(component).from_disk(saved / component, exclude=["vocab"])
    message = str(error.value)
    assert re.match(rf"\[{code}\]", message), message
    assert component in message and str(saved / component / part) in message
    assert "Copy the whole pipeline again" in message
    return message


@pytest.mark.parametrize("component,part", FILES)
def test_damaged_files_are_named(loaded, saved, component, part):
    path = saved / component / part
    data = path.read_bytes()
    for damage in DAMAGES.values():
        path.write_bytes(damage(data))
        # What can still be read is given away by its digest.
        refused(loaded, saved, component, part, "S020" if part == "cfg" else "S02[02]")


@pytest.mark.parametrize(
    "component,setting,value",
    [
        ("esco_skills", "top_k", "many"),
        ("esco_skills", "top_k", "5"),
        ("esco_skills", "precision", [0.8]),
        ("esco_skills", "digests", {"model": 3}),
        ("esco_matcher", "inflection", "declension"),
    ],
)
def test_settings_of_another_kind_are_named(loaded, saved, component, setting, value):
    path = saved / component / "cfg"
    path.write_text(json.dumps({**json.loads(path.read_text()), setting: value}))
    message = refused(loaded, saved, component, "cfg", "S020")
    assert setting in message


@pytest.mark.parametrize("component,part", FILES)
def test_missing_files_are_named(loaded, saved, component, part):
    (saved / component / part).unlink()
    refused(loaded, saved, component, part, "S021")


@pytest.mark.parametrize("component", PARTS)
def test_swapped_files_are_named(loaded, saved, component):
    for part in PARTS[component]:
        for other in PARTS[component]:
            if part != other:
                shutil.copy(saved / component / part, saved / "kept")
                shutil.copy(saved / component / other, saved / component / part)
                refused(loaded, saved, component, part, "S02[02]")
                shutil.copy(saved / "kept", saved / component / part)
    other = "esco_skills" if component == "esco_matcher" else "esco_matcher"
    shutil.copy(saved / other / "cfg", saved / component / "cfg")
    refused(loaded, saved, component, "cfg", "S020")


@pytest.mark.parametrize("component,part", [FILES[0], FILES[2], FILES[-1]])
def test_spacy_load_says_the_same(saved, component, part):
    path = saved / component / part
    path.write_bytes(path.read_bytes()[:10])
    with pytest.raises(ValueError, match=f"(?s)^.S020.*{component}.*{path}.*Copy"):
        spacy.load(saved)


def test_damaged_bytes_are_named(nlp, loaded):
    ranker, other = nlp.get_pipe("esco_skills"), loaded.get_pipe("esco_skills")
    data = ranker.to_bytes(exclude=["vocab"])
    for damaged in (b"", data[: len(data) // 2], noise(100)):
        with pytest.raises(ValueError, match="^.S020.*esco_skills.*the bytes"):
            other.from_bytes(damaged)
    parts = srsly.msgpack_loads(data)
    for part in PARTS["esco_skills"]:
        damaged = srsly.msgpack_dumps({**parts, part: parts[part][:10]})
        with pytest.raises(ValueError, match=f"^.S020.*esco_skills.*the part '{part}'"):
            other.from_bytes(damaged)
        rest = srsly.msgpack_dumps({k: v for k, v in parts.items() if k != part})
        if part != "cfg":
            with pytest.raises(FileNotFoundError, match=f"S021.*the part '{part}'"):
                other.from_bytes(rest)


def test_as_many_other_skills_are_noticed(loaded, saved, taxonomy):
    for component, parts in PARTS.items():
        path = saved / component / "taxonomy"
        turned = Taxonomy(taxonomy.skills[::-1], taxonomy.groups.values())
        turned.to_disk(path)
        assert parts and path.stat().st_size
        refused(loaded, saved, component, "taxonomy", "S022")


def test_a_model_of_another_training_is_noticed(loaded, saved, make_nlp):
    other = make_nlp(labels={uri("java"): 99}).get_pipe("esco_skills")
    other.model.to_disk(saved / "esco_skills" / "model")
    refused(loaded, saved, "esco_skills", "model", "S022")


def test_pipelines_without_digests_are_loaded(nlp, saved):
    """Those of before there were any."""
    for component in PARTS:
        cfg = srsly.read_json(saved / component / "cfg")
        assert cfg.pop("digests")
        srsly.write_json(saved / component / "cfg", cfg)
    for part in ("spanner", "calibration"):
        (saved / "esco_skills" / part).unlink()
    again = spacy.load(saved)
    assert again.get_pipe("esco_skills").spanner is None
    assert again.get_pipe("esco_skills").calibration is None
    assert len(again(AD).spans["esco_skills"]) > 0


@pytest.mark.parametrize(
    "where,value",
    [
        ("projection", numpy.nan),
        ("names", numpy.inf),
        ("transformer", -numpy.inf),
        ("spanner", numpy.nan),
    ],
)
def test_weights_that_are_no_numbers_are_refused(
    loaded, make_nlp, tiny_encoder, tmp_path, where, value
):
    ranker = make_nlp().get_pipe("esco_skills")
    encoder, projection, classifiers = ranker.model.layers
    if where == "projection":
        projection.get_param("W")[3, 2] = value
    elif where == "names":
        classifiers.get_param("names")[3, 2] = value
    elif where == "transformer":
        with torch.no_grad():
            next(encoder.layers[0].transformer.parameters())[0, 0] = value
    else:
        ranker.spanner = SkillSpanner.from_base(tiny_encoder, 1)
        with torch.no_grad():
            ranker.spanner.head.bias[1] = value
    ranker.to_disk(tmp_path / "p" / "esco_skills", exclude=["vocab"])
    if where == "spanner":
        refused(loaded, tmp_path / "p", "esco_skills", "spanner", "S020")
        with pytest.raises(ValueError, match="S801.*NaN or infinite"):
            SkillSpanner.from_bytes(ranker.spanner.to_bytes())
        return
    message = "S023.*model of the component 'esco_skills'.*NaN.*lower learning rate"
    with pytest.raises(ValueError, match=message):
        loaded.get_pipe("esco_skills").from_disk(
            tmp_path / "p" / "esco_skills", exclude=["vocab"]
        )
    with pytest.raises(ValueError, match="S023"):
        loaded.get_pipe("esco_skills").from_bytes(ranker.to_bytes())


@contextmanager
def full_disk(limit: int):
    """No file may grow beyond so many bytes, as if the disk were full."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.mark.parametrize("limit", [100, 20_000])
def test_a_full_disk_leaves_what_was_there(nlp, make_nlp, saved, limit):
    expected = found(nlp(AD))
    before = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    new = make_nlp(top_k=1, labels={uri("java"): 99})
    for component in PARTS:
        folder = saved / component
        if sum(path.stat().st_size > limit for path in folder.iterdir()):
            with full_disk(limit), pytest.raises(OSError, match="File too large"):
                new.get_pipe(component).to_disk(folder, exclude=["vocab"])
    after = {path: path.read_bytes() for path in saved.rglob("*") if path.is_file()}
    assert after == before
    assert found(spacy.load(saved)(AD)) == expected


def test_another_error_in_saving_leaves_what_was_there(nlp, make_nlp, saved):
    new = make_nlp().get_pipe("esco_skills")
    new.cfg["top_k"] = object()
    with pytest.raises(TypeError):
        new.to_disk(saved / "esco_skills", exclude=["vocab"])
    assert json.loads((saved / "esco_skills" / "cfg").read_bytes())["top_k"] == 3
    assert found(spacy.load(saved)(AD)) == found(nlp(AD))


def weights_of(model, layer):
    names = [node["name"] for node in model["nodes"]]
    return model["params"][names.index(layer)]


def text_for_weights(model):
    weights_of(model, "skill_classifiers")["prior"] = "damaged"


def weights_of_another_name(model):
    weights_of(model, "shared_projection")["V"] = numpy.full(3, numpy.nan)


def dimension_that_is_no_number(model):
    node = next(n for n in model["nodes"] if n["name"] == "skill_classifiers")
    node["dims"]["nI"] = [32]


DAMAGED_MODELS = [
    text_for_weights,
    weights_of_another_name,
    dimension_that_is_no_number,
]


@pytest.mark.parametrize("damage", DAMAGED_MODELS)
def test_a_component_that_refused_a_model_loads_a_good_one(nlp, damage):
    ranker = nlp.get_pipe("esco_skills")
    good = srsly.msgpack_loads(ranker.to_bytes())
    good.pop("cfg")
    model = srsly.msgpack_loads(good["model"])
    damage(model)
    fresh = pickle.loads(pickle.dumps(nlp))
    component = fresh.get_pipe("esco_skills")
    with pytest.raises(ValueError, match="S0"):
        component.from_parts(good | {"model": srsly.msgpack_dumps(model)})
    component.from_parts(good)
    assert found(fresh(AD)) == found(nlp(AD))
