"""ADM: its published sizes, its parts by hand, the derivatives that flows need, and that what is fast is the same."""

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from oracles import divergence
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from bench.config.registry import networks
from bench.errors import UsageError
from bench.methods.cnf import derivative_of
from bench.methods.density import jacobian_products, rademacher
from bench.networks.adm import adm
from bench.networks.blocks import Attention, Residual

# Table 3 of Lipman et al.: shape, channels, multiples, blocks, attention.
CIFAR10 = ((3, 32, 32), 256, [1, 2, 2, 2], 2, [16])
IMAGENET32 = ((3, 32, 32), 256, [1, 2, 2, 2], 3, [16, 8])
IMAGENET64 = ((3, 64, 64), 192, [1, 2, 3, 4], 3, [32, 16, 8])
IMAGENET128 = ((3, 128, 128), 256, [1, 1, 2, 3, 4], 3, [32, 16, 8])

TINY: dict[str, Any] = {"channels": 4, "multiples": [1, 2], "blocks": 1, "attention": [4], "head_channels": 4}


def awake(net: nn.Module) -> nn.Module:
    """The module with numbers where it starts at zero."""
    torch.manual_seed(1)
    for parameter in net.parameters():
        if not parameter.any():
            nn.init.normal_(parameter, std=0.3)
    return net


def tiny(shape: tuple[int, ...] = (1, 4, 4), **options: Any) -> nn.Module:
    torch.manual_seed(0)
    return awake(adm(shape, **{**TINY, "time_scale": 5.0, **options}))


def field(net: nn.Module) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda t, x: net(t.expand(len(x)), x)


def gradients(net: nn.Module, loss: Tensor) -> dict[str, Tensor]:
    names, parameters = zip(*net.named_parameters(), strict=True)
    found = torch.autograd.grad(loss, parameters, allow_unused=True)
    return {name: g for name, g in zip(names, found, strict=True) if g is not None}


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def uncompiled() -> Iterator[None]:
    """Compiled code of other tests is forgotten, and of this one after it."""
    torch.compiler.reset()
    yield
    torch.compiler.reset()


# What it is.


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "bare", "full"),
    [(CIFAR10, 142.9, 171.3), (IMAGENET32, 196.1, 228.1), (IMAGENET64, 264.9, 295.1), (IMAGENET128, 485.0, 542.8)],
)
def test_it_has_the_parameters_of_adm(options: tuple[Any, ...], bare: float, full: float) -> None:
    """Those of guided-diffusion's module without classes, in millions, with table 3's options."""
    for both, expected in ((False, bare), (True, full)):
        with torch.device("meta"):
            net = adm(*options, scale_shift=both, resample_blocks=both)
            assert net(torch.rand(2), torch.randn(2, *options[0])).shape == (2, *options[0])
        assert round(sum(p.numel() for p in net.parameters()) / 1e6, 1) == expected


def test_it_is_registered_with_defaults_for_images_of_32_pixels() -> None:
    assert networks["adm"] is adm
    with torch.device("meta"):
        assert adm((3, 32, 32))(torch.rand(1), torch.randn(1, 3, 32, 32)).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize(("given", "shape"), [(0, (1, 4, 8)), (3, (3, 8, 4))])
def test_shapes_and_zero_at_the_start(both: bool, given: int, shape: tuple[int, ...]) -> None:
    net = adm(shape, 4, [1, 2], 1, [], 4, both, both, given=(given, *shape[1:]) if given else ())
    t, x = torch.rand(5), torch.randn(5, shape[0] + given, *shape[1:])
    y = net(t, x)
    assert y.shape == (5, *shape) and not y.any()
    y = awake(net)(t, x)
    assert y.shape == (5, *shape) and y.std() > 0.01
    alone = torch.cat([net(t[i : i + 1], x[i : i + 1]) for i in range(5)])
    torch.testing.assert_close(alone, y, rtol=1e-4, atol=1e-5)


def test_every_block_is_its_skip_at_the_start() -> None:
    h, e = torch.randn(2, 8, 4, 4), torch.randn(2, 16)
    assert torch.equal(Attention(8, 4)(h), h)
    assert torch.equal(Residual(8, 8, 16, True, 0.0, nn.Identity())(h, e), h)
    assert torch.equal(Residual(8, 8, 16, True, 0.0, nn.AvgPool2d(2))(h, e), F.avg_pool2d(h, 2))


@pytest.mark.parametrize("asked", [[], [8], [16, 4], [16, 8, 4]])
def test_attention_stands_at_the_asked_heights(asked: list[int]) -> None:
    """After every residual block of the level, of which the way up has one more, and once in the middle."""
    net = adm((1, 16, 16), 4, [1, 1, 1], 2, asked, 4)
    seen: list[int] = []
    for module in net.modules():
        if isinstance(module, Attention):
            module.register_forward_hook(lambda _m, _i, h: seen.append(h.shape[2]))
    net(torch.rand(1), torch.randn(1, 1, 16, 16))
    assert seen == [h for h in (16, 8, 4) for _ in range(2) if h in asked] + [4] + [
        h for h in (4, 8, 16) for _ in range(3) if h in asked
    ]


# Its parts by hand.


@pytest.mark.parametrize(("channels", "groups"), [(256, 32), (32, 32), (48, 16), (20, 4)])
def test_norms_have_32_groups_where_the_channels_divide_so(channels: int, groups: int) -> None:
    with torch.device("meta"):
        block = Residual(channels, 2 * channels, 4, True, 0.0, nn.Identity())
        assert block.norm_in.num_groups == Attention(channels, 64).norm.num_groups == groups
    assert block.norm_out.num_groups == min(32, 2 * groups)


@pytest.mark.parametrize(("channels", "head_channels", "heads"), [(8, 4, 2), (8, 8, 1), (4, 64, 1)])
def test_attention_by_hand(channels: int, head_channels: int, heads: int) -> None:
    """h + W softmax(q^T k / sqrt d) v, in heads."""
    block = awake(Attention(channels, head_channels))
    h = torch.randn(2, channels, 3, 5)
    pixels = F.group_norm(h, channels, block.norm.weight, block.norm.bias).flatten(2)
    projected = block.qkv.weight[:, :, 0, 0] @ pixels + block.qkv.bias[:, None]
    q, k, v = projected.view(2, 3, heads, channels // heads, 15).unbind(1)
    weights = torch.softmax(torch.einsum("bhdi,bhdj->bhij", q, k) / math.sqrt(channels // heads), 3)
    answer = torch.einsum("bhij,bhdj->bhdi", weights, v).reshape(2, channels, 15)
    expected = h + (block.out.weight[:, :, 0, 0] @ answer + block.out.bias[:, None]).view_as(h)
    torch.testing.assert_close(block(h), expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scale_shift", [False, True])
@pytest.mark.parametrize("resample", [nn.Identity(), nn.AvgPool2d(2), nn.Upsample(scale_factor=2)])
def test_residual_block_by_hand(scale_shift: bool, resample: nn.Module) -> None:
    block = awake(Residual(4, 8, 6, scale_shift, 0.0, resample))
    h, e = torch.randn(2, 4, 6, 6), torch.randn(2, 6)
    y = F.silu(F.group_norm(h, 4, block.norm_in.weight, block.norm_in.bias))
    y = F.conv2d(resample(y), block.conv_in.weight, block.conv_in.bias, padding=1)
    told = F.linear(e, block.time.weight, block.time.bias)[..., None, None]
    before, scale, shift = (0, *told.chunk(2, 1)) if scale_shift else (told, 0, 0)
    y = F.group_norm(y + before, 8, block.norm_out.weight, block.norm_out.bias) * (1 + scale) + shift
    y = F.conv2d(F.silu(y), block.conv_out.weight, block.conv_out.bias, padding=1)
    expected = F.conv2d(resample(h), block.skip.weight, block.skip.bias) + y
    torch.testing.assert_close(block(h, e), expected, rtol=1e-4, atol=1e-5)


def test_time_enters_by_sinusoids_of_the_scaled_time() -> None:
    """cos and sin of 1000 t / 10000^(k / 3), k = 0, 1, 2."""
    net = adm((1, 4, 4), **{**TINY, "channels": 6, "head_channels": 12})
    seen: list[Tensor] = []
    net.embed.register_forward_pre_hook(lambda _m, inputs: seen.append(inputs[0]))
    net(torch.tensor([0.0, 0.25]), torch.randn(2, 1, 4, 4))
    angles = [250 / 10_000 ** (k / 3) for k in range(3)]
    expected = [[1.0] * 3 + [0.0] * 3, [*map(math.cos, angles), *map(math.sin, angles)]]
    torch.testing.assert_close(seen[0], torch.tensor(expected), rtol=0, atol=1e-4)


def test_time_matters_and_its_scale_too() -> None:
    net, x = tiny(), torch.randn(2, 1, 4, 4)
    zero, one = net(torch.zeros(2), x), net(torch.ones(2), x)
    assert not torch.allclose(zero, one, atol=1e-3)
    faster = tiny(time_scale=10.0)
    torch.testing.assert_close(faster(torch.full((2,), 0.5), x), one)


# Derivatives.


@pytest.mark.slow
@pytest.mark.parametrize("block", ["attention", "residual"])
def test_blocks_have_their_second_derivative(block: str) -> None:
    h = torch.randn(1, 4, 4, 4, dtype=torch.float64, requires_grad=True)
    e = torch.randn(1, 2, dtype=torch.float64, requires_grad=True)
    with sdpa_kernel(SDPBackend.MATH):
        if block == "attention":
            assert torch.autograd.gradgradcheck(awake(Attention(4, 2)).double(), (h,))
        else:
            residual = awake(Residual(4, 4, 2, True, 0.0, nn.AvgPool2d(2))).double()
            assert torch.autograd.gradgradcheck(residual, (h, e))


@pytest.mark.parametrize("create_graph", [False, True])
def test_exact_divergence_is_the_trace_of_the_jacobian(create_graph: bool) -> None:
    net = tiny().double()
    x, t = torch.randn(2, 1, 4, 4, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    _, trace = divergence(field(net), t, x, create_graph=create_graph)
    for i in range(2):
        jacobian = torch.autograd.functional.jacobian(lambda y: field(net)(t, y), x[i : i + 1]).reshape(16, 16)
        torch.testing.assert_close(trace[i].detach(), jacobian.trace())


@pytest.mark.parametrize("both", [False, True])
@pytest.mark.parametrize("checkpointing", [False, True])
def test_gradient_of_the_divergence_is_that_of_finite_differences(checkpointing: bool, both: bool) -> None:
    """As FFJORD's loss takes it: the last backward pass is outside the choice of the plain attention."""
    net = tiny(checkpointing=checkpointing, scale_shift=both, resample_blocks=both).double()
    x, t = torch.randn(2, 1, 4, 4, dtype=torch.float64), torch.tensor(0.4, dtype=torch.float64)
    probes = rademacher(x, torch.Generator().manual_seed(0))
    _, trace = divergence(field(net), t, x, probes, create_graph=True)
    found = gradients(net, trace.sum())
    direction = {name: torch.randn_like(g) for name, g in found.items()}
    start = copy.deepcopy(net.state_dict())
    values = []
    for shift in (1e-7, -1e-7):
        net.load_state_dict(start | {name: start[name] + shift * d for name, d in direction.items()})
        values.append(float(divergence(field(net), t, x, probes)[1].sum()))
    slope = sum(float((g * direction[name]).sum()) for name, g in found.items())
    assert (values[0] - values[1]) / 2e-7 == pytest.approx(slope, rel=1e-6) and abs(slope) > 0.1


@pytest.mark.parametrize("dropout", [0.0, 0.5])
def test_checkpointing_changes_nothing_but_the_number_of_computations(dropout: float) -> None:
    x, t = torch.randn(3, 1, 4, 4), torch.rand(3)
    found = []
    for checkpointing in (False, True):
        net = tiny(checkpointing=checkpointing, dropout=dropout)
        calls: list[int] = []
        blocks = [m for m in net.modules() if isinstance(m, (Residual, Attention))]
        for block in blocks:
            norm = block.norm_out if isinstance(block, Residual) else block.norm
            norm.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        torch.manual_seed(2)
        y = net(t, x)
        found.append((y, gradients(net, y.square().sum())))
        assert len(calls) == (2 if checkpointing else 1) * len(blocks)
        calls.clear()
        y = net.eval()(t, x)
        gradients(net, y.square().sum())
        assert len(calls) == len(blocks)
    torch.testing.assert_close(*found, rtol=1e-5, atol=1e-6)
    assert len(found[0][1]) == len(list(net.parameters()))


def test_dropout_is_for_training() -> None:
    net, x, t = tiny(dropout=0.5), torch.randn(3, 1, 4, 4), torch.rand(3)
    assert not torch.equal(net(t, x), net(t, x))
    torch.testing.assert_close(net.eval()(t, x), tiny()(t, x))


def test_torch_func_finds_the_derivatives_of_autograd() -> None:
    """As the compiled step of a maximum-likelihood flow takes them."""
    net = tiny().double()
    state = torch.randn(2, 17, dtype=torch.float64)
    probes = rademacher(state[:, :16].reshape(2, 1, 4, 4), torch.Generator().manual_seed(0))
    t = torch.tensor(0.3, dtype=torch.float64)
    found = []
    for functional in (False, True):
        with sdpa_kernel(SDPBackend.MATH):
            rates = derivative_of(field(net), torch.Size((1, 4, 4)), functional)(t, state, probes)
        found.append((rates, gradients(net, rates.square().sum())))
    torch.testing.assert_close(*found)


@pytest.mark.slow
def test_forward_over_reverse_is_reverse_over_reverse() -> None:
    net = tiny().double()
    x, z, w = torch.randn(3, 2, 1, 4, 4, dtype=torch.float64)
    t = torch.tensor(0.3, dtype=torch.float64)
    with sdpa_kernel(SDPBackend.MATH):
        _, forward = torch.func.jvp(lambda y: torch.func.vjp(lambda u: field(net)(t, u), y)[1](z)[0], (x,), (w,))
    x = x.requires_grad_()
    _, _, (product,) = jacobian_products(field(net), t, x, z[None], create_graph=True)
    # The Hessian of z^T v is symmetric.
    torch.testing.assert_close(forward, torch.autograd.grad(product, x, w)[0])


# What makes it fast.


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("both", [False, True])
def test_a_channels_last_network_stays_so(batch: int, both: bool) -> None:
    last = torch.channels_last
    net = tiny((3, 8, 8), scale_shift=both, resample_blocks=both)
    x, t = torch.randn(batch, 3, 8, 8), torch.rand(batch)
    expected = net(t, x)
    net = net.to(memory_format=last)
    layouts: list[bool] = []
    projected: list[int] = []
    attended: list[int] = []
    attention = F.scaled_dot_product_attention

    def look(_module: nn.Module, inputs: tuple[Tensor, ...], answer: Tensor) -> None:
        layouts.extend(h.is_contiguous(memory_format=last) for h in (*inputs, answer) if h.dim() == 4)

    def watched(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        attended.append(q.data_ptr())
        return attention(q, k, v)

    for module in net.modules():
        if not isinstance(module, nn.ModuleList):
            module.register_forward_hook(look)
        if isinstance(module, Attention):
            module.qkv.register_forward_hook(lambda _m, _i, qkv: projected.append(qkv.data_ptr()))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(F, "scaled_dot_product_attention", watched)
        y = net(t, x.to(memory_format=last))
    assert len(layouts) > 50 and all(layouts)
    assert projected == attended and len(attended) == 4  # viewed, not copied
    torch.testing.assert_close(y, expected, rtol=1e-4, atol=1e-5)
    assert all(g.is_contiguous(memory_format=last) for g in gradients(net, y.square().sum()).values() if g.dim() == 4)


@pytest.mark.slow
@pytest.mark.parametrize("checkpointing", [False, True])
def test_a_fast_training_step_is_close_to_a_plain_one(checkpointing: bool, uncompiled: None) -> None:
    """bf16, channels_last, traced as a whole (inductor, which takes a minute here, would write code) and fused Adam."""
    x, t = torch.randn(8, 3, 4, 4), torch.rand(8)
    losses: list[list[float]] = [[], []]
    for fast, found in enumerate(losses):
        net = tiny((3, 4, 4), multiples=[1], attention=[], checkpointing=checkpointing and bool(fast))
        optimizer = torch.optim.Adam(net.parameters(), lr=1e-2, fused=bool(fast))
        call: Any = net
        if fast:
            call = torch.compile(net.to(memory_format=torch.channels_last), backend="aot_eager", fullgraph=True)
        for _ in range(3):
            with torch.autocast("cpu", torch.bfloat16) if fast else nullcontext():
                loss = (call(t, x) - x).square().mean()
            found.append(loss.item())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    plain, quick = losses
    assert quick == pytest.approx(plain, rel=0.1) and quick[0] == pytest.approx(plain[0], rel=0.01)
    assert quick != plain and max(plain[2], quick[2]) < 0.8 * plain[0]


@pytest.mark.slow
def test_a_compiled_network_is_compiled_once(uncompiled: None) -> None:
    net = tiny()
    compiled = torch.compile(net, backend="eager", fullgraph=True)
    x = torch.randn(3, 1, 4, 4)
    with torch.no_grad():
        compiled(torch.rand(3), x)
        with torch.compiler.set_stance("fail_on_recompile"):
            for t in (torch.zeros(3), torch.ones(3), torch.rand(3)):
                torch.testing.assert_close(compiled(t, x), net(t, x), rtol=1e-4, atol=1e-5)


# Life as a module.


def test_a_copy_is_the_same_and_apart() -> None:
    net, x, t = tiny(), torch.randn(2, 1, 4, 4), torch.rand(2)
    twin = copy.deepcopy(net)
    y = net(t, x)
    assert torch.equal(twin(t, x), y)
    with torch.no_grad():
        for parameter in twin.parameters():
            parameter.zero_()
    assert torch.equal(net(t, x), y)


def test_it_is_filled_from_the_meta_device_and_moves_as_a_whole() -> None:
    net, x, t = tiny(), torch.randn(2, 1, 4, 4), torch.rand(2)
    with torch.device("meta"):
        empty = adm((1, 4, 4), **TINY)
    assert all(tensor.is_meta for tensor in (*empty.parameters(), *empty.buffers()))
    filled = empty.to_empty(device="cpu")
    filled.load_state_dict(net.state_dict())
    assert torch.equal(filled(t, x), net(t, x))
    assert {tensor.dtype for tensor in filled.double().state_dict().values()} == {torch.float64}


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((2,), {}, r"shape = \(2,\): images"),
        ((3, 12, 12), {}, r"shape = \(3, 12, 12\): sides divisible by 8 are needed for 4 levels"),
        ((3, 32, 36), {}, r"shape = \(3, 32, 36\): sides divisible by 8"),
        ((3, 32, 32), {"attention": [16, 12]}, r"attention = \[16, 12\]: the levels have heights \[32, 16, 8, 4\]"),
        ((3, 32, 32), {"channels": 5}, "channels = 5: an even number"),
        ((3, 32, 32), {"channels": 0}, "channels = 0: an even number"),
        ((3, 32, 32), {"multiples": []}, r"multiples = \[\]: a number above 0"),
        ((3, 32, 32), {"multiples": [1, 0]}, r"multiples = \[1, 0\]: a number above 0"),
        ((3, 32, 32), {"blocks": 0}, "blocks = 0: a number above 0"),
        ((3, 32, 32), {"head_channels": 0}, "head_channels = 0: a number above 0"),
        ((3, 32, 32), {"channels": 48}, r"head_channels = 64: the levels that attend have \[96, 96\] channels"),
        ((3, 32, 32), {"dropout": 1.0}, r"dropout = 1.0: a number in \[0, 1\)"),
        ((3, 32, 32), {"given": -1}, "given = -1: numbers above 0"),
        (
            (3, 32, 32),
            {"given": (3, 16, 16)},
            r"given = \(3, 16, 16\): channels beside x have the size of x, \(32, 32\)",
        ),
        ((3, 32, 32), {"classes": 0}, "classes = 0: 1 or more are needed"),
    ],
)
def test_bad_options_are_named(shape: tuple[int, ...], options: dict[str, Any], message: str) -> None:
    with torch.device("meta"), pytest.raises(UsageError, match=f"^network adm: {message}") as error:
        adm(shape, **options)
    assert "\n" not in str(error.value)
