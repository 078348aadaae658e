"""What people look at: the report, explanations, and the measure of silence."""

import re
from time import process_time

import pytest
import srsly
from conftest import uri
from typer.testing import CliRunner

from spacy_skills.abstention import marked_characters, measure_abstention
from spacy_skills.cli import skills_cli
from spacy_skills.explanation import explain
from spacy_skills.extraction import read_records
from spacy_skills.report import COLOURS, Demand, render_report
from spacy_skills.span_training import MarkedSentence, read_marked
from spacy_skills.spanner import BEGIN, INSIDE, OUTSIDE

AD = "We <b>are</b> a bakery.\nYou bake bread.\nMake pastry; drive trucks"


def skill(name, groups, *places):
    return {
        "uri": f"http://example.org/{name.replace(' ', '-')}",
        "name": name,
        "score": 0.9,
        "type": "skill",
        "reuse_level": "",
        "groups": [
            {"level": level, "uri": name, "name": name, "code": ""}
            for level, name in groups
        ],
        "evidence": [
            {"start": a, "end": b, "text": AD[a:b], "score": 0.9, "evidence": kind}
            for a, b, kind in places
        ],
        "instead_of": [],
    }


BREAD = skill(
    "bake bread",
    [(0, "skills"), (0, "work"), (1, "baking"), (2, "ovens")],
    (28, 38, "name"),
)
TRUCK = skill("drive trucks", [], (53, 65, "words"), (24, 39, "sentence"))
RECORDS = [
    {"source": "a.txt:1", "text": AD, "skills": [BREAD, TRUCK]},
    {"source": "b.txt:1", "text": AD, "skills": [BREAD]},
    {"source": "c<c>.txt:1", "text": "We are closed.", "skills": []},
]


def test_demand_counts_ads():
    demand = Demand()
    for record in RECORDS:
        demand.add(record)
    assert (demand.n_ads, demand.silent) == (3, 1)
    assert [(c.name, c.ads, c.share) for c in demand.top(9)] == [
        ("bake bread", 2, 1.0),
        ("drive trucks", 1, 0.5),
    ]
    groups = [(name, n, [c.name for c in cs]) for name, n, cs in demand.by_group()]
    assert groups == [("baking", 2, ["bake bread"]), ("other", 1, ["drive trucks"])]


def test_page_needs_nothing_but_itself():
    page = render_report(RECORDS, title="Ads & <skills>", max_ads=3)
    assert "Ads &amp; &lt;skills&gt;" in page and "c&lt;c&gt;.txt" in page
    assert "We &lt;b&gt;are&lt;/b&gt; a bakery." in page
    # Links lead to ESCO; nothing is loaded.
    assert not re.search(r"(src|@import|url\()\s*=?\s*[\"']?http", page)
    assert "<script" not in page and "<link" not in page
    assert page.count('class="spans"') == 3
    assert "This service uses the ESCO classification" in page


def test_names_of_skills_are_no_html():
    name = "x<script>alert(1)</script>"
    record = {"source": "a", "text": AD, "skills": [skill(name, [], (28, 38, "name"))]}
    page = render_report([record], title="t", max_ads=1)
    assert "<script" not in page
    assert "x&lt;script&gt;alert(1)&lt;/script&gt;" in page
    # In the colour of its evidence: the key to the colours, both words, the label.
    assert page.count(COLOURS["name"]) == 5


@pytest.mark.parametrize(
    "address,is_link",
    [
        ("http://data.europa.eu/esco/skill/1", True),
        ("HTTPS://example.org/1", True),
        ("javascript:alert(1)", False),
        (" JavaScript:alert(1)", False),
        ("java\nscript:alert(1)", False),
        ("data:text/html,<script>alert(1)</script>", False),
        ("file:///etc/passwd", False),
        ("vbscript:x", False),
        ("//example.org", False),
        ("bread", False),
    ],
)
def test_only_addresses_of_the_web_are_links(address, is_link):
    found = skill("bake bread", [], (28, 38, "name")) | {"uri": address}
    record = {"source": "a", "text": AD, "skills": [found]}
    page = render_report([record], title="t", max_ads=1)
    links = re.findall(r'href="([^"]*)"', page)
    assert links == [address] * 2 * is_link
    assert page.count("bake bread") >= 3


def test_evidence_that_begins_with_the_number_in_a_list_is_shown():
    text = "1. Bake bread\n2. Drive trucks"
    record = {
        "source": "a",
        "text": text,
        "skills": [skill("bake bread", [], (0, 13, "sentence"))],
    }
    page = render_report([record], title="t", max_ads=1)
    assert page.count('class="spans"') == 1
    assert '<p class="silent">Drive trucks</p>' in page


def test_the_number_of_ads_shown_can_be_limited():
    page = render_report(iter(RECORDS), title="t", max_ads=1)
    assert page.count("<article>") == 1 and "3 ads" in page


def test_report_command(tmp_path):
    srsly.write_jsonl(tmp_path / "skills.jsonl", RECORDS)
    call = ["report", str(tmp_path / "skills.jsonl"), str(tmp_path / "page.html")]
    assert CliRunner().invoke(skills_cli, call).exit_code == 0
    assert "bake bread" in (tmp_path / "page.html").read_text(encoding="utf8")
    (tmp_path / "skills.jsonl").write_text('{"source": "x"}\n', encoding="utf8")
    result = CliRunner().invoke(skills_cli, call)
    # A long path breaks the lines elsewhere.
    output = " ".join(result.output.split())
    assert result.exit_code == 1 and "S906" in output and "line 1" in output


def test_the_page_does_not_replace_what_it_is_made_from(tmp_path):
    path = tmp_path / "skills.jsonl"
    srsly.write_jsonl(path, RECORDS)
    (tmp_path / "link").symlink_to(path)
    before = path.read_bytes()
    for output in (path, tmp_path / "link"):
        call = ["report", str(path), str(output)]
        result = CliRunner().invoke(skills_cli, call)
        assert result.exit_code == 1 and "S919" in result.output
        assert path.read_bytes() == before


def test_the_page_takes_linear_time_in_the_evidence():
    # Of line breaks, so that displaCy has nothing to draw.
    n = 20_000
    found = skill("bake bread", [], *[(i, i + 1, "name") for i in range(n)])
    text = "\n" * n + "We are closed.\n" * n
    start = process_time()
    page = render_report(
        [{"source": "a", "text": text, "skills": [found]}], title="t", max_ads=1
    )
    assert page.count('<p class="silent">') == n
    assert process_time() - start < 5


@pytest.mark.parametrize(
    "line",
    [
        "no",
        "[]",
        "{}",
        '{"source": "a", "text": "b"}',
        '{"source": "a", "text": "b", "skills": null}',
        '{"source": "a", "text": "b", "skills": [{"name": "c"}]}',
        srsly.json_dumps(RECORDS[0]).replace('"start":28', '"start":null'),
        srsly.json_dumps(RECORDS[0]).replace('"words"', '"other"'),
        srsly.json_dumps(RECORDS[0]).replace('"start":28', '"start":39'),
        srsly.json_dumps(RECORDS[0]).replace('"start":28', '"start":-1'),
        srsly.json_dumps(RECORDS[0]).replace('"end":65', '"end":66'),
        "[" * 10**5,
    ],
)
def test_records_of_another_file_are_refused(tmp_path, line):
    path = tmp_path / "skills.jsonl"
    good = srsly.json_dumps(RECORDS[0])
    path.write_text(f"{good}\n{line}", encoding="utf8")
    with pytest.raises(ValueError, match="S906.*line 2"):
        list(read_records(path))


@pytest.fixture
def nlp(make_nlp):
    return make_nlp()


def test_without_the_words_that_name_it_a_skill_scores_less(nlp):
    ranker = nlp.get_pipe("esco_skills")
    text = "At dawn you install electrical wiring"
    (explanation,) = explain(nlp, ranker, text, top_k=3, skills=[uri("truck")])
    assert explanation.sentence == text and explanation.asking is None
    assert [r.rank for r in explanation.reasons][:3] == [1, 2, 3]
    assert len(explanation.reasons) == 4
    (wires,) = [r for r in explanation.reasons if r.row == 6]
    assert wires.evidence == "name" and wires.words == "install electrical wiring"
    assert wires.without is not None and wires.without < wires.logit - 4
    (alone,) = explain(nlp, ranker, "install electrical wiring", top_k=1)
    assert alone.reasons[0].without is None


def test_explain_command(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    call = [
        "explain",
        "Bake bread. Plaster walls.",
        "-p",
        str(tmp_path),
        "--top-k",
        "2",
    ]
    result = CliRunner().invoke(skills_cli, [*call, "--skill", "drive trucks"])
    assert result.exit_code == 0, result.output
    for part in ("Bake bread.", "Plaster walls.", "drive trucks", "without", "name"):
        assert part in result.output
    result = CliRunner().invoke(skills_cli, [*call, "--skill", "no skill"])
    assert result.exit_code == 1 and "S506" in result.output


def test_explain_takes_any_bytes(nlp, tmp_path):
    nlp.to_disk(tmp_path)
    # As a program in the locale C is given it, and what is no UTF-8 in any.
    text = b"Bake \xc3\xa9 \xff bread".decode("ascii", "surrogateescape")
    call = ["explain", text, "-p", str(tmp_path)]
    result = CliRunner().invoke(skills_cli, call)
    assert result.exit_code == 0, result.output
    assert "Bake é \ufffd bread" in result.output


def sentence(text, *tags, ad=None):
    return MarkedSentence(text.split(), list(tags), ad)


O_O, B_O, I_O, I_B = (
    (OUTSIDE, OUTSIDE),
    (BEGIN, OUTSIDE),
    (INSIDE, OUTSIDE),
    (INSIDE, BEGIN),
)


def test_marks_as_characters():
    marks = marked_characters(
        sentence("you bake rye bread now", O_O, B_O, I_O, I_B, O_O)
    )
    assert sorted(marks) == [(4, 18), (13, 18)]
    two = marked_characters(sentence("bake clean", B_O, B_O))
    assert list(two) == [(0, 4), (5, 10)]
    assert list(marked_characters(sentence("no mark", O_O, O_O))) == []


def test_silence_is_measured(make_nlp):
    nlp = make_nlp(top_k=1)
    ranker = nlp.get_pipe("esco_skills")
    sentences = [
        sentence("install electrical wiring today", B_O, I_O, I_O, O_O),
        sentence("we pay well", O_O, O_O, O_O),
    ]
    always = measure_abstention(nlp, sentences)
    assert (always.asking, always.silent) == (1, 1)
    assert (always.precision, always.recall) == (0.5, 1.0)
    assert (always.false_skills, always.found, always.justified) == (100, 1.0, 0.5)
    ranker.cfg["threshold"] = 1.1
    never = measure_abstention(nlp, sentences)
    assert (never.precision, never.recall, never.f1, never.false_skills) == (0, 0, 0, 0)


def test_lines_of_an_ad_are_read_together(make_nlp):
    nlp = make_nlp(top_k=1)
    texts = []
    nlp.tokenizer, tokenizer = (
        (lambda text: texts.append(text) or tokenizer(text)),
        (nlp.tokenizer),
    )
    ad = [
        sentence("bake bread", B_O, I_O, ad="1"),
        sentence("we pay", O_O, O_O, ad="1"),
    ]
    measure_abstention(nlp, [*ad, sentence("SQL", B_O)])
    assert texts == ["bake bread\nwe pay", "SQL"]


def test_abstention_command(nlp, tmp_path):
    nlp.to_disk(tmp_path / "nlp")
    rows = [
        {"tokens": ["SQL"], "tags_skill": ["O"], "tags_knowledge": ["B"], "ad": 1},
        {"tokens": ["Pay"], "tags_skill": ["O"], "tags_knowledge": ["O"], "ad": 1},
        {"tokens": ["Pay"], "tags_skill": ["O"], "tags_knowledge": ["O"], "ad": 2},
    ]
    srsly.write_jsonl(tmp_path / "marked.jsonl", rows)
    assert [m.ad for m in read_marked(tmp_path / "marked.jsonl")] == ["1", "1"]
    call = ["abstention", str(tmp_path / "nlp"), str(tmp_path / "marked.jsonl")]
    call += [
        "--threshold",
        "0.9",
        "--threshold",
        "0.897",
        "--output",
        str(tmp_path / "out.json"),
    ]
    result = CliRunner().invoke(skills_cli, call)
    assert result.exit_code == 0, result.output
    figures = srsly.read_json(tmp_path / "out.json")
    assert list(figures) == ["0.00", "0.90", "0.897"]
    assert figures["0.00"]["silent"] == 2 and figures["0.00"]["recall"] == 1.0
