import math
from typing import Any

import pytest
import synthetic

from bench.report.cells import headline
from bench.report.markdown import markdown
from bench.report.sections import sections, strays
from bench.report.tables import table
from bench.report.variants import differences, settings

GAUSSIAN: dict[str, Any] = {"dataset": {"name": "gaussian", "options": {"dim": 2}}, "training": {"lr": 0.001}}


def run(digest: str, value: float = 1.0, **more: Any) -> dict[str, Any]:
    fixed = {"dataset": "gaussian", "variant": f"gaussian-fm_ot-{digest}", "settings": synthetic.ODE, "metric": "w2"}
    return {**fixed, "value": value, **more}


def config(lr: float = 0.001, **options: Any) -> dict[str, Any]:
    return {"dataset": {"name": "gaussian", "options": options}, "training": {"lr": lr, "steps": 10}, "seed": 0}


def labels(rows: list[dict[str, Any]], configs: dict[str, Any]) -> list[tuple[str, list[str]]]:
    named = {f"gaussian-fm_ot-{digest}": value for digest, value in configs.items()}
    return [(part.name, list(part.labels.values())) for part in sections(synthetic.frame(*rows), named)]


def test_a_configuration_reads_as_lines() -> None:
    config = {"a": {"b": 1e-5, "c": None, "d": []}, "e": [4, 8], "f": [{"g": "dopri5"}, {"g": "rk4"}], "h": True}
    assert [f"{key} = {value}" for key, value in settings(config)] == [
        "a.b = 1e-05", "a.c = none", "a.d = none", "e = 4, 8", "f[0].g = dopri5", "f[1].g = rk4", "h = true"
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("configs", "told"),
    [
        ([{"training": {"lr": 0.01}}], [""]),
        ([{"training": {"lr": 0.01}}] * 2, ["", ""]),
        (
            [{"training": {"lr": 0.01, "ema": 0.9}}, {"training": {"lr": 0.001, "ema": 0.9}}],
            ["lr = 0.01", "lr = 0.001"],
        ),
        ([{"network": {"name": "mlp"}}, {"network": {"name": "unet"}}], ["network = mlp", "network = unet"]),
        ([{"network": {"options": {"width": 8}}}, {"network": {"options": {}}}], ["width = 8", "default width"]),
        ([{"a": {"n": 1}, "b": {"n": 1}}, {"a": {"n": 2}, "b": {"n": 3}}], ["a.n = 1, b.n = 1", "a.n = 2, b.n = 3"]),
        ([{"means": [[0, 0], [1, 1]]}, {"means": [[0, 0], [2, 1]]}], ["means[1] = 1, 1", "means[1] = 2, 1"]),
        ([{"lr": 0.1}, None, None], ["", "lost 1", "lost 2"]),
    ],
)
def test_what_differs_tells_configurations_apart(configs: list[Any], told: list[str]) -> None:
    assert list(differences(dict(zip("abc", configs, strict=False)), "lost").values()) == told


def test_a_name_has_few_settings_and_as_many_as_it_takes() -> None:
    wide = {str(i): {f"k{j}": i for j in range(9)} for i in range(3)}
    assert list(differences(wide).values()) == [f"k0 = {i}, k1 = {i}, k2 = {i}" for i in range(3)]
    crossed = {f"{i:05b}": {f"k{j}": (i >> j) & 1 for j in range(5)} for i in range(32)}
    assert len(set(differences(crossed).values())) == 32


def test_variants_of_one_label_are_told_apart_by_what_differs_and_never_by_a_hash() -> None:
    found = labels([run("aaaaaa"), run("bbbbbb")], {"aaaaaa": config(0.01), "bbbbbb": config(0.02)})
    assert found == [("gaussian", ["FM w/ OT, lr = 0.01", "FM w/ OT, lr = 0.02"])]


def test_a_method_that_is_alone_on_one_dataset_is_called_as_on_the_others() -> None:
    def on(name: str, digest: str, **more: Any) -> dict[str, Any]:
        return run(digest, **{"dataset": name, "variant": f"{name}-fm_ot-{digest}", **more})

    rows = [on("moons", "a"), on("moons", "b"), on("rings", "c"), on("rings", "d", baseline="ddpm", label="DDPM")]
    rows += [on("circles", "e"), on("circles", "f", current=False)]
    rates = zip(rows, (0.01, 0.02, 0.01, 0.01, 0.02, 0.03), strict=True)
    configs = {row["variant"]: config(rate) for row, rate in rates}
    found = {part.name: list(part.labels.values()) for part in sections(synthetic.frame(*rows), configs)}
    assert found["moons"] == ["FM w/ OT, lr = 0.01", "FM w/ OT, lr = 0.02"]
    assert found["rings"] == ["FM w/ OT, lr = 0.01", "DDPM"]
    assert found["circles"] == ["FM w/ OT, lr = 0.02"]
    assert found["circles · earlier settings"] == ["FM w/ OT, lr = 0.03"]
    # Where it is alone everywhere, no setting is told.
    rows = [row for row in rows if row["variant"] != "moons-fm_ot-b" and row.get("current", True)]
    found = {part.name: list(part.labels.values()) for part in sections(synthetic.frame(*rows), configs)}
    assert found["moons"] == found["circles"] == ["FM w/ OT"]


def test_two_settings_of_a_dataset_are_two_sections_with_names_of_their_own() -> None:
    configs = {"aaaaaa": config(dim=2), "bbbbbb": config(dim=2, mean=3.0), "cccccc": config(dim=3)}
    rows = [run("aaaaaa"), run("bbbbbb"), run("cccccc", status="missing", metric="", dataset_version=None)]
    parts = sections(synthetic.frame(*rows), {f"gaussian-fm_ot-{k}": v for k, v in configs.items()})
    assert [part.name for part in parts] == [
        "gaussian, dim = 2, default mean", "gaussian, dim = 2, mean = 3.0", "gaussian, dim = 3, default mean"
    ]  # fmt: skip
    assert [part.stem for part in parts] == [
        "gaussian-dim=2-default_mean", "gaussian-dim=2-mean=3.0", "gaussian-dim=3-default_mean"
    ]  # fmt: skip
    titles = [table(part).grids[0].title for part in parts]
    assert [title.partition(": quality")[0] for title in titles] == [part.name for part in parts]
    assert "gaussian, dim = 2, mean = 3.0 · suite" in parts[1].caption


def test_files_are_told_apart_by_their_content_and_no_path_of_a_machine_is_shown() -> None:
    """Weights, and a teacher's; what an evaluation reads is no part of a label."""
    first, second, sha = config(), config(), "0123456789abcdef" * 4
    first["training"] = {"lr": 0.001, "weights": "/here/model.pt"}
    second["training"] = {"lr": 0.001, "weights": "/there/model.pt"}
    first |= {"weights_sha256": sha, "extractors_sha256": {"dinov2": "1" * 64}}
    second |= {"weights_sha256": sha[::-1], "extractors_sha256": {}}
    found = labels([run("aaa"), run("bbb")], {"aaa": first, "bbb": second})
    assert found == [("gaussian", ["FM w/ OT, weights = 01234567", "FM w/ OT, weights = fedcba98"])]
    taught = [config() | {"baseline": {"name": "b", "options": {"teacher": f"/{i}/t.pt"}}} for i in range(2)]
    taught = [taught[0] | {"teacher_sha256": sha}, taught[1] | {"teacher_sha256": sha[::-1]}]
    found = labels([run("aaa"), run("bbb")], dict(zip(("aaa", "bbb"), taught, strict=True)))
    assert found == [("gaussian", ["FM w/ OT, teacher = 01234567", "FM w/ OT, teacher = fedcba98"])]


def test_versions_and_protocols_of_one_dataset_are_told_apart() -> None:
    rows = [run("aaaaaa"), run("bbbbbb", dataset_version="2:0f3a"), run("cccccc", protocol="smoke")]
    parts = sections(synthetic.frame(*rows))
    assert [part.name for part in parts] == [
        "gaussian, protocol small, version 1", "gaussian, protocol small, version 2:0f3a", "gaussian, protocol smoke"
    ]  # fmt: skip
    assert len({part.stem for part in parts}) == 3 and ":" not in parts[1].stem


def test_earlier_settings_stand_in_a_section_of_their_own_and_the_current_name_stays_plain() -> None:
    rows = [run("bbbbbb", 9.0, seed=s, current=False) for s in range(5)] + [
        run("aaaaaa", seed=s, current=True) for s in range(3)
    ]
    configs = {"aaaaaa": config(0.001), "bbbbbb": config(0.01)}
    assert labels(rows, configs) == [
        ("gaussian", ["FM w/ OT"]),
        ("gaussian · earlier settings", ["FM w/ OT, lr = 0.01"]),
    ]


def test_a_stale_record_is_a_hole_that_says_so() -> None:
    rows = [
        run("aaaaaa", 5.0, stale="measured by older code (bench.methods.cnf)", seed=0),
        run("aaaaaa", 1.0, stale="", seed=1),
    ]
    rows += [run("aaaaaa", 5.0, stale="measured by older code (bench.methods.cnf)", seed=0, metric="npe")]
    (part,) = sections(synthetic.frame(*rows))
    cells = headline([part])
    assert list(cells["mean"]) == [1.0] and list(cells.n) == [1] and list(cells.planned) == [2]
    said = markdown([table(part)])
    assert "FM w/ OT, seed 0: stale: measured by older code (bench.methods.cnf)" in said


def test_a_baseline_may_be_called_anything() -> None:
    rows = [run("aaaaaa", baseline="my-own-s1", variant="gaussian-my-own-s1-aaaaaa", label="Mine")]
    lost = {"variant": None, "dataset": None, "baseline": None, "seed": None, "label": None, "status": "failed"}
    rows += [{**rows[0], **lost, "run_id": "gaussian-my-own-s1-aaaaaa-s0", "metric": "", "value": math.nan}]
    rows += [{**rows[0], **lost, "run_id": "moons-mine-aaaaaa-s0", "error": "not a record"}]
    frame = synthetic.frame(*rows)
    (part,) = sections(frame)
    assert (part.dataset, list(part.frame.baseline)) == ("gaussian", ["my-own-s1"] * 2)
    assert list(strays(frame).run_id) == ["moons-mine-aaaaaa-s0"]


@pytest.mark.parametrize("name", ["../../x", "/etc/x", "a:b", "a\nb", ".x", "x" * 300, "", "-rf", "\udcff"])
def test_a_dataset_may_be_called_anything_and_its_files_may_not(name: str) -> None:
    (part,) = sections(synthetic.frame(run("aaaaaa", dataset=name)))
    assert part.stem and not part.stem.startswith((".", "-")) and len(part.stem) <= 160
    assert not set(part.stem) & set("/:\\\n ") and part.stem.isascii()
