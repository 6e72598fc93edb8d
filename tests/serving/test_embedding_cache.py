"""Embedded pictures that are kept."""

from __future__ import annotations

import pytest
from serving_world import small_embedding

from pasam.errors import RefusedError
from pasam.serving.service import EmbeddingCache

SIZE = small_embedding().nbytes


def test_what_was_put_comes_back_under_a_name_of_its_own():
    cache, image = EmbeddingCache(10 * SIZE), small_embedding()
    first, second = cache.put(image), cache.put(image)
    assert first != second
    assert cache.get(first) is image
    assert (len(cache), cache.nbytes) == (2, 2 * SIZE)


def test_the_one_used_longest_ago_goes_when_there_is_no_room():
    cache = EmbeddingCache(2 * SIZE + 1)
    old, used = cache.put(small_embedding()), cache.put(small_embedding())
    cache.get(old)
    cache.put(small_embedding())
    assert cache.get(old) is not None
    with pytest.raises(RefusedError, match="Send the image to /embed again") as gone:
        cache.get(used)
    assert gone.value.status == 404
    assert cache.nbytes == 2 * SIZE


def test_a_picture_larger_than_the_memory_is_not_kept():
    cache = EmbeddingCache(SIZE - 1)
    name = cache.put(small_embedding())
    assert (len(cache), cache.nbytes) == (0, 0)
    with pytest.raises(RefusedError):
        cache.get(name)
