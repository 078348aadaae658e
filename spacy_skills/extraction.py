"""The skills of many ads: read and written one at a time and found in some hundred, so that
memory is bounded and an interrupted run goes on where it stopped."""

import json
from collections.abc import Callable, Collection, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

from pydantic import TypeAdapter
from spacy.language import Language
from spacy.tokens import Doc

# That of typing tells pydantic too little before Python 3.12.
from typing_extensions import TypedDict

from .ads import Ad, OnError
from .annotations import SkillRecord
from .errors import Errors
from .files import naming_full_disk
from .lines import MAX_LINE, MAX_MARKDOWN, whole_lines
from .markup import Markup, plain_text
from .unbroken import make_doc

FORMAT = "spacy_skills.Extraction.v1"
# Ads that are annotated together.
BATCH_SIZE = 32
# Ads that are held at a time; the words that only they hold are then forgotten.
MEMORY_ZONE = 512


class AdRecord(TypedDict):
    """One ad: where it was read, its text without markup, to which the offsets of the skills'
    evidence refer, and its skills."""

    source: str
    text: str
    skills: list[SkillRecord]


_SHAPE = TypeAdapter(AdRecord)


def extract_skills(
    nlp: Language,
    ads: Iterable[Ad],
    *,
    on_error: OnError,
    done: Collection[str] = (),
    markup: Markup | None = None,
    n_process: int = 1,
) -> Iterator[AdRecord]:
    """Annotate ads with a pipeline that has the component esco_skills.

    done: sources of records that there are already. markup: of all ads, if it is not what each
    says itself. What UTF-8 can't hold is replaced in texts and sources. An ad that fails is reported to
    on_error and left out; the others of its batch are annotated again by themselves, and come
    last. So is one with more skills than a line may hold (MAX_LINE).
    """
    for record in _extract(nlp, ads, on_error, done, markup, n_process):
        if len(_dump(record)) <= MAX_LINE:
            yield record
        else:
            reason = f"with its skills it takes more than {MAX_LINE:,} bytes"
            message = Errors.S907.format(source=record["source"], reason=reason)
            on_error(ValueError(message))


def _extract(
    nlp: Language,
    ads: Iterable[Ad],
    on_error: OnError,
    done: Collection[str],
    markup: Markup | None,
    n_process: int,
) -> Iterator[AdRecord]:
    failed: list[tuple[str, str]] = []
    todo = (ad for ad in map(_encodable, ads) if ad.source not in done)
    texts = _texts(nlp, todo, markup, on_error)
    if n_process == 1:
        while chunk := list(islice(texts, MEMORY_ZONE)):
            with nlp.memory_zone():
                yield from _annotate(nlp, chunk, failed, 1)
    else:
        yield from _annotate(nlp, texts, failed, n_process)
    for text, source in failed:
        try:
            yield _record(nlp(make_doc(nlp, text)), source)
        except Exception as err:
            message = Errors.S907.format(source=source, reason=repr(err)[:300])
            on_error(ValueError(message))


def _encodable(ad: Ad) -> Ad:
    """JSON may hold halves of emoji, and file names any bytes; names that differ still do."""
    text = ad.text.encode("utf8", "replace").decode("utf8")
    source = ad.source.encode("utf8", "backslashreplace").decode("utf8")
    return ad._replace(text=text, source=source)


def _texts(
    nlp: Language, ads: Iterable[Ad], markup: Markup | None, on_error: OnError
) -> Iterator[tuple[str, str]]:
    for ad in ads:
        how = markup or ad.markup
        if how == "markdown" and len(ad.text.encode()) > MAX_MARKDOWN:
            reason = f"more than {MAX_MARKDOWN:,} bytes of Markdown"
            on_error(ValueError(Errors.S907.format(source=ad.source, reason=reason)))
            continue
        text = plain_text(ad.text, how)
        if len(text) > nlp.max_length:
            reason = f"{len(text):,} characters, more than nlp.max_length allows"
            on_error(ValueError(Errors.S907.format(source=ad.source, reason=reason)))
        else:
            yield text, ad.source


def _annotate(
    nlp: Language,
    texts: Iterable[tuple[str, str]],
    failed: list[tuple[str, str]],
    n_process: int,
) -> Iterator[AdRecord]:
    """The records of all but the ads of batches that failed, which are put on the list."""
    waiting: dict[str, str] = {}

    def remember() -> Iterator[tuple[Doc, str]]:
        for text, source in texts:
            waiting[source] = text
            try:
                doc = make_doc(nlp, text)
            except Exception:
                # It would end the pipe.
                continue
            yield doc, source

    handler = nlp.default_error_handler
    nlp.set_error_handler(_pass_over)  # type: ignore[arg-type]
    try:
        docs = nlp.pipe(
            remember(), as_tuples=True, batch_size=BATCH_SIZE, n_process=n_process
        )
        for doc, source in docs:
            waiting.pop(source, None)
            yield _record(doc, source)
    finally:
        nlp.set_error_handler(handler)
    failed += [(text, source) for source, text in waiting.items()]


def _pass_over(name: str, pipe: Callable, docs: list[Doc], error: Exception) -> None:
    """Of a batch that fails each doc is tried again by itself."""


def _record(doc: Doc, source: str) -> AdRecord:
    return AdRecord(source=source, text=doc.text, skills=doc._.skills)


class Journal:
    """The records so far, in a file beside the output: a line of settings, then one of each ad.

    What the file holds of an earlier run with the same settings is kept, but for a last line
    that was cut short.
    """

    def __init__(
        self, path: Path, settings: dict[str, Any], *, overwrite: bool = False
    ) -> None:
        """overwrite: begin anew if the file is of a run with other settings. Raises ValueError
        if it is and overwrite is not set, or if a line is no record."""
        self.path = path
        self.done: set[str] = set()
        header = {"format": FORMAT, "settings": settings}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(path, "ab+")  # noqa: SIM115
        try:
            if not self._resume(header, overwrite):
                self._write(header)
        except BaseException:
            self._close()
            raise

    def _resume(self, header: dict[str, Any], overwrite: bool) -> int:
        """Read what is there, cut off what can't be kept, return the length of the rest."""
        self._file.seek(0)
        end = 0
        for number, line in enumerate(whole_lines(self._file, self.path), 1):
            if number > 1:
                self.done.add(_parse(line, self.path, number)["source"])
            elif line != _dump(header):
                if not overwrite:
                    raise ValueError(Errors.S905.format(path=self.path))
                break
            end += len(line)
        self._file.truncate(end)
        return end

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        self._close()

    def add(self, record: AdRecord) -> None:
        self._write(record)
        self.done.add(record["source"])

    def records(self) -> Iterator[AdRecord]:
        yield from read_records(self.path, first=2)

    def _write(self, content: Any) -> None:
        # Not forced to the disk for every ad: what a power cut takes is found again.
        with naming_full_disk(self.path):
            self._file.write(_dump(content))
            self._file.flush()

    def _close(self) -> None:
        # What could not be written is tried once more.
        with naming_full_disk(self.path):
            self._file.close()


def _dump(content: Any) -> bytes:
    # srsly rounds numbers, so that settings would not equal themselves.
    return json.dumps(content).encode("ascii") + b"\n"


def read_records(path: Path, first: int = 1) -> Iterator[AdRecord]:
    """The ads of a file of `spacy skills extract`, from the line `first` on. Raises OSError, or
    ValueError naming the line if it is none."""
    with path.open("rb") as file:
        lines = iter(partial(file.readline, MAX_LINE + 1), b"")
        for number, line in enumerate(lines, 1):
            if len(line) > MAX_LINE:
                message = Errors.S317.format(path=path, line=number, limit=MAX_LINE)
                raise ValueError(message)
            if number >= first:
                yield _parse(line, path, number)


def _parse(line: bytes, path: Path, number: int) -> AdRecord:
    try:
        record = _SHAPE.validate_json(line, strict=True)
        _check_places(record)
    # Of pydantic's too.
    except ValueError as err:
        message = Errors.S906.format(path=path, line=number)
        raise ValueError(message) from err
    return record


def _check_places(record: AdRecord) -> None:
    """Raises ValueError for evidence outside the text."""
    length = len(record["text"])
    for skill in record["skills"]:
        for evidence in skill["evidence"]:
            if not 0 <= evidence["start"] <= evidence["end"] <= length:
                raise ValueError(evidence)
