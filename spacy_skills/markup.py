"""Plain text of ads that are written in HTML or Markdown, as job boards keep them."""

import re
from typing import Literal

Markup = Literal["auto", "plain", "html", "markdown"]

# What opens or closes a line of its own.
_BLOCKS = frozenset(
    "address article aside blockquote body br caption dd div dl dt fieldset figcaption "
    "figure footer form h1 h2 h3 h4 h5 h6 header hr html li main ol option p pre section "
    "select table tbody td tfoot th thead tr ul".split()
)
# What a reader of the ad doesn't see, or doesn't read as the ad.
_UNSEEN = frozenset("head noscript script style svg template".split())

_HTML = re.compile(
    r"</?(?:p|br|li|[uo]l|div|span|strong|b|em|i|h[1-6]|pre|table|t[rd]|body|html)"
    r"(?:\s[^<>]{0,300})?/?>|&(?:[a-z]{2,8}|\#\d{2,5}|\#x[0-9a-f]{2,4});",
    re.IGNORECASE,
)
# Scraped ads are often escaped twice.
MAX_PASSES = 2


def plain_text(text: str, markup: Markup = "auto") -> str:
    """The ad as a reader sees it: a line for each paragraph, heading, table cell and list
    item, items with a bullet. "auto" takes text with HTML tags or entities for HTML, any
    other as it is. The time is linear in the text."""
    if markup == "markdown":
        # Brings a parser that most calls do without.
        from markdown_it import MarkdownIt

        text, markup = MarkdownIt().enable("table").render(text), "html"
    if markup == "html":
        text = _read_html(text)
    if markup in ("auto", "html"):
        passes = MAX_PASSES - (markup == "html")
        while passes and _HTML.search(text):
            text, passes = _read_html(text), passes - 1
    return text


def _read_html(text: str) -> str:
    # Parses in linear time whatever is in it, which html.parser does not.
    from lxml import etree, html

    parser = html.HTMLParser(encoding="utf8", huge_tree=True)
    try:
        root = html.document_fromstring(text.encode("utf8", "replace"), parser=parser)
    except etree.ParserError:
        # There is nothing in it.
        return ""
    walk = etree.iterwalk(root, events=("start", "end", "comment", "pi"))
    parts: list[str] = []
    preformatted = 0
    for event, element in walk:
        unseen = event in ("comment", "pi") or element.tag in _UNSEEN
        preformatted += (element.tag == "pre") * (event == "start" or -1)
        if event == "start" and not unseen:
            parts.append(_opening(element.tag))
            parts.append(_blanks(element.text, preformatted))
        elif event == "start":
            walk.skip_subtree()
        else:
            parts.append("" if unseen else _closing(element.tag))
            parts.append(_blanks(element.tail, preformatted))
    lines = (line.strip() for line in "".join(parts).split("\n"))
    return "\n".join(line for line in lines if line.strip("• "))


def _opening(tag: str) -> str:
    if tag == "li":
        return "\n• "
    return "\n" if tag in _BLOCKS else ""


def _closing(tag: str) -> str:
    return "\n" if tag in _BLOCKS else ""


def _blanks(text: str | None, preformatted: int) -> str:
    """Line breaks are blanks in HTML."""
    if not text or preformatted:
        return text or ""
    return re.sub(r"\s+", " ", text)
