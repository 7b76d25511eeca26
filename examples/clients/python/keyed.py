"""KeyedMethod calls a unary method with an idempotency key, and retries the call if that is safe.

docs/clients.md has the rules. Copy this file and details.proto, and generate details_pb2 from it:

    python3 -m grpc_tools.protoc -I . --python_out=. details.proto
"""

import logging
import random
import threading
import time
import uuid

import grpc

import details_pb2

LOG = logging.getLogger(__name__)
MINUTE = 60.0

# The verdicts.
FINAL = "final"  # the answer will not change; a new key is a new operation
UNKNOWN = "unknown"  # it may have happened; keep the key, and never use a new key
NOT_EXECUTED = "not executed"  # the call had no effect; try again with the same key

# Rejections after which a later attempt with the same key may succeed.
RETRIED = {
    "IDEMPOTENCY_IN_PROGRESS",
    "IDEMPOTENCY_LEASE_LOST",
    "IDEMPOTENCY_STORE_UNAVAILABLE",
    "IDEMPOTENCY_STORE_FULL",
    "IDEMPOTENCY_RECORD_NEWER",
}

# Rejections of a call that never ran and never will.
NEVER_RAN = {"IDEMPOTENCY_KEY_INVALID", "IDEMPOTENCY_KEY_MISSING", "IDEMPOTENCY_NOT_SUPPORTED"}

# Codes with which this client or a proxy may replace a recorded answer.
MADE_ON_THE_WAY = {
    grpc.StatusCode.CANCELLED,
    grpc.StatusCode.UNKNOWN,
    grpc.StatusCode.DEADLINE_EXCEEDED,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
    grpc.StatusCode.INTERNAL,
}

# Codes of applications. Proxies and broken connections do not have them.
OF_APPLICATIONS = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.ALREADY_EXISTS,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.OUT_OF_RANGE,
}


class KeyedError(Exception):
    """A failed call. Its cause is the error of gRPC."""

    def __init__(self, error, key, verdict, info):
        super().__init__(f"{error.details()} (idempotency key {key}, {verdict})")
        self.code = error.code()
        self.key = key
        self.verdict = verdict
        self.reason = info.reason if info else None  # of a rejection, such as IDEMPOTENCY_KEY_REUSED
        self.info = dict(info.metadata) if info else {}


class Answer:
    """The response of a call, its key, and whether it is a replay."""

    def __init__(self, response, key, replayed):
        self.response = response
        self.key = key
        self.replayed = replayed


class KeyedMethod:
    """Make one for each method and channel: KeyedMethod(stub.Charge, "Charge").

    Set annotated if the .proto declares the method protected, and all servers have the kit: the method is then retried
    from the first call on. Otherwise it is retried after the server has confirmed that it reads keys. This client cannot
    tell a broken connection from an UNAVAILABLE of a handler. All times are in seconds.
    """

    def __init__(
        self,
        method,
        name,
        annotated=False,
        timeout=30.0,
        attempt_timeout=5.0,
        base_delay=0.1,
        max_delay=5.0,
        retention=24 * 60 * MINUTE,
    ):
        self._method = method
        self._name = name
        self._timeout = timeout
        self._attempt_timeout = attempt_timeout
        self._base_delay = base_delay
        self._max_delay = max_delay
        self._retention = retention
        self._lock = threading.Lock()
        self._confirmed = annotated
        self._warned = False

    def __call__(self, request, key=None, timeout=None):
        """Return an Answer, or raise a KeyedError.

        Store the key beside the order before the first call. After an error whose verdict is UNKNOWN, call again with
        that key.
        """
        key = key or str(uuid.uuid4())
        began = time.monotonic()
        end = began + (self._timeout if timeout is None else timeout)
        last = began + _span_of_retries(self._retention)  # no attempt begins later
        ambiguous = False  # an attempt may have taken effect
        attempt = 0

        while True:
            deadline = min(end, time.monotonic() + self._attempt_timeout)
            response, error, trailer = self._attempt(request, key, attempt, deadline)

            retention = float(trailer.get("idempotency-retention", 0))
            if retention > 0:
                last = min(last, began + _span_of_retries(retention))

            was_confirmed = self._learn(error, trailer)
            if error is None:
                return Answer(response, key, trailer.get("idempotent-replayed") == "true")

            info, retry_delay = _details_of(trailer)
            own = _judge(error, trailer, info)
            ambiguous = ambiguous or own == UNKNOWN
            verdict = UNKNOWN if own == NOT_EXECUTED and ambiguous else own

            delay = _delay_of(trailer, retry_delay)
            if delay is None:
                delay = random.random() * min(self._max_delay, self._base_delay * 2**attempt)

            again = was_confirmed and own != FINAL and _is_retried(error, info, deadline < end)
            if not again or delay < 0 or time.monotonic() + delay >= min(end, last):
                raise KeyedError(error, key, verdict, info) from error

            time.sleep(delay)
            attempt += 1

    def _attempt(self, request, key, attempt, deadline):
        """Make one attempt and return its response, its error and its trailer."""
        metadata = [("idempotency-key", key)]
        if attempt > 0:
            metadata.append(("x-retry-attempt", str(attempt)))

        try:
            response, call = self._method.with_call(request, metadata=metadata, timeout=max(0.0, deadline - time.monotonic()))
        except grpc.RpcError as error:
            return None, error, dict(error.trailing_metadata() or ())
        return response, None, dict(call.trailing_metadata() or ())

    def _learn(self, error, trailer):
        """Remember whether the server reads keys, and return whether this call may be retried."""
        with self._lock:
            if "idempotency-status" in trailer:
                self._confirmed = True
            elif error is None or error.code() in OF_APPLICATIONS:
                self._confirmed = False
                if not self._warned:
                    LOG.warning("%s: the server ignores idempotency keys, so calls are not retried", self._name)
                self._warned = True
            return self._confirmed  # the answer of a proxy and a broken connection change nothing


def _judge(error, trailer, info):
    """Return the verdict of one attempt, without regard to earlier attempts."""
    status = trailer.get("idempotency-status")
    if status in ("executed", "replayed"):
        return UNKNOWN if error.code() in MADE_ON_THE_WAY else FINAL
    if status == "released":
        return NOT_EXECUTED
    if status == "rejected" and info and info.reason in NEVER_RAN:
        return FINAL
    return UNKNOWN


def _is_retried(error, info, has_time):
    if info:
        return info.reason in RETRIED
    return error.code() == grpc.StatusCode.UNAVAILABLE or (error.code() == grpc.StatusCode.DEADLINE_EXCEEDED and has_time)


def _details_of(trailer):
    """Return the reason of a rejection and the delay, or None for what the trailer does not have."""
    info = delay = None
    for detail in details_pb2.Status.FromString(trailer.get("grpc-status-details-bin", b"")).details:
        if detail.type_url.endswith("/google.rpc.ErrorInfo"):
            found = details_pb2.ErrorInfo.FromString(detail.value)
            if found.domain == "onlyonce":
                info = found
        elif detail.type_url.endswith("/google.rpc.RetryInfo"):
            found = details_pb2.RetryInfo.FromString(detail.value).retry_delay
            delay = found.seconds + found.nanos / 1e9
    return info, delay


def _delay_of(trailer, retry_delay):
    """Return the delay in the answer. A negative delay means: do not retry."""
    if retry_delay is not None:
        return retry_delay
    pushback = trailer.get("grpc-retry-pushback-ms")
    return None if pushback is None else float(pushback) / 1000


def _span_of_retries(retention):
    """Leave time for an attempt to arrive while the outcome is kept."""
    return retention - min(10 * MINUTE, retention / 2)
