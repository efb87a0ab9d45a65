"""What is opened and what is not, told without opening it."""

import os
import socket

import pytest

from musicbench.plain_files import read_json, read_json_lines, read_yaml
from musicbench.regular_files import require_regular, why_not_read
from musicbench.seals import require_whole_zip


@pytest.fixture
def odd(tmp_path):
    """Paths of every kind, by the reason why they are not read."""
    os.mkfifo(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "broken").symlink_to("absent")
    return {
        tmp_path / "pipe": "a pipe, not a file",
        tmp_path / "socket": "a socket, not a file",
        tmp_path: "a folder, not a file",
        tmp_path / "absent": "no such file",
        tmp_path / "loop": "a link that leads nowhere",
        tmp_path / "broken": "a link that leads nowhere",
        "/dev/null": "a device, not a file",
        "null \0": "embedded null byte",
    }


def test_what_is_not_read(odd, tmp_path):
    for path, reason in odd.items():
        assert why_not_read(path) == reason
        if "\0" not in str(path):
            with pytest.raises(OSError):
                require_regular(path)
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "link").symlink_to("file")
    for name in ("file", "link"):
        assert why_not_read(tmp_path / name) is None
        require_regular(tmp_path / name)


@pytest.mark.parametrize("read", [read_yaml, read_json, lambda path: list(read_json_lines(path)), require_whole_zip])
def test_readers_do_not_wait_for_a_pipe(in_time, tmp_path, read):
    os.mkfifo(tmp_path / "pipe")

    def refused() -> None:
        with pytest.raises(OSError, match="it is a pipe, not a file"):
            read(tmp_path / "pipe")

    in_time(refused)
