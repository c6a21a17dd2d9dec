"""How gunicorn runs the console; read by `python -m console`, and the same with `gunicorn -c`."""

import os
import signal
import tempfile
from pathlib import Path
from typing import Any

from gunicorn.glogging import Logger  # type: ignore[import-untyped]

from chassis import logging as process_logging
from console.settings import ConsoleSettings

_settings = ConsoleSettings.load()


class ProcessLogger(Logger):  # type: ignore[misc]  # gunicorn has no types
    """gunicorn's own records, written like those of every other process."""

    def setup(self, cfg: Any) -> None:
        """Leave the writing to the process's handler."""
        super().setup(cfg)
        process_logging.configure("console", level=_settings.log_level, format=_settings.log_format)
        for logger in (self.error_log, self.access_log):
            logger.handlers[:] = []
            logger.propagate = True


wsgi_app = "console.app:get_app()"
bind = [_settings.address]
# A few people at a time use it, and what it waits for is the services.
workers = 1
worker_class = "asgi"
asgi_loop = "uvloop"
asgi_lifespan = "on"
proc_name = "rollcall-console"
# The worker makes its own channels after the fork; a preloaded application would also survive a reload as old code.
preload_app = False
# Its default path is one for each home directory, so two consoles on a machine would take each other's commands.
control_socket_disable = True
timeout = 60
graceful_timeout = max(1, round(_settings.grace_seconds))
keepalive = 5
backlog = 256
worker_connections = 1000
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
    """Let signals through with the first turn of the loop, and let SIGTERM end answers that go on without end."""

    def stop() -> None:
        # Before the worker waits for the answers that are under way, which a live page's would never end.
        worker.asgi.deps.closing.set()
        worker.handle_exit_signal()

    worker.loop.add_signal_handler(signal.SIGTERM, stop)
    worker.loop.call_soon(signal.pthread_sigmask, signal.SIG_UNBLOCK, _HELD_BACK)


def when_ready(server: Any) -> None:
    """Tell the port, whole or not at all, now that connections are taken."""
    if _settings.port_file is not None:
        port = server.LISTENERS[0].sock.getsockname()[1]
        descriptor, temporary = tempfile.mkstemp(dir=_settings.port_file.parent)
        with os.fdopen(descriptor, "w") as file:
            file.write(str(port))
        Path(temporary).replace(_settings.port_file)
