"""Model data that nobody vouches for: it runs no code, reaches for nothing, and has bounds."""

import gc
import io
import json
import os
import pickle
import subprocess
import sys
import textwrap
import tracemalloc
import zipfile
import zlib
from contextlib import suppress
from pathlib import Path

import numpy
import pytest
import srsly
import torch
from spacy.tokens import DocBin
from spacy.vocab import Vocab

from spacy_skills.compact import FORMAT, pack, unpack
from spacy_skills.compressed import MAX_DATA, MAX_WEIGHTS, inflate, loads, read_bytes
from spacy_skills.encoder import build_transformer_encoder
from spacy_skills.finder import NameFinder
from spacy_skills.fine_tuning import TextModel, fine_tune
from spacy_skills.neighbours import NeighbourTable
from spacy_skills.shards import read_shard
from spacy_skills.spanner import SkillSpanner, read_spanner
from spacy_skills.taxonomy import Taxonomy


class Evil:
    """Pickled, it makes a file when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


CODE = """
from pathlib import Path
from transformers import BertConfig, BertModel, BertTokenizerFast
Path({path!r}).touch()
class Config(BertConfig): model_type = "evil"
class Model(BertModel): config_class = Config
class Tokenizer(BertTokenizerFast): pass
"""
AUTO_MAP = {"AutoConfig": "evil.Config", "AutoModel": "evil.Model"}


@pytest.fixture
def trap(tmp_path):
    """A file that code in model data would make."""
    path = tmp_path / "trapped"
    yield path
    assert not path.exists()


@pytest.fixture(scope="module")
def spanner(tiny_encoder):
    return SkillSpanner.from_base(tiny_encoder, 1).to_dict()


@pytest.fixture
def ranker(make_nlp):
    return make_nlp().get_pipe("esco_skills")


def bomb(size):
    engine = zlib.compressobj(1)
    parts = [engine.compress(bytes(2**24)) for _ in range(size // 2**24 + 1)]
    return b"".join([*parts, engine.flush()])


def test_bombs_are_refused_before_they_go_off(tmp_path, ranker):
    data = bomb(MAX_DATA)
    assert len(data) < MAX_DATA / 100
    with pytest.raises(ValueError, match="S104"):
        Taxonomy.from_bytes(data)
    with pytest.raises(ValueError, match="S205.*more than"):
        NameFinder.from_bytes(data)
    (tmp_path / "a.spacy").write_bytes(data)
    with pytest.raises(ValueError, match=r"S323.*a\.spacy.*more than"):
        read_shard(tmp_path / "a.spacy", Vocab())


def test_reading_takes_the_memory_of_what_is_there(tmp_path):
    (tmp_path / "file").write_bytes(bytes(1000))
    tracemalloc.start()
    try:
        assert read_bytes(tmp_path / "file", 2**40) == bytes(1000)
        assert tracemalloc.get_traced_memory()[1] < 2**23
    finally:
        tracemalloc.stop()
    with pytest.raises(ValueError, match="more than"):
        read_bytes(tmp_path / "file", 999)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with a name")
def test_a_pipe_is_read_to_its_end_or_the_limit(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    content = bytes(range(256)) * 2**13
    for limit in (len(content), len(content) - 1):
        child = os.fork()
        if not child:
            with suppress(BrokenPipeError):
                (tmp_path / "pipe").write_bytes(content)
            os._exit(0)
        if limit == len(content):
            assert read_bytes(tmp_path / "pipe", limit) == content
        else:
            with pytest.raises(ValueError, match="more than"):
                read_bytes(tmp_path / "pipe", limit)
        os.waitpid(child, 0)


def test_a_table_of_neighbours_has_a_limit(tmp_path, monkeypatch):
    monkeypatch.setattr("spacy_skills.neighbours.MAX_WEIGHTS", 2**20)
    numpy.savez_compressed(tmp_path / "t.npz", rows=numpy.zeros(2**20, dtype="int32"))
    with pytest.raises(ValueError, match=r"S501.*t\.npz.*more than"):
        NeighbourTable.from_disk(tmp_path / "t.npz")


@pytest.mark.parametrize("part", ["cfg", "taxonomy", "model"])
def test_parts_have_a_limit(ranker, tmp_path, part):
    ranker.to_disk(tmp_path, exclude=["vocab"])
    with (tmp_path / part).open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(ValueError, match=f"S020.*{part}.*(?s:.)*more than"):
        ranker.from_disk(tmp_path, exclude=["vocab"])
    with pytest.raises(ValueError, match="S020.*the bytes"):
        ranker.from_bytes(b"\xdd\xff\xff\xff\xff")


def test_a_ranker_has_a_limit_too(monkeypatch):
    monkeypatch.setattr("spacy_skills.compact.MAX_WEIGHTS", 2**26)
    packed = srsly.msgpack_dumps({"format": FORMAT, "content": bomb(2**26)})
    with pytest.raises(ValueError, match=r"S010.*small\.ranker.*more than"):
        unpack(packed, source="small.ranker")


def test_an_array_that_is_used_many_times_is_counted_each_time(ranker, monkeypatch):
    finder = ranker.finder or NameFinder("none", "en")
    content = loads(inflate(loads(pack(ranker, finder))["content"], MAX_WEIGHTS))
    content["stored"]["big"] = numpy.zeros(2**20, dtype="float32")
    (shim,) = (shim for node in content["model"]["shims"] for shim in node)
    shim["state"].update({f"w{i}": "big" for i in range(2000)})
    packed = zlib.compress(srsly.msgpack_dumps(content), 1)
    with pytest.raises(ValueError, match="S010.*bytes of weights"):
        unpack(srsly.msgpack_dumps({"format": FORMAT, "content": packed}))


@pytest.mark.parametrize(
    "dtype,shape",
    [("O", [1]), ("|O", [1]), ("f4", [2**62, 8]), ("?!", [1]), ({}, [1])],
)
def test_arrays_are_of_numbers_and_fit(dtype, shape):
    array = {b"nd": True, b"type": dtype, b"kind": b"", b"shape": shape}
    data = srsly.msgpack_dumps({**array, b"data": bytes(8)})
    with pytest.raises(ValueError):
        loads(data)
    structured = {**array, b"type": [["a", "O"]], b"kind": b"V", b"data": bytes(8)}
    with pytest.raises(ValueError):
        loads(srsly.msgpack_dumps(structured))


@pytest.mark.parametrize(
    "data",
    [b"", b"\xdd\xff\xff\xff\xff", b"\xdf\x7f\xff\xff\xff", b"\x91" * 5000, b"\x81\x90\1"],
)  # fmt: skip
def test_damaged_msgpack_is_an_error_and_garbage_is_still_collected(data):
    with pytest.raises(ValueError):
        loads(data)
    assert gc.isenabled()


def test_shards_with_spans_beyond_the_text(tmp_path, make_nlp):
    doc = make_nlp()("You bake bread")
    shard = DocBin(attrs=["ORTH"], docs=[doc])
    msg = srsly.msgpack_loads(zlib.decompress(shard.to_bytes()))
    msg["lengths"] = numpy.array([1, 2], dtype="int32").tobytes()
    for key in ("cats", "span_groups", "flags"):
        msg[key] *= 2
    path = tmp_path / "a.spacy"
    path.write_bytes(zlib.compress(srsly.msgpack_dumps(msg)))
    with pytest.raises(ValueError, match=r"S323.*a\.spacy"):
        read_shard(path, Vocab())


@pytest.mark.parametrize("model_type", ["bert", "evil"])
def test_a_config_that_names_code_is_refused(spanner, trap, model_type):
    files = {**spanner["tokenizer"], "evil.py": CODE.format(path=str(trap)).encode()}
    config = {**spanner["config"], "auto_map": AUTO_MAP, "model_type": model_type}
    with pytest.raises(ValueError, match="S801.*code of its own"):
        SkillSpanner.from_dict({**spanner, "tokenizer": files, "config": config})


def test_a_tokenizer_that_names_code_does_not_run_it(spanner, trap):
    settings = json.loads(spanner["tokenizer"]["tokenizer_config.json"])
    settings["auto_map"] = {"AutoTokenizer": [None, "evil.Tokenizer"]}
    settings["tokenizer_class"] = "EvilTokenizer"
    files = {
        **spanner["tokenizer"],
        "tokenizer_config.json": json.dumps(settings).encode(),
        "evil.py": CODE.format(path=str(trap)).encode(),
    }
    try:
        SkillSpanner.from_dict({**spanner, "tokenizer": files})
    except ValueError as err:
        assert "S801" in str(err)


def test_files_of_a_tokenizer_stay_in_their_folder(spanner, trap):
    for name in (str(trap), f"../../../..{trap}", "..", ""):
        files = {**spanner["tokenizer"], name: b"x"}
        with pytest.raises(ValueError, match="S801"):
            SkillSpanner.from_dict({**spanner, "tokenizer": files})


@pytest.mark.parametrize(
    "name,value",
    [
        ("vocab_size", 10**12),
        ("hidden_size", 2**40),
        ("num_hidden_layers", 10**9),
        ("num_labels", 10**9),
        ("max_position_embeddings", 2**62),
        ("hidden_size", -1),
        ("hidden_size", 17),
        ("model_type", "none"),
    ],
)
def test_sizes_that_the_weights_do_not_have(spanner, tmp_path, name, value):
    config = {**spanner["config"], name: value}
    path = tmp_path / "spanner"
    path.write_bytes(srsly.msgpack_dumps({**spanner, "config": config}))
    with pytest.raises(ValueError, match="spanner.*S801"):
        read_spanner(path)


def changed_shim(ranker, change):
    """The saved model with a change to its transformer."""
    msg = srsly.msgpack_loads(ranker.model.to_bytes())
    for node in msg["shims"]:
        for i, data in enumerate(node):
            shim = srsly.msgpack_loads(data)
            change(shim)
            node[i] = srsly.msgpack_dumps(shim)
    return srsly.msgpack_dumps(msg)


def test_a_saved_encoder_does_not_ask_for_its_own_code_to_be_run(ranker, trap):
    def ask(shim):
        settings = json.loads(shim["tokenizer"]["tokenizer_config.json"])
        settings["auto_map"] = {"AutoTokenizer": [None, "evil.Tokenizer"]}
        settings["tokenizer_class"] = "EvilTokenizer"
        shim["tokenizer"] |= {
            "tokenizer_config.json": json.dumps(settings).encode(),
            "evil.py": CODE.format(path=str(trap)).encode(),
            "kwargs": {"trust_remote_code": True, "use_fast": True},
        }

    try:
        ranker.from_parts({"model": changed_shim(ranker, ask)})
    except ValueError as err:
        assert "S007" in str(err)


def test_a_saved_encoder_writes_no_file_elsewhere(ranker, trap):
    data = changed_shim(ranker, lambda s: s["tokenizer"].update({str(trap): b"x"}))
    with pytest.raises(ValueError, match="S007.*name"):
        ranker.from_parts({"model": data})


@pytest.mark.parametrize("save", [pickle.dumps, torch.save])
def test_pickled_objects_among_weights_are_refused(ranker, trap, save):
    file = io.BytesIO()
    save({"x": Evil(trap)}, file) if save is torch.save else file.write(
        save(Evil(trap))
    )
    data = changed_shim(ranker, lambda shim: shim.update(state=file.getvalue()))
    with pytest.raises(ValueError, match="S007"):
        ranker.from_parts({"model": data})


def test_a_checkpoint_runs_no_code_and_its_damage_is_named(
    tiny_encoder, tmp_path, trap
):
    path = tmp_path / "checkpoint.pt"
    model = TextModel.from_pretrained(tiny_encoder, "cpu")
    pickled, compressed, damaged = io.BytesIO(), io.BytesIO(), io.BytesIO()
    torch.save({"digest": Evil(trap)}, pickled)
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(2**24))
    torch.save({"digest": "x" * 1000}, damaged)
    contents = [pickled, compressed, damaged, io.BytesIO(pickle.dumps(Evil(trap)))]
    for content in contents:
        data = content.getvalue()
        for part in (data, data[: len(data) // 2], b""):
            if part == damaged.getvalue():
                continue
            path.write_bytes(part)
            with pytest.raises(ValueError, match="S711.*checkpoint"):
                fine_tune(
                    model,
                    lambda step: model(["bread"]).sum(),
                    1,
                    tmp_path,
                    list,
                    learn_rate=1e-3,
                    share=0.5,
                    seed=0,
                    settings=(),
                )


def test_an_encoder_with_a_weight_missing_is_refused(ranker):
    """Memory that nothing was written to would be taken for the weight."""

    def remove(shim):
        state = torch.load(io.BytesIO(shim["state"]), weights_only=True)
        del state["encoder.layer.0.output.dense.bias"]
        file = io.BytesIO()
        torch.save(state, file)
        shim["state"] = file.getvalue()

    with pytest.raises(ValueError, match=r"(?s)S007.*output\.dense\.bias"):
        ranker.from_parts({"model": changed_shim(ranker, remove)})


def test_an_encoder_whose_config_wants_code(tiny_encoder):
    for name in ("tokenizer_config", "transformer_config"):
        with pytest.raises(ValueError, match="S013"):
            build_transformer_encoder(
                tiny_encoder, **{name: {"trust_remote_code": True}}
            )


def test_nothing_needs_the_network_once_it_is_saved(make_nlp, tiny_encoder, tmp_path):
    """In a process in which every connection is an error, with no setting that says offline."""
    program = """
        import os
        import socket

        for name in ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE"):
            os.environ.pop(name, None)
        asked = []


        def refuse(*args, **kwargs):
            asked.append(args)
            raise OSError("no network")


        class NoNetwork(socket.socket):
            # One is made, though never connected, to see whether there is IPv6.
            connect = connect_ex = sendto = sendmsg = refuse


        socket.socket = NoNetwork
        socket.create_connection = socket.getaddrinfo = refuse

        import spacy

        nlp = spacy.blank("en")
        nlp.add_pipe("esco_skills")
        doc = nlp("You keep PostgreSQL fast.")
        assert [span.label_ for span in doc.spans["esco_skills"]] == ["PostgreSQL"]
        saved = spacy.load("pipeline")
        assert saved("Bake bread.")._.skills
        assert not asked, asked
    """
    # Where its encoder was once downloaded from is no reason to go there again.
    make_nlp().to_disk(tmp_path / "pipeline")
    config = tmp_path / "pipeline" / "config.cfg"
    text = config.read_text(encoding="utf8")
    assert tiny_encoder in text
    config.write_text(text.replace(tiny_encoder, "bert-base-uncased"), encoding="utf8")
    # A home without caches of the hub.
    environment = {"HOME": str(tmp_path), "PATH": "", "OMP_NUM_THREADS": "1"}
    source = str(Path(sys.modules["spacy_skills"].__file__).parents[1])
    subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)],
        check=True,
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": source},
        timeout=120,
    )
