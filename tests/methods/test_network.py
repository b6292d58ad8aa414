"""A network as a method sees it: parts, labels, what is given, and no gradients where they are not wanted."""

import pytest
import torch
from torch import Tensor, nn

from bench.errors import UsageError
from bench.methods.memory import Memory
from bench.methods.network import CountedNetwork


class Told(nn.Module):
    """Keeps the keywords that it is called with."""

    def __init__(self, classes: int | None = None) -> None:
        super().__init__()
        self.classes = classes
        self.scale = nn.Parameter(torch.tensor(2.0))
        self.told: list[dict[str, Tensor | None]] = []

    def forward(self, x: Tensor, **named: Tensor | None) -> Tensor:
        self.told.append(named)
        return self.scale * x


X, LABELS = torch.ones(4, 2), torch.tensor([0, 1, 2, 1])


def parts() -> CountedNetwork:
    return CountedNetwork(nn.ModuleDict({"told": Told(3), "other": Told()}), labels=LABELS)


def test_parts_are_counted_with_the_whole_and_given_what_it_is_given() -> None:
    net = parts()
    net["told"](X)
    net["other"](X[:2])
    assert net.rows == 4 + 2 and net["told"].rows == net.rows
    net.given = torch.zeros(4, 5)
    net["other"](X)
    assert torch.equal(net.module["other"].told[-1]["given"], net.given) and net["other"] is net["other"]


def test_a_part_that_was_kept_is_told_of_the_batch_that_is_under_way() -> None:
    net = parts()
    kept = net["told"]
    net.labels, net.given = LABELS[:2], torch.zeros(2, 5)
    kept(X[:2])
    assert net.module["told"].told[-1]["labels"].tolist() == [0, 1] and len(net.module["told"].told[-1]["given"]) == 2


def test_labels_go_to_modules_with_classes() -> None:
    net = parts()
    net["told"](X), net["other"](X), net["told"](X, labels=None), net["other"](X, labels=LABELS)
    (bound, none), (nothing, said) = net.module["told"].told, net.module["other"].told
    assert bound == {"labels": LABELS} and none == {"labels": None}
    assert nothing == {} and said == {"labels": LABELS}
    net.labels = None
    net["told"](X)
    assert net.module["told"].told[-1] == {}


def test_a_part_that_is_not_there_is_named() -> None:
    with pytest.raises(UsageError, match=r"^net\['teller'\]: the module has no such part; it has: told, other$"):
        parts()["teller"]
    with pytest.raises(UsageError, match=r"^net\['told'\]: the module has no such part; it has: none$"):
        CountedNetwork(Told())["told"]


def test_labels_are_cut_with_their_rows() -> None:
    net = CountedNetwork(Told(3), labels=LABELS, memory=Memory())
    assert net.memory
    net.memory.rows = 3
    with torch.no_grad():
        assert torch.equal(net(X), 2 * X)
    assert [told["labels"].tolist() for told in net.module.told] == [[0, 1, 2], [1]] and net.rows == 4


def test_without_gradients_nothing_is_kept_for_them() -> None:
    x = X.clone().requires_grad_()
    net = CountedNetwork(nn.ModuleDict({"told": Told()}), gradients=False)
    assert not net["told"](x).requires_grad and CountedNetwork(Told())(x).requires_grad


def test_rows_of_a_batch_have_their_labels_and_what_they_are_given() -> None:
    seen: list[tuple[Tensor, Tensor, Tensor]] = []

    class Told(nn.Module):
        classes = 3

        def forward(self, t: Tensor, x: Tensor, labels: Tensor, given: Tensor) -> Tensor:
            seen.append((x, labels, given))
            return x

    net = CountedNetwork(nn.ModuleDict({"a": Told()}), given=torch.arange(4.0)[:, None], labels=torch.arange(4))
    rows = torch.tensor([2, 0, 2])
    net["a"].of(rows)(torch.zeros(3), torch.ones(3, 2))
    net.of(rows)["a"](torch.zeros(3), torch.ones(3, 2))
    for _, labels, given in seen:
        assert torch.equal(labels, rows) and torch.equal(given[:, 0], rows.float())
    assert net.rows == 6
