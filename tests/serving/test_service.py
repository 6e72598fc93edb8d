"""A service's parts together."""

from __future__ import annotations

from pasam.serving.service import Service, Settings


def test_a_service_that_never_started_can_be_closed(shelf):
    service = Service(shelf.offered(), Settings())
    service.close()
    assert service.stopping


def test_its_numbers_are_those_of_its_parts(client):
    text = client.get("/metrics").text
    assert "pasam_models 3.0" in text
    assert "pasam_waiting_prompts 0.0" in text
