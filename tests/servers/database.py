"""What servers of databases have in common: a short folder of their own, and a process."""

import os
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path
from typing import ClassVar


class DatabaseServer:
    """Starts, stops and kills one server; ``url`` is what DATABASE_URL takes.

    Args:
        fsync: whether it survives a power cut; benchmarks must say True.
    """

    prefix: ClassVar[str]
    gentle: ClassVar[signal.Signals]
    """Ends connections in good order."""
    patience: ClassVar[int]
    """Seconds that it has to start, and to stop."""

    def __init__(self, *, fsync: bool = False) -> None:
        self._fsync = fsync
        self._folder = Path(tempfile.mkdtemp(prefix=self.prefix, dir="/tmp"))
        self._user = "nobody" if os.getuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder.chmod(0o755)
        self._data = self._folder / "data"
        self._data.mkdir(mode=0o700)
        if self._user:
            shutil.chown(self._folder, self._user)
            shutil.chown(self._data, self._user)

    @property
    def data(self) -> Path:
        """The folder of its data."""
        return self._data

    def copy(self, data: Path) -> None:
        """Begin with the data of another server of its kind, which was stopped."""
        self._run("cp", "-R", f"{data}/.", self._data)

    def stop(self, number: int | None = None) -> None:
        """Stop it, by default in good order."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(self.gentle if number is None else number)
            self._process.wait(self.patience)

    def _clear_away(self) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def _launch(self, *command: object) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [str(part) for part in command],
                stdout=log,
                stderr=log,
                user=self._user,
                cwd=self._folder,
            )

    def _run(self, *command: object) -> None:
        subprocess.run(
            [str(part) for part in command],
            user=self._user,
            check=True,
            cwd=self._folder,
            stdout=subprocess.DEVNULL,
        )

    @property
    def _log(self) -> str:
        return (self._folder / "log").read_text()
