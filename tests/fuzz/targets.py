"""The readers, each with small valid files of its format."""

import gzip
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import srsly
from conftest import make_pipeline, make_taxonomy, make_tiny_encoder, uri
from fuzz import mutations, resumed
from fuzz.mutations import mutate_bytes
from spacy.tokens import DocBin, Span
from spacy.vocab import Vocab

from spacy_skills.ads import raise_error, read_ads
from spacy_skills.benchmark import read_benchmark
from spacy_skills.calibration import N_CONTEXT, N_RIGHT, Calibration, Point
from spacy_skills.compact import pack, unpack
from spacy_skills.esco import load_taxonomy
from spacy_skills.extraction import read_records
from spacy_skills.finder import NameFinder
from spacy_skills.judged import read_judged
from spacy_skills.markup import plain_text
from spacy_skills.matcher import read_dropped_names
from spacy_skills.shards import read_shard
from spacy_skills.span_training import read_marked
from spacy_skills.spanner import SkillSpanner
from spacy_skills.taxonomy import Taxonomy
from spacy_skills.texts import read_skill_texts

Mutate = Callable[[Random, bytes, list[bytes]], bytes]


def _same(data: bytes) -> bytes:
    return data


@dataclass
class Target:
    """read: called with a file's content and a number, which chooses between settings. mutate: what
    is done to the content, as often as bytes are changed, once it is unpacked."""

    read: Callable[[bytes, int], object]
    seeds: list[bytes]
    mutate: Mutate = mutate_bytes
    unpack: Callable[[bytes], bytes] = _same
    pack: Callable[[bytes], bytes] = _same

    def damaged(self, rng: Random) -> bytes:
        seed = rng.choice(self.seeds)
        if rng.random() < 0.2:
            return mutate_bytes(rng, seed, self.seeds)
        contents = [self.unpack(other) for other in self.seeds]
        mutate = rng.choice((self.mutate, mutate_bytes))
        return self.pack(mutate(rng, self.unpack(seed), contents))


JSON = mutations.mutate_json_lines
MSGPACK = mutations.mutate_msgpack
ZLIB: dict[str, Any] = {
    "unpack": zlib.decompress,
    "pack": lambda content: zlib.compress(content, 1),
}
GZIP: dict[str, Any] = {
    "unpack": gzip.decompress,
    "pack": lambda content: gzip.compress(content, 1),
}

AD = "Baker wanted\n\n• You bake bread – at night.\n• You know SQL & Java\n"
HTML = "<html><head><title>x</title></head><body><p>You <b>bake</b> bread &amp; rolls<ul><li>at night</ul><pre> a\n b</pre><!-- no -->"
MARKDOWN = "# Baker\n\nYou *bake* [bread](http://example.org).\n\n- at night\n- > by `hand`\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
ADS = {
    "txt": [AD],
    "html": [HTML],
    "md": [MARKDOWN],
    "jsonl": ['{"text": "You bake bread.", "id": 1}\n\n{"text": "caf\u00e9", "tags": []}\n'],
    "csv": ['id,text\r\n1,"You ""bake"",\r\nat night"\r\n2,Plumber\r\n'],
    "tsv": ['text\tid\n"You\tbake"\t1\nPlumber\t2\n'],
}  # fmt: skip
JUDGED = [
    {"skills": [uri("bread"), uri("sql"), uri("java")]},
    {"sentence": "You bake bread", "start": 4, "end": 14, "chosen": [0], "rejected": [2, 1]},
    {"digest": "0123456789abcdef", "chosen": [], "rejected": [1], "asks": False},
]  # fmt: skip
MARKED = [
    {"tokens": ["bake", "bread"], "tags_skill": ["B", "I"], "tags_knowledge": ["O", "O"]},
    {"tokens": ["SQL"], "tags_skill": ["O"], "tags_knowledge": ["B-x"], "ad": 3},
]  # fmt: skip
RECORDS = [
    {"source": "a.txt:1", "text": "You bake bread", "skills": [{"uri": uri("bread"), "name": "bake bread", "score": 0.9, "type": "skill", "reuse_level": "", "groups": [{"level": 0, "uri": "u/g", "name": "g", "code": "S1"}], "evidence": [{"start": 4, "end": 14, "text": "bake bread", "score": 0.9, "evidence": "name"}], "instead_of": []}]},
    {"source": "b.txt:1", "text": "", "skills": []},
]  # fmt: skip
DROPPED = [{"name": "Go", "uri": uri("sql"), "reason": "word"}]
BENCHMARKS = [
    "sentence,label,note\n\"Know\nSQL\",SQL,\nBake bread,bake bread,x\nNo,UNK,\n",
    "sentence,skills\nBake,\"['bake bread', 'SQL']\"\nNo,[]\n",
]  # fmt: skip
TEXTS = f"uri\tskill\ttext\n{uri('bread')}\tbake bread\tknead and prove dough\n"
ESCO = {
    "skills_en.csv": "conceptUri,skillType,reuseLevel,preferredLabel,altLabels,status,description\n"
    'u/bread,skill,,bake bread,"make bread\nbake loaves",released,"Flour, water"\n'
    "u/sql,knowledge,,SQL,,released,\n",
    "skillGroups_en.csv": "conceptUri,preferredLabel,code,status\nu/g,baking,S1,released\nu/top,all,S,released\n",
    "broaderRelationsSkillPillar.csv": "conceptUri,broaderUri\nu/bread,u/g\nu/sql,u/top\nu/g,u/top\n",
}


def make_targets(folder: Path) -> dict[str, Target]:
    """All readers by name; their files are written into the folder."""
    targets = {}
    for suffix, texts in ADS.items():
        seeds = [text.encode() for text in texts]
        mutate = JSON if suffix == "jsonl" else mutate_bytes
        read = _ads_reader(folder / f"ad.{suffix}")
        targets[f"ads .{suffix}"] = Target(read, seeds, mutate)
        packed = [gzip.compress(seed) for seed in seeds]
        read = _ads_reader(folder / f"ad.{suffix}.gz")
        targets[f"ads .{suffix}.gz"] = Target(read, packed, mutate, **GZIP)
    targets["markup"] = Target(_read_markup, [HTML.encode(), MARKDOWN.encode()])
    targets |= _tables(folder)
    targets |= _json_lines(folder)
    targets |= _models(folder)
    targets |= _resumed(folder)
    return targets


def _ads_reader(path: Path) -> Callable[[bytes, int], object]:
    def read(data: bytes, number: int) -> object:
        path.write_bytes(data)
        errors: list[ValueError] = []
        # Each with a name and a number, raising and collecting errors.
        field = "text" if number % 3 else "0"
        collect = number % 2
        on_error = errors.append if collect else raise_error
        ads = list(read_ads(path, text_field=field, on_error=on_error))
        # What is collected is an error like any other.
        for error in errors:
            raise error
        return ads

    return read


def _file_reader(path: Path, read: Callable[[Path], object]) -> Callable[..., object]:
    def read_data(data: bytes, number: int) -> object:
        path.write_bytes(data)
        return read(path)

    return read_data


def _read_markup(data: bytes, number: int) -> object:
    text = data.decode("utf8", "surrogateescape" if number % 2 else "replace")
    return plain_text(text, ("auto", "html", "markdown")[number % 3])  # type: ignore[arg-type]


def _tables(folder: Path) -> dict[str, Target]:
    taxonomy = make_taxonomy()
    esco = folder / "esco"
    esco.mkdir()
    for name, content in ESCO.items():
        (esco / name).write_text(content, encoding="utf8")

    def read_esco(data: bytes, number: int) -> object:
        name = list(ESCO)[number % len(ESCO)]
        (esco / name).write_bytes(data)
        try:
            return load_taxonomy(esco)
        finally:
            (esco / name).write_text(ESCO[name], encoding="utf8")

    benchmarks = [text.encode() for text in BENCHMARKS]
    texts = [TEXTS.encode()]
    packed = [gzip.compress(text) for text in texts]
    return {
        "esco": Target(read_esco, [content.encode() for content in ESCO.values()]),
        "benchmark": Target(
            _file_reader(folder / "b.csv", lambda p: read_benchmark(p, taxonomy)),
            benchmarks,
        ),
        "skill texts": Target(_file_reader(folder / "t.tsv", read_skill_texts), texts),
        "skill texts .gz": Target(
            _file_reader(folder / "t.tsv.gz", read_skill_texts), packed, **GZIP
        ),
    }


def _json_lines(folder: Path) -> dict[str, Target]:
    found = {}
    for name, rows, read in (
        ("judged", JUDGED, lambda path: read_judged(path, ["You bake"])),
        ("marked", MARKED, read_marked),
        ("records", RECORDS, lambda path: list(read_records(path))),
        ("dropped names", DROPPED, read_dropped_names),
    ):
        seed = "".join(f"{srsly.json_dumps(row)}\n" for row in rows).encode()
        reader = _file_reader(folder / f"{name}.jsonl", read)
        found[name] = Target(reader, [seed], JSON)
    return found


def _models(folder: Path) -> dict[str, Target]:
    taxonomy = make_taxonomy()
    (folder / "encoder").mkdir()
    encoder = make_tiny_encoder(folder / "encoder")
    # The lemma tables take a while to load.
    nlp = make_pipeline(taxonomy, encoder)
    nlp.remove_pipe("esco_matcher")
    matcher = nlp.add_pipe("esco_matcher", first=True, config={"inflection": "stem"})
    matcher.initialize(lambda: [], nlp=nlp, taxonomy=taxonomy)
    ranker = nlp.get_pipe("esco_skills")
    ranker.spanner = SkillSpanner.from_base(encoder, 1)
    ranker.calibration = Calibration(
        [0.1] * 20, [0.1] * (N_CONTEXT + 1), [0.1] * (N_RIGHT + 1), [Point(0.5, 0.6)]
    )
    finder = matcher.finder
    shard = DocBin(attrs=["ORTH"], store_user_data=True)
    for text in ("You bake bread at night", "You know SQL", ""):
        doc = nlp.make_doc(text)
        spans = (
            [Span(doc, 0, 2, label="bake bread", kb_id=uri("bread"))] if text else []
        )
        doc.spans["esco_skills"] = spans
        shard.add(doc)
    fresh = make_pipeline(taxonomy, encoder).get_pipe("esco_skills")
    readers: dict[str, tuple[Callable[[bytes], object], bytes, dict[str, Any]]] = {
        "taxonomy": (Taxonomy.from_bytes, taxonomy.to_bytes(), ZLIB),
        "names": (NameFinder.from_bytes, finder.to_bytes(), ZLIB),
        "calibration": (Calibration.from_bytes, ranker.calibration.to_bytes(), {}),
        "spanner": (SkillSpanner.from_bytes, ranker.spanner.to_bytes(), {}),
        "model": (
            lambda data: fresh.from_parts({"model": data}),
            ranker.model.to_bytes(),
            {},
        ),
        "ranker": (lambda data: fresh.from_parts(unpack(data)), pack(ranker, finder), {}),
        "saved ranker": (fresh.from_bytes, ranker.to_bytes(exclude=["vocab"]), {}),
        "saved matcher": (matcher.from_bytes, matcher.to_bytes(exclude=["vocab"]), {}),
    }  # fmt: skip
    found = {
        name: Target(_without_number(read), [seed], MSGPACK, **packing)
        for name, (read, seed, packing) in readers.items()
    }
    found["shard"] = Target(
        _file_reader(folder / "s.spacy", _use_shard), [shard.to_bytes()], MSGPACK, **ZLIB
    )  # fmt: skip
    return found


def _resumed(folder: Path) -> dict[str, Target]:
    taxonomy = make_taxonomy()
    neighbours = resumed.neighbours(folder, taxonomy)
    readers = {
        "journal": (*resumed.journal(folder, RECORDS), JSON),
        "comparison": (*resumed.results(folder), JSON),
        "label counts": (*resumed.counts(folder), JSON),
        "corpus progress": (*resumed.progress(folder, taxonomy), JSON),
        "neighbours": (*neighbours, resumed.mutate_npz),
        "vectors": (*resumed.vectors(folder), mutate_bytes),
        "checkpoint": (*resumed.checkpoint(folder, str(folder / "encoder")), mutate_bytes),
    }  # fmt: skip
    return {
        name: Target(read, [seed], mutate)
        for name, (read, seed, mutate) in readers.items()
    }


def _without_number(read: Callable[[bytes], object]) -> Callable[[bytes, int], object]:
    return lambda data, number: read(data)


def _use_shard(path: Path) -> None:
    for doc in read_shard(path, Vocab()):
        for group in doc.spans.values():
            for span in group:
                _ = span.text, span.label_, span.kb_id_
