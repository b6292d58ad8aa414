"""Suites and runs: precedence of settings, identity, and complaints of one line."""

import hashlib
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError
from tiny import SUITE, runs

from bench.config.beforehand import validate
from bench.config.components import build_baseline, build_dataset, build_network
from bench.config.elsewhere import of_extractors
from bench.config.names import safe_name
from bench.config.plan import UNSET, plan
from bench.config.settings import Evaluation, Samples, Training
from bench.config.suite import Run, load_suite, suite_names
from bench.errors import UsageError
from bench.records.elsewhere import Elsewhere

# What a suite becomes.


@pytest.mark.parametrize("name", suite_names())
def test_the_suites_of_the_project_are_valid(name: str) -> None:
    _, suite = load_suite(name)
    for protocol in suite.protocols:
        planned = plan(name, suite, protocol)
        validate(planned)
        assert planned and len({run.run_id for run in planned}) == len(planned)
        assert all(run.protocol == protocol and run.suite == name for run in planned)
    assert suite.about


def test_every_method_of_the_project_is_in_a_suite_for_two_cores() -> None:
    from bench.config.registry import baselines

    suites = ("quick", "generators", "fewstep", "superres_cifar10")
    run = {run.baseline.name for name in suites for run in plan(name, load_suite(name)[1])}
    ours = {name for name, cls in baselines.items() if cls.__module__.startswith("baselines.")}
    assert ours <= run


def test_a_suite_is_every_baseline_with_every_seed(tmp_path: Path) -> None:
    planned = runs(tmp_path, SUITE.replace("seeds = [0]", "seeds = [0, 7]"))
    assert [(run.baseline.name, run.seed) for run in planned] == [
        ("fm_ot", 0),
        ("fm_ot", 7),
        ("ddpm", 0),
        ("ddpm", 7),
    ]
    assert planned[0].stages == ("train", "likelihood", "samples")
    assert planned[0].variant == planned[1].variant != planned[2].variant
    assert planned[1].run_id == f"{planned[1].variant}-s7"
    assert planned[0].run_id.startswith("checkerboard-fm_ot-")


def test_several_datasets_in_one_experiment(tmp_path: Path) -> None:
    text = SUITE.replace(
        '{ name = "checkerboard", n_train = 256, n_test = 40 }', '["moons", { name = "circles", n_test = 9 }]'
    )
    planned = runs(tmp_path, text)
    assert [(run.dataset.name, run.dataset.options) for run in planned[::2]] == [
        ("moons", {}),
        ("circles", {"n_test": 9}),
    ]
    assert [run.dataset.name for run in runs(tmp_path, text, datasets=["circles"])] == ["circles"] * 2


def test_narrowing(tmp_path: Path) -> None:
    assert [run.baseline.name for run in runs(tmp_path, baselines=["ddpm"])] == ["ddpm"]
    assert [run.seed for run in runs(tmp_path, seeds=[3, 4], baselines=["ddpm"])] == [3, 4]
    # A baseline that the suite does not list is run with the experiment's settings.
    assert runs(tmp_path, baselines=["rnode"])[0].training.steps == 6


def test_a_named_baseline_runs_where_its_dataset_lists_it_and_else_in_every_experiment(tmp_path: Path) -> None:
    other = SUITE[SUITE.index("[[") :].replace('["fm_ot", "ddpm"]', '["ot_cfm"]').replace("steps = 6", "steps = 9")
    elsewhere = other.replace("checkerboard", "moons").replace("steps = 9", "steps = 12")
    text = SUITE + "\n".join(part.replace("overrides.ddpm = ", "# ") for part in (other, elsewhere))

    def cells(*named: str) -> list[tuple[str, str, int | None]]:
        return [(r.dataset.name, r.baseline.name, r.training.steps) for r in runs(tmp_path, text, baselines=named)]

    listed = [("checkerboard", "fm_ot", 6), ("checkerboard", "ddpm", 6), ("checkerboard", "ot_cfm", 9)]
    assert cells("fm_ot") == [listed[0], ("moons", "fm_ot", 12)]  # which moons do not list
    assert cells("ddpm", "ot_cfm") == [*listed[1:], ("moons", "ddpm", 12), ("moons", "ot_cfm", 12)]
    assert cells("trig") == [(data, "trig", s) for data, s in (("checkerboard", 6), ("checkerboard", 9), ("moons", 12))]


def test_a_named_student_and_its_teacher_run_in_the_same_places(tmp_path: Path) -> None:
    other = (
        SUITE[SUITE.index("[[") :].replace('["fm_ot", "ddpm"]', '["edm", "reflow"]').replace("steps = 6", "steps = 9")
    )
    text = SUITE + other.replace("overrides.ddpm = ", "# ") + "overrides.reflow.options.teacher = 'edm'\n"

    def steps(teacher: str, *named: str, **more: str) -> list[tuple[str, int | None]]:
        taught = {f"{student}.teacher": by for student, by in {named[-1]: teacher, **more}.items()}
        planned = runs(tmp_path, text, baselines=named, settings=taught)
        places = {run.run_id: run.training.steps for run in planned}
        assert all(places[needed] == run.training.steps for run in planned for needed in run.needs)
        return [(run.baseline.name, run.training.steps) for run in planned]

    # No experiment lists pupil.
    assert steps("edm", "edm", "pupil") == [("edm", 9), ("pupil", 9)]
    assert steps("trig", "trig", "pupil") == [(name, n) for n in (6, 9) for name in ("trig", "pupil")]
    assert steps("pupil", "edm", "pupil", "second", pupil="edm") == [(name, 9) for name in ("edm", "pupil", "second")]
    # One that is listed elsewhere runs where it teaches, too.
    assert steps("fm_ot", "fm_ot", "reflow") == [("fm_ot", 6), ("fm_ot", 9), ("reflow", 9)]
    with pytest.raises(UsageError, match="it would be its own teacher"):
        steps("second", "pupil", "second", second="pupil", pupil="second")


def test_a_paper_s_method_is_planned_by_its_own_settings_alone() -> None:
    name, suite = load_suite("fewstep")
    for method, steps in (("consistency", 400_000), ("meanflow", 800_000), ("edm", 390_625)):
        (run,) = plan(name, suite, "paper", [method])
        assert run.training.steps == steps


def test_a_budget_is_said_in_words() -> None:
    assert Training(steps=2000).budget == "2000 steps" and Training(seconds=1.5).budget == "1.5 s"
    assert Training(steps=20, evaluations=1e6).budget == "20 steps or 1,000,000 evaluations"


def test_naming_a_run_twice_runs_it_once(tmp_path: Path) -> None:
    assert len(runs(tmp_path, baselines=["ddpm", "ddpm"], seeds=[1, 1])) == 1


def test_precedence_of_experiment_protocol_override_and_set(tmp_path: Path) -> None:
    text = SUITE + 'protocols.paper = { training.steps = 100, training.batch = 99, network = "concatsquash" }\n'
    text += "overrides.fm_ot = { training.steps = 200 }\n"
    chosen = runs(tmp_path, text, protocol="paper")
    assert [(run.training.steps, run.training.batch) for run in chosen] == [(200, 99), (100, 99)]
    assert {run.network.name for run in chosen} == {"concatsquash"} and not chosen[0].network.options
    forced = runs(tmp_path, text, protocol="paper", settings={"training.steps": 300, "ddpm.ddim_steps": 7})
    assert [run.training.steps for run in forced] == [300, 300]
    assert [run.baseline.options for run in forced] == [{}, {"ancestral_steps": 5, "ddim_steps": 7}]


VARIED = (
    SUITE.replace("batch = 16 }", "batch = 16, lr = 0.5 }").replace("[[experiments]]", "[[experiments]]\nseeds = [9]")
    + """
overrides.fm_ot = { training.steps = 200, training.batch = 8 }
[experiments.protocols.paper]
baselines = ["rnode", "fm_ot"]
seeds = [4, 5]
training = { steps = 100, batch = 32 }
overrides.fm_ot = { training.steps = 400, options.sigma_min = 0.1 }
overrides.rnode = { training = { lr = 0.25 }, options.kinetic = 0.5, network = "concatsquash" }
"""
)


def test_a_protocol_has_baselines_seeds_and_overrides_of_its_own(tmp_path: Path) -> None:
    def cells(planned: list[Run]) -> list[tuple[Any, ...]]:
        return [(r.baseline.name, r.seed, r.training.steps, r.training.batch, r.training.lr) for r in planned]

    paper = runs(tmp_path, VARIED, protocol="paper")
    # Weakest first: the experiment, the protocol, the override, the protocol's override.
    expected = [("rnode", 100, 32, 0.25), ("fm_ot", 400, 8, 0.5)]
    assert cells(paper) == [(name, seed, *rest) for name, *rest in expected for seed in (4, 5)]
    assert [run.baseline.options for run in paper[::2]] == [{"kinetic": 0.5}, {"sigma_min": 0.1}]
    assert [run.network.name for run in paper[::2]] == ["concatsquash", "mlp"]
    smoke = runs(tmp_path, VARIED)
    assert cells(smoke) == [("fm_ot", 9, 200, 8, 0.5), ("ddpm", 9, 6, 16, 0.5)]
    assert smoke[0].baseline.options == {} and smoke[1].baseline.options == {"ancestral_steps": 5, "ddim_steps": 3}


def test_an_experiment_is_of_the_protocols_under_which_it_has_baselines(tmp_path: Path) -> None:
    """One of protocol paper alone, of other data, beside one that is left out there."""
    alone = SUITE[SUITE.index("[[") :].replace('"checkerboard", n_train = 256', '"moons", n_train = 200')
    alone = (
        alone.replace('["fm_ot", "ddpm"]', "[]") + 'protocols.paper = { baselines = ["ddpm"], training.steps = 9 }\n'
    )
    text = SUITE + "protocols.paper.baselines = []\n" + alone.replace("overrides.ddpm = ", "# ")

    def cells(**narrow: Any) -> list[tuple[str, str, int | None]]:
        return [(run.dataset.name, run.baseline.name, run.training.steps) for run in runs(tmp_path, text, **narrow)]

    assert cells() == [("checkerboard", "fm_ot", 6), ("checkerboard", "ddpm", 6)]
    assert cells(protocol="paper") == [("moons", "ddpm", 9)]
    # Nor does a baseline that is named on the command line run where the experiment is not of the protocol.
    assert cells(baselines=["ot_cfm"]) == [("checkerboard", "ot_cfm", 6)]
    assert cells(protocol="paper", baselines=["ot_cfm"]) == [("moons", "ot_cfm", 9)]
    for narrow, message in (
        ({"datasets": ["moons"]}, "--datasets moons: .* suite tiny, protocol smoke 'moons'; known: checkerboard$"),
        ({"datasets": ["checkerboard"], "protocol": "paper"}, "protocol paper 'checkerboard'; known: moons$"),
        ({"protocol": "small"}, "--protocol small: suite tiny has paper, smoke"),
    ):
        with pytest.raises(UsageError, match=message):
            runs(tmp_path, text, **narrow)
    with pytest.raises(UsageError, match="no experiment has baselines under protocol 'smoke', the default one"):
        runs(tmp_path, SUITE.replace('["fm_ot", "ddpm"]', "[]").replace("overrides.ddpm = ", "# "), protocol="smoke")


def test_the_command_line_is_stronger_than_a_protocol(tmp_path: Path) -> None:
    settings = {"training.steps": 7, "fm_ot.sigma_min": 0.2, "training.lr": 0.125}
    forced = runs(tmp_path, VARIED, protocol="paper", baselines=["ddpm", "fm_ot"], seeds=[1], settings=settings)
    assert [(r.baseline.name, r.seed, r.training.steps, r.training.batch) for r in forced] == [
        ("ddpm", 1, 7, 32),
        ("fm_ot", 1, 7, 8),
    ]
    assert forced[1].baseline.options == {"sigma_min": 0.2} and {run.training.lr for run in forced} == {0.125}


def test_an_experiments_override_may_be_of_a_protocols_baseline(tmp_path: Path) -> None:
    text = VARIED.replace("overrides.fm_ot = { training.steps = 200, training.batch = 8 }", "overrides.rnode = {}")
    assert len(runs(tmp_path, text, protocol="paper")) == 4
    with pytest.raises(UsageError, match="'rnode'"):
        runs(tmp_path, text.replace('"rnode", "fm_ot"]', '"fm_ot"]'))


def test_settings_reach_every_part(tmp_path: Path) -> None:
    (run, _) = runs(
        tmp_path,
        settings={
            "network.width": 12,
            "dataset.n_test": 30,
            "evaluation.samples.n": 50,
            "evaluation.sweep.nfe": [4],
            "evaluation.samples.solver.rtol": 1e-3,
            "fm_ot.sigma_min": 0.2,
        },
    )
    assert run.network.options == {"width": 12, "depth": 1} and run.dataset.options["n_test"] == 30
    assert run.evaluation.samples and run.evaluation.samples.n == 50 and run.evaluation.samples.batch == 40
    assert run.evaluation.samples.solver.rtol == 1e-3
    assert run.stages == ("train", "likelihood", "samples", "sweep")
    assert run.baseline.options == {"sigma_min": 0.2}
    assert runs(tmp_path, settings={"network.name": "concatsquash"})[0].network.name == "concatsquash"


def test_a_setting_without_a_value_is_taken_away(tmp_path: Path) -> None:
    gone = ["training.steps", "training.batch", "network.width", "evaluation.likelihood", "evaluation.samples.w2_n"]
    keys = dict.fromkeys([*gone, "ddpm.ddim_steps"], UNSET)
    fm_ot, ddpm = runs(tmp_path, settings={**keys, "training.seconds": 60})
    assert fm_ot.training == Training(seconds=60) and fm_ot.training.steps is None and fm_ot.training.batch == 256
    assert fm_ot.network.options == {"depth": 1} and ddpm.baseline.options == {"ancestral_steps": 5}
    assert fm_ot.stages == ("train", "samples")
    assert fm_ot.evaluation.samples and fm_ot.evaluation.samples.w2_n == 2000 and fm_ot.evaluation.samples.n == 40


def test_a_baseline_that_is_only_named_can_be_set(tmp_path: Path) -> None:
    chosen = runs(tmp_path, baselines=["fm_ot", "rnode"], settings={"rnode.kinetic": 0.5})
    assert [run.baseline.options for run in chosen] == [{}, {"kinetic": 0.5}]


def test_one_identity_with_two_evaluations_is_refused(tmp_path: Path) -> None:
    experiment = SUITE[SUITE.index("[[") :]
    again = SUITE + experiment.replace("w2_n = 20", "w2_n = 10")
    assert len(runs(tmp_path, SUITE + experiment)) == 2
    with pytest.raises(UsageError, match="is planned twice, with different evaluations"):
        runs(tmp_path, again)


# Identity.


def identity(tmp_path: Path, change: Callable[[str], str] = str, **narrow: Any) -> str:
    return runs(tmp_path, change(SUITE), **narrow)[0].run_id


def test_identity_does_not_depend_on_the_order_of_keys(tmp_path: Path) -> None:
    def shuffle(text: str) -> str:
        text = text.replace("steps = 6, batch = 16", "batch = 16, steps = 6")
        text = text.replace("n_train = 256, n_test = 40", "n_test = 40, n_train = 256")
        return text.replace('name = "mlp", width = 8, depth = 1', 'depth = 1, width = 8, name = "mlp"')

    assert identity(tmp_path, shuffle) == identity(tmp_path)


@pytest.mark.parametrize(
    "setting",
    [
        {"evaluation.samples.n": 77},
        {"evaluation.likelihood.draws": 4},
        {"evaluation.sweep.n": 10},
        {"training.checkpoint_seconds": 1.0},
        {"ddpm.ddim_steps": 9},
    ],
    ids=str,
)
def test_what_leaves_the_weights_alone_leaves_the_identity_alone(tmp_path: Path, setting: dict[str, Any]) -> None:
    assert identity(tmp_path, settings=setting) == identity(tmp_path)


@pytest.mark.parametrize(
    "setting",
    [
        {"training.steps": 7},
        {"training.lr": 2e-3},
        {"training.ema": 0.5},
        {"training.betas": [0.5, 0.9]},
        {"training.micro_batch": 8},
        {"network.width": 9},
        {"network.name": "concatsquash"},
        {"dataset.n_train": 300},
        {"fm_ot.sigma_min": 0.1},
    ],
    ids=str,
)
def test_what_decides_the_weights_changes_the_identity(tmp_path: Path, setting: dict[str, Any]) -> None:
    assert identity(tmp_path, settings=setting) != identity(tmp_path)


def test_a_default_that_is_written_out_is_the_same_run(tmp_path: Path) -> None:
    def written(text: str) -> str:
        text = text.replace("batch = 16 }", 'batch = 16, lr = 1e-3, decay = "constant", flip = false }')
        return text.replace("n = 20, batch = 20 }", "n = 20, batch = 20, probes = 1, draws = 1, solvers = [{}] }")

    plain, same = (runs(tmp_path, text)[0] for text in (SUITE, written(SUITE)))
    assert written(SUITE) != SUITE and same.run_id == plain.run_id
    assert all(same.fingerprint(stage) == plain.fingerprint(stage) for stage in plain.stages)


def test_a_new_setting_at_its_default_is_the_same_run(tmp_path: Path) -> None:
    """As if a later version of the project had one more setting for training, and one more for a stage."""

    class LaterTraining(Training):
        restarts: int = 3

    class LaterSamples(Samples):
        temperature: float = 1.0

    class LaterEvaluation(Evaluation):
        samples: LaterSamples | None = None

    class Later(Run):
        training: LaterTraining
        evaluation: LaterEvaluation

    now = runs(tmp_path)[0]
    asked = now.model_dump(exclude_unset=True)
    later = Later.model_validate(asked)
    assert later.training.restarts == 3
    assert [later.fingerprint(s) for s in later.stages] == [now.fingerprint(s) for s in now.stages]
    asked["training"]["restarts"] = 4
    assert Later.model_validate(asked).run_id != now.run_id
    asked = now.model_dump(exclude_unset=True)
    asked["evaluation"]["samples"]["temperature"] = 0.5
    hotter = Later.model_validate(asked)
    assert hotter.run_id == now.run_id and hotter.fingerprint("samples") != now.fingerprint("samples")


def test_another_protocol_is_another_variant(tmp_path: Path) -> None:
    both = [identity(tmp_path, lambda text: text + "protocols.small = {}\n", protocol=p) for p in ("smoke", "small")]
    assert both[0] != both[1]


def test_a_fingerprint_follows_its_own_stage(tmp_path: Path) -> None:
    plain, changed = (runs(tmp_path, settings=s)[0] for s in ({}, {"evaluation.samples.n": 77}))
    assert plain.fingerprint("train") == changed.fingerprint("train") == plain.run_id
    assert plain.fingerprint("likelihood") == changed.fingerprint("likelihood")
    assert plain.fingerprint("samples") != changed.fingerprint("samples")


def test_the_fingerprint_of_a_sweep_knows_what_its_samples_are_compared_with(tmp_path: Path) -> None:
    text = SUITE + "evaluation.sweep = {}\n"
    plain, *others = (
        runs(tmp_path, text, settings={f"evaluation.samples.{key}": value})[0].fingerprint("sweep")
        for key, value in {
            "n": 77,
            "reference": "train",
            "reference_n": 9,
            "metrics": ["w2"],
            "limits": {"mmd": 9},
            "extractors": ["inception"],
        }.items()
    )
    assert plain == others[0] and len({*others}) == 5
    assert runs(tmp_path, text, settings={"evaluation.samples.reference": "test"})[0].fingerprint("sweep") not in others


def test_limits_of_metrics_are_of_what_they_measure(tmp_path: Path) -> None:
    plain, none, limited = (
        runs(tmp_path, settings=settings)[0]
        for settings in ({}, {"evaluation.samples.limits": {}}, {"evaluation.samples.limits.mmd": 9})
    )
    for stage in ("samples", "likelihood"):
        assert plain.fingerprint(stage) == none.fingerprint(stage)
    assert plain.run_id == limited.run_id and plain.fingerprint("likelihood") == limited.fingerprint("likelihood")
    assert plain.fingerprint("samples") != limited.fingerprint("samples")
    assert plain.curve_settings == none.curve_settings != limited.curve_settings


def test_extractors_are_of_what_they_measure_and_their_files_have_whole_paths(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    named, whole = ([{"name": "dinov2", "weights": path}] for path in ("w.pth", str(tmp_path / "w.pth")))
    plain, short, long = (
        runs(tmp_path, settings={"evaluation.samples.extractors": value} if value else {})[0]
        for value in (None, named, whole)
    )
    assert plain.run_id == short.run_id and plain.fingerprint("likelihood") == short.fingerprint("likelihood")
    assert plain.fingerprint("samples") != short.fingerprint("samples") == long.fingerprint("samples")
    assert plain.curve_settings != short.curve_settings == long.curve_settings
    assert short.evaluation.samples and short.evaluation.samples.extractors
    assert short.evaluation.samples.extractors[0].weights == str(tmp_path / "w.pth")
    assert Run.model_validate_json(short.model_dump_json()).fingerprint("samples") == short.fingerprint("samples")


def test_the_file_of_an_extractor_counts_by_its_content(tmp_path: Path) -> None:
    for name, content in (("a.pth", b"1"), ("b.pth", b"1"), ("c.pth", b"2")):
        (tmp_path / name).write_bytes(content)
    named = [[{"name": "dinov2", "weights": f"{tmp_path / name}"}] for name in ("a.pth", "b.pth", "c.pth", "d.pth")]
    here, moved, other, gone = (runs(tmp_path, settings={"evaluation.samples.extractors": by})[0] for by in named)
    assert here.extractors_sha256 == {"dinov2": hashlib.sha256(b"1").hexdigest()} and not gone.extractors_sha256
    assert here.fingerprint("samples") == moved.fingerprint("samples") != other.fingerprint("samples")
    assert here.curve_settings == moved.curve_settings != other.curve_settings
    assert here.run_id == moved.run_id == other.run_id == gone.run_id
    assert here.evaluation.samples and here.evaluation.samples.extractors
    assert here.evaluation.samples.extractors[0].weights == str(tmp_path / "a.pth")
    assert Run.model_validate_json(here.model_dump_json()).fingerprint("samples") == moved.fingerprint("samples")
    scored = [
        Elsewhere(
            suite="mine",
            protocol="small",
            dataset=run.dataset,
            label="theirs",
            origin={"sha256": "0"},
            samples=run.evaluation.samples,
            extractors_sha256=of_extractors(run.evaluation.samples),
        ).fingerprint
        for run in (here, moved, other)
    ]
    assert scored[0] == scored[1] != scored[2]


def test_a_run_is_frozen_and_travels(tmp_path: Path) -> None:
    (run, other) = runs(tmp_path)
    assert run.run_id  # the identity may be cached
    back = pickle.loads(pickle.dumps(run))
    assert back == run and back.run_id == run.run_id and back != other
    assert Run.model_validate_json(run.model_dump_json()).run_id == run.run_id
    with pytest.raises(ValidationError):
        run.seed = 3  # type: ignore[misc]


# Building what a run names.


def test_options_arrive_in_the_types_that_are_declared(tmp_path: Path) -> None:
    run = runs(tmp_path, settings={"fm_ot.sigma_min": 0})[0]
    baseline = build_baseline(run.baseline)
    assert type(baseline.sigma_min) is float and baseline.sigma_min == 0.0  # type: ignore[attr-defined]
    assert (
        sum(p.numel() for p in build_network(run.network, build_dataset(run.dataset, tmp_path)).parameters())
        == 3 * 8 + 8 + 8 * 2 + 2
    )


# Complaints: one line that names the key, the value and what is allowed.


def swap(old: str, new: str) -> Callable[[str], str]:
    def change(text: str) -> str:
        assert old in text
        return text.replace(old, new)

    return change


def add(line: str) -> Callable[[str], str]:
    return lambda text: text + line + "\n"


BAD_SUITES: dict[str, tuple[Callable[[str], str], list[str]]] = {
    "not TOML": (swap("seeds = [0]", "seeds = [0"), ["tiny.toml", "line"]),
    "key of the file": (swap("seeds = [0]", "sedes = [0]"), ["'sedes'", "known: ", "seeds", "did you mean 'seeds'"]),
    "key of an experiment": (swap("training =", "trainings ="), ["'trainings'", "did you mean 'training'"]),
    "key of training": (swap("batch = 16", "bach = 16"), ["'bach'", "did you mean 'batch'"]),
    "key of a stage": (swap("path_n = 20", "paths_n = 20"), ["'paths_n'", "did you mean 'path_n'"]),
    "stage": (swap("evaluation.samples", "evaluation.sample"), ["'sample'", "did you mean 'samples'"]),
    "type": (swap("steps = 6", 'steps = "many"'), ["training.steps", "'many'", "valid integer"]),
    "range": (swap("batch = 16", "batch = 0"), ["training.batch", "0", "greater than 0"]),
    "evaluations": (swap("steps = 6", "evaluations = 1.5"), ["training.evaluations", "1.5", "valid integer"]),
    "flag": (swap("steps = 6", "steps = true"), ["experiments.0.training.steps", "expected a number"]),
    "flag of a list": (swap("seeds = [0]", "seeds = [true]"), ["seeds.0", "expected a number"]),
    "flag of an override": (add("overrides.fm_ot.training.lr = true"), ["fm_ot: training.lr: expected a number"]),
    "flag of an option": (swap("ddim_steps = 3", "ddim_steps = true"), ["ddim_steps = True: expected a number"]),
    "weights twice": (swap("n = 20, batch", "importance = [1, 5, 1], batch"), ["likelihood.importance", "1 is named"]),
    "draws twice": (swap("n = 20, batch", "draws = [2, 2], batch"), ["likelihood.draws", "2 is named twice"]),
    "beta": (swap("batch = 16", "batch = 16, betas = [0, 1]"), ["training.betas.1", "1", "less than 1"]),
    "no evaluation": (swap("steps = 6", "evaluations = 0"), ["training.evaluations", "0", "greater than 0"]),
    "choice": (swap("batch = 16", 'batch = 16, decay = "step"'), ["training.decay", "'step'", "'linear' or 'cosine'"]),
    "no budget": (swap("steps = 6, ", ""), ["training", "a budget is needed: steps, seconds, evaluations or several"]),
    "pieces": (swap("batch = 16", "batch = 16, micro_batch = 5"), ["training", "micro_batch = 5", "divide batch = 16"]),
    "two warm-ups": (
        swap("batch = 16", "batch = 16, warmup = 2, warmup_share = 0.1"),
        ["training", "warmup = 2 and warmup_share = 0.1: allowed: one of the two"],
    ),
    "pieces of an override": (
        add("overrides.fm_ot = { training = { batch = 10, micro_batch = 4 } }"),
        ["fm_ot", "training", "micro_batch = 4 does not divide batch = 10"],
    ),
    "protocol": (swap('"smoke"', '"tiny"'), ["protocol", "'tiny'", "'smoke', 'small' or 'paper'"]),
    "name of a protocol": (
        add("protocols.papr = { training.steps = 9 }"),
        ["protocols", "'papr'", "did you mean 'paper'"],
    ),
    "key of a protocol": (
        add("protocols.paper = { trainin.steps = 9 }"),
        ["'trainin'", "'training'", "protocols.paper"],
    ),
    "baselines of a protocol": (
        add('protocols.paper = { baseline = ["fm_ot"] }'),
        ["'baseline'", "did you mean 'baselines'", "protocols.paper"],
    ),
    "overrides of a protocol": (
        add("protocols.paper = { override.fm_ot = {} }"),
        ["'override'", "did you mean 'overrides'", "protocols.paper"],
    ),
    "baseline of a protocol": (
        add('protocols.paper = { baselines = ["fm_to"] }'),
        ["baseline 'fm_to'", "did you mean 'fm_ot'"],
    ),
    "type of a protocol's baselines": (
        add('protocols.paper = { baselines = "fm_ot" }'),
        ["protocols.paper.baselines", "'fm_ot'", "tuple"],
    ),
    "seeds of a protocol": (
        add('protocols.paper = { seeds = ["one"] }'),
        ["protocols.paper.seeds", "'one'", "valid integer"],
    ),
    "override of nobody in a protocol": (
        add("protocols.paper = { overrides.fm_to = { training.steps = 9 } }"),
        ["protocols.paper.overrides", "'fm_to'", "did you mean 'fm_ot'"],
    ),
    "key of an override of a protocol": (
        add("protocols.paper = { overrides.fm_ot = { trainin.steps = 9 } }"),
        ["protocols.paper.overrides.fm_ot", "'trainin'", "did you mean 'training'"],
    ),
    "setting of an override of a protocol": (
        add("protocols.paper = { overrides.fm_ot = { training.stepss = 9 } }"),
        ["fm_ot", "'stepss'", "did you mean 'steps'"],
    ),
    "override of nobody": (add("overrides.fm_to = { training.steps = 9 }"), ["overrides", "'fm_to'", "fm_ot"]),
    "key of an override": (
        add("overrides.fm_ot = { trainin.steps = 9 }"),
        ["'trainin'", "'training'", "overrides.fm_ot"],
    ),
    "key that an override cannot set": (add("overrides.fm_ot = { seed = 9 }"), ["'seed'", "overrides.fm_ot"]),
    "network of a protocol": (
        add("protocols.paper = { network = { width = 9 } }"),
        ["protocols.paper", "network", "name"],
    ),
    "network of an override": (add("overrides.fm_ot = { network = 3 }"), ["overrides.fm_ot", "network", "3"]),
    "no experiment": (lambda text: text.split("[[")[0], ["experiments"]),
    "no seed": (swap("seeds = [0]", "seeds = []"), ["seeds", "at least 1"]),
    "dataset": (swap('"checkerboard"', '"checkerbord"'), ["dataset 'checkerbord'", "did you mean 'checkerboard'"]),
    "network": (swap('"mlp"', '"mpl"'), ["network 'mpl'", "mlp"]),
    "baseline": (swap('"fm_ot"', '"fm_to"'), ["baseline 'fm_to'", "did you mean 'fm_ot'"]),
    "option of a network": (swap("width = 8", "widht = 8"), ["network mlp", "'widht'", "did you mean 'width'"]),
    "option of a dataset": (swap("n_test", "ntest"), ["dataset checkerboard", "'ntest'", "did you mean 'n_test'"]),
    "option of a baseline": (swap("ddim_steps", "ddim"), ["baseline ddpm", "'ddim'", "known: ", "ddim_steps"]),
    "type of an option": (swap("width = 8", 'width = "wide"'), ["network mlp", "width = 'wide'", "valid integer"]),
    "choice of an option": (swap("width = 8", 'activation = "relu"'), ["activation = 'relu'", "'silu'", "'tanh'"]),
    "solver": (swap("n = 20, batch", 'solvers = [{ method = "rk5" }], batch'), ["'rk5'", "allowed are dormand_prince"]),
    "steps of a solver": (swap("n = 20, batch", 'solvers = [{ method = "rk4" }], batch'), ["'rk4'", "steps=None"]),
    "solver of the samples": (swap("w2_n = 20", 'solver = { method = "rk5" }'), ["'rk5'", "allowed are "]),
    "solver of the sweep": (add('evaluation.sweep = { solvers = ["ruler"] }'), ["'ruler'", "did you mean 'euler'"]),
}


@pytest.mark.parametrize("what", BAD_SUITES)
def test_a_bad_suite_is_one_line(tmp_path: Path, what: str) -> None:
    change, words = BAD_SUITES[what]
    with pytest.raises(UsageError) as caught:
        validate(runs(tmp_path, change(SUITE)) + runs(tmp_path, change(SUITE), protocol=_other_protocol(change)))
    message = str(caught.value)
    assert "\n" not in message and len(message) < 600
    for word in words:
        assert word in message, message


def _other_protocol(change: Callable[[str], str]) -> str | None:
    return "paper" if "protocols.paper" in change(SUITE) else None


def test_names_of_suites_and_files(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"unknown suite 'quik'; known: .*did you mean 'quick'"):
        load_suite("quik")
    with pytest.raises(UsageError, match="no such file"):
        load_suite(str(tmp_path / "none.toml"))
    with pytest.raises(UsageError, match="no such file"):
        load_suite(str(tmp_path) + ".toml")


def test_names_of_a_plugin_and_of_a_file_are_made_safe(tmp_path: Path) -> None:
    experiment = 'dataset = "lab/run 1"\nnetwork = "mlp"\nbaselines = ["../fm%j"]\ntraining.steps = 1\n'
    path = tmp_path / "a%j%x.toml"
    path.write_text("[[experiments]]\n" + experiment, encoding="utf-8")
    name, suite = load_suite(str(path))
    (run,) = plan(name, suite)
    assert name == safe_name("a%j%x") and safe_name(name) == name
    assert safe_name(run.run_id) == run.run_id and run.run_id.startswith("lab_run_1-.._fm_j-")
    assert run.dataset.name == "lab/run 1"


def test_a_seeds_run_is_the_same_planned_with_others_and_alone() -> None:
    """Runs of one cell are copies of its first: ids, evaluations and all that hangs on the settings are the same."""
    name, suite = load_suite("fewstep")  # with teachers, which have a seed of their own
    together = plan(name, suite, seeds=[0, 1, 2])
    alone = [run for seed in (0, 1, 2) for run in plan(name, suite, seeds=[seed])]
    assert {run.run_id: run for run in together} == {run.run_id: run for run in alone}
    by_id = {run.run_id: run for run in alone}
    for run in together:
        other = by_id[run.run_id]
        assert (run.variant, run.needs, run.curve_settings) == (other.variant, other.needs, other.curve_settings)
        assert [run.fingerprint(stage) for stage in run.stages] == [other.fingerprint(stage) for stage in run.stages]


def test_a_copy_with_other_settings_has_another_identity() -> None:
    run = plan(*load_suite("quick"))[0].of_seed(7)
    other = run.model_copy(update={"training": run.training.model_copy(update={"steps": 3})})
    assert run.seed == 7 and other.variant != run.variant


def test_records_of_the_former_solver_stand_for_it_alone() -> None:
    """dopri5 was the default when these digests were written (results/reference/toys.tar.xz has them)."""
    former = {"likelihood": "814710", "samples": "b44110", "curve": "5341e3"}
    suite = load_suite("toys")[1]
    cell: Any = {"baselines": ["fm_ot"], "datasets": ["checkerboard"], "seeds": [0]}
    dopri5 = {"method": "dopri5"}
    solvers = [dopri5, {"method": "midpoint", "steps": 20}]
    settings = {"evaluation.samples.solver": dopri5, "evaluation.likelihood.solvers": solvers}
    since = dict.fromkeys(("tune", "evaluation.samples.metrics", "evaluation.samples.limits"), UNSET)
    for asked, same in (({}, False), (settings, True)):
        (run,) = plan("toys", suite, settings={**since, **asked}, **cell)
        found = {**run.evaluated, "curve": run.curve_settings}
        assert all((found[stage] == digest) is same for stage, digest in former.items())
        assert found["sweep"] != "1b93f6"  # whose samplers were others
