"""Numbers for Prometheus."""

from __future__ import annotations

from pasam.serving.service import Metrics


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
