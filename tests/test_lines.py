"""Text files that are too much: what is read of them, and what is said."""

import gzip
import io
import json
import tracemalloc

import pytest

from spacy_skills.ads import read_ads
from spacy_skills.benchmark import read_benchmark
from spacy_skills.compare.results import Results
from spacy_skills.esco import load_taxonomy
from spacy_skills.extraction import Journal, read_records
from spacy_skills.judged import read_judged
from spacy_skills.lines import MAX_AD, MAX_LINE, Lines, read_json, whole_lines
from spacy_skills.matcher import read_dropped_names
from spacy_skills.span_training import read_marked
from spacy_skills.texts import read_skill_texts

# Of what is held of a line: bytes, text, and what the reader below has buffered.
MOST_MEMORY = 6 * MAX_LINE


@pytest.fixture
def little_memory():
    tracemalloc.start()
    yield
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < MOST_MEMORY


def write_bomb(path, size, begin=b"", end=b"", piece=b"x" * 2**20):
    """Many times the size that is left on disk."""
    with gzip.open(path, "wb", compresslevel=1) as file:
        file.write(begin)
        for _ in range(size // len(piece)):
            file.write(piece)
        file.write(end)


def test_a_line_without_end_is_passed_over_without_holding_it(tmp_path, little_memory):
    path = tmp_path / "ads.jsonl.gz"
    write_bomb(path, 12 * MAX_LINE, b'{"text": "one"}\n', b'\n{"text": "two"}\n')
    assert path.stat().st_size < MAX_LINE / 10
    errors = []
    ads = list(read_ads(path, on_error=errors.append))
    assert [ad.text for ad in ads] == ["one", "two"]
    assert ads[1].source.endswith(":3")
    (error,) = errors
    assert "S317" in str(error) and "ads.jsonl.gz', line 2" in str(error)
    with pytest.raises(ValueError, match="S317"):
        list(read_ads(path))


def test_the_longest_line_is_read(tmp_path):
    path = tmp_path / "ads.jsonl"
    text = "x" * (MAX_LINE - 13)
    path.write_text(f'{{"text": "{text}"}}\n{{"text": "{text}y"}}\n')
    errors = []
    assert [ad.text for ad in read_ads(path, on_error=errors.append)] == [text]
    assert len(errors) == 1


def test_a_field_whose_quotes_are_never_closed(tmp_path, little_memory):
    path = tmp_path / "ads.csv"
    with path.open("w") as file:
        file.write('text\nfine\n"')
        for _ in range(4 * MAX_LINE // 2**18):
            file.write("x" * (2**18 - 1) + "\n")
    with pytest.raises(ValueError, match="S318.*ads.csv', line 3.*quotes"):
        list(read_ads(path))


@pytest.mark.parametrize("name", ["ad.txt", "ad.html.gz", "ad.md"])
def test_an_ad_as_large_as_a_film(tmp_path, little_memory, name):
    path = tmp_path / name
    if name.endswith(".gz"):
        write_bomb(path, 4 * MAX_AD)
    else:
        with path.open("wb") as file:
            file.truncate(4 * MAX_AD)
    with pytest.raises(ValueError, match=f"S319.*{name}"):
        list(read_ads(path))


def test_a_million_columns(tmp_path):
    path = tmp_path / "ads.csv"
    names, cells = ",".join(f"c{i}" for i in range(10**6)), "," * 10**6
    path.write_text(f"{names},text\n{cells}You bake.\n{cells}\n")
    assert [ad.text for ad in read_ads(path)] == ["You bake."]
    with pytest.raises(ValueError, match=r"S308.*c19\.") as error:
        list(read_ads(path, text_field="body"))
    assert len(str(error.value)) < 1000


@pytest.mark.parametrize("deep", ["[" * 10**5, '{"text":' * 10**5])
@pytest.mark.parametrize(
    "read,code",
    [
        (lambda path: list(read_ads(path)), "S306"),
        (read_judged, "S707"),
        (read_marked, "S803"),
        (lambda path: list(read_records(path)), "S906"),
        (read_dropped_names, "S202"),
    ],
)
def test_deep_json(tmp_path, deep, read, code):
    path = tmp_path / "deep.jsonl"
    path.write_text(deep)
    with pytest.raises(ValueError, match=f"{code}.*deep.jsonl.*line 1"):
        read(path)


@pytest.mark.parametrize(
    "read,head,row",
    [
        (read_judged, '{"skills": []}', ""),
        (read_skill_texts, "uri\tskill\ttext", "a\tb\t"),
        (read_marked, "", ""),
        (read_dropped_names, "", ""),
        (lambda path: list(read_records(path)), "", ""),
    ],
)
def test_long_lines_of_other_readers(tmp_path, read, head, row):
    path = tmp_path / "file"
    path.write_text(f"{head}\n{row}" + "x" * (MAX_LINE + 1))
    with pytest.raises(ValueError, match=r"S\d{3}.*file.*line [12]"):
        read(path)


def test_long_rows_of_tables(tmp_path, taxonomy):
    rows = 'sentence,label\n"' + ("x" * 2**18 + "\n") * 65
    (tmp_path / "b.csv").write_text(rows)
    with pytest.raises(ValueError, match="S318.*b.csv', line 2"):
        read_benchmark(tmp_path / "b.csv", taxonomy)
    for name in ("skills_en", "broaderRelationsSkillPillar", "skillGroups_en"):
        (tmp_path / f"{name}.csv").write_text("x" * (MAX_LINE + 1))
    with pytest.raises(ValueError, match="S317.*broader.*line 1"):
        load_taxonomy(tmp_path)


def test_files_that_are_held_whole_have_a_limit(tmp_path, little_memory):
    path = tmp_path / "texts.tsv.gz"
    write_bomb(path, 2**26, piece=(b"x" * (2**20 - 1) + b"\n"))
    with pytest.raises(ValueError, match="S319.*texts.tsv.gz.*line 32"):
        for line in Lines(path, max_bytes=2**25):
            assert len(line) == 2**20


def test_files_that_runs_go_on_with_have_limits(tmp_path, little_memory):
    path = tmp_path / "unfinished"
    with path.open("wb") as file:
        file.truncate(4 * MAX_LINE)
    with pytest.raises(ValueError, match="S317.*unfinished', line 1"):
        Journal(path, {})
    with pytest.raises(ValueError, match="S317.*unfinished', line 1"):
        Results(path, {})
    short = io.BytesIO(b"{}\n" * 2**20)
    with pytest.raises(ValueError, match="S319.*unfinished"):
        list(whole_lines(short, path, 2**20))


def test_json_of_gigabytes(tmp_path, little_memory):
    path = tmp_path / "labels.json.gz"
    write_bomb(path, 4 * MAX_LINE)
    with pytest.raises(ValueError, match="S317.*labels"):
        read_json(path)
    with pytest.raises(FileNotFoundError, match="missing"):
        read_json(tmp_path / "missing.json")


def test_a_record_that_is_no_text(tmp_path):
    path = tmp_path / "names.jsonl"
    path.write_bytes(json.dumps({"name": "Go", "uri": "u"}).encode() + b"\n\xff\n")
    with pytest.raises(ValueError, match="S304.*names.jsonl', line 2"):
        read_dropped_names(path)
