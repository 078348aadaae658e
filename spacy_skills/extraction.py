"""The skills of many ads: read, found and written one ad at a time, so that memory is bounded
and an interrupted run goes on where it stopped."""

import json
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, TypedDict

import srsly
from spacy.language import Language
from spacy.tokens import Doc

from .ads import Ad, OnError
from .annotations import SkillRecord
from .errors import Errors
from .lines import MAX_LINE
from .markup import Markup, plain_text

FORMAT = "spacy_skills.Extraction.v1"
# Ads that are annotated together.
BATCH_SIZE = 32
# Ads after which the words that only they hold are forgotten.
MEMORY_ZONE = 512


class AdRecord(TypedDict):
    """One ad: where it was read, its text without markup, to which the offsets of the skills'
    evidence refer, and its skills."""

    source: str
    text: str
    skills: list[SkillRecord]


def extract_skills(
    nlp: Language,
    ads: Iterable[Ad],
    *,
    on_error: OnError,
    markup: Markup | None = None,
    n_process: int = 1,
) -> Iterator[AdRecord]:
    """Annotate ads with a pipeline that has the component esco_skills.

    markup: of all ads, if it is not what each says itself. An ad that fails is reported to
    on_error and left out; the others of its batch are annotated again by themselves, and come
    last.
    """
    failed: list[tuple[str, str]] = []
    texts = _texts(nlp, ads, markup, on_error)
    if n_process == 1:
        while chunk := list(islice(texts, MEMORY_ZONE)):
            with nlp.memory_zone():
                yield from _annotate(nlp, chunk, failed, 1)
    else:
        yield from _annotate(nlp, texts, failed, n_process)
    for text, source in failed:
        try:
            yield _record(nlp(text), source)
        except Exception as err:
            message = Errors.S907.format(source=source, reason=repr(err)[:300])
            on_error(ValueError(message))


def _texts(
    nlp: Language, ads: Iterable[Ad], markup: Markup | None, on_error: OnError
) -> Iterator[tuple[str, str]]:
    for ad in ads:
        text = plain_text(ad.text, markup or ad.markup)
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

    def remember() -> Iterator[tuple[str, str]]:
        for text, source in texts:
            waiting[source] = text
            yield text, source

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

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        """Raises ValueError if the file is of a run with other settings."""
        self.path = path
        self.done: set[str] = set()
        header = {"format": FORMAT, "settings": settings}
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file: BinaryIO = open(path, "ab+")  # noqa: SIM115
        self._file.seek(0)
        end = 0
        for number, line in enumerate(self._file):
            if not line.endswith(b"\n"):
                break
            if number == 0 and _load(line, path, 1) != header:
                self._file.close()
                raise ValueError(Errors.S905.format(path=path))
            if number:
                self.done.add(_load(line, path, number + 1)["source"])
            end += len(line)
        self._file.truncate(end)
        if not end:
            self._write(header)

    def __enter__(self) -> "Journal":
        return self

    def __exit__(self, *error: object) -> None:
        self._file.close()

    def add(self, record: AdRecord) -> None:
        self._write(record)
        self.done.add(record["source"])

    def records(self) -> Iterator[AdRecord]:
        yield from read_records(self.path, first=2)

    def _write(self, content: Any) -> None:
        self._file.write(srsly.json_dumps(content).encode("utf8") + b"\n")
        self._file.flush()


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
                record = _load(line, path, number)
                if not {"source", "text", "skills"} <= set(record):
                    raise ValueError(Errors.S906.format(path=path, line=number))
                yield record


def _load(line: bytes, path: Path, number: int) -> Any:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        record = None
    if not isinstance(record, dict):
        raise ValueError(Errors.S906.format(path=path, line=number))
    return record
