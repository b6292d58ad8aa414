"""The colours as readers with colour blindness see them (Machado, Oliveira and Fernandes 2009, severity 1)."""

import itertools
from typing import Any

import numpy as np
import pytest
import synthetic
from matplotlib.colors import to_rgb

from bench.papers.paper import order
from bench.report.canvas import legible
from bench.report.sections import sections
from bench.report.style import DASHED, FIRST, SPARE, looks, looks_of, ordered

VISION = {
    "normal": np.eye(3),
    "protanopia": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "deuteranopia": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "tritanopia": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}
TO_LMS = [
    [0.4122214708, 0.5363325363, 0.0514459929],
    [0.2119034982, 0.6806995451, 0.1073969566],
    [0.0883024619, 0.2817188376, 0.6299787005],
]
TO_OKLAB = [
    [0.2104542553, 0.793617785, -0.0040720468],
    [1.9779984951, -2.428592205, 0.4505937099],
    [0.0259040371, 0.7827717662, -0.808675766],
]


def linear(colour: str) -> np.ndarray:
    rgb = np.array(to_rgb(colour))
    return np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)


def oklab(rgb: np.ndarray) -> np.ndarray:
    return np.array(TO_OKLAB) @ np.cbrt(np.array(TO_LMS) @ np.clip(rgb, 0, 1))


@pytest.mark.parametrize("vision", VISION)
def test_baselines_stay_apart_for_every_reader(vision: str) -> None:
    seen = {look.colour: oklab(np.array(VISION[vision]) @ linear(look.colour)) for look in FIRST}
    closest = min((float(np.linalg.norm(seen[a] - seen[b])), a, b) for a, b in itertools.combinations(seen, 2))
    assert closest[0] > 0.12, closest


def test_markers_are_all_different() -> None:
    used = [look.marker for look in (*FIRST, *SPARE)]
    assert len(set(used)) == len(used)


def test_twenty_methods_of_ones_own_have_looks_of_their_own_and_few_have_no_dashes() -> None:
    assert (
        len(set(FIRST + SPARE + DASHED)) == len({(look.colour, look.marker) for look in FIRST + SPARE + DASHED}) == 26
    )
    crowd = looks([*order()[: len(FIRST)], *(f"own{i}" for i in range(18))])
    assert len(set(crowd.values())) == 26
    assert {look.line for look in looks([f"own{i}" for i in range(len(SPARE))]).values()} == {"-"}


def test_a_baseline_looks_the_same_in_any_company() -> None:
    alone, crowd = looks(["ddpm"]), looks(["mine", "ddpm", "fm_ot"])
    assert alone["ddpm"] == crowd["ddpm"] == FIRST[order().index("ddpm")]
    assert crowd["mine"] == SPARE[0]
    assert ordered(["zz", "rnode", "aa", "fm_ot"]) == ["fm_ot", "rnode", "aa", "zz"]


def test_variants_of_a_baseline_share_its_colour_and_nothing_else() -> None:
    found = looks_of({"a": "ddpm", "b": "ddpm", "c": "fm_ot", "d": "ddpm"}, ["mine"])
    assert found["a"] == looks(["ddpm"])["ddpm"] and found["c"] == looks(["fm_ot"])["fm_ot"]
    of_ddpm = [found[name] for name in "abd"]
    assert len({look.colour for look in of_ddpm}) == 1 and len({look.marker for look in of_ddpm}) == 3
    assert [look.line for look in of_ddpm] == ["-", "--", "--"]


def test_a_baseline_looks_the_same_on_all_data_of_a_report() -> None:
    def on(dataset: str, *baselines: str) -> list[dict[str, Any]]:
        return [
            {"dataset": dataset, "baseline": name, "label": name, "variant": f"{dataset}-{name}"} for name in baselines
        ]

    parts = sections(synthetic.frame(*on("moons", "aa", "bb", "zz"), *on("rings", "zz")))
    assert parts[0].looks["moons-zz"] == parts[1].looks["rings-zz"] == SPARE[2]


@pytest.mark.parametrize("colour", [look.colour for look in FIRST])
def test_names_are_dark_enough_to_read(colour: str) -> None:
    luminance = float(linear(legible(colour)) @ [0.2126, 0.7152, 0.0722])
    assert 1.05 / (luminance + 0.05) >= 3.0  # WCAG's contrast for large and bold text on white
