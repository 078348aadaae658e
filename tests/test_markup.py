"""Ads in HTML and Markdown, read as people see them."""

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spacy_skills.markup import plain_text


def test_html_as_a_reader_sees_it():
    page = """<!DOCTYPE html><html><head><title>Job</title><style>p {}</style></head>
    <body><h2>Nurse<br>wanted</h2><script>if (a < b) track("x");</script>
    <p>You dress wounds &amp; <b>calm</b>
    families.<ul><li>night shifts<li></li><li>first&nbsp;aid</ul><!-- hidden -->
    <table><tr><td>Pay<td>A7</table>bye</body></html>"""
    assert plain_text(page).split("\n") == [
        "Nurse",
        "wanted",
        "You dress wounds & calm families.",
        "• night shifts",
        "• first aid",
        "Pay",
        "A7",
        "bye",
    ]


def test_lines_of_preformatted_text_are_kept():
    assert plain_text("<pre>one\ntwo</pre>") == "one\ntwo"
    assert plain_text("<p>one\ntwo</p>") == "one two"


def test_markdown():
    text = (
        "# Cook\n\nYou **bake** [bread](http://x.org)\nat night.\n\n* clean\n  * knives"
    )
    text += "\n\n| Skill | Level |\n|---|---|\n| Baking | high |\n"
    assert plain_text(text, "markdown").split("\n") == [
        "Cook",
        "You bake bread at night.",
        "• clean",
        "• knives",
        "Skill",
        "Level",
        "Baking",
        "high",
    ]


@pytest.mark.parametrize(
    "text,expected",
    [
        ("R&amp;D lead", "R&D lead"),
        ("&lt;p&gt;Bake&lt;/p&gt; bread &amp;amp; rolls", "Bake\nbread & rolls"),
        ("a < b & c > d, AT&T", "a < b & c > d, AT&T"),
        ("You bake.\n\n- bread", "You bake.\n\n- bread"),
        ("Bake\nbread &amp; rolls\nfirst&nbsp;aid", "Bake\nbread & rolls\nfirst aid"),
        ("if a<b and c &amp; d then", "if a<b and c & d then"),
        ("?a=1&copy=2 &amp; R&amp;amp;D", "?a=1&copy=2 & R&D"),
        ("<a href='x'>R&amp;D</a>\nlead", "R&D lead"),
        ("<p>Bake</p><p>R&amp;amp;D</p><p>Drive</p>", "Bake\nR&D\nDrive"),
        ("<p>a</p><p>Tags: &lt;b&gt;</p><p>c</p>", "a\nTags: <b>\nc"),
        ("<p></p>", ""),
        ("", ""),
    ],
)
def test_html_is_recognised_and_other_text_is_left_alone(text, expected):
    assert plain_text(text) == expected


@pytest.mark.parametrize("markup", ["html", "markdown"])
def test_what_is_named_html_or_markdown_is_read_once(markup):
    text = "<p>Write &lt;p&gt; tags</p>\n\n<p>Drive trucks</p>"
    assert plain_text(text, markup) == "Write <p> tags\nDrive trucks"


def test_tags_may_be_nested_as_deep_as_they_like():
    deep = "<p>Bake</p>" + "<div>" * 5000 + "bread" + "</div>" * 5000 + "<p>Drive"
    assert plain_text(deep) == "Bake\nbread\nDrive"
    assert plain_text("<b>" * 5000 + "bread") == "bread"


def test_what_is_named_plain_is_left_alone():
    assert plain_text("<p>x</p>", "plain") == "<p>x</p>"


def test_a_page_with_an_encoding_declaration():
    page = '<?xml version="1.0" encoding="latin-1"?><html><body>Café</body></html>'
    assert plain_text(page, "html") == "Café"


@given(st.text(), st.sampled_from(["auto", "html", "markdown"]))
def test_any_text_can_be_read(text, markup):
    plain_text(text, markup)


@pytest.mark.parametrize("unit", ["<", "<!--", "<a ", "<b>", "&amp;", "</", "<ul><li>"])
def test_a_megabyte_is_fast(unit):
    text = (unit * 1_000_000)[:1_000_000]
    started = time.process_time()
    plain_text(text, "html")
    assert time.process_time() - started < 5
