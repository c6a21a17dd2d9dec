"""How gunicorn runs the gateway; read by `python -m gateway`, and the same with `gunicorn -c`."""

import os
import signal
import sys
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

# Imported here, before any fork, so that the rate limits' memory is shared by all workers.
import gateway.limits  # noqa: F401
from chassis import logging as process_logging
from gateway.refusals import refuse_in_scim
from gateway.settings import GatewaySettings

_settings = GatewaySettings.load()
if _settings.metrics_address:
    from gateway import metrics

    # Before any worker is forked, and before the library is imported.
    _counts = metrics.prepare()
refuse_in_scim()


class ProcessLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own records, written like those of every other process."""

    def setup(self, cfg: Any) -> None:
        """Leave the writing to the process's handler."""
        super().setup(cfg)
        process_logging.configure("gateway", level=_settings.log_level, format=_settings.log_format)
        for logger in (self.error_log, self.access_log):
            logger.handlers[:] = []
            logger.propagate = True


wsgi_app = "gateway.app:get_app()"
bind = [_settings.address]
workers = _settings.workers
worker_class = "asgi"
asgi_loop = "uvloop"
asgi_lifespan = "on"
proc_name = "rollcall-gateway"
# Each worker makes its own channel after the fork; a preloaded application would also survive a reload as old code.
preload_app = False
# Its default path is one for each home directory, so two gateways on a machine would take each other's commands.
control_socket_disable = True
# For a worker that hangs, and for a client that begins a body and then sends nothing.
timeout = 60
graceful_timeout = max(1, round(_settings.grace_seconds))
keepalive = _settings.keepalive_seconds
backlog = 1024
worker_connections = 1000
# The limit on filters is ours and is told in SCIM; a line that gunicorn refuses would be answered in HTML.
limit_request_line = 0
forwarded_allow_ips = ",".join(_settings.trusted_proxies) or "127.0.0.1"
if not _settings.trusted_proxies:
    secure_scheme_headers: dict[str, str] = {}
errorlog = "-"
logger_class = ProcessLogger
accesslog = None
loglevel = _settings.log_level.lower()


# uvloop forgets a signal that comes before its loop runs, and a worker that missed its SIGTERM is waited for until the
# end of the grace period. So signals are held back while a worker loads.
_HELD_BACK = {signal.SIGTERM, signal.SIGINT, signal.SIGQUIT}


def post_fork(server: Any, worker: Any) -> None:
    """Hold signals back in the worker, which begins to load now."""
    signal.pthread_sigmask(signal.SIG_BLOCK, _HELD_BACK)


def post_worker_init(worker: Any) -> None:
    """Let signals through with the first turn of the loop."""
    worker.loop.call_soon(signal.pthread_sigmask, signal.SIG_UNBLOCK, _HELD_BACK)


def when_ready(server: Any) -> None:
    """Serve metrics, and tell the port, whole or not at all, now that connections are taken."""
    if _settings.metrics_address:
        try:
            metrics.serve(_settings.metrics_address, _counts, lambda: (os.getpid(), *server.WORKERS))
        except OSError as error:
            metrics.clean(_counts)
            print(f"rollcall: GATEWAY_METRICS_ADDRESS: {error.strerror}", file=sys.stderr)
            raise SystemExit(2) from None
    if _settings.port_file is not None:
        port = server.LISTENERS[0].sock.getsockname()[1]
        descriptor, temporary = tempfile.mkstemp(dir=_settings.port_file.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(str(port))
        Path(temporary).replace(_settings.port_file)


def on_exit(server: Any) -> None:
    """Leave no counts behind."""
    if _settings.metrics_address:
        metrics.clean(_counts)
