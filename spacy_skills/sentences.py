"""Cuts job ads into sentences, cleans them and recognises near-duplicates."""

import random
import re
import struct
from collections.abc import Iterator
from hashlib import blake2b
from html import unescape
from itertools import islice
from pathlib import Path
from typing import Any

import numpy
from spacy.language import Language
from spacy.pipeline import Pipe
from spacy.tokens import Doc

from .ads import Ad, read_ads
from .markup import plain_text

# Characters. Longer stretches are cut at a blank, so that one line of a megabyte stays
# cheap here and for the encoder.
MAX_SENTENCE = 1000

# A line of at least this many characters may be wrapped rather than ended.
MIN_WRAPPED = 50

_BULLETS = "•●▪■□◦‣∙·➢➤►▶»✓✔★"
_BREAKS = r"\n\r\v\f\x1c-\x1e\x85\u2028\u2029"
_BLOCK_TAG = (
    r"/?(?:p|br|hr|li|[uod]l|d[dt]|h[1-6]|div|table|tbody|thead|t[rdh]|section|article"
    r"|header|footer|body|html|head|title|pre|blockquote)\b[^<>]{0,300}?(?:>|&gt;)"
)

# One set of first characters, then what each needs around it: four times as fast as
# alternatives that start differently.
_BOUNDARY = re.compile(
    rf"""[{_BREAKS}<&*{_BULLETS}.!?…\t|](?:
        (?P<line>(?<=\r)\n|(?<=[{_BREAKS}]))
        |(?P<block>(?<=[{_BULLETS}])|(?<=\s[*])(?=\s)
            |(?:(?<=<)|(?<=&)lt;)(?i:{_BLOCK_TAG})
            |(?<=&)(?:bull|middot|\#8226|\#183|\#x2022);)
        |(?P<cell>(?<=\S\t)(?=\S)|(?<=[|]))
        |(?P<end>(?<=[.!?…])[.!?…]{{0,7}}["'”’)\]]{{0,4}}(?=\s))
    )""",
    re.VERBOSE,
)
_MARKER = re.compile(r"\s{0,20}(?:[-–—*+o]|\#{1,6}|\(?\d{1,2}[.)]|\(?[A-Za-z]\))(?=\s)")
_TABLE_ROW = re.compile(r"\s{0,20}\|")
_NEXT_CHARACTER = re.compile(r"\s{0,20}[\"'“‘(\[]{0,3}([^\s\"'“‘(\[])")
_LAST_WORD = re.compile(r"[^\s(\[\"'“‘/]{1,20}$")

# Before a full stop; these rarely end a sentence.
_ABBREVIATIONS = frozenset(
    "mr mrs ms mx dr prof rev hon gen col lt capt sgt cpl st sr jr asst assoc dept "
    "approx incl esp vs cf e.g i.e eg ie viz ref tel attn mgr dir "
    "jan feb mar apr jun jul aug sep sept oct nov dec".split()
)
# These only before a number: "No. 5", "min. 3 years".
_NUMBER_ABBREVIATIONS = frozenset("no nos min max ext fig sec art par req".split())
_INITIALS = re.compile(r"(?:[A-Za-z]\.){0,5}[A-Za-z]|Ph\.D|Ed\.D", re.IGNORECASE)


def split_ad(text: str) -> Iterator[tuple[int, int]]:
    """Yield the (start, end) character offsets of an ad's sentences, in order.

    Sentences end at line breaks (not where a long line is merely wrapped), bullets, the
    cells of a table (tabs; "|" in lines that open with it), HTML block tags, and at full stops, question and exclamation marks unless a small
    letter follows. Offsets leave out white space, bullets and list numbers around a
    sentence. None is longer than MAX_SENTENCE. The time is linear in the text.
    """
    start, line_start = _skip_marker(text, 0), 0
    for match in _BOUNDARY.finditer(text):
        if match.lastgroup == "line":
            if _is_wrapped(text, line_start, match.start(), match.end()):
                line_start = match.end()
                continue
            line_start = match.end()
        elif match.lastgroup == "end":
            if not _ends_sentence(text, start, match):
                continue
            yield from _trim(text, start, match.end())
            start = match.end()
            continue
        elif match.lastgroup == "cell" and match.group() == "|":
            if not _TABLE_ROW.match(text, line_start):
                continue
        yield from _trim(text, start, match.start())
        start = _skip_marker(text, match.end())
    yield from _trim(text, start, len(text))


def _skip_marker(text: str, start: int) -> int:
    marker = _MARKER.match(text, start)
    return marker.end() if marker else start


def _is_wrapped(text: str, line_start: int, line_end: int, next_start: int) -> bool:
    last = text[max(line_start, line_end - 20) : line_end].rstrip()[-1:]
    return (
        line_end - line_start >= MIN_WRAPPED
        and last not in (".", "!", "?", ":", ";", ">", "")
        and not _MARKER.match(text, next_start)
        and not text[next_start : next_start + 1].isspace()
        and _next_character(text, next_start).islower()
    )


def _next_character(text: str, start: int) -> str:
    match = _NEXT_CHARACTER.match(text, start)
    return match.group(1) if match else ""


def _ends_sentence(text: str, start: int, match: "re.Match[str]") -> bool:
    following = _next_character(text, match.end())
    if following.islower():
        return False
    if match.group() != ".":
        return True
    last = _LAST_WORD.search(text, max(start, match.start() - 20), match.start())
    word = last.group() if last else ""
    if word.lower() in _ABBREVIATIONS or _INITIALS.fullmatch(word):
        return False
    return not (following.isdigit() and word.lower() in _NUMBER_ABBREVIATIONS)


def _trim(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """The stretch without outer white space, in parts of at most MAX_SENTENCE."""
    while start < end:
        part_end = end
        if end - start > MAX_SENTENCE:
            part_end = text.rfind(" ", start + 1, start + MAX_SENTENCE + 1)
            part_end = part_end if part_end > 0 else start + MAX_SENTENCE
        part = text[start:part_end]
        first = start + len(part) - len(part.lstrip())
        last = start + len(part.rstrip())
        if first < last:
            yield first, last
        start = part_end


_TAGS = re.compile(r"<(?:/?[A-Za-z]|!)[^<>]{0,300}>")
_BLOCK_TAGS = re.compile("<" + _BLOCK_TAG, re.IGNORECASE)
_INVISIBLE = re.compile("[\u00ad\u200b-\u200f\u2060\ud800-\udfff\ufeff]")
_LEADING_BULLET = re.compile(rf"(?:[{_BULLETS}*]|[-–—](?=\s))\s*")


def clean_sentence(text: str) -> str:
    """The sentence as a reader sees it: entities resolved; tags, invisible characters,
    halves of broken emoji and a leading bullet removed; white space collapsed."""
    if "&" in text:
        text = unescape(text)
    if "<" in text:
        text = _TAGS.sub("", _BLOCK_TAGS.sub(" ", text))
    if not text.isascii():
        text = _INVISIBLE.sub("", text)
    text = " ".join(text.split())
    return _LEADING_BULLET.sub("", text) if _LEADING_BULLET.match(text) else text


def read_sentences(path: str | Path, *, text_field: str = "text") -> Iterator[str]:
    """Stream the cleaned sentences with at least one letter of all ads under `path`.

    Arguments and errors are those of `ads.read_ads`.
    """
    for ad in read_ads(path, text_field=text_field):
        yield from _sentences(_text(ad))


def sample_sentences(
    path: str | Path, n: int, *, text_field: str = "text", seed: int = 0
) -> Iterator[str]:
    """At most n cleaned sentences, of ads drawn from all under `path` alike.

    Arguments and errors are otherwise those of `ads.read_ads`. At most n ads are held in
    memory. Vitter (1985), Random sampling with a reservoir, algorithm R.
    """
    rng = random.Random(seed)
    texts: list[str] = []
    for i, ad in enumerate(read_ads(path, text_field=text_field)):
        if i < n:
            texts.append(_text(ad))
        elif (place := rng.randrange(i + 1)) < n:
            texts[place] = _text(ad)
    rng.shuffle(texts)
    yield from islice((s for text in texts for s in _sentences(text)), n)


def _text(ad: Ad) -> str:
    """Without the markup of HTML and Markdown files; what is left of it in other ones is dealt
    with by the sentence, which is faster."""
    return ad.text if ad.markup == "auto" else plain_text(ad.text, ad.markup)


def _sentences(text: str) -> Iterator[str]:
    for start, end in split_ad(text):
        sentence = clean_sentence(text[start:end])
        if any(map(str.isalpha, sentence)):
            yield sentence


_WORDS = re.compile(r"\w+")
_NUMBERS = re.compile(r"\d+")


def normalise_sentence(text: str) -> str:
    """What near-duplicates have in common: words without case, numbers as 0."""
    words = " ".join(_WORDS.findall(text.casefold().replace("_", " ")))
    return _NUMBERS.sub("0", words) if _NUMBERS.search(words) else words


class NearDuplicates:
    """Remembers sentences in a Bloom filter, so that memory is fixed.

    Sentences are the same if only case, punctuation, white space or numbers differ.
    With the default 32 MB a new sentence is taken for a seen one once in 10^10 after a
    million sentences, once in 600 after twenty million; the same on every machine.
    Bloom (1970), Space/time trade-offs in hash coding with allowable errors.
    """

    HASHES = struct.Struct("<7Q")

    def __init__(self, megabytes: int = 32) -> None:
        self._bits = bytearray(megabytes * 2**20)

    def seen(self, text: str) -> bool:
        """Whether the sentence was given before; it is remembered from now on."""
        key = normalise_sentence(text).encode("utf8", "surrogatepass")
        digest = blake2b(key, digest_size=self.HASHES.size).digest()
        bits, size = self._bits, len(self._bits) * 8
        seen = True
        for value in self.HASHES.unpack(digest):
            index, mask = (value % size) >> 3, 1 << (value & 7)
            if not bits[index] & mask:
                seen = False
                bits[index] |= mask
        return seen


@Language.factory("ad_sentencizer", assigns=["token.is_sent_start", "doc.sents"])
def make_ad_sentencizer(nlp: Language, name: str) -> "AdSentencizer":
    """Build the component that finds sentence bounds in job ads."""
    return AdSentencizer(name)


class AdSentencizer(Pipe):
    """Sets sentence bounds with `split_ad`, which knows lines, bullets and HTML.

    Bullets, tags and list numbers between two sentences belong to the second. A doc
    that has sentence bounds already is left as it is.
    """

    def __init__(self, name: str = "ad_sentencizer") -> None:
        self.name = name

    def __call__(self, doc: Doc) -> Doc:
        if not len(doc) or doc.has_annotation("SENT_START"):
            return doc
        ends = [end for _, end in split_ad(doc.text)][:-1]
        # Sentences open at the first token and at the first visible one after an end.
        starts, bound = numpy.full(len(doc), -1, dtype="int8"), 0
        starts[0] = 1
        for token in doc:
            if bound < len(ends) and token.idx >= ends[bound] and not token.is_space:
                starts[token.i] = 1
                while bound < len(ends) and token.idx >= ends[bound]:
                    bound += 1
        # Each use of the setter of Token.is_sent_start looks at all tokens.
        column: Any = starts.astype("uint64")[:, None]
        return doc.from_array(["SENT_START"], column)
