"""Names of datasets, networks, baselines, samplers, metrics, figures and papers: one class, seven instances.

A name is registered by importing the module that declares it. `load` imports the built-in package, then the
entry-point group of the same kind in installed distributions; `load_plugin` imports a file or a module named on
the command line. Nothing is imported before the first look-up, so that `--help` stays quick.
"""

import difflib
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

from bench.errors import UsageError, usage_error

T = TypeVar("T")


class Registry(Mapping[str, T], Generic[T]):
    """A mapping from names to the objects registered under them.

    Args:
        kind: what the names stand for, in messages ("dataset"); "bench.datasets" is then the entry-point group.
        package: the package whose modules hold the built-in entries. A package that defines `find()` says itself what
            loads them, label to function; the papers do, as each is a folder of data.
    """

    def __init__(self, kind: str, package: str) -> None:
        self.kind = kind
        self.package = package
        self.group = f"bench.{kind}s"
        self._entries: dict[str, T] = {}
        self._loaded = False
        self._failure: UsageError | None = None

    def register(self, name: str, check: Callable[..., object] | None = None) -> Callable[[T], T]:
        """Decorator that files its object under `name`; UsageError if that is no text, or the name of another object.

        `check` takes what the object is called with, all of it by keyword, and raises UsageError if that cannot be.
        """
        if not isinstance(name, str) or not name:
            raise UsageError(f"register_{self.kind}: its first argument is a name, a text; not {name!r}")

        def file(entry: T) -> T:
            home = home_of(entry)
            if not home.startswith(f"{self.package}."):
                self.load()  # a name of the project's is never a plugin's
            if name in self._entries:
                first = home_of(self._entries[name])
                raise UsageError(
                    f"{self.kind} {name!r} is registered twice, in {first} and in {home}; choose another name"
                )
            self._entries[name] = entry
            if check:
                entry.check = check  # type: ignore[attr-defined]
            return entry

        return file

    def restore(self, before: Mapping[str, T]) -> set[str]:
        """Have registered what was before, and what is the project's own; the modules of what is forgotten."""
        new = {name: entry for name, entry in self._entries.items() if name not in before}
        own = self._imports() if new else {}
        gone = {name: home_of(entry) for name, entry in new.items() if not {name, home_of(entry)} & own.keys()}
        self._entries = {name: entry for name, entry in self._entries.items() if name not in gone}
        return set(gone.values())

    def so_far(self) -> Mapping[str, T]:
        """What is registered so far, without importing anything."""
        return self._entries

    def load(self) -> None:
        """Import everything that registers entries: the built-in package and the installed entry points.

        UsageError for what cannot be imported, from then on at every look-up.
        """
        if self._failure:
            raise self._failure
        if self._loaded:
            return
        self._loaded = True
        for name, load in self._imports().items():
            try:
                with usage_error(f"{self.kind}s of {name}"):
                    load()
            except UsageError as error:
                self._failure = error
                raise

    def _imports(self) -> dict[str, Callable[[], object]]:
        """What loads the entries of the project and of installed distributions, by module or label."""
        package = importlib.import_module(self.package)
        imports: dict[str, Callable[[], object]] = dict(getattr(package, "find", partial(_modules, package))())
        return imports | {point.value: point.load for point in importlib.metadata.entry_points(group=self.group)}

    def __getitem__(self, name: str) -> T:
        self.load()
        if name not in self._entries:
            raise UsageError(unknown(self.kind, name, self._entries, otherwise="--plugin FILE registers more"))
        return self._entries[name]

    def __contains__(self, name: object) -> bool:
        self.load()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        self.load()
        return iter(sorted(self._entries))

    def __len__(self) -> int:
        self.load()
        return len(self._entries)


def _modules(package: ModuleType) -> dict[str, Callable[[], object]]:
    found = sorted(f"{package.__name__}.{module.name}" for module in pkgutil.iter_modules(package.__path__))
    return {name: partial(importlib.import_module, name) for name in found}


def unknown(kind: str, name: str, known: Mapping[str, object] | list[str], otherwise: str = "") -> str:
    """The one-line answer to a name that does not exist: what is known, and the nearest match or what else may help."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean {near[0]!r}?" if near else otherwise
    return f"unknown {kind} {name!r}; known: {', '.join(sorted(known)) or 'none'}" + (f"; {hint}" if hint else "")


def home_of(entry: object) -> str:
    return str(getattr(entry, "__module__", ""))


def register_class(
    registry: Registry[Any], name: str, base: type[Any], hint: Callable[[type[Any]], str] = lambda cls: "", **said: Any
) -> Callable[[type[Any]], type[Any]]:
    """Decorator that files a subclass of `base`, with what is said of it as attributes of the class.

    UsageError for any other object, an abstract method, to which `hint` is added, or an option outside a dataclass.
    """
    register = registry.register(name)

    def file(cls: type[Any]) -> type[Any]:
        where = f"{registry.kind} {name!r}"
        if not (isinstance(cls, type) and issubclass(cls, base)):
            raise UsageError(f"{where}: {cls!r} is not a subclass of bench.{base.__name__}")
        if lacking := sorted(cls.__abstractmethods__):
            raise UsageError(f"{where}: {cls.__name__} lacks {' and '.join(lacking)}{hint(cls)}")
        for key, hint_of in (item for c in cls.__mro__ for item in inspect.get_annotations(c).items()):
            if key not in cls.__dataclass_fields__ and "ClassVar" not in str(hint_of):
                raise UsageError(f"{where}: option {key} is in a class without @dataclass(frozen=True)")
        for key, value in {"name": name, **said}.items():
            setattr(cls, key, value)
        return register(cls)

    return file


def whole(plugin: str) -> str:
    """A plugin as any process finds it: a file (`my_baseline.py`) by its whole path, a module by its name."""
    return str(Path(plugin).resolve()) if plugin.endswith(".py") else plugin


def load_plugin(plugin: str) -> ModuleType:
    """Import a plugin for what it registers; UsageError if that fails, and nothing of it is registered then."""
    path = Path(whole(plugin))
    own_name = f"bench_plugin_{path.stem}_{hashlib.sha256(str(path).encode()).hexdigest()[:8]}"
    name = own_name if plugin.endswith(".py") else plugin
    entries, known, imported = [dict(registry.so_far()) for registry in SEVEN], dict(claims), set(sys.modules)
    try:
        with usage_error(f"--plugin {plugin}"):
            module = _file(plugin, path, name) if plugin.endswith(".py") else _module(plugin)
    except UsageError:
        gone = set[str]().union(*(registry.restore(before) for registry, before in zip(SEVEN, entries, strict=True)))
        claims.clear()
        claims.update(known)
        for home in gone - imported:  # or the next import of it would register nothing
            if home.partition(".")[0] != "bench":
                sys.modules.pop(home, None)
        raise
    loaded[whole(plugin)] = None
    return module


def _module(plugin: str) -> ModuleType:
    if importlib.util.find_spec(plugin) is None and Path(f"{plugin}.py").is_file():
        raise UsageError(f"--plugin {plugin}: no such module; did you mean the file {plugin}.py?")
    return importlib.import_module(plugin)


def _file(plugin: str, path: Path, name: str) -> ModuleType:
    if not path.is_file():
        raise UsageError(f"--plugin {plugin}: no such file")
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # before it runs, as dataclasses and pickle look for it there
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


loaded: dict[str, None] = {}  # plugins of this process, for one that works for it
claims: dict[str, Any] = {}  # those of no paper, by id
datasets: Registry[Any] = Registry("dataset", "bench.datasets")
networks: Registry[Any] = Registry("network", "bench.networks")
baselines: Registry[Any] = Registry("baseline", "baselines")
samplers: Registry[Any] = Registry("sampler", "bench.samplers")
metrics: Registry[Any] = Registry("metric", "bench.metrics")
figures: Registry[Any] = Registry("figure", "bench.report.plots")
papers: Registry[Any] = Registry("paper", "bench.papers")
SEVEN: tuple[Registry[Any], ...] = (datasets, networks, baselines, samplers, metrics, figures, papers)
register_dataset = datasets.register
register_network = networks.register
