import json
from pathlib import Path
from typing import Any

import pytest

from bench.config.plan import plan
from bench.config.registry import samplers
from bench.config.suite import load_suite
from bench.errors import UsageError
from bench.papers import claims
from bench.papers.claims import ADAPTIVE, Claim, declared, load_claims, of_papers, register_claim, remember
from bench.records.seal import write_json

SIGNED = {"energy_distance", "mmd", "low_density"}
OWN = {"id": "T1", "title": "mine beats FM w/ OT", "subject": "mine", "against": "fm_ot"}


@pytest.fixture(autouse=True)
def _nothing_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "_registered", {})


def test_the_papers_claims_are_there() -> None:
    found = {claim.id.rstrip("abcd") for claim in of_papers() if claim.paper == "lipman2023"}
    assert found == {f"C{i}" for i in range(1, 11)}
    few_step = {"geng2025_meanflow", "song2023_consistency", "liu2023_rectified_flow", "frans2025_shortcut"}
    assert few_step <= {claim.paper for claim in of_papers()}
    assert all(claim.source and claim.title for claim in of_papers())


def test_the_samplers_of_the_papers_claims_are_there() -> None:
    places = [place for claim in of_papers() for place in (claim.subject_at, claim.against_at) if place]
    assert len(places) > 12 and {place.sampler.partition("-")[0] for place in places} <= {"", ADAPTIVE, *samplers}


@pytest.mark.parametrize("name", ["fewstep", "generators", "guidance"])
def test_a_suite_has_the_seeds_that_its_claims_ask_for(name: str) -> None:
    """On every dataset with both sides: the mean over datasets lacks what one of them lacks."""
    seeds: dict[tuple[str, str], set[int]] = {}
    for run in plan(name, load_suite(name)[1]):
        seeds.setdefault((run.dataset.name, run.baseline.name), set()).add(run.seed)
    datasets = {dataset for dataset, _ in seeds}
    asked = {
        (dataset, side): claim.seeds
        for claim in of_papers()
        for dataset in datasets
        for side in (*claim.subject, *claim.against)
        if all((dataset, other) in seeds for other in (*claim.subject, *claim.against))
    }
    assert asked and {place: n for place, n in asked.items() if len(seeds[place]) < n} == {}


def test_likelihoods_differ_and_other_metrics_have_ratios() -> None:
    by_id = {claim.id: claim for claim in of_papers()}
    assert not by_id["C1"].is_ratio and by_id["C1"].limit == 0
    assert by_id["C2a"].is_ratio and by_id["C2a"].limit == 1
    assert by_id["C4a"].limit == 0.01 and by_id["C5"].limit == 0.7


def test_what_may_be_negative_by_chance_has_differences_and_a_margin() -> None:
    signed = [claim for claim in of_papers() if claim.paper == "lipman2023" and claim.metric in SIGNED]
    assert {claim.metric for claim in signed} == SIGNED
    assert all(not claim.is_ratio and claim.limit == 0 and claim.margin for claim in signed)


def test_a_claim_of_a_file_is_remembered_beside_the_records(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "mine.toml"
    file.write_text('[[claims]]\nid = "T1"\ntitle = "mine beats FM w/ OT"\nsubject = "mine"\nagainst = ["fm_ot"]\n')
    (claim,) = load_claims(file)
    assert claim == Claim(**OWN)
    register_claim(claim)
    assert remember(tmp_path) and not remember(tmp_path)
    monkeypatch.setattr(claims, "_registered", {})
    assert declared(tmp_path) == ([*of_papers(), claim], [])


def test_without_own_claims_nothing_is_remembered(tmp_path: Path) -> None:
    assert not remember(tmp_path)
    assert not list(tmp_path.iterdir())
    assert declared(tmp_path) == (of_papers(), [])


def test_one_id_is_one_claim() -> None:
    register_claim(Claim(**OWN))
    register_claim(Claim(**OWN))  # a plugin that is imported twice
    with pytest.raises(UsageError, match="'T1' is declared twice"):
        register_claim(Claim(**{**OWN, "title": "another"}))
    with pytest.raises(UsageError, match="'C1' is declared twice"):
        register_claim(Claim(**{**OWN, "id": "C1"}))


def toml(value: object) -> str:
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(of_key)}' for key, of_key in value.items())} }}"
    return json.dumps(value)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"measure": "best"}, "measure = 'best': Input should be 'value', 'spread'"),
        ({"metrc": "nll"}, "unknown key 'metrc'"),
        ({"seeds": 1}, "seeds = 1: Input should be greater than or equal to 2"),
        ({"test": "sign_flip"}, "seeds = 3: the sign-flip test can decide from 6 seeds on"),
        ({"measure": "to_error"}, "metric = 'nll': to_error is about 'ode_error'"),
        ({"measure": "few"}, "metric = 'nll': few is about 'quality'"),
        (
            {"measure": "to_error", "metric": "ode_error", "scale": "difference"},
            "scale = 'difference': to_error compares evaluations",
        ),
        ({"measure": "spread", "scale": "difference"}, "scale = 'difference': spread compares standard deviations"),
        ({"bound": 0.01, "margin": 0.1}, "margin = 0.1: a claim with bound = 0.01 has none"),
        ({"metric": "w2", "margin": 0.9}, "margin = 0.9: of a ratio it must be above 1"),
        ({"margin": 0}, "margin = 0: Input should be greater than 0"),
        ({"short": "x" * 29}, "String should have at most 28 characters"),
        ({"metric": "w2", "bound": 0}, "bound = 0.0: of a ratio it must be positive"),
        ({"against": []}, "against = []"),
        ({"measure": "at", "metric": "nll_nats"}, "metric = 'nll_nats': at is about 'quality'"),
        ({"measure": "at", "metric": "w2"}, "measure = 'at': 'at', and no other, has subject_at and against_at"),
        (
            {"metric": "w2", "subject_at": {"nfe": 1}, "against_at": {"nfe": 1}},
            "measure = 'value': 'at', and no other, has subject_at",
        ),
        (
            {"measure": "at", "metric": "w2", "subject_at": {"nfe": 1}, "against_at": {"sampler": "ddim"}},
            "subject_at, against_at: expected nfe in both or in neither",
        ),
        (
            {"measure": "at", "metric": "w2", "subject_at": {}, "against_at": {"nfe": 1}},
            "expected nfe, sampler or both",
        ),
        ({"subject_at": {"nfe": 0}}, "subject_at.nfe = 0: Input should be greater than 0"),
    ],
)
def test_a_bad_claim_is_one_line(changed: dict[str, Any], said: str, tmp_path: Path) -> None:
    entry = {**OWN, **changed}
    lines = [f"{key} = {toml(value)}" for key, value in entry.items()]
    file = tmp_path / "mine.toml"
    file.write_text("\n".join(["[[claims]]", *lines]))
    with pytest.raises(UsageError) as error:
        load_claims(file)
    assert said in str(error.value) and "mine.toml[0]" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("text", ["claims = 3", "[claim]\nid = 1", "[[claims", ""])
def test_a_file_without_claims_is_one_line(text: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.toml"
    file.write_text(text)
    with pytest.raises(UsageError, match=r"claims .*mine\.toml: "):
        load_claims(file)


@pytest.mark.parametrize("text", ["{", "null", '{"id": "T1"}', "\\udcff"])
def test_a_damaged_memory_is_named_and_skipped(text: str, tmp_path: Path) -> None:
    (tmp_path / claims.REMEMBERED).write_text(text)
    known, (complaint,) = declared(tmp_path)
    assert known == of_papers() and complaint.startswith(claims.REMEMBERED)


def test_of_a_memory_of_another_version_the_rest_is_kept(tmp_path: Path) -> None:
    entries = [{**OWN, "measure": "of the future"}, {**OWN, "id": "T2"}]
    write_json(tmp_path / claims.REMEMBERED, {"claims": entries})
    known, (complaint,) = declared(tmp_path)
    assert known == [*of_papers(), Claim(**{**OWN, "id": "T2"})]
    assert "claims.json[0]" in complaint and "measure = 'of the future'" in complaint


def test_a_remembered_claim_takes_no_place_of_a_papers(tmp_path: Path) -> None:
    write_json(tmp_path / claims.REMEMBERED, {"claims": [{**OWN, "id": "C1"}]})
    known, _ = declared(tmp_path)
    assert [claim.paper for claim in known if claim.id == "C1"] == ["lipman2023", ""]
