"""Which stage an edit repeats: the code of every stage, before and after it."""

import subprocess
import sys
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tiny import SUITE, runs

from bench.config.registry import Registry, baselines, datasets, home_of, metrics, networks, samplers
from bench.config.settings import STAGES
from bench.config.suite import Run
from bench.identity import identity, source
from bench.identity.source import PROJECT
from bench.methods.paths import OptimalTransport

EDITIONS = count(1_000_000)
ALL = {*STAGES, "curve"}
Edit = Callable[[str, str, str], None]


@pytest.fixture
def edit(monkeypatch: pytest.MonkeyPatch) -> Edit:
    """Has a file of the project count as edited."""
    monkeypatch.setattr(source, "_frozen", dict(source._frozen))
    monkeypatch.setattr(source, "_modules", dict(source._modules))
    monkeypatch.setattr(source, "edition", next(EDITIONS))

    def as_edited(file: str, old: str, new: str) -> None:
        path = PROJECT / file
        text = path.read_text(encoding="utf-8")
        assert old in text
        source._frozen[path] = text.replace(old, new).encode()
        source.forget(path)
        source.edition = next(EDITIONS)

    return as_edited


def codes(run: Run) -> dict[str, str]:
    found = {stage: identity.code(run, stage) for stage in sorted(ALL)}
    assert all(found.values())
    return {stage: code.digest for stage, code in found.items() if code}


def changed(run: Run, edit: Edit, *what: str) -> set[str]:
    before = codes(run)
    edit(*what)  # type: ignore[call-arg]
    now = codes(run)
    return {stage for stage in ALL if before[stage] != now[stage]}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return runs(tmp_path)[0]


@pytest.fixture
def ddpm(tmp_path: Path) -> Run:
    return runs(tmp_path)[1]


@pytest.fixture
def digits(tmp_path: Path) -> Run:
    text = SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"digits"')
    return runs(tmp_path, text)[0]


EVALUATION = ALL - {"train"}
EDITS = {
    "loss": (("baselines/fm_ot.py", "return mean_square(", "return 2 * mean_square("), ALL),
    "velocity": (("bench/methods/gaussian.py", "x, answer(t, x))", "x, 2 * answer(t, x))"), EVALUATION),
    "path": (("bench/methods/paths.py", "return like(self.alpha(t), x1) * x1", "return like(self.alpha(t), x1)"), ALL),
    "network": (("bench/networks/mlp.py", "[x.flatten(1), *self.inputs.joined", "[*self.inputs.joined"), ALL),
    "dataset": (("bench/datasets/toys.py", "x = 4 * uniform(n, rng) - 2", "x = 4 * uniform(n, rng) - 1"), ALL),
    "another dataset": (("bench/datasets/toys.py", "CIRCLES = ((3.0, 1.5), 0.24)", "CIRCLES = ((3.0, 1.5), 1)"), set()),
    "another method": (("baselines/ddpm.py", "return mean_square(", "return 2 * mean_square("), set()),
    "optimiser": (("bench/training/optimiser.py", "LEAST_RATE = ", "LEAST_RATE = 3 * "), ALL),
    "a metric of samples": (("bench/metrics/w2.py", "numItermax=10**7", "numItermax=10**6"),
                            EVALUATION - {"likelihood"}),
    "a metric of images": (("bench/metrics/extractors/reference.py", "self.dataset", "self.data"), set()),
    "a metric that is not taken": (("bench/metrics/kid.py", "SUBSETS, SUBSET_SIZE = 100", "SUBSETS, SUBSET_SIZE = 10"),
                                   set()),
    "what a metric is told": (("bench/metrics/w2.py", 'limit="w2_n"', 'limit=""'), EVALUATION - {"likelihood"}),
    "a title": (("bench/metrics/w2.py", 'Facts("W₂"', 'Facts("W"'), set()),
    "a default of a setting": (("bench/config/settings.py", "lr: Rate = 1e-3", "lr: Rate = 1e-2"), ALL),
    "a default of the evaluation": (("bench/config/settings.py", "path_times: Annotated[int, Field(ge=2)] = 101",
                                     "path_times: Annotated[int, Field(ge=2)] = 11"), {"samples"}),
    "loading of weights": (("bench/training/weights.py", "copy_(average)", "copy_(2 * average)"), ALL),
    "where weights lie": (("bench/config/elsewhere.py", "TENSORS = (", "TENSORS = (*(), "), set()),
    "what TensorBoard shows": (("bench/evaluation/board.py", "BINS = 128", "BINS = 64"), set()),
    "what is told of a training": (("bench/evaluation/watching.py", "= run.step, 0", "= run.step, 1"), set()),
    "names of random streams": (("bench/config/names.py", 'f"{option}{value}"', 'f"{option}={value}"'), EVALUATION),
    "names of files": (("bench/config/names.py", "LENGTH = 160", "LENGTH = 150"), set()),
    "words": (("bench/errors.py", "class Diverged", "class Else: ...\n\n\nclass Diverged"), set()),
    "records": (("bench/records/frame.py", "COLUMNS = [", "COLUMNS = [*[], "), set()),
}  # fmt: skip


@pytest.mark.parametrize("what", EDITS)
def test_an_edit_repeats_what_hangs_on_it(run: Run, edit: Edit, what: str) -> None:
    arguments, stages = EDITS[what]
    assert changed(run, edit, *arguments) == stages


@pytest.mark.parametrize(
    ("what", "of"),
    [
        (("bench/datasets/order.py", "* total // (n * parts)", "* total // n"), "both"),
        (("bench/datasets/base.py", "torch.cat([values, given], 1)", "torch.cat([given, values], 1)"), "both"),
        (("bench/training/seeds.py", "digest_size=8", "digest_size=7"), "both"),
        (("bench/evaluation/floors.py", "SUBSETS = 5", "SUBSETS = 6"), "both"),
        (("bench/metrics/extractors/reference.py", "self.batch]])", "self.batch]] + 1)"), "images"),
        (("bench/datasets/toys.py", "x = 4 * uniform(n, rng) - 2", "x = 4 * uniform(n, rng) - 1"), "points"),
        (("bench/metrics/kid.py", "SUBSETS, SUBSET_SIZE = 100", "SUBSETS, SUBSET_SIZE = 10"), "none"),
    ],
)
def test_a_floor_hangs_on_all_that_decides_it(edit: Edit, what: tuple[str, str, str], of: str) -> None:
    def found() -> dict[str, str | None]:
        return {
            "points": identity.floor("w2", "checkerboard", False),
            "images": identity.floor("fid", "digits", True),
        }

    before = found()
    edit(*what)
    differs = {kind for kind, now in found().items() if now != before[kind]}
    assert differs == {"both": {"points", "images"}, "none": set()}.get(of, {of})


@pytest.mark.parametrize(
    "what",
    [
        ("bench/methods/marginal.py", "MARGIN = 1e-5", "MARGIN = 1e-4"),
        ("bench/methods/paths.py", "return torch.full_like(t, self.sigma_min - 1)", "return self.sigma_min - 1"),
        ("bench/datasets/toys.py", "corners.sum(1) % 2 == 0", "corners.sum(1) % 2 == 1"),
        ("bench/metrics/tortuosity.py", "- 1, float(error)", ", float(error)"),
    ],
)
def test_an_exact_field_hangs_on_law_and_path(edit: Edit, what: tuple[str, str, str]) -> None:
    asked = ("bench/evaluation/yardsticks.py: exact_paths", "checkerboard", OptimalTransport)
    before = identity.yardstick(*asked)
    edit(*what)
    assert identity.yardstick(*asked) != before


def test_a_sampler_of_the_method_is_evaluation_alone(ddpm: Run, edit: Edit) -> None:
    found = changed(ddpm, edit, "baselines/ddpm.py", "ancestral_steps: Steps = ", "ancestral_steps: Steps = 1 + ")
    assert "samples" in found and "train" not in found


def test_a_sampler_that_a_stage_names_repeats_that_stage(tmp_path: Path, edit: Edit) -> None:
    swept = runs(tmp_path, SUITE + 'evaluation.sweep = { n = 20, nfe = [4], samplers = ["ddim"] }\n')[0]
    what = ("bench/samplers/ddim.py", "return run(", "return 2 * run(")
    assert changed(swept, edit, *what) == {"sweep"}
    swept = runs(tmp_path, SUITE + 'evaluation.sweep = { n = 20, nfe = [4], solvers = ["ddim"] }\n')[0]
    assert changed(swept, edit, what[0], "def sample(", "def sample(*, ") == {"sweep"}
    unknown = runs(tmp_path, SUITE + 'evaluation.sweep = { samplers = ["of_a_plugin"] }\n')[0]
    assert identity.code(unknown, "sweep") is None and identity.code(unknown, "samples") is not None


@pytest.mark.parametrize(
    ("what", "stages"),
    [
        (("x + h * f(1 / 2", "x + h * f(0.4"), {"samples", "curve"}),  # heun2's
        (("f(1 / 4, x + h / 4", "f(0.3, x + h / 4"), {"sweep"}),  # rk4's
        (("class Heun3(FixedSteps)", "class Heun3(AtBothEnds)"), set()),
    ],
)
def test_an_edit_of_one_solver_repeats_what_draws_by_it(
    tmp_path: Path, edit: Edit, what: tuple[str, str], stages: set[str]
) -> None:
    solver = "evaluation.samples = { solver = { method = 'heun2', steps = 4 }, "
    text = SUITE.replace("evaluation.samples = { ", solver) + 'evaluation.sweep = { solvers = ["rk4"] }\n'
    assert changed(runs(tmp_path, text)[0], edit, "bench/samplers/ode.py", *what) == stages


@pytest.mark.parametrize(
    ("what", "stages"),
    [
        (("extractors/reference.py", "self.dataset", "self.data"), {"samples", "sweep", "curve"}),
        (("frechet.py", "- 2 * between", "- 3 * between"), {"samples", "sweep", "curve"}),
        (("kid.py", "SUBSETS, SUBSET_SIZE = 100", "SUBSETS, SUBSET_SIZE = 10"), {"samples"}),
        (("fid.py", 'Facts("FID"', 'Facts("Frechet"'), set()),
        (("fid.py", '"fid": Facts(', '"frechet": Facts('), {"samples", "sweep", "curve"}),
        (("psnr.py", "PEAK = 255", "PEAK = 256"), set()),  # nothing is given
    ],
)
def test_a_metric_of_images_counts_for_the_stages_that_take_it(
    digits: Run, edit: Edit, what: tuple[str, str, str], stages: set[str]
) -> None:
    file, old, new = what
    assert changed(digits, edit, f"bench/metrics/{file}", old, new) == stages


def test_the_extractors_that_a_run_names_are_its_code(tmp_path: Path, digits: Run, edit: Edit) -> None:
    text = SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"digits"')
    text = text.replace("n = 40, batch = 40,", 'n = 40, batch = 40, extractors = ["digits_cnn", "dinov2"],')
    run, what = runs(tmp_path, text)[0], ("bench/metrics/extractors/dinov2.py", "side + 0.1", "side + 0.2")
    before = codes(digits)
    assert changed(run, edit, *what) == {"samples", "sweep", "curve"} and codes(digits) == before
    torchs, foreign = (runs(tmp_path, text.replace("dinov2", name))[0] for name in ("vgg16", "of_a_plugin"))
    assert identity.code(torchs, "samples") is not None and identity.code(foreign, "train") is not None
    assert identity.code(foreign, "samples") is None


def test_the_metrics_that_a_run_names_are_its_code(tmp_path: Path, edit: Edit) -> None:
    text = SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"digits"')
    text = text.replace("n = 40, batch = 40,", 'n = 40, batch = 40, metrics = ["kid"],')
    run = runs(tmp_path, text)[0]
    assert changed(run, edit, "bench/metrics/frechet.py", "- 2 * between", "- 3 * between") == set()
    assert changed(run, edit, "bench/metrics/kid.py", "= 100, 1000", "= 10, 1000") == {"samples"}
    foreign = runs(tmp_path, text.replace('"kid"', '"of_a_plugin"'))[0]
    assert identity.code(foreign, "samples") is None and identity.code(foreign, "train") is not None


def test_what_some_metrics_share_is_the_code_of_these(run: Run, tmp_path: Path, edit: Edit) -> None:
    file = "bench/metrics/distances.py"
    assert changed(run, edit, file, "BLOCK = 2**20", "BLOCK = 2**19") == set()
    named = runs(tmp_path, SUITE.replace("n = 40, batch = 40,", 'n = 40, batch = 40, metrics = ["w2", "mmd"],'))[0]
    assert changed(named, edit, file, "LOW = 16", "LOW = 15") == {"samples", "sweep", "curve"}


def test_a_metric_of_one_stage_repeats_that_stage(run: Run, edit: Edit) -> None:
    file = "bench/evaluation/solver_error.py"
    text = (PROJECT / file).read_text(encoding="utf-8")
    line = next(line for line in text.splitlines() if line.strip().startswith("return "))
    assert changed(run, edit, file, line, line.replace("return ", "return 2 * ")) == {"sweep"}


def test_a_moved_definition_is_no_change(run: Run, edit: Edit) -> None:
    before = codes(run)
    text = (PROJECT / "bench/methods/flow.py").read_text(encoding="utf-8")
    start = text.index("def mean_square")
    moved = text[start:]
    edit("bench/methods/flow.py", moved, "")
    edit("baselines/fm_ot.py", "OptimalTransport, mean_square, noise", "OptimalTransport, noise")
    edit_both = (
        (PROJECT / "baselines/fm_ot.py")
        .read_text(encoding="utf-8")
        .replace("OptimalTransport, mean_square, noise", "OptimalTransport, noise")
    )
    source._frozen[PROJECT / "baselines/fm_ot.py"] = (
        edit_both + "\nfrom bench.training.seeds import mean_square\n"
    ).encode()
    edit("bench/training/seeds.py", "import ", "import ")
    source._frozen[PROJECT / "bench/training/seeds.py"] += ("\n\n" + moved).encode()
    assert codes(run) == before


def test_every_root_is_there() -> None:
    assert set(identity.ROOTS) == {*ALL, "elsewhere"}
    for roots in identity.ROOTS.values():
        for root in roots:
            file, _, name = root.partition(": ")
            assert name in source.module(PROJECT / file).definitions, root
    for text in (*identity.QUIET, *identity.IMAGES_ONLY):
        file, _, name = text.partition(": ")
        assert (PROJECT / file).exists(), text
        assert not name or name in source.module(PROJECT / file).definitions, text


@pytest.mark.parametrize("registry", [datasets, networks, baselines, samplers, metrics], ids=lambda one: one.kind)
def test_every_entry_of_the_project_is_found_by_its_decorator(registry: Registry[Any]) -> None:
    """A registration that is no decorator with the name in it would have no source, and never be stale."""
    of_stages = {name for name, entry in registry.items() if registry is metrics and not entry.needs}
    names = {name for name, entry in registry.items() if home_of(entry).startswith(f"{registry.package}.")}
    assert names and all(source.registered(registry.package, name, source.edition) for name in names - of_stages)


@pytest.mark.parametrize(
    ("stage", "reached", "not_reached"),
    [
        ("train",
         ["baselines/fm_ot.py: FlowMatchingOT.loss", "bench/training/trainer.py", "bench/training/minibatches.py"],
         ["bench/methods/ode.py", "bench/evaluation/quality.py"]),
        ("likelihood",
         ["bench/evaluation/likelihood.py", "bench/methods/ode.py", "bench/methods/gaussian.py"],
         ["bench/evaluation/paths.py", "bench/evaluation/solver_error.py"]),
        ("samples", ["bench/evaluation/paths.py", "bench/evaluation/trained.py"],
         ["bench/evaluation/likelihood.py", "bench/metrics/extractors/reference.py"]),
        ("sweep", ["bench/evaluation/solver_error.py"], ["bench/evaluation/likelihood.py"]),
    ],
)  # fmt: skip
def test_what_a_stage_reaches(run: Run, stage: str, reached: list[str], not_reached: list[str]) -> None:
    code = identity.code(run, stage)
    assert code is not None
    assert set(reached) <= set(code.parts) and not set(not_reached) & set(code.parts)


def test_superres_reaches_the_images_that_it_enlarges(tmp_path: Path) -> None:
    text = SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', '"cifar10_8_to_32"')
    code = identity.code(runs(tmp_path, text)[0], "train")
    assert code is not None and "bench/datasets/images.py" in code.parts


@pytest.mark.parametrize(
    ("dataset", "own", "is_image"),
    [
        ('{ name = "folder", path = "x", size = 8 }', {"folder", "layout", "own", "packing", "decoding"}, True),
        ('{ name = "parquet", path = "x", size = 8 }', {"parquet", "shards", "own", "packing", "decoding"}, True),
        ('"imagenet32"', {"imagenet", "packing"}, True),
        ('{ name = "points", path = "x" }', {"pointfile", "table", "scaling", "cuts"}, False),
    ],
)
def test_data_of_ones_own_are_the_code_that_reads_them(
    tmp_path: Path, dataset: str, own: set[str], is_image: bool
) -> None:
    run = runs(tmp_path, SUITE.replace('{ name = "checkerboard", n_train = 256, n_test = 40 }', dataset))[0]
    train, samples = (identity.code(run, stage) for stage in ("train", "samples"))
    assert train and samples and {f"bench/datasets/{name}.py" for name in own} <= set(train.parts)
    assert ("bench/metrics/extractors/reference.py" in samples.parts) == is_image
    assert ("bench/metrics/fid.py" in samples.parts) == is_image


def test_what_measures_the_data_is_the_code_of_methods_that_ask_for_it(tmp_path: Path, edit: Edit) -> None:
    planned = runs(tmp_path, baselines=["fm_ot", "ot_cfm", "gan", "edm", "consistency"])
    before = [codes(run) for run in planned]
    edit("bench/datasets/deviation.py", "square - mean**2", "square + mean**2")
    differing = {
        run.baseline.name: [stage for stage, now in codes(run).items() if now != old[stage]]
        for run, old in zip(planned, before, strict=True)
    }
    assert differing == {"fm_ot": [], "ot_cfm": [], "gan": [], "edm": sorted(ALL), "consistency": sorted(ALL)}


def test_what_nobody_knows_here_has_no_code(run: Run) -> None:
    foreign = run.model_copy(update={"baseline": run.baseline.model_copy(update={"name": "of_a_plugin"})})
    assert identity.code(foreign, "train") is None and identity.plugins(foreign) == {}


def test_a_change_is_named_by_its_place() -> None:
    before = {"bench/methods/ode.py": "1", "my.py: Mine.loss": "2", "my.py: Mine": "3"}
    assert identity.changed(before, {**before, "my.py: Mine.loss": "4"}) == "my.py: Mine.loss"
    assert identity.changed(before, {**before, "bench/methods/ode.py": "5"}) == "bench/methods/ode.py"
    assert identity.changed(before, dict.fromkeys("abcd", "1")).endswith("more")


@pytest.mark.slow
def test_the_source_of_a_large_suite_is_known_soon_and_without_torch() -> None:
    script = """
import sys, time
from bench.identity import identity
from bench.config.plan import plan
from bench.config.suite import load_suite
begun = time.process_time()
runs = plan(*load_suite("toys"))
assert len(runs) > 300 and all(identity.code(run, stage) for run in runs for stage in run.stages)
assert time.process_time() - begun < 4  # 0.6 measured
assert not {"torch", "numpy", "pandas"} & set(sys.modules)
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120, cwd=PROJECT)


@pytest.mark.parametrize(
    ("what", "hang_on_it"),
    [
        (("bench/datasets/elsewhere.py", 'order="C"', 'order="K"'), {"checkerboard", "digits", "named"}),
        (("bench/datasets/made.py", "BATCH = 512", "BATCH = 64"), {"checkerboard", "digits", "named"}),
        (("bench/evaluation/elsewhere.py", "SEED = 0", "SEED = 1"), {"checkerboard", "digits", "named"}),
        (("bench/metrics/w2.py", "numItermax=10**7", "numItermax=10**6"), {"checkerboard"}),
        (("bench/metrics/frechet.py", "- 2 * between", "- 3 * between"), {"digits"}),
        (("bench/datasets/digits.py", "N_TRAIN = 1437", "N_TRAIN = 1436"), {"digits", "named"}),
        (("baselines/fm_ot.py", "OptimalTransport(self.", "OptimalTransport(2 * self."), set()),
    ],
)
def test_a_score_of_what_was_made_elsewhere_hangs_on_metrics_and_data(
    run: Run, edit: Edit, what: tuple[str, str, str], hang_on_it: set[str]
) -> None:
    def scores() -> dict[str, identity.Code | None]:
        usual = {name: identity.code_elsewhere(name, None, ()) for name in ("checkerboard", "digits")}
        return {**usual, "named": identity.code_elsewhere("digits", ["kid"], ["dinov2"])}

    before = {name: code.digest for name, code in scores().items() if code}
    of_run = changed(run, edit, *what)
    assert {name for name, code in scores().items() if code and code.digest != before[name]} == hang_on_it
    assert "elsewhere" not in what[0] or not of_run
