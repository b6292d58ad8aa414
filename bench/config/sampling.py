"""The samplers that an evaluation names, with their options."""

import dataclasses
from collections.abc import Iterable
from typing import Any

from bench.config.options import checked_options
from bench.config.registry import samplers
from bench.config.settings import Component, Samples, Sweep, listed
from bench.errors import UsageError, usage_error
from bench.methods.guidance import evaluations_at
from bench.methods.sampler import Sampler
from bench.training.seeds import STREAMS, is_taken


def build_sampler(component: Component, **more: Any) -> Sampler:
    """The sampler with its options, and `more` of them; UsageError if it refuses them."""
    options = checked_options(samplers, component) | more
    with usage_error(f"sampler {component.name}: {options}"):
        sampler: Sampler = samplers[component.name](**options)
    return sampler


def scaled(components: Iterable[Component]) -> list[Component]:
    """The samplers, once for each scale of a list as their `guidance`; UsageError for an empty one."""
    found: list[Component] = []
    for component in components:
        scales = component.options.get("guidance")
        if scales == []:
            raise UsageError(f"sampler {component.name}: guidance = []: a scale of 0 or more, or several")
        several = [component.options | {"guidance": scale} for scale in listed(scales)]
        found += [component] if scales is None else [Component(name=component.name, options=one) for one in several]
    return found


def further(samples: Samples) -> dict[str, Sampler]:
    """The samplers that have a row of their own in the stage of samples, by name."""
    return _named(map(build_sampler, scaled(samples.samplers)))


def swept(sweep: Sweep) -> list[Sampler]:
    """The samplers of a sweep, one per row; UsageError for one that cannot be built, has no row, or has one twice."""
    found: list[Sampler] = []
    for component in scaled(sweep.components):
        cls = samplers[component.name]
        free = {f.name for f in dataclasses.fields(cls)} - component.options.keys()
        cost = cls.evaluations_a_step * evaluations_at(component.options.get("guidance", 1))
        if "steps" in free:
            rows = [build_sampler(component, steps=nfe // cost) for nfe in sweep.nfe if nfe % cost == 0]
            if not rows and sweep.samplers is not None:
                raise UsageError(f"sampler {component.name}: no nfe of {list(sweep.nfe)} is a multiple of {cost}")
        elif {"rtol", "atol"} <= free:
            rows = [build_sampler(component, rtol=tolerance, atol=tolerance) for tolerance in sweep.tolerances]
        else:
            rows = [build_sampler(component)]
        found += rows
    return list(_named(found).values())


def _named(found: Iterable[Sampler]) -> dict[str, Sampler]:
    names: dict[str, Sampler] = {}
    for sampler in found:
        if f"{sampler}" in names:
            raise UsageError(f"sampler {sampler}: named twice")
        if is_taken(f"{sampler}"):
            raise UsageError(f"sampler {sampler}: a stream of random numbers has the name; taken: {', '.join(STREAMS)}")
        names[f"{sampler}"] = sampler
    return names
