"""Reads ESCO's official CSVs, any version and language, into a Taxonomy."""

from collections.abc import Iterator
from pathlib import Path

from spacy.util import registry

from .errors import Errors
from .lines import MAX_HELD, Lines, csv_rows
from .taxonomy import Group, Skill, Taxonomy

Row = dict[str, str]
OBSOLETE = "obsolete"
# Those that are read, of three dozen.
COLUMNS = frozenset(
    "conceptUri broaderUri skillType preferredLabel altLabels hiddenLabels description "
    "reuseLevel status code".split()
)


@registry.readers("spacy_skills.Taxonomy.v1")
def read_taxonomy(path: Path) -> Taxonomy:
    """The taxonomy at path: a compact file or a folder of ESCO's CSVs."""
    return load_taxonomy(path)


def load_taxonomy(path: str | Path, language: str = "en") -> Taxonomy:
    """Read a compact file, or a folder of ESCO's CSVs in the language.

    The folder holds ``skills_en.csv``, ``broaderRelationsSkillPillar.csv`` and
    ``skillGroups_en.csv``. Raises ValueError naming file and row for a missing file or
    column, a file that is not UTF-8, a URI that occurs twice, a broader link to nothing
    and broader links in a circle.
    """
    path = Path(path)
    if not path.exists():
        raise ValueError(Errors.S105.format(path=path))
    if not path.is_dir():
        return Taxonomy.from_disk(path)
    relations_path = _find(path, "broaderRelationsSkillPillar", language)
    skills_path = _find(path, "skills", language)
    groups_path = _find(path, "skillGroups", language)
    broader, origin = _read_broader(relations_path)
    skills: dict[str, Skill] = {}
    groups: dict[str, Group] = {}
    seen: dict[str, str] = {}
    columns = ("conceptUri", "skillType", "preferredLabel", "altLabels", "description")
    for line, row in _concepts(skills_path, columns, seen):
        uri = row["conceptUri"]
        name = _clean(row["preferredLabel"])
        if not name:
            raise ValueError(Errors.S109.format(path=skills_path, row=line, uri=uri))
        skills[uri] = Skill(
            uri=uri,
            name=name,
            kind=row["skillType"].strip(),
            alt_names=_alternatives(name, row),
            description=_clean(row["description"]),
            reuse_level=row.get("reuseLevel", "").strip(),
            broader=tuple(broader.get(uri, ())),
        )
    for _, row in _concepts(groups_path, ("conceptUri", "preferredLabel"), seen):
        uri = row["conceptUri"]
        groups[uri] = Group(
            uri=uri,
            name=_clean(row["preferredLabel"]),
            code=row.get("code", "").strip(),
            description=_clean(row.get("description", "")),
            broader=tuple(broader.get(uri, ())),
        )
    if not skills:
        raise ValueError(Errors.S110.format(path=skills_path))
    for (uri, parent), line in origin.items():
        # ESCO 1.1.1 keeps links of seven groups it has retired; nothing hangs on them.
        known = uri in skills or uri in groups
        if known and parent not in skills and parent not in groups:
            raise ValueError(
                Errors.S111.format(path=relations_path, row=line, uri=parent)
            )
    try:
        return Taxonomy(skills.values(), groups.values())
    except ValueError as err:
        raise ValueError(f"{relations_path}: {err}") from err


def _find(folder: Path, stem: str, language: str) -> Path:
    """The file of this name: with the language, without, or the only one there is."""
    for name in (f"{stem}_{language}.csv", f"{stem}.csv"):
        if (folder / name).exists():
            return folder / name
    others = sorted(folder.glob(f"{stem}_*.csv"))
    if len(others) == 1:
        return others[0]
    raise ValueError(
        Errors.S106.format(
            folder=folder,
            name=f"{stem}_{language}.csv",
            found=", ".join(other.name for other in others) or "none like it",
        )
    )


def _read_broader(
    path: Path,
) -> tuple[dict[str, list[str]], dict[tuple[str, str], int]]:
    """Each concept's direct parents in file order, and the row each link stands in."""
    broader: dict[str, list[str]] = {}
    origin: dict[tuple[str, str], int] = {}
    for line, row in _rows(path, ("conceptUri", "broaderUri")):
        link = (row["conceptUri"].strip(), row["broaderUri"].strip())
        if link not in origin:
            origin[link] = line
            broader.setdefault(link[0], []).append(link[1])
    return broader, origin


def _concepts(
    path: Path, columns: tuple[str, ...], seen: dict[str, str]
) -> Iterator[tuple[int, Row]]:
    """Rows of concepts in force; seen collects where each URI stands."""
    for line, row in _rows(path, columns):
        uri = row["conceptUri"] = row["conceptUri"].strip()
        if row.get("status", "").strip().lower() == OBSOLETE or not uri:
            continue
        place = f"{path.name}, row {line}"
        if uri in seen:
            raise ValueError(
                Errors.S108.format(path=path, row=line, uri=uri, first=seen[uri])
            )
        seen[uri] = place
        yield line, row


def _rows(path: Path, columns: tuple[str, ...]) -> Iterator[tuple[int, Row]]:
    """(line in the file at which the row ends, cells by column). Cells that a short row lacks
    are empty."""
    lines = Lines(path, max_bytes=MAX_HELD)
    rows = csv_rows(lines)
    header = next(rows, [])
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(Errors.S107.format(path=path, columns=", ".join(missing)))
    places = {name: i for i, name in enumerate(header) if name in COLUMNS}
    for row in rows:
        if row:
            cells = {name: row[i] for name, i in places.items() if i < len(row)}
            yield lines.number, dict.fromkeys(places, "") | cells


def _alternatives(name: str, row: Row) -> tuple[str, ...]:
    lines = f"{row['altLabels']}\n{row.get('hiddenLabels', '')}".split("\n")
    names = dict.fromkeys(_clean(line) for line in lines)
    return tuple(other for other in names if other and other != name)


def _clean(text: str) -> str:
    return " ".join(text.split())
