"""One fixed order: a permutation, the same for ever, whose beginnings are fair samples of a split sorted by class."""

import numpy as np
import torch

from bench.datasets.order import permutation, places, shuffled


def test_the_order_is_the_same_for_ever():
    assert permutation(10).tolist() == [8, 4, 7, 2, 1, 9, 3, 0, 6, 5]
    assert sorted(permutation(1000)) == list(range(1000))


def test_places_undo_the_permutation():
    assert np.array_equal(permutation(1000)[places(1000)], np.arange(1000))


def test_images_and_labels_keep_together():
    labels = torch.arange(50)
    images = labels[:, None].expand(50, 4)
    assert torch.equal(shuffled(images)[:, 0], shuffled(labels)) and not torch.equal(shuffled(labels), labels)


def test_the_first_images_of_a_split_sorted_by_class_are_of_nearly_all_classes():
    """1,024 of 50 x 1,000 in their own order would be of 21 classes; a fair draw sees 645 in the mean."""
    sorted_labels = torch.arange(1000).repeat_interleave(50)
    first = shuffled(sorted_labels)[:1024].bincount(minlength=1000)
    expected = 1000 * (1 - 1024 / 50_000) ** 50
    assert abs(int((first == 0).sum()) - expected) < 60  # standard deviation about 15
    assert int(first.max()) <= 7
