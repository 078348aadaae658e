"""Texts that were written to ask for a skill, mostly without its name."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from spacy.util import registry

from .errors import Errors
from .lines import MAX_HELD, Lines
from .taxonomy import Taxonomy

COLUMNS = ["uri", "skill", "text"]


@registry.readers("spacy_skills.SkillTexts.v1")
def read_skill_texts(paths: list[Path] | Path | None = None) -> dict[str, list[str]]:
    """The texts of each skill, by URI, from one or more .tsv or .tsv.gz files with the
    columns uri, skill (its name, for people) and text. No path, no texts.

    Raises ValueError naming file and line for what can't be read.
    """
    texts: dict[str, list[str]] = {}
    for path in _list(paths):
        if not path.is_file():
            raise ValueError(Errors.S701.format(path=path))
        lines = Lines(path, max_bytes=MAX_HELD)
        for line in lines:
            row = [cell.strip() for cell in line.rstrip("\r\n").split("\t")]
            if lines.number == 1:
                if row != COLUMNS:
                    found = ", ".join(cell[:40] for cell in row[:20])
                    raise ValueError(Errors.S702.format(path=path, found=found))
                continue
            if len(row) != len(COLUMNS) or not row[0] or not row[2]:
                raise ValueError(Errors.S703.format(path=path, line=lines.number))
            texts.setdefault(row[0], []).append(row[2])
    return texts


def text_rows(
    texts: Mapping[str, Sequence[str]], taxonomy: Taxonomy
) -> list[tuple[str, int]]:
    """Each text with the row of its skill; those of skills that the taxonomy lacks are left
    out."""
    return [
        (text, taxonomy.index(uri))
        for uri, written in texts.items()
        if uri in taxonomy
        for text in written
    ]


def _list(paths: list[Path] | Path | None) -> Iterable[Path]:
    if paths is None:
        return []
    return map(Path, paths if isinstance(paths, list) else [paths])
