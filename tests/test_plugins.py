"""Seven plugins, each one file: the check of an outsider passes, and one command with all of them ends in a report."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import warm
from pandas import DataFrame

import bench
import run_all
from bench.config.registry import load_plugin
from bench.records.frame import read_frame

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "tests" / "plugins"
EXAMPLES = sorted(path.stem for path in FOLDER.glob("*.py"))


def test_each_is_one_file_of_sixty_lines_at_most() -> None:
    assert len(EXAMPLES) == 7
    for name in EXAMPLES:
        assert len((FOLDER / f"{name}.py").read_text(encoding="utf-8").splitlines()) <= 60, name


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("data")


@pytest.mark.usefixtures("own_entries")
@pytest.mark.parametrize("name", EXAMPLES)
def test_it_passes_the_check(name: str, data_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run_all.main(["--plugin", str(FOLDER / f"{name}.py"), "--check", "--data-dir", str(data_dir)])
    out, err = capsys.readouterr()
    assert code == 0, out + err
    assert out and all(line.startswith("ok ") for line in out.splitlines()), out


@pytest.mark.usefixtures("own_entries")
def test_samples_within_the_usual_distance_are_near_the_data() -> None:
    near_data = load_plugin(str(FOLDER / "metric.py")).near_data
    data, samples = torch.tensor([[0.0], [1.0], [3.0]]), torch.tensor([[-1.0], [-1.1], [1.5], [5.0]])
    assert near_data(samples, data, None, None) == 2 / 4  # r = 1
    assert near_data(data, data, None, None) == 1


SUITE = """
about = "all the examples"
protocol = "smoke"

[[experiments]]
dataset = { name = "checkerboard", n_train = 256, n_test = 64 }
network = { name = "mlp", width = 8, depth = 1 }
baselines = ["fm_ot", "plain_gan", "realnvp", "vae", "meanflow"]
training = { steps = 6, batch = 16, curve_points = 1, curve_n = 32 }
evaluation.likelihood = { n = 20, batch = 20, solvers = [{ method = "midpoint", steps = 4 }], importance = [20] }
evaluation.samples = { n = 40, path_n = 20, path_times = 5, metrics = ["w2", "near_data"], samplers = ["langevin"] }
evaluation.sweep = { n = 40, samplers = ["euler", "langevin"], nfe = [4, 8] }

[[experiments]]
dataset = { name = "checkerboard_from_laplace", n_train = 256, n_test = 64 }
network = { name = "mlp", width = 8, depth = 1 }
baselines = ["fm_ot"]
training = { steps = 6, batch = 16 }
evaluation.likelihood = { n = 20, batch = 20 }
evaluation.samples = { n = 40, batch = 40, w2_n = 20, path_n = 20, path_times = 5 }

[[experiments]]
dataset = "digits_latent"
network = { name = "mlp", width = 8, depth = 1 }
baselines = ["fm_ot", "ddpm"]
training = { steps = 6, batch = 16 }
evaluation.likelihood = { n = 20, batch = 20 }
evaluation.samples = { n = 40, batch = 40, path_n = 20, path_times = 5, samplers = ["guided_interval"] }
overrides.fm_ot = { options.labels = true }
overrides.ddpm = { options.ancestral_steps = 5, options.ddim_steps = 3 }
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory, data_dir: Path) -> Path:
    """What one command makes of all of them."""
    folder = tmp_path_factory.mktemp("all")
    (folder / "all.toml").write_text(SUITE, encoding="utf-8")
    plugins = [part for name in EXAMPLES for part in ("--plugin", str(FOLDER / f"{name}.py"))]
    where = ["--suite", str(folder / "all.toml"), "--results", str(folder), "--data-dir", str(data_dir)]
    call = [sys.executable, str(ROOT / "run_all.py"), *plugins, *where, "--device", "cpu"]
    with warm.interpreters():
        done = subprocess.run(call, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder / "all"


@pytest.fixture(scope="module")
def frame(results: Path) -> DataFrame:
    table = read_frame(results)
    assert set(table.status) == {"ok"}, table[["run_id", "stage", "error"]].drop_duplicates()
    return table.assign(sampler=[json.loads(settings).get("sampler") for settings in table.settings])


def measured(frame: DataFrame, baseline: str, metric: str, dataset: str = "checkerboard", **only: str) -> DataFrame:
    rows = frame[(frame.baseline == baseline) & (frame.metric == metric) & (frame.dataset == dataset)]
    for column, value in only.items():
        rows = rows[rows[column] == value]
    return rows


def test_all_runs_end_and_are_reported(results: Path, frame: DataFrame) -> None:
    assert len(set(frame.run_id)) == 8
    page = (results / "report.html").read_text(encoding="utf-8")
    for label in ("Plain GAN", "RealNVP", "VAE", "MeanFlow"):
        assert label in page


def test_a_gan_has_samples_of_one_evaluation_and_no_likelihood(frame: DataFrame) -> None:
    assert set(measured(frame, "plain_gan", "nfe_sampling", sampler="generator").value) == {1.0}
    assert measured(frame, "plain_gan", "w2", sampler="generator").value.gt(0).all()
    assert set(measured(frame, "plain_gan", "nll_nats").reason) == {"not applicable: a GAN has no density"}


def test_coupling_layers_have_their_own_exact_likelihood_by_one_evaluation(frame: DataFrame) -> None:
    assert list(measured(frame, "realnvp", "nfe_likelihood").value) == [1.0]
    assert set(measured(frame, "realnvp", "nfe_sampling").value.dropna()) == {1.0}
    (nll,) = measured(frame, "realnvp", "nll_nats", stage="likelihood").value
    assert 3.46 < nll < 50


def test_a_vae_has_a_bound_and_no_likelihood_beside_it(frame: DataFrame) -> None:
    bounds = measured(frame, "vae", "bound_nats", stage="likelihood")
    found = {json.loads(row.settings)["importance"]: row.value for row in bounds.itertuples()}
    assert found.keys() == {1, 20} and found[1] > found[20] > 3.46
    assert measured(frame, "vae", "nll_nats").value.isna().all()


def test_a_learnt_map_draws_by_one_evaluation(frame: DataFrame) -> None:
    assert list(measured(frame, "meanflow", "nfe_sampling", sampler="flow_map-1").value) == [1.0]


def test_guidance_within_an_interval_costs_twice_there_alone(frame: DataFrame) -> None:
    guided = {name: measured(frame, name, "nfe_sampling", "digits_latent") for name in ("fm_ot", "ddpm")}
    of = {name: rows[rows.sampler == "guided_interval"] for name, rows in guided.items()}
    assert list(of["fm_ot"].value) == [20 + 10]
    assert list(of["ddpm"].reason) == ["not applicable: the network is told no class"]


def test_the_corrector_draws_from_every_model_with_a_score(frame: DataFrame) -> None:
    swept = frame[(frame.sampler == "langevin") & (frame.stage == "sweep") & (frame.metric == "w2")]
    assert set(swept[swept.value > 0].baseline) == {"fm_ot", "meanflow"}
    assert set(swept.nfe.dropna()) == {4.0, 8.0}


def test_a_latent_is_measured_in_pixels_and_has_no_likelihood(frame: DataFrame) -> None:
    assert measured(frame, "fm_ot", "fd_digits_latent_cnn", "digits_latent").value.gt(0).all()
    (reason,) = set(measured(frame, "fm_ot", "nll_bpd", "digits_latent").reason)
    assert reason.startswith("not applicable: the map of digits_latent")


def test_a_likelihood_from_another_source_is_finite(frame: DataFrame) -> None:
    (nll,) = measured(frame, "fm_ot", "nll_nats", "checkerboard_from_laplace").value
    assert 3.46 < nll < 20


def test_the_metric_is_in_the_curve_the_sweep_and_the_table(results: Path, frame: DataFrame) -> None:
    rows = measured(frame, "fm_ot", "near_data")
    assert set(rows.stage) == {"train", "samples", "sweep"} and rows.value.gt(0).all()
    assert (rows.title == "Near data").all() and (rows.direction == "higher").all()
    assert "Near data ↑" in (results / "table.md").read_text(encoding="utf-8")


def test_the_figure_is_drawn(results: Path) -> None:
    assert (results / "plots" / "checkerboard_radii.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("own_entries")
def test_every_method_is_exported_and_loaded(
    results: Path, data_dir: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    plugins = [str(FOLDER / f"{name}.py") for name in EXAMPLES]
    for folder in sorted((results / "runs").iterdir()):
        given = [part for plugin in plugins for part in ("--plugin", plugin)]
        where = ["--results", str(results.parent), "--data-dir", str(data_dir)]
        assert run_all.main([*given, "--export", folder.name, *where]) == 0
        of_folder, of_file = (
            bench.load(path, plugins=plugins, data_dir=data_dir) for path in (folder, f"{folder.name}.safetensors")
        )
        a, b = of_folder.sample(5), of_file.sample(5)
        assert torch.equal(a, b) and a.shape[0] == 5 and of_file.nfe == of_folder.nfe > 0
