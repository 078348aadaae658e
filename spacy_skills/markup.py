"""Plain text of ads that are written in HTML or Markdown, as job boards keep them."""

import re
from html import unescape
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

# Any closing tag, or an opening one that ads are made of.
_TAG = re.compile(
    r"</[a-z][a-z0-9]{0,20}\s?>"
    r"|<(?:p|br|li|[uo]l|div|span|strong|b|em|i|h[1-6]|pre|table|t[rd]|body|html)"
    r"(?:\s[^<>]{0,300})?/?>",
    re.IGNORECASE,
)
_ENTITY = re.compile(
    r"&(?:[a-z][a-z0-9]{1,31}|\#\d{2,7}|\#x[0-9a-f]{2,6});", re.IGNORECASE
)


def plain_text(text: str, markup: Markup = "auto") -> str:
    """The ad as a reader sees it: a line for each paragraph, heading, table cell and list
    item, items with a bullet. "auto" takes text with tags for HTML and resolves entities,
    twice if the ad has been escaped twice; any other is left as it is. The time is linear in
    the text."""
    if markup == "markdown":
        # Brings a parser that most calls do without.
        from markdown_it import MarkdownIt

        return _read_html(MarkdownIt().enable("table").render(text))
    if markup == "html":
        return _read_html(text)
    if markup == "auto":
        if not _TAG.search(text):
            # The lines are the ad's own, unless it turns out to be HTML that was escaped.
            text = _resolve(text)
        if _TAG.search(text):
            text = _read_html(text)
        text = _resolve(text)
    return text


def _resolve(text: str) -> str:
    """The characters that entities stand for."""
    return _ENTITY.sub(lambda match: unescape(match[0]).replace("\xa0", " "), text)


def _read_html(text: str) -> str:
    # Parses in linear time whatever is in it, which html.parser does not.
    from lxml import etree

    # A tree would end where tags are nested too deep.
    parser = etree.HTMLParser(encoding="utf8", huge_tree=True, target=_Reader())
    # What a parser with a target returns is the target's.
    return str(etree.fromstring(text.encode("utf8", "replace"), parser))


class _Reader:
    """Puts the text together while lxml calls it with the parts of a page."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        # Of the element at hand, as it comes in pieces.
        self._data: list[str] = []
        # How many elements are open that are not seen, or keep their line breaks.
        self._unseen = 0
        self._preformatted = 0

    def start(self, tag: str, attributes: object) -> None:
        self._end_data()
        self._unseen += bool(self._unseen or tag in _UNSEEN)
        self._preformatted += tag == "pre"
        if not self._unseen and tag in _BLOCKS:
            self._parts.append("\n• " if tag == "li" else "\n")

    def end(self, tag: str) -> None:
        self._end_data()
        if not self._unseen and tag in _BLOCKS:
            self._parts.append("\n")
        self._unseen -= bool(self._unseen)
        self._preformatted -= tag == "pre"

    def data(self, data: str) -> None:
        if not self._unseen:
            self._data.append(data)

    def close(self) -> str:
        self._end_data()
        lines = (line.strip() for line in "".join(self._parts).split("\n"))
        return "\n".join(line for line in lines if line.strip("• "))

    def _end_data(self) -> None:
        text = "".join(self._data)
        # Line breaks are blanks in HTML.
        self._parts.append(text if self._preformatted else re.sub(r"\s+", " ", text))
        self._data.clear()
