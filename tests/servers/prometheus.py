"""A Prometheus (Debian's) on the loopback interface, which scrapes one site."""

import json
import shutil
import signal
import socket
import time
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from tests.servers.database import DatabaseServer

# A scrape that takes longer than the interval fails, and a busy machine may need most of a second.
SCRAPE_INTERVAL, EVALUATION_INTERVAL = "2s", "200ms"


def binary(name: str = "prometheus") -> str | None:
    """Return the path of a program of Prometheus; None if it is not installed."""
    return shutil.which(name)


class PrometheusServer(DatabaseServer):
    """Prometheus.

    Args:
        target: the host and port of the site.
        token: the bearer token.
        rules: the file with the alert rules.
    """

    prefix, gentle, patience = "sisyprom", signal.SIGTERM, 30

    def __init__(self, target: str, *, token: str, rules: Path) -> None:
        super().__init__()
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self._address = f"127.0.0.1:{free.getsockname()[1]}"
        shutil.copy(rules, self._folder / "rules.yml")
        self._settings = self._folder / "prometheus.yml"
        self._settings.write_text(
            f"global: {{scrape_interval: {SCRAPE_INTERVAL}, "
            f"evaluation_interval: {EVALUATION_INTERVAL}}}\n"
            "rule_files: [rules.yml]\n"
            "scrape_configs:\n"
            "  - job_name: sisy\n"
            "    metrics_path: /sisy/metrics\n"
            f"    authorization: {{credentials: {token}}}\n"
            f"    static_configs: [{{targets: ['{target}']}}]\n"
        )

    def __enter__(self) -> "PrometheusServer":
        program = binary()
        assert program is not None, "Prometheus is not installed"
        self._launch(
            program,
            f"--config.file={self._settings}",
            f"--storage.tsdb.path={self._data}",
            f"--web.listen-address={self._address}",
        )
        return self

    def __exit__(self, *exc: object) -> None:
        self.stop()
        self._clear_away()

    def ask(self, path: str, **query: str) -> Any:
        """Return the data of an answer of the API, once Prometheus is up."""
        deadline = time.monotonic() + self.patience
        while True:
            try:
                url = f"http://{self._address}/api/v1/{path}?{urlencode(query)}"
                with urlopen(url, timeout=self.patience) as answer:
                    return json.load(answer)["data"]
            except URLError as error:
                # An HTTPError is an answer.
                is_answer = hasattr(error, "code") and error.code != 503
                if is_answer or time.monotonic() > deadline or self._process.poll() is not None:
                    raise RuntimeError(f"{error}\n{self._log}") from None
                time.sleep(0.05)
