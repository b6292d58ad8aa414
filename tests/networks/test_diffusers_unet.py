"""A diffusers pipeline's folder as the weights of a noise predictor: one that is built and saved here."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import DDIMScheduler, DDPMPipeline, DDPMScheduler, UNet2DModel
from tiny import runs

import bench
from bench.config import components
from bench.config.registry import networks
from bench.config.suite import Run
from bench.errors import UsageError
from bench.evaluation.trained import Trained
from bench.launch.job import Job
from bench.methods.network import CountedNetwork
from bench.records.records import read_stage
from bench.samplers.ancestral import Ancestral
from bench.samplers.ddim import DDIM
from bench.training.build import build
from bench.training.seeds import generator

SUITE = """
protocol = "smoke"
[[experiments]]
dataset = "digits"
network = { name = "diffusers_unet", config = "FOLDER/unet/config.json" }
baselines = ["ddpm"]
training = { weights = "FOLDER" }
evaluation.likelihood = { n = 4, batch = 4, divergence = "hutchinson", solvers = [{ method = "euler", steps = 2 }] }
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a pipeline on digits."""
    torch.manual_seed(0)
    config: dict[str, Any] = {"sample_size": 8, "in_channels": 1, "out_channels": 1, "layers_per_block": 1}
    config |= {"block_out_channels": (8, 16), "norm_num_groups": 4, "attention_head_dim": 8}
    config |= {"down_block_types": ("DownBlock2D", "AttnDownBlock2D"), "up_block_types": ("AttnUpBlock2D", "UpBlock2D")}
    folder = tmp_path_factory.mktemp("made") / "pipeline"
    DDPMPipeline(UNet2DModel(**config), DDPMScheduler()).save_pretrained(folder)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A copy, to be changed."""
    return Path(shutil.copytree(made, tmp_path / "pipeline"))


def planned(folder: Path, where: Path, **more: Any) -> Run:
    return runs(where, SUITE.replace("FOLDER", str(folder)), **more)[0]


def trained(run: Run, where: Path) -> Trained:
    dataset = components.build_dataset(run.dataset, where)
    module, _ = build(run, dataset, where, where)
    return Trained(components.build_baseline(run.baseline), module.eval(), dataset, 0, "cpu")


@pytest.mark.slow
def test_samples_are_those_of_diffusers_own_loop(made: Path, tmp_path: Path) -> None:
    """From the same noise: t is a float32, by which k is off by 6e-5 at most."""
    found = trained(planned(made, tmp_path), tmp_path)
    model, x0 = found.model(), found.noise(0, 4)
    theirs = UNet2DModel.from_pretrained(made / "unet", low_cpu_mem_usage=False).eval()
    config = {"clip_sample": False}
    ddim = DDIMScheduler.from_pretrained(made / "scheduler", timestep_spacing="trailing", **config)
    ancestral = DDPMScheduler.from_pretrained(made / "scheduler", **config)
    for scheduler, sampler in ((ddim, DDIM(20)), (ancestral, Ancestral(20))):
        scheduler.set_timesteps(20)
        x, rng = x0.clone(), generator(0, "draw")
        with torch.no_grad():
            for k in scheduler.timesteps:
                x = scheduler.step(theirs(x, k).sample, k, x, generator=rng).prev_sample
            ours = sampler.draw(model, x0, generator(0, "draw"))
        assert float((ours - x).abs().max()) < 1e-4 * float(x.abs().max())


@pytest.mark.slow
def test_the_network_is_called_with_the_step_of_the_time(made: Path, tmp_path: Path) -> None:
    found = trained(planned(made, tmp_path), tmp_path)
    net, theirs = (
        CountedNetwork(found.module),
        UNet2DModel.from_pretrained(made / "unet", low_cpu_mem_usage=False).eval(),
    )
    x = torch.randn(3, 1, 8, 8)
    with torch.no_grad():
        for k in (0, 499, 999):
            t = torch.tensor(1 - (k + 1) / 1000)
            torch.testing.assert_close(net(t.expand(3), x), theirs(x, k).sample, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(found.model().eps(t, x), theirs(x, k).sample, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_a_run_of_a_folder_is_measured_exported_and_loaded_without_it(folder: Path, tmp_path: Path) -> None:
    run = planned(folder, tmp_path)
    assert run.network.options["config"]["block_out_channels"] == [8, 16]
    job = Job(run, tmp_path / "results", tmp_path)
    assert job() == "ok"
    record = read_stage(job.root, run.run_id, "train") or {}
    assert record["label"] == "DDPM, weights of pipeline"
    assert {Path(path).name for path in record["inputs"]} >= {
        *("config.json", "diffusion_pytorch_model.safetensors", "scheduler_config.json")
    }
    shutil.rmtree(folder)
    model = bench.load(job.folder, data_dir=tmp_path)
    x = model.sample(3, {"name": "ddim", "steps": 3})
    assert x.shape == (3, 1, 8, 8) and model.nfe == 3


def test_an_older_folder_has_its_files_at_its_top(folder: Path, made: Path, tmp_path: Path) -> None:
    for part in ("unet", "scheduler"):
        for path in (folder / part).iterdir():
            path.rename(folder / path.name)
        (folder / part).rmdir()
    settings = {"network.config": str(made / "unet/config.json")}
    module = trained(planned(folder, tmp_path, settings=settings), tmp_path).module
    theirs = trained(planned(made, tmp_path), tmp_path).module
    assert all(torch.equal(a, b) for a, b in zip(module.parameters(), theirs.parameters(), strict=True))


def test_its_content_is_its_identity(folder: Path, tmp_path: Path) -> None:
    run = planned(folder, tmp_path)
    moved = folder.rename(tmp_path / "elsewhere")
    assert planned(moved, tmp_path).run_id == run.run_id
    path = moved / "scheduler/scheduler_config.json"
    path.write_text(path.read_text() + " ")
    assert planned(moved, tmp_path).run_id != run.run_id


def rewritten(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    ("file", "changes", "reason"),
    [
        ("scheduler/scheduler_config.json", {"prediction_type": "v_prediction"}, r"prediction_type = 'v_prediction'; "),
        ("scheduler/scheduler_config.json", {"num_train_timesteps": 10}, r"num_train_timesteps = 10; allowed: 1000$"),
        ("scheduler/scheduler_config.json", {"beta_schedule": "squaredcos_cap_v2"}, r"allowed: 'linear'$"),
        (
            "scheduler/scheduler_config.json",
            {"beta_end": 0.012},
            r"beta_max = 12 are needed; the method has beta_min = ",
        ),
        ("scheduler/scheduler_config.json", {"beta_end": None}, r"not the configuration of a scheduler: TypeError"),
        ("unet/config.json", {"norm_eps": 1e-3}, r"norm_eps = 0\.001; network\.config has 1e-05$"),
        ("unet/config.json", {"block_out_channels": [8, 8]}, r": no UNet2DModel: |mismatched_keys"),
    ],
)
def test_what_is_not_of_the_method_is_one_line(
    folder: Path, made: Path, tmp_path: Path, file: str, changes: dict[str, Any], reason: str
) -> None:
    rewritten(folder / file, **changes)
    settings = {"network.config": str(made / "unet/config.json")}
    with pytest.raises(UsageError, match=reason) as error:
        trained(planned(folder, tmp_path, settings=settings), tmp_path)
    assert "\n" not in str(error.value)


def test_a_method_that_predicts_something_else_is_refused(made: Path, tmp_path: Path) -> None:
    for baseline, reason in (
        ("fm_ot", r"beta_max = 20 are needed; the method has the path OptimalTransport$"),
        (
            "score_matching",
            r"pipeline: its network predicts noise; a method is needed that takes its answer for noise$",
        ),
    ):
        with pytest.raises(UsageError, match=reason):
            trained(planned(made, tmp_path, baselines=[baseline]), tmp_path)
    text = SUITE.replace('{ name = "diffusers_unet", config = "FOLDER/unet/config.json" }', '"mlp"')
    run = runs(tmp_path, text.replace("FOLDER", str(made)))[0]
    with pytest.raises(UsageError, match=r"pipeline: a folder is for a network that reads it, diffusers_unet, alone$"):
        trained(run, tmp_path)


@pytest.mark.parametrize(
    ("shape", "changes", "reason"),
    [
        ((3, 8, 8), {}, r"^network diffusers_unet: config\.in_channels = 1: the data has 3$"),
        ((1, 16, 16), {}, r"config\.sample_size = 8: the data has \(16, 16\)$"),
        ((1, 8, 8), {"num_class_embeds": 10}, r"config\.num_class_embeds = 10: a network without classes is needed$"),
        ((1, 8, 8), {"_class_name": "UNet2DConditionModel"}, r"config\._class_name = 'UNet2DConditionModel'"),
        ((1, 8, 8), {"chanels": 3}, r"config: TypeError: .*'chanels'"),
        ((2,), {}, r"shape = \(2,\): images \(C, H, W\) are needed$"),
    ],
)
def test_a_configuration_that_does_not_fit_is_one_line(
    made: Path, shape: tuple[int, ...], changes: dict[str, Any], reason: str
) -> None:
    config = json.loads((made / "unet/config.json").read_text()) | changes
    with pytest.raises(UsageError, match=reason):
        networks["diffusers_unet"](shape, config=config)


def test_a_configuration_that_is_no_file_is_one_line(made: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"network\.config = '.*nowhere\.json': FileNotFoundError"):
        planned(made, tmp_path, settings={"network.config": str(tmp_path / "nowhere.json")})
    with pytest.raises(UsageError, match=r"config = 'folder': a table, or the path of a \.json file that has it$"):
        networks["diffusers_unet"]((1, 8, 8), config="folder")
