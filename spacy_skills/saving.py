"""What a ranker consists of, saved and loaded: the base class of ``SkillRanker``."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import TypeAdapter
from spacy.pipeline import TrainablePipe
from spacy.util import SimpleFrozenList
from typing_extensions import Required, TypedDict

from .calibration import Calibration
from .errors import Errors
from .finder import NameFinder
from .parts import Part, SavedParts, join_parts, write_parts
from .skills import clear
from .taxonomy import Taxonomy

if TYPE_CHECKING:
    from .spanner import SkillSpanner

# What not every ranker has, and the names of their files.
OPTIONAL_PARTS = frozenset({"names", "spanner", "calibration"})
# Those of a TransformerEncoder that thinc saves with the weights.
ENCODER_SETTINGS = frozenset({"frozen", "bfloat16", "int8"})


class _Settings(TypedDict, total=False):
    """Of ``cfg``. Older versions lack some."""

    top_k: Required[int]
    threshold: float
    precision: float | None
    group_level: int
    spans_key: str
    negatives_key: str
    matches_key: str


class SavedRanker(TrainablePipe):
    """Settings, taxonomy, model, and where there are any the names' finder, the spanner and the
    calibration: a part each, as spaCy's EntityLinker keeps its knowledge base."""

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
        writers = self._writers()
        writers["vocab"] = lambda: self.vocab.to_bytes(exclude=exclude)
        return join_parts(self.cfg, writers, exclude)

    def from_bytes(
        self, bytes_data: bytes, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SavedRanker":
        return self._load(SavedParts.from_bytes(self.name, bytes_data), exclude)

    def from_parts(
        self, parts: Mapping[str, Part], *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SavedRanker":
        """Load what ``to_bytes`` joins, or ``compact.unpack`` gives. Optional parts that are
        missing are gone afterwards, others that are missing stay as they are."""
        return self._load(SavedParts(self.name, parts), exclude)

    def to_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> None:
        self._validate_serialization_attrs()
        write_parts(Path(path), self.cfg, self._writers(), exclude, OPTIONAL_PARTS)
        if "vocab" not in exclude:
            self.vocab.to_disk(Path(path) / "vocab", exclude=exclude)

    def from_disk(
        self, path: str | Path, *, exclude: Iterable[str] = SimpleFrozenList()
    ) -> "SavedRanker":
        if "vocab" not in exclude:
            self.vocab.from_disk(Path(path) / "vocab", exclude=exclude)
        return self._load(SavedParts(self.name, Path(path)), {*exclude, "vocab"})

    def _writers(self) -> dict[str, Callable[[], bytes]]:
        writers = {"taxonomy": self.taxonomy.to_bytes, "model": self.model.to_bytes}
        if self.finder is not None:
            writers["names"] = self.finder.to_bytes
        if self.spanner is not None:
            writers["spanner"] = self.spanner.to_bytes
        if self.calibration is not None:
            writers["calibration"] = self.calibration.to_bytes
        return writers

    def _load(self, saved: SavedParts, exclude: Iterable[str]) -> "SavedRanker":
        """Raises ValueError for parts that are damaged or do not belong together, OSError for
        one that is missing."""
        loaders: dict[str, Callable[[bytes], Any]] = {
            "vocab": lambda data: self.vocab.from_bytes(data, exclude=exclude),
            "taxonomy": self._load_taxonomy,
            "model": self._load_model,
            "names": self._load_names,
            "spanner": self._load_spanner,
            "calibration": self._load_calibration,
        }
        self._forget(exclude)
        saved.load(
            self.cfg,
            loaders,
            settings=TypeAdapter(_Settings),
            exclude=exclude,
            optional=OPTIONAL_PARTS,
        )
        self._check_shapes(exclude)
        self._check_calibration(exclude)
        saved.check_digests()
        if "model" not in exclude:
            self._check_weights(saved.place("model"))
        return self

    def _load_taxonomy(self, data: bytes) -> None:
        self._taxonomy = Taxonomy.from_bytes(data, source="the taxonomy")

    def _forget(self, exclude: Iterable[str]) -> None:
        """What is saved may lack the parts that not every ranker has."""
        if "names" not in exclude:
            self.finder = None
        if "spanner" not in exclude:
            self.spanner = None
        if "calibration" not in exclude:
            self.calibration = None

    def _load_spanner(self, data: bytes | dict[str, Any]) -> None:
        # Brings torch and transformers.
        from .spanner import SkillSpanner

        if isinstance(data, bytes):
            self.spanner = SkillSpanner.from_bytes(data)
        else:
            self.spanner = SkillSpanner.from_dict(data)

    def _load_calibration(self, data: bytes) -> None:
        self.calibration = Calibration.from_bytes(data)

    def _load_names(self, data: bytes) -> None:
        self.finder = NameFinder.from_bytes(data)

    def _load_model(self, data: bytes | dict[str, Any]) -> None:
        # The component may hold other skills, as a pretrained one does, or what a damaged file
        # left there.
        for node in self.model.walk():
            clear(node)
        encoder = self.model.layers[0]
        # The config decides, not what it was when the model was saved.
        settings = {k: encoder.attrs[k] for k in ENCODER_SETTINGS & set(encoder.attrs)}
        if "cache" in encoder.attrs:
            # It is of other weights.
            settings["cache"] = None
        try:
            # Brings torch.
            from .saved_transformers import load_model

            load_model(self.model, data)
            encoder.attrs.update(settings)
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

    def _check_calibration(self, exclude: Iterable[str]) -> None:
        """Raises ValueError if it has not seen vectors such as there are."""
        calibration, classifiers = self.calibration, self.model.layers[-1]
        if {"model", "spanner", "calibration"} & set(exclude) or calibration is None:
            return
        if not classifiers.has_dim("nI"):
            return
        width = classifiers.get_dim("nI")
        if calibration.reader == "spanner":
            width = 0 if self.spanner is None else self.spanner.width
        calibration.check_width(width)

    def _check_weights(self, place: str) -> None:
        """Raises ValueError if not all are finite: every score would be NaN."""
        from .saved_transformers import all_finite

        for node in self.model.walk():
            arrays = [node.get_param(p) for p in node.param_names if node.has_param(p)]
            # What is damaged may be text.
            finite = all(
                array.dtype.kind in "fiu" and bool(node.ops.xp.isfinite(array).all())
                for array in arrays
            )
            modules = [shim._model for shim in node.shims if shim._model is not None]
            if not finite or not all(map(all_finite, modules)):
                raise ValueError(
                    Errors.S023.format(name=self.name, place=place, node=node.name)
                )
