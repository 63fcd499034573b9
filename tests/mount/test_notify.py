"""What a service manager is told."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from isofs.mount.notify import Manager


@contextmanager
def manager(address: str) -> Iterator[socket.socket]:
    """A socket at this address: `@NAME` is abstract."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + address[1:] if address.startswith("@") else address)
        listener.settimeout(5)
        yield listener


@pytest.mark.parametrize("address", ["{}/notify", "@isofs-test-{}"])
def test_states_are_lines_of_one_message(address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = address.format(tmp_path if address.startswith("{") else os.getpid())
    monkeypatch.setenv("NOTIFY_SOCKET", place)
    with manager(place) as listener:
        told = Manager()
        told.tell(READY=1, MAINPID=12, STATUS="disc.iso on /mnt")
        told.tell(STOPPING=1)
        assert listener.recv(4096) == b"READY=1\nMAINPID=12\nSTATUS=disc.iso on /mnt"
        assert listener.recv(4096) == b"STOPPING=1"


def test_a_line_feed_in_a_name_begins_no_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    with manager(f"{tmp_path}/notify") as listener:
        Manager().tell(STATUS=os.fsdecode(b"a\nERRNO=1 \xff"))
        assert listener.recv(4096) == b"STATUS=a ERRNO=1 \xff"


def test_children_do_not_know_the_manager(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    Manager()
    assert "NOTIFY_SOCKET" not in os.environ


@pytest.mark.parametrize("address", ["", "relative", "vsock:2:1234"])
def test_other_addresses_are_nobody(
    address: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", address)
    Manager().tell(READY=1)
    assert caplog.messages == []


def test_without_an_address_there_is_nobody(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NOTIFY_SOCKET", raising=False)
    Manager().tell(READY=1)
    assert caplog.messages == []


def test_a_manager_that_has_gone_costs_a_line_of_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/nowhere")
    Manager().tell(READY=1)
    assert caplog.messages == ["the service manager cannot be told: No such file or directory"]
    assert caplog.records[0].levelno == logging.WARNING


def test_a_manager_that_does_not_listen_is_not_waited_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", f"{tmp_path}/notify")
    with manager(f"{tmp_path}/notify"):
        told = Manager()
        for _ in range(10_000):
            told.tell(STATUS="x" * 1000)
            if caplog.messages:
                break
    assert caplog.messages == ["the service manager cannot be told: Resource temporarily unavailable"]
