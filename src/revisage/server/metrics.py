"""What `/metrics` shows, in Prometheus' text format."""

from collections.abc import Callable, Mapping
from functools import partial

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from revisage.server.queue.jobs import State

REQUEST_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
STAGE_SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300)


class Metrics:
    """Counters of one server process, and the state of the queue, by `counts`, at the time of asking."""

    def __init__(self, counts: Callable[[], Mapping[State, int]]) -> None:
        self._registry = CollectorRegistry()
        self._counts = counts
        counter = partial(Counter, registry=self._registry)
        histogram = partial(Histogram, registry=self._registry)
        self.requests = counter("revisage_requests", "Requests answered", ("route", "method", "status"))
        self.request_seconds = histogram(
            "revisage_request_seconds", "Time to an answer's last byte", ("route",), buckets=REQUEST_SECONDS
        )
        self.ended = counter("revisage_jobs_ended", "Jobs ended by this server's workers", ("outcome",))
        self.stage_seconds = histogram(
            "revisage_stage_seconds", "Time of one photo in a stage", ("stage",), buckets=STAGE_SECONDS
        )
        self._jobs = Gauge("revisage_jobs", "Jobs in the store by state", ("state",), registry=self._registry)
        self.workers = Gauge("revisage_workers", "Worker processes alive", registry=self._registry)

    def text(self) -> bytes:
        """All of it."""
        for state, count in self._counts().items():
            self._jobs.labels(state).set(count)
        return generate_latest(self._registry)
