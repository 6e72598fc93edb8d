"""A service's parts together: what it keeps, what it counts, and its limits."""

from __future__ import annotations

import inspect

import pytest
from serving_world import small_embedding

from pasam.cli import serve as cli
from pasam.errors import ParamsError, RefusedError
from pasam.serving.payloads import MEGA, Limits
from pasam.serving.service import EmbeddingCache, Metrics, Service, Settings


def test_a_service_that_never_started_can_be_closed(shelf):
    service = Service(shelf.offered(), Settings())
    service.close()
    assert service.stopping


def test_its_numbers_are_those_of_its_parts(client):
    text = client.get("/metrics").text
    assert "pasam_models 3.0" in text
    assert "pasam_waiting_prompts 0.0" in text


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


def test_the_memory_that_is_counted_is_that_of_what_is_kept():
    images = [small_embedding(side) for side in (8, 24, 16, 8, 16)]
    cache = EmbeddingCache(images[1].nbytes + images[2].nbytes)
    for image in images:
        name = cache.put(image)
        assert cache.get(name) is image
        assert cache.nbytes <= cache.most_bytes
    assert len(cache) == 3
    assert cache.nbytes == sum(image.nbytes for image in images[2:])


def test_an_image_larger_than_the_memory_is_not_kept_and_pushes_nothing_out():
    cache = EmbeddingCache(2 * SIZE)
    small = cache.put(small_embedding())
    large = cache.put(small_embedding(side=80))
    assert (len(cache), cache.nbytes) == (1, SIZE)
    assert cache.get(small) is not None
    with pytest.raises(RefusedError):
        cache.get(large)


def test_two_services_count_apart_and_watched_numbers_are_current():
    one, two = Metrics(), Metrics()
    number = 3
    one.watch("waiting", "Waiting.", lambda: number)
    one.requests.labels("/predict", "200").inc()
    assert "pasam_waiting 3.0" in one.text().decode()
    number = 4
    text = one.text().decode()
    assert "pasam_waiting 4.0" in text
    assert 'pasam_requests_total{route="/predict",status="200"} 1.0' in text
    assert "/predict" not in two.text().decode()


def test_a_bound_of_nothing_is_refused_by_its_name():
    with pytest.raises(ParamsError, match="the limit pixels is 0"):
        Limits(pixels=0)


def test_what_pasam_serve_takes_by_default_are_the_limits_of_the_service_on_loopback_only():
    usual = {
        name: option.default for name, option in inspect.signature(cli.serve).parameters.items()
    }
    limits = Limits()
    assert limits.upload_bytes == usual["max_upload_mb"] * MEGA == 32_000_000
    assert limits.pixels == usual["max_megapixels"] * MEGA == 25_000_000
    assert limits.cache_bytes == usual["max_cache_mb"] * MEGA == 512_000_000
    assert limits.prompts == usual["max_prompts"] == 64
    assert limits.waiting_prompts == usual["max_waiting"] == 256
    assert usual["host"] == "127.0.0.1"
