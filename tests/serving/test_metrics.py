from convforge.serving.metrics import Metrics


def test_requests_are_counted_by_route_and_status_and_timed():
    metrics = Metrics(waiting=lambda: 3, busy=lambda: 2)
    for method, status in (("POST", 200), ("POST", 200), ("POST", 503), ("BREW", 405)):
        metrics.count(route="/predict", method=method, status=status, seconds=0.02)
    text = metrics.text().decode()
    counted = 'convforge_requests_total{method="POST",route="/predict",status='
    assert f'{counted}"200"}} 2.0\n' in text
    assert f'{counted}"503"}} 1.0\n' in text
    assert 'method="other"' in text
    assert "BREW" not in text
    assert 'convforge_request_seconds_count{route="/predict"} 4.0\n' in text
    assert "convforge_queue_waiting 3.0\n" in text
    assert "convforge_workers_busy 2.0\n" in text
    assert "process_resident_memory_bytes" in text


def test_two_servers_do_not_count_together():
    one, two = (Metrics(waiting=lambda: 0, busy=lambda: 0) for _ in range(2))
    one.images.inc()
    assert "convforge_images_total 1.0\n" in one.text().decode()
    assert "convforge_images_total 0.0\n" in two.text().decode()
