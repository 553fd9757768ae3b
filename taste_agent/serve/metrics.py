"""Metrics for Prometheus: counts and times, nothing that was said."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from taste_agent import events as ev

_SECONDS = (0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0)
_RTF = (0.1, 0.2, 0.3, 0.5, 0.7, 0.9, 1.0, 1.5, 2.0, 5.0)


class Metrics:
    """The metrics of one server."""

    def __init__(self, max_sessions: int) -> None:
        self.registry = registry = CollectorRegistry()
        self.sessions = Gauge("taste_sessions", "Sessions that go on", registry=registry)
        limit = Gauge("taste_sessions_limit", "Sessions that this machine holds", registry=registry)
        limit.set(max_sessions)
        self.ended = Counter(
            "taste_sessions_ended", "Sessions that have ended", ["reason"], registry=registry
        )
        self.refused = Counter(
            "taste_refused", "Connections that were refused", ["reason"], registry=registry
        )
        self._latency = Histogram(
            "taste_latency_seconds", "Parts of the wait", ["part"], buckets=_SECONDS, registry=registry
        )
        self._rtf = Histogram(
            "taste_reply_rtf", "Compute time per audio time of a reply", buckets=_RTF, registry=registry
        )
        self._replies = Counter("taste_replies", "Replies", ["status"], registry=registry)
        self._underruns = Counter("taste_underruns", "Times playback ran dry", registry=registry)
        self._failures = Counter("taste_failures", "Steps that failed", registry=registry)

    def observe(self, event: ev.Event) -> None:
        """Count an event of a session. May be called from any thread."""
        match event:
            case ev.FirstAudio():
                for part, ms in event.latency_ms.items():
                    self._latency.labels(part).observe(ms / 1000)
            case ev.ReplyFinished():
                self._replies.labels("finished").inc()
                self._rtf.observe(event.rtf)
            case ev.ReplyCancelled():
                self._replies.labels("cancelled").inc()
            case ev.Underrun():
                self._underruns.inc()
            case ev.Notice(level="error"):
                self._failures.inc()

    def text(self) -> bytes:
        """Return all metrics in Prometheus' text format."""
        return generate_latest(self.registry)
