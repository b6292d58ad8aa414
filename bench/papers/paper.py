"""A published paper as data, which tables and figures set beside what is measured.

A paper is a folder:

    paper.toml     who wrote it, the order of its methods, the arrangement of its tables (`Paper`)
    claims.toml    what it claims, if anything (bench/papers/claims.py)

and files that paper.toml names, in the folder or in results/published: CSV files of numbers (bench/papers/numbers.py)
and a TOML file of settings. The registry `papers` holds those of this package and every folder that
a plugin files by `register_paper`.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from bench.config import toml
from bench.config.registry import papers, unknown
from bench.config.settings import Frozen, listed
from bench.config.validated import validated
from bench.errors import UsageError
from bench.papers.claims import Claim, load_claims, own
from bench.papers.numbers import Number, read_numbers

if TYPE_CHECKING:
    from pandas import DataFrame

FILE, CLAIMS = "paper.toml", "claims.toml"
PUBLISHED = Path(__file__).parents[1] / "published"  # in a checkout a link to results/published
REFERENCE = "reference"
DEFAULT = "default"


class Table(Frozen):
    """A printed table, and what of a suite stands in it.

    Attributes:
        name: what the numbers' column `table` says.
        columns: metrics; "nll" and "quality" are what they are in claims.
        by_draws: whether every number K of draws is a column.
        rows: methods in the printed order, by default the paper's; others follow them.
        everywhere: whether the table also arranges data of which no paper prints anything.
        datasets: printed names of data by their names here, if they differ.
        settings: what samples must have been drawn and measured with ("sampler", "steps", "n", ...).
        own: settings of the printed runs, by part ("training", a baseline): a run is named by what it has otherwise.
        strict: metrics that depend on so much that only a run of protocol "paper" is compared.
        remark: a sentence below it: what of the printed numbers is in doubt.
    """

    name: str
    title: str
    columns: tuple[str, ...]
    by_draws: bool = False
    rows: tuple[str, ...] = ()
    task: Literal["generation", "super-resolution"] = "generation"
    everywhere: bool = False
    datasets: dict[str, str] = Field({})
    settings: dict[str, Any] = Field({})
    own: dict[str, dict[str, Any]] = Field({})
    strict: tuple[str, ...] = ()
    remark: str = ""

    def unlike(self, baseline: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """What the configuration of a run, {} if not known, has otherwise than the table's own: {"keep": "last"}."""
        if not config:
            return {}
        training = self.own.get("training", {}) | (config.get("training") or {})
        has = [("training", training), (baseline, options_of(config))]
        own = [(settings, key, value) for part, settings in has for key, value in self.own.get(part, {}).items()]
        return {key: settings.get(key, DEFAULT) for settings, key, value in own if settings.get(key, DEFAULT) != value}


def options_of(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The options that the configuration of a run sets of its baseline."""
    options: Mapping[str, Any] = (config.get("baseline") or {}).get("options") or {}
    return options


class Equivalent(Frozen):
    """A printed method as a baseline of this project, whose options say which method it is.

    Attributes:
        options: the value that an option has, or several, any of which will do, the paper's own first; "default" is one
            that is not set. What no option here names may have any value.
    """

    method: str
    baseline: str
    options: dict[str, Annotated[tuple[Any, ...], BeforeValidator(listed)]] = Field({})

    def fits(self, baseline: str, options: Mapping[str, Any]) -> bool:
        return baseline == self.baseline and all(options.get(key, DEFAULT) in of for key, of in self.options.items())

    def unlike(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """The options that have another value than the paper's own."""
        return {
            key: options.get(key, DEFAULT) for key, of in self.options.items() if options.get(key, DEFAULT) != of[0]
        }


class Recipe(Frozen):
    """A printed table of `settings` by part (network, training, ...), whose values `file` has by dataset."""

    name: str
    title: str
    file: str
    remark: str
    settings: dict[str, tuple[str, ...]]


class Related(Frozen):
    """Another source of numbers on the same data, and how its protocol differs from this project's."""

    citation: str
    differs: str


class Paper(Frozen):
    """What paper.toml says.

    Attributes:
        folder: where it lies; the folder's name is the paper's in the registry.
        source: what the numbers' column `source` says of the paper's own.
        numbers: CSV files.
        headline: whether its numbers stand in the headline table too, by the names of data and methods.
        methods: labels by name, in the order of every table and figure.
        equivalents: what printed methods are here; one that has none is the baseline of its name.
        related: further sources that `numbers` holds, by name.
        rows: of `numbers`.
        printed: the settings of `recipe` by dataset.
    """

    folder: Path
    title: str
    citation: str
    source: str
    numbers: tuple[str, ...] = ()
    headline: bool = False
    methods: dict[str, str] = Field({})
    equivalents: tuple[Equivalent, ...] = ()
    tables: tuple[Table, ...] = ()
    recipe: Recipe | None = None
    related: dict[str, Related] = Field({})
    claims: tuple[Claim, ...] = ()
    rows: tuple[Number, ...] = ()
    printed: dict[str, dict[str, Any]] = Field({})

    @property
    def about(self) -> str:
        """The paper in one line."""
        return f"{self.citation}: {self.title}"

    def method(self, baseline: str, options: Mapping[str, Any]) -> str:
        """The method that a run of a baseline is here, by the options that it sets.

        The first of the equivalents that fits, else the baseline's own name; "" if that name is another's here.
        """
        if found := self._equivalent(baseline, options):
            return found.method
        return baseline if all(one.method != baseline for one in self.equivalents) else ""

    def unlike(self, table: Table, baseline: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """What a run that is a method here has otherwise than the paper's own in a table: {"coupling": "exact"}."""
        found = self._equivalent(baseline, options := options_of(config))
        return (found.unlike(options) if found else {}) | table.unlike(baseline, config)

    def _equivalent(self, baseline: str, options: Mapping[str, Any]) -> Equivalent | None:
        return next((one for one in self.equivalents if one.fits(baseline, options)), None)

    def path(self, name: str) -> Path:
        """Where a file that the paper names lies."""
        return self.folder / name if (self.folder / name).exists() else PUBLISHED / name


def cited(claim: Claim) -> str:
    """Where a claim stands: "Liu et al., ICLR 2023 (Rectified Flow), table 1"; a paper unknown here by its folder."""
    paper = papers.so_far().get(claim.paper)
    return ", ".join(filter(None, [paper.citation if paper else claim.paper, claim.source]))


def register_paper(folder: Path | str) -> Paper:
    """File the paper of a folder under the folder's name.

    Raises:
        UsageError: a file of it is missing or does not fit, or another paper or claim has the id of one of its claims.
    """
    papers.load()  # so that no id is taken that a paper of this package has
    folder = Path(folder).resolve()
    where = f"paper {folder.name}"
    raw = _read(folder / FILE, f"{where}: {FILE}")
    claims = load_claims(folder / CLAIMS, folder.name) if (folder / CLAIMS).exists() else []
    others = [claim for name, paper in papers.so_far().items() if name != folder.name for claim in paper.claims]
    for i, claim in enumerate(claims):
        if other := next((c for c in [*others, *own(), *claims[:i]] if c.id == claim.id), None):
            by = f"paper {other.paper}" if other.paper else "a claim of your own"
            raise UsageError(f"{where}: {CLAIMS}: {by} has the id {claim.id!r} too; choose another")
    paper: Paper = validated(Paper, {"source": folder.name, **raw, "folder": folder, "claims": claims}, where)
    if strange := next((one.method for one in paper.equivalents if one.method not in paper.methods), None):
        raise UsageError(f"{where}: equivalents: " + unknown("method", strange, paper.methods))
    for name in (*paper.numbers, *([paper.recipe.file] if paper.recipe else [])):
        if not paper.path(name).is_file():
            raise UsageError(f"{where}: no file {name!r}, neither beside {FILE} nor in {PUBLISHED}")
    read: dict[str, Any] = {
        "rows": tuple(n for name in paper.numbers for n in read_numbers(paper.path(name), f"{where}: {name}"))
    }
    if paper.recipe:
        name = paper.recipe.file
        read["printed"] = _read(paper.path(name), f"{where}: {name}")
        if odd := [dataset for dataset, settings in read["printed"].items() if not isinstance(settings, dict)]:
            raise UsageError(f"{where}: {name}: {odd[0]} = {read['printed'][odd[0]]!r}: expected a table of settings")
    return papers.register(folder.name)(paper.model_copy(update=read))


def _read(path: Path, where: str) -> dict[str, Any]:
    try:
        return toml.read(path)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: {getattr(error, 'strerror', None) or error}") from error


def known() -> list[Paper]:
    """All papers: those of this package first, among each those with numbers in the headline table."""
    here = Path(__file__).parent
    return sorted(papers.values(), key=lambda p: (p.folder.parent != here, not p.headline, p.folder.name))


def order() -> list[str]:
    """Methods in the order of every table and figure: those of the first paper, then further ones of the next."""
    return list(dict.fromkeys(name for paper in known() for name in paper.methods))


def published_numbers() -> "DataFrame":
    """All numbers of all papers: the columns of `bench.papers.numbers.Number`, with NaN for none, and two more.

    `paper` is who has them, and `beside` whether the headline table shows them.
    """
    import pandas

    rows = [
        row.model_dump() | {"paper": paper.folder.name, "beside": paper.headline and row.source == paper.source}
        for paper in known()
        for row in paper.rows
    ]
    found = pandas.DataFrame(rows, columns=[*Number.model_fields, "paper", "beside"])
    return found.astype({"value": float, "std": float, "n_seeds": float, "draws": float, "beside": bool})
