"""What a ranker consists of, saved and loaded: the base class of ``SkillRanker``."""

from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import srsly
from spacy.pipeline import TrainablePipe
from spacy.util import SimpleFrozenList, from_disk, to_disk
from spacy.util import to_bytes as to_bytes_

from .calibration import Calibration
from .errors import Errors
from .finder import NameFinder
from .skills import clear
from .taxonomy import Taxonomy

if TYPE_CHECKING:
    from .spanner import SkillSpanner

# What not every ranker has, and the names of their files.
OPTIONAL_PARTS = {"names", "spanner", "calibration"}


class SavedRanker(TrainablePipe):
    """Settings, taxonomy, model, and where there are any the names' finder, the spanner and the
    calibration: one key each in the four serialisers, as spaCy's EntityLinker keeps its knowledge base."""

    cfg: dict[str, Any]
    finder: NameFinder | None
    spanner: "SkillSpanner | None"
    calibration: Calibration | None
    _taxonomy: Taxonomy | None

    @property
    def taxonomy(self) -> Taxonomy:
        if self._taxonomy is None:
            raise ValueError(Errors.S004.format(name=self.name))
        return self._taxonomy

    def to_bytes(self, *, exclude: Iterable[str] = SimpleFrozenList()) -> bytes:
        self._validate_serialization_attrs()
        serialize = {
            "cfg": lambda: srsly.json_dumps(self.cfg),
            "vocab": lambda: self.vocab.to_bytes(exclude=exclude),
            "taxonomy": self.taxonomy.to_bytes,
            "model": self.model.to_bytes,
        }
        if self.finder is not None:
            serialize["names"] = self.finder.to_bytes
        if self.spanner is not None:
            serialize["spanner"] = self.spanner.to_bytes
        if self.calibration is not None:
            serialize["calibration"] = self.calibration.to_bytes
        return to_bytes_(serialize, exclude)

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SavedRanker":
        return self.from_parts(srsly.msgpack_loads(bytes_data), exclude=exclude)

    def from_parts(
        self, parts: dict[str, bytes], *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SavedRanker":
        """Load what ``to_bytes`` joins. Optional parts that are missing are gone afterwards,
        others that are missing stay as they are."""
        deserialize: dict[str, Callable[[bytes], Any]] = {
            "cfg": lambda b: self.cfg.update(srsly.json_loads(b)),
            "vocab": lambda b: self.vocab.from_bytes(b, exclude=exclude),
            "taxonomy": self._load_taxonomy,
            "model": self._load_model,
            "names": self._load_names,
            "spanner": self._load_spanner,
            "calibration": self._load_calibration,
        }
        self._forget(exclude)
        for name, load in deserialize.items():
            if name in parts and name not in exclude:
                load(parts[name])
        self._check_shapes(exclude)
        return self

    def to_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> None:
        self._validate_serialization_attrs()
        serialize: dict[str, Callable[[Any], Any]] = {
            "cfg": lambda p: srsly.write_json(p, self.cfg),
            "vocab": lambda p: self.vocab.to_disk(p, exclude=exclude),
            "taxonomy": self.taxonomy.to_disk,
            "model": self.model.to_disk,
        }
        if self.finder is not None:
            names = self.finder.to_bytes
            serialize["names"] = lambda p: p.write_bytes(names())
        if self.spanner is not None:
            serialize["spanner"] = self.spanner.to_disk
        if self.calibration is not None:
            calibration = self.calibration.to_bytes
            serialize["calibration"] = lambda p: p.write_bytes(calibration())
        for name in OPTIONAL_PARTS - set(serialize):
            # Left by another ranker that was saved here before.
            (Path(path) / name).unlink(missing_ok=True)
        to_disk(path, serialize, exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SavedRanker":
        deserialize: dict[str, Callable[[Any], Any]] = {
            "cfg": lambda p: self.cfg.update(srsly.read_json(p)),
            "vocab": lambda p: self.vocab.from_disk(p, exclude=exclude),
            "taxonomy": lambda p: self._load_taxonomy(p.read_bytes()),
            "model": lambda p: self._load_model(p.read_bytes()),
        }
        self._forget(exclude)
        for name, load in (
            ("names", self._load_names),
            ("spanner", self._load_spanner),
            ("calibration", self._load_calibration),
        ):
            if (Path(path) / name).exists():
                deserialize[name] = partial(_load_file, load)
        from_disk(path, deserialize, exclude)
        self._check_shapes(exclude)
        return self

    def _load_taxonomy(self, data: bytes) -> None:
        self._taxonomy = Taxonomy.from_bytes(data)

    def _forget(self, exclude: Iterable[str]) -> None:
        """What is saved may lack the parts that not every ranker has."""
        if "names" not in exclude:
            self.finder = None
        if "spanner" not in exclude:
            self.spanner = None
        if "calibration" not in exclude:
            self.calibration = None

    def _load_spanner(self, data: bytes) -> None:
        # Brings torch and transformers.
        from .spanner import SkillSpanner

        self.spanner = SkillSpanner.from_bytes(data)

    def _load_calibration(self, data: bytes) -> None:
        self.calibration = Calibration.from_bytes(data)

    def _load_names(self, data: bytes) -> None:
        self.finder = NameFinder.from_bytes(data)

    def _load_model(self, data: bytes) -> None:
        # The component may hold other skills, as a pretrained one does.
        clear(self.model.layers[-1])
        try:
            # Brings torch.
            from .saved_transformers import read_model

            self.model.from_dict(read_model(data))
        except Exception as err:
            # What is raised is up to the layers of the model, and what they are made of.
            message = Errors.S007.format(name=self.name, reason=str(err)[:300])
            raise ValueError(message) from err

    def _check_shapes(self, exclude: Iterable[str]) -> None:
        classifiers = self.model.layers[-1]
        if {"taxonomy", "model"} & set(exclude) or not classifiers.has_dim("nO"):
            return
        n_rows, n_skills = classifiers.get_dim("nO"), len(self.taxonomy)
        if n_rows != n_skills:
            raise ValueError(
                Errors.S008.format(name=self.name, rows=n_rows, n=n_skills)
            )


def _load_file(load: Callable[[bytes], None], path: Path) -> None:
    load(path.read_bytes())
