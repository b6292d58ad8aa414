"""A published paper as data, which tables and figures set beside what is measured.

A paper is a folder:

    paper.toml     who wrote it, the order of its methods, the arrangement of its tables (`Paper`)
    claims.toml    what it claims, if anything (bench/papers/claims.py)

and files that paper.toml names, in the folder or in results/published: CSV files of numbers, whose method "reference"
is the data itself, and a TOML file of settings. The registry `papers` holds those of this package and every folder that
a plugin files by `register_paper`.
"""

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from bench.config import toml
from bench.config.registry import papers
from bench.config.settings import Frozen
from bench.config.suite import validated
from bench.errors import UsageError
from bench.papers.claims import Claim, load_claims

if TYPE_CHECKING:
    from pandas import DataFrame

FILE, CLAIMS = "paper.toml", "claims.toml"
PUBLISHED = Path(__file__).parents[1] / "published"  # in a checkout a link to results/published
REFERENCE = "reference"
NEEDED = ("source", "table", "dataset", "method", "metric", "value")  # columns of numbers; std, settings, note may be


class Table(Frozen):
    """A printed table, and what of a suite stands in it.

    Attributes:
        name: what the numbers' column `table` says.
        columns: metrics; "nll" and "quality" are whichever likelihood and distance the data has.
        by_draws: whether every number K of draws is a column.
        rows: methods in the printed order, by default the paper's; others follow them.
        everywhere: whether the table also arranges data of which the paper prints nothing.
        datasets: printed names of data by their names here, if they differ.
        settings: what samples must have been drawn and measured with ("sampler", "steps", "n", ...).
        strict: metrics that depend on so much that only a run of protocol "paper" is compared.
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
    strict: tuple[str, ...] = ()


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
        related: further sources that `numbers` holds, by name.
    """

    folder: Path
    title: str
    citation: str
    source: str
    numbers: tuple[str, ...] = ()
    headline: bool = False
    methods: dict[str, str] = Field({})
    tables: tuple[Table, ...] = ()
    recipe: Recipe | None = None
    related: dict[str, Related] = Field({})
    claims: tuple[Claim, ...] = ()

    @property
    def about(self) -> str:
        """The paper in one line."""
        return f"{self.citation}: {self.title}"

    def path(self, name: str) -> Path:
        """Where a file that the paper names lies."""
        return self.folder / name if (self.folder / name).exists() else PUBLISHED / name

    def recipes(self) -> dict[str, dict[str, Any]]:
        """The printed settings by dataset."""
        return toml.read(self.path(self.recipe.file)) if self.recipe else {}


def register_paper(folder: Path | str) -> Paper:
    """File the paper of a folder under the folder's name; UsageError names what is wrong with its paper.toml."""
    folder = Path(folder).resolve()
    where = f"paper {folder.name}"
    try:
        raw = toml.read(folder / FILE)
    except (OSError, ValueError) as error:
        raise UsageError(f"{where}: {FILE}: {getattr(error, 'strerror', None) or error}") from error
    claims = load_claims(folder / CLAIMS, folder.name) if (folder / CLAIMS).exists() else ()
    paper: Paper = validated(Paper, {"source": folder.name, **raw, "folder": folder, "claims": claims}, where)
    for name in (*paper.numbers, *([paper.recipe.file] if paper.recipe else [])):
        if not (path := paper.path(name)).is_file():
            raise UsageError(f"{where}: no file {name!r}, neither beside {FILE} nor in {PUBLISHED}")
        header = path.read_text(encoding="utf-8-sig").partition("\n")[0].strip().split(",")
        if name in paper.numbers and (lacking := [column for column in NEEDED if column not in header]):
            raise UsageError(f"{where}: {name}: no column {lacking[0]!r}; needed: {', '.join(NEEDED)}")
    return papers.register(folder.name)(paper)


def known() -> list[Paper]:
    """All papers, those of this package first."""
    return sorted(papers.values(), key=lambda paper: (paper.folder.parent != Path(__file__).parent, paper.folder.name))


def order() -> list[str]:
    """Methods in the order of every table and figure: those of the first paper, then further ones of the next."""
    return list(dict.fromkeys(name for paper in known() for name in paper.methods))


def published_numbers() -> "DataFrame":
    """All numbers of all papers: the columns NEEDED, std, n_seeds, settings, note, and three more.

    `paper` is who has them, `beside` whether the headline table shows them, and `draws` the K that bits/dim are of: 1
    if the settings name none ("K=50; dopri5 1e-5").
    """
    import pandas

    read = [pandas.DataFrame(columns=[*NEEDED, "std", "n_seeds", "settings", "note"])]
    for paper, name in [(one, name) for one in known() for name in one.numbers]:
        rows = pandas.read_csv(paper.path(name), keep_default_na=False, na_values={"value": [""], "std": [""]})
        read.append(rows.assign(paper=paper.folder.name, beside=paper.headline & (rows.source == paper.source)))
    found = pandas.concat(read, ignore_index=True).fillna({"settings": "", "note": ""})
    draws = found.settings.str.extract(r"\bK=(\d+)", expand=False).astype(float).fillna(1)
    return found.assign(
        value=found.value.astype(float),
        std=found["std"].astype(float),
        beside=found.beside.astype(bool),
        metric=found.metric.replace("nfe", "nfe_sampling"),
        draws=draws.where(found.metric == "nll_bpd"),
    )
