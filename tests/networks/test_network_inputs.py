"""What a network takes beside t and x: it matters, it is asked for, and a network without it is as it always was."""

from typing import Any

import pytest
import torch
from tiny import awake
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.config.registry import networks
from bench.errors import UsageError
from bench.networks.concatsquash import concatsquash
from bench.networks.inputs import Inputs
from bench.networks.mlp import mlp

SMALL: dict[str, dict[str, Any]] = {
    "mlp": {"width": 16, "depth": 2},
    "concatsquash": {"width": 16, "depth": 2},
    "adm": {"channels": 8, "multiples": [1, 2], "blocks": 1, "attention": [4], "head_channels": 8},
    "unet": {"channels": [8, 16], "layers": 1, "attention": [1], "head_channels": 8, "groups": 4},
}
ALL = [pytest.param(name, marks=pytest.mark.slow) if name in ("unet", "adm") else name for name in SMALL]
SHAPES = {name: (1, 8, 8) if name in ("unet", "adm") else (2,) for name in SMALL}
FULL: dict[str, Any] = {"second_time": True, "classes": 3, "given": 4}


def built(name: str, **inputs: Any) -> nn.Module:
    torch.manual_seed(0)
    return awake(networks[name](SHAPES[name], **SMALL[name], **inputs))


def call(name: str, net: nn.Module, **changed: Tensor | None) -> Tensor:
    """Of five samples, which are the same whatever is changed."""
    rng = torch.Generator().manual_seed(2)
    t, x = torch.rand(5, generator=rng), torch.randn(5, *SHAPES[name], generator=rng)
    named = {"r": torch.rand(5, generator=rng), "labels": torch.tensor([0, 1, 2, 0, 1])}
    named["given"] = torch.randn(5, 4, generator=rng)
    found: Tensor = net(t, x, **(named | changed))
    return found


# Of parameters in order: tensors, numbers, sum of squares, sum weighed by place; of two samples, sum of squares.
BEFORE = {
    "mlp": (6, 370, 13.165866505463596, 0.7957806345075369, 0.15198603287872037),
    "concatsquash": (15, 456, 53.681109704152455, 67.4774189479649, 0.3717369901878742),
    "adm": (144, 52985, 617.2671757643989, 26579.302265615745, 275.27917442111914),
    "unet": (144, 44969, 569.5710096482705, 26241.612317606385, 425.0982268901663),
}


@pytest.mark.parametrize("name", ALL)
def test_a_network_without_further_inputs_is_as_it_was_before_there_were_any(name: str) -> None:
    torch.manual_seed(0)
    net = networks[name](SHAPES[name], **SMALL[name])
    parameters = [p.detach().double() for p in net.parameters()]
    numbers = sum(p.numel() for p in parameters)
    squares, weighed = sum(p.square().sum() for p in parameters), sum(i * p.sum() for i, p in enumerate(parameters))
    rng = torch.Generator().manual_seed(1)
    for parameter in net.parameters():
        if not parameter.any():
            parameter.data.normal_(std=0.3, generator=rng)
    y = net(torch.tensor([0.1, 0.7]), torch.randn(2, *SHAPES[name], generator=rng)).double().square().sum()
    found = (len(parameters), numbers, float(squares), float(weighed), float(y.detach()))
    assert found == pytest.approx(BEFORE[name], rel=1e-5)
    assert set(net.state_dict()) <= set(networks[name](SHAPES[name], **SMALL[name], **FULL).state_dict())


@pytest.mark.parametrize("name", ALL)
def test_every_input_matters_and_each_sample_has_its_own(name: str) -> None:
    net = built(name, **FULL)
    y = call(name, net)
    assert y.shape == (5, *SHAPES[name])
    for changed in ({"r": torch.zeros(5)}, {"given": torch.zeros(5, 4)}, {"labels": torch.tensor([0, 1, 2, 0, 2])}):
        moved = (call(name, net, **changed) - y).flatten(1).abs().amax(1) > 1e-4
        assert moved.tolist() == ([False] * 4 + [True] if "labels" in changed else [True] * 5)


@pytest.mark.parametrize("name", ALL)
def test_no_class_is_a_class_of_its_own_for_all_or_for_some(name: str) -> None:
    net = built(name, **FULL)
    without = call(name, net, labels=None)
    assert torch.equal(call(name, net, labels=torch.full((5,), -1)), without)
    some = call(name, net, labels=torch.tensor([-1, 1, -1, 0, -1]))
    torch.testing.assert_close(some[[0, 2, 4]], without[[0, 2, 4]])
    torch.testing.assert_close(some[[1, 3]], call(name, net)[[1, 3]])
    every = [call(name, net, labels=torch.full((5,), k)) for k in range(3)]
    assert all((without - y).abs().max() > 1e-4 for y in every)


@pytest.mark.parametrize("name", ALL)
def test_the_derivative_by_both_times_is_that_of_differences(name: str) -> None:
    """A forward derivative along (x, t, r), which methods of two times train on."""
    net = built(name, **FULL, **({"time_scale": 3.0} if name in ("unet", "adm") else {})).double()
    rng = torch.Generator().manual_seed(3)
    t, r, x, v = (torch.randn(3, *s, generator=rng, dtype=torch.float64) for s in ((), (), *[SHAPES[name]] * 2))
    labels, given = torch.tensor([0, -1, 2]), torch.randn(3, 4, generator=rng, dtype=torch.float64)

    def f(h: Tensor) -> Tensor:
        found: Tensor = net(t + h, x + h * v, r=r - h, labels=labels, given=given)
        return found

    h = torch.zeros((), dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):  # fused attention has no forward derivative on the CPU
        _, slope = torch.func.jvp(f, (h,), (torch.ones_like(h),))
    step, tolerance = (1e-3, 1e-3) if name == "unet" else (1e-5, 1e-6)  # diffusers embeds times in float32
    torch.testing.assert_close(slope, (f(h + step) - f(h - step)) / (2 * step), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    ("inputs", "changed", "words"),
    [
        (FULL, {"r": None}, "built with second_time, called without r"),
        (FULL, {"given": None}, "built with given, called without given"),
        (FULL | {"classes": None}, {}, "built without classes, called with labels"),
        (FULL | {"second_time": False}, {}, "built without second_time, called with r"),
        (FULL | {"given": ()}, {}, "built without given, called with given"),
    ],
)
def test_a_call_with_other_inputs_is_one_line(name: str, inputs: Any, changed: Any, words: str) -> None:
    with pytest.raises(UsageError, match=f"^network {name}: {words}$"):
        call(name, built(name, **inputs), **changed)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["mlp", "concatsquash", "adm"])
def test_a_compiled_network_is_one_graph(name: str) -> None:
    """Of both kinds of calls: the inputs are looked at while it is compiled, and no more after it."""
    torch.compiler.reset()
    for inputs, changed in ((FULL, {}), ({}, {"r": None, "labels": None, "given": None})):
        net = built(name, **inputs)
        compiled = torch.compile(net, fullgraph=True, backend="eager")
        torch.testing.assert_close(call(name, compiled, **changed), call(name, net, **changed), rtol=1e-4, atol=1e-4)


def test_mlp_with_all_inputs_by_hand() -> None:
    """Coordinates of one vector: x, t, r, the class as one of K + 1 unit vectors, and what is given."""
    net = mlp((2,), width=3, depth=1, activation="tanh", **FULL)
    first, _, last = net.layers
    rng = torch.Generator().manual_seed(2)
    t, x, r = torch.rand(5, generator=rng), torch.randn(5, 2, generator=rng), torch.rand(5, generator=rng)
    given, labels = torch.randn(5, 4, generator=rng), torch.tensor([0, 1, 2, -1, 1])
    unit = torch.eye(4)[[0, 1, 2, 3, 1]]
    hidden = torch.tanh(torch.cat([x, t[:, None], r[:, None], unit, given], 1) @ first.weight.T + first.bias)
    expected = hidden @ last.weight.T + last.bias
    torch.testing.assert_close(net(t, x, r=r, labels=labels, given=given), expected)


def test_images_that_are_given_join_the_channels() -> None:
    for build in (mlp, concatsquash):
        net = build((1, 4, 6), width=8, depth=1, given=(2, 4, 6))
        t, x = torch.rand(3), torch.randn(3, 3, 4, 6)
        y = net(t, x)
        assert y.shape == (3, 1, 4, 6)
        assert not torch.allclose(net(t, torch.cat([x[:, :1], x[:, 1:] + 1], 1)), y)


def test_an_image_given_to_vectors_is_a_vector() -> None:
    net = mlp((2,), width=8, depth=1, given=(3, 4, 4))
    assert net(torch.rand(5), torch.randn(5, 2), given=torch.randn(5, 3, 4, 4)).shape == (5, 2)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "adm"])
def test_images_without_a_time_are_those_at_time_0(name: str) -> None:
    net, timed = (built(name, classes=3, time=time) for time in (False, True))
    net.load_state_dict(timed.state_dict())
    x, labels = torch.randn(5, *SHAPES[name]), torch.tensor([0, 1, 2, -1, 1])
    torch.testing.assert_close(net(x, labels=labels), timed(torch.zeros(5), x, labels=labels))
    torch.manual_seed(0)
    fresh = networks[name](SHAPES[name], **SMALL[name], time=False)
    assert fresh(x).abs().amax((1, 2, 3)).min() > 0.01, "it starts as a field does, at zero"
    with pytest.raises(UsageError, match=f"^network {name}: built with time = False, called with 1 times$"):
        net(torch.rand(5), x)
    with pytest.raises(UsageError, match=f"^network {name}: built with time = True, called with 0 times$"):
        timed(x)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["unet", "adm"])
def test_an_image_becomes_a_vector_of_all_the_pixels_below_the_last_level(name: str) -> None:
    net, x = built(name, time=False, out=7), torch.randn(5, *SHAPES[name])
    found: list[Tensor] = []
    end = net.end if name == "adm" else net.model.conv_out
    end.register_forward_pre_hook(lambda _, inputs: found.append(inputs[0]))
    y, (h,) = net(x), found
    assert y.shape == (5, 7) and h.shape == (5, 16, 4, 4)
    norm, _, _, linear = end
    torch.testing.assert_close(y, nn.functional.silu(norm(h)).flatten(1) @ linear.weight.T + linear.bias)
    assert not any(key.startswith(("up", "model.up")) for key in net.state_dict())
    assert built(name, out=2)(torch.rand(5), x).shape == (5, 2)
    with pytest.raises(UsageError, match=f"^network {name}: out = 0: a number above 0 is needed$"):
        built(name, out=0)


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_mlp_without_a_time_and_with_other_outputs(shape: tuple[int, ...]) -> None:
    """A critic or an encoder: a vector of `out` numbers; a generator: the shape of its noise is another's."""
    net, x = mlp(shape, width=8, depth=1, time=False, out=7), torch.randn(5, *shape)
    assert net(x).shape == (5, 7)
    first, _, last = net.layers
    torch.testing.assert_close(net(x), last(nn.functional.silu(first(x.flatten(1)))))
    with pytest.raises(UsageError, match=r"^network mlp: built with time = False, called with 1 times$"):
        net(torch.rand(5), x)
    with pytest.raises(UsageError, match=r"^network mlp: built with time = True, called with 0 times$"):
        mlp(shape, width=8, depth=1)(x)
    with pytest.raises(UsageError, match=r"^network mlp: out = 0: a number above 0 is needed$"):
        mlp(shape, out=0)


def test_classes_are_known_to_who_calls_the_network() -> None:
    for name in ("mlp", "concatsquash"):
        assert built(name, classes=3).classes == 3 and built(name).classes is None


def test_rows_of_weights() -> None:
    inputs = Inputs("any", (2,), classes=3)
    x = torch.zeros(4, 2)
    assert inputs.rows(None, x).tolist() == [3] * 4
    assert inputs.rows(torch.tensor([2, -1, 0, -5]), x).tolist() == [2, 3, 0, 3]
