import codecs
import importlib.util
import json

import pytest
import spacy
from conftest import uri
from spacy.cli._util import app
from spacy.util import registry
from typer.testing import CliRunner

from spacy_skills.benchmark import (
    BenchmarkCorpus,
    make_sentence_doc,
    read_benchmark,
    read_benchmarks,
)
from spacy_skills.cli.benchmark import PipelineRanker, score_rankers
from spacy_skills.compact import pack
from spacy_skills.taxonomy import Skill, Taxonomy

SPANS_CSV = """\
sentence,span,sub_span,label
You bake bread and pastry .,bake bread,,bake bread
You bake bread and pastry .,pastry,,bake pastry 
Great team !,team,,LABEL NOT PRESENT
You know databases .,databases,,UNDERSPECIFIED
You bake bread and pastry .,bread,,bake bread
"You know databases .",SQL,,SQL
You are nice .,nice,,be nice
Free coffee !,,,
"""
SKILLS_CSV = """\
,sentence,skills
0,We look for a baker.,"['bake bread', 'bake pastry']"
1,Nice office.,['UNK']
2,"You ""wire"" houses, and more.","[""install electrical wiring"", 'UNK']"
3,Nothing here.,[]
"""


@pytest.fixture
def write(tmp_path):
    def write_file(text, name="house.csv", encoding="utf8"):
        path = tmp_path / name
        path.write_text(text, encoding=encoding)
        return path

    return write_file


def test_rows_of_a_sentence_are_merged(write, taxonomy):
    benchmark = read_benchmark(write(SPANS_CSV), taxonomy)
    assert benchmark.name == "house"
    assert benchmark.sentences == [
        ("You bake bread and pastry .", {uri("bread"), uri("pastry")}),
        ("You know databases .", {uri("sql")}),
    ]


def test_report_counts_what_is_left_out(write, taxonomy):
    report = read_benchmark(write(SPANS_CSV), taxonomy).report
    assert report.labels == 8
    assert report.without_label == {
        "LABEL NOT PRESENT": 1,
        "UNDERSPECIFIED": 1,
        "": 1,
    }
    assert report.unknown == {"be nice": 1}
    assert report.duplicates == 1
    assert report.unscored == 3
    assert report.blank == 0


def test_lists_of_skills(write, taxonomy):
    benchmark = read_benchmark(write(SKILLS_CSV), taxonomy)
    assert benchmark.sentences == [
        ("We look for a baker.", {uri("bread"), uri("pastry")}),
        ('You "wire" houses, and more.', {uri("wires")}),
    ]
    assert benchmark.report.without_label == {"UNK": 2, "": 1}
    assert benchmark.report.unscored == 2


def test_names_with_commas_and_trailing_blanks(write):
    skills = [("u:1", "plan "), ("u:2", "cut, sew and trim")]
    taxonomy = Taxonomy(Skill(u, name, "", (), "", "", ()) for u, name in skills)
    rows = 'sentence,label\nA,plan\nB,cut sew and trim \nC,"cut, sew and trim"\n'
    benchmark = read_benchmark(write(rows), taxonomy)
    assert [uris for _, uris in benchmark.sentences] == [{"u:1"}, {"u:2"}, {"u:2"}]
    assert not benchmark.report.unknown


def test_byte_order_mark_quoted_line_breaks_and_blank_sentences(write, taxonomy):
    rows = 'sentence,label\n"Know\nSQL",SQL\n  ,SQL\n\n'
    benchmark = read_benchmark(write(rows, encoding="utf-8-sig"), taxonomy)
    assert benchmark.sentences == [("Know\nSQL", {uri("sql")})]
    assert benchmark.report.blank == 1


def test_no_valid_label_is_an_empty_benchmark(write, taxonomy):
    benchmark = read_benchmark(write("sentence,label\nA,UNK\n"), taxonomy)
    assert benchmark.sentences == [] and benchmark.report.unscored == 1


@pytest.mark.parametrize(
    "text,code,words",
    [
        ("", "S403", ["nothing"]),
        ("You know SQL.,SQL\n", "S403", ["'sentence'", "You know SQL."]),
        ("sentence\tlabel\nA\tSQL\n", "S403", ["'label'"]),
        ("sentence,label\nA,SQL\nB\n", "S404", ["line 3", "cells"]),
        ("sentence,label\nYou bake, and more,SQL\n", "S404", ["line 2", "cells"]),
        ("sentence,skills\nA,not a list\n", "S404", ["line 2", "'not a list'"]),
        ("sentence,skills\nA,[1]\n", "S404", ["line 2"]),
        ("sentence,skills\nA," + "[" * 9999 + "\n", "S404", ["line 2"]),
    ],
)
def test_damaged_files_raise(write, taxonomy, text, code, words):
    path = write(text)
    with pytest.raises(ValueError, match=code) as err:
        read_benchmark(path, taxonomy)
    assert str(path) in str(err.value)
    assert all(word in str(err.value) for word in words)


@pytest.mark.parametrize(
    "data",
    ["sentence,label\nCafé,SQL\n".encode("latin1"), codecs.BOM_UTF16 + b"s\0e\0"],
)
def test_wrong_encoding_raises(tmp_path, taxonomy, data):
    path = tmp_path / "latin.csv"
    path.write_bytes(data)
    with pytest.raises(ValueError, match="S304.*latin.csv"):
        read_benchmark(path, taxonomy)


def test_folder_holds_a_set_per_file(write, tmp_path, taxonomy):
    write("sentence,label\nB,SQL\n", "b.csv")
    write("sentence,label\nA,SQL\n", "a.csv")
    write("not a benchmark", "notes.txt")
    assert [b.name for b in read_benchmarks(tmp_path, taxonomy)] == ["a", "b"]
    assert [b.name for b in read_benchmarks(tmp_path / "b.csv", taxonomy)] == ["b"]


def test_folder_without_csv_and_missing_file_raise(tmp_path, taxonomy):
    with pytest.raises(ValueError, match="S401"):
        read_benchmarks(tmp_path, taxonomy)
    with pytest.raises(FileNotFoundError):
        read_benchmarks(tmp_path / "none.csv", taxonomy)


def test_corpus_gives_examples(write, taxonomy, taxonomy_path):
    nlp = spacy.blank("en")
    make = registry.readers.get("spacy_skills.Benchmark.v1")
    corpus = make(path=str(write(SPANS_CSV)), taxonomy=str(taxonomy_path))
    examples = list(corpus(nlp))
    assert len(examples) == 2
    spans = examples[0].reference.spans["esco_skills"]
    assert [(s.text, s.label_, s.kb_id_) for s in spans] == [
        ("You bake bread and pastry .", "bake bread", uri("bread")),
        ("You bake bread and pastry .", "bake pastry", uri("pastry")),
    ]
    assert [len(list(eg.predicted.sents)) for eg in examples] == [1, 1]
    assert [eg.text for eg in corpus(nlp)] == [eg.text for eg in examples]


def test_sentencizers_leave_the_sentence_whole():
    nlp = spacy.blank("en")
    nlp.add_pipe("sentencizer")
    nlp.add_pipe("ad_sentencizer")
    text = "Know SQL. Bake bread; drive trucks!\n- Dress wounds."
    (doc,) = nlp.pipe([make_sentence_doc(nlp, text)])
    assert [sent.text for sent in doc.sents] == [text]


# The command


@pytest.fixture
def run(make_nlp, tmp_path):
    folder = tmp_path / "pipeline"
    make_nlp().to_disk(folder)

    def invoke(*args):
        result = CliRunner().invoke(
            app, ["skills", "benchmark", *map(str, args)], catch_exceptions=False
        )
        return result.exit_code, result.output

    return folder, invoke


def test_command_prints_tables_and_writes_results(run, tmp_path, tiny_encoder):
    folder, invoke = run
    sets = tmp_path / "sets"
    sets.mkdir()
    (sets / "house.csv").write_text(SPANS_CSV, encoding="utf8")
    (sets / "tech.csv").write_text(SKILLS_CSV, encoding="utf8")
    output = tmp_path / "results.json"
    arguments = ["--output", output, "--bootstrap", 50, "--encoder", tiny_encoder]
    code, printed = invoke(folder, sets, *arguments)
    assert code == 0, printed
    assert "house" in printed and "2 sentences scored, 3 left out" in printed
    assert "be nice" in printed and "1 LABEL NOT PRESENT" in printed
    results = json.loads(output.read_text(encoding="utf8"))
    assert list(results) == ["house", "tech"]
    rankers = results["house"]["rankers"]
    expected = ["esco_skills", "untrained encoder", "literal match"]
    if importlib.util.find_spec("bm25s"):
        expected.append("BM25 on names")
    assert list(rankers) == expected
    # Both sentences name their skills, and "SQL" isn't written in the second.
    assert rankers["literal match"]["esco_rp1"]["mean"] == 0.5
    for scores in rankers.values():
        for score in scores.values():
            assert 0 <= score["low"] <= score["mean"] <= score["high"] <= 1
    gain = results["house"]["gains"]["gain over literal match"]["esco_mrr"]
    ours, theirs = (rankers[r]["esco_mrr"]["mean"] for r in (expected[0], expected[2]))
    assert gain["mean"] == pytest.approx(ours - theirs)
    assert gain["low"] <= gain["mean"] <= gain["high"]
    assert results["house"]["left_out"]["unknown"] == {"be nice": 1}
    assert not list(tmp_path.glob("*.partial"))


def test_command_without_baselines(run, write, tmp_path):
    folder, invoke = run
    output = tmp_path / "results.json"
    code, _ = invoke(folder, write(SPANS_CSV), "--no-baselines", "-o", output)
    results = json.loads(output.read_text(encoding="utf8"))
    assert code == 0 and list(results["house"]["rankers"]) == ["esco_skills"]


def test_command_finds_names_without_a_matcher(make_nlp, write, tmp_path, tiny_encoder):
    """A packed ranker is a pipeline, and its finder the literal match."""
    nlp = make_nlp()
    finder = nlp.get_pipe("esco_matcher").finder
    packed, output = tmp_path / "small.ranker", tmp_path / "results.json"
    packed.write_bytes(pack(nlp.get_pipe("esco_skills"), finder))
    arguments = [str(packed), str(write(SPANS_CSV)), "-o", str(output)]
    arguments += ["--encoder", tiny_encoder]
    result = CliRunner().invoke(app, ["skills", "benchmark", *arguments])
    assert result.exit_code == 0, result.output
    rankers = json.loads(output.read_text())["house"]["rankers"]
    assert rankers["literal match"]["esco_rp1"]["mean"] == 0.5


def test_command_compares_two_pipelines(run, make_nlp, write, tmp_path):
    folder, invoke = run
    path, output = write(SPANS_CSV), tmp_path / "results.json"
    arguments = ["--no-baselines", "-o", output, "--against"]
    code, printed = invoke(folder, path, *arguments, folder)
    assert code == 0, printed
    house = json.loads(output.read_text())["house"]
    gains = house["gains"][f"gain over {folder} (other)"]
    assert all(score == {"mean": 0, "low": 0, "high": 0} for score in gains.values())

    code, printed = invoke(folder, path, *arguments, "esco-1.1.1-en")
    assert code == 1 and "S411" in printed


def test_command_scores_rare_skills_apart(run, write, tmp_path):
    folder, invoke = run
    path, output = write(SPANS_CSV), tmp_path / "results.json"
    counts = tmp_path / "labels.json"
    counts.write_text(
        json.dumps({uri("bread"): 30, uri("pastry"): 19, uri("sql"): 1000})
    )
    arguments = ["--no-baselines", "-o", output, "--counts", counts]
    code, printed = invoke(folder, path, *arguments)
    assert code == 0 and "1 to 19 (1 scored)" in printed
    house = json.loads(output.read_text())["house"]
    scored = {name: part["scored"] for name, part in house["by_count"].items()}
    assert scored == {"none": 0, "1 to 19": 1, "20 to 999": 0, "1000 or more": 1}
    both = [house["by_count"][r]["rankers"] for r in ("1 to 19", "1000 or more")]
    means = [part["esco_skills"]["esco_mrr"]["mean"] for part in both]
    whole = house["rankers"]["esco_skills"]["esco_mrr"]["mean"]
    assert sum(means) / 2 == pytest.approx(whole)

    for damaged, error in (("[1]", "S410"), ('{"a": ', "S320"), ("[" * 10**5, "S320")):
        counts.write_text(damaged)
        code, printed = invoke(folder, path, *arguments)
        assert code == 1 and error in printed


def test_no_command_replaces_what_it_reads(run, write, taxonomy_path):
    folder, invoke = run
    path = write(SPANS_CSV)
    code, printed = invoke(folder, path, "--no-baselines", "-o", path)
    assert code == 1 and "S919" in printed
    arguments = ["convert", str(path), str(path), "--taxonomy", str(taxonomy_path)]
    result = CliRunner().invoke(app, ["skills", *arguments])
    assert result.exit_code == 1 and "S919" in result.output
    assert path.read_text(encoding="utf8") == SPANS_CSV


def test_a_sentence_that_is_not_ranked_is_named_in_short(run, write):
    folder, invoke = run
    path = write(f"sentence,label\n{'(' * 900},bake bread\n")
    code, printed = invoke(folder, path, "--no-baselines")
    assert code == 1 and "S407" in printed and len(printed) < 900


def test_command_reads_what_convert_writes(run, write, taxonomy_path, tmp_path):
    folder, invoke = run
    path, docs = write(SPANS_CSV), tmp_path / "gold" / "house.spacy"
    arguments = ["convert", str(path), str(docs), "--taxonomy", str(taxonomy_path)]
    assert CliRunner().invoke(app, ["skills", *arguments]).exit_code == 0
    rankers = []
    for gold in (path, docs):
        output = tmp_path / "new" / "results.json"
        code, printed = invoke(folder, gold, "--no-baselines", "-o", output)
        assert code == 0, printed
        rankers.append(
            json.loads(output.read_text(encoding="utf8"))["house"]["rankers"]
        )
    assert rankers[0] == rankers[1]
    docs.write_bytes(docs.read_bytes()[:-20])
    code, printed = invoke(folder, docs)
    assert code == 1 and "S323" in printed


def test_command_agrees_with_the_training_scorer(
    make_nlp, run, write, taxonomy_path, tmp_path
):
    folder, invoke = run
    path = write(SPANS_CSV)
    output = tmp_path / "results.json"
    invoke(folder, path, "--no-baselines", "-o", output)
    means = json.loads(output.read_text())["house"]["rankers"]["esco_skills"]
    scores = make_nlp().evaluate(
        BenchmarkCorpus(path, taxonomy_path)(spacy.blank("en"))
    )
    assert scores["esco_scored"] == 2
    for metric, score in means.items():
        assert score["mean"] == pytest.approx(scores[metric])


def test_labels_of_another_taxonomy(run, write, tmp_path):
    """Names in another language; a skill that the pipeline lacks is not scored."""
    folder, invoke = run
    names = {"bread": "Brot backen", "new": "Neues"}
    Taxonomy(
        Skill(uri(key), name, "", (), "", "", ()) for key, name in names.items()
    ).to_disk(tmp_path / "german")
    path = write("sentence,label\nBacke Brot !,Brot backen\nKann Neues .,Neues\n")
    code, printed = invoke(folder, path, "--taxonomy", tmp_path / "german")
    assert code == 0 and "1 sentences scored, 1 left out" in printed


@pytest.mark.parametrize(
    "text,code",
    [("You bake,bake bread\n", "S403"), ("sentence,label\nA,be nice\n", "S409")],
)
def test_command_fails_on_one_line(run, write, text, code):
    folder, invoke = run
    exit_code, printed = invoke(folder, write(text))
    assert exit_code == 1 and code in printed and "Traceback" not in printed


def test_command_fails_without_pipeline_or_ranker(run, write, tmp_path):
    folder, invoke = run
    path = write(SPANS_CSV)
    assert invoke(tmp_path / "none", path)[0] == 1
    assert invoke(folder, tmp_path / "none.csv")[0] == 1
    spacy.blank("en").to_disk(tmp_path / "blank")
    code, printed = invoke(tmp_path / "blank", path)
    assert code == 1 and "S408" in printed


def test_pipelines_that_split_the_sentence_raise(make_nlp):
    nlp = make_nlp()
    nlp.add_pipe("sentencizer", config={"overwrite": True}, before="esco_skills")
    ranker = PipelineRanker(nlp.get_pipe("esco_skills"))
    gold = [("Bake bread. Drive trucks.", {0})]
    with pytest.raises(ValueError, match="S407.*Bake bread"):
        score_rankers(nlp, "esco_skills", gold, {"ours": ranker})
