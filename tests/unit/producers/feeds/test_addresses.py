"""Private addresses are refused where the socket opens, whatever name, redirect or DNS answer leads there."""

import asyncio
import ipaddress
import socket

import httpcore
import pytest

from producers.feeds import addresses
from producers.feeds.addresses import GuardedBackend, is_public
from producers.feeds.errors import FetchError
from producers.feeds.fetch import Fetcher
from producers.feeds.schedule import HostGate
from tests.support.feed_server import Reply, feed_web, redirect

PRIVATE = [
    "127.0.0.1", "127.9.9.9", "10.0.0.1", "172.16.5.5", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
    "224.0.0.1", "255.255.255.255", "198.18.0.1", "::1", "::", "fe80::1", "fd00::1", "ff02::1", "::ffff:127.0.0.1",
    "::ffff:10.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "::127.0.0.1",
]  # fmt: skip


@pytest.mark.parametrize("address", PRIVATE)
def test_inner_addresses_are_not_public(address):
    assert not is_public(ipaddress.ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8", "64:ff9b::808:808"])
def test_global_addresses_are_public(address):
    assert is_public(ipaddress.ip_address(address))


def _answers(monkeypatch, *answers):
    """DNS that gives the next answer at each question, the last one for ever."""
    waiting = list(answers)

    async def getaddrinfo(self, host, port, **_):
        found = waiting.pop(0) if len(waiting) > 1 else waiting[0]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(asyncio.base_events.BaseEventLoop, "getaddrinfo", getaddrinfo)


class _Connections(httpcore.AsyncMockBackend):
    def __init__(self):
        super().__init__([])
        self.hosts = []

    async def connect_tcp(self, host, *arguments, **options):
        self.hosts.append(host)
        return await super().connect_tcp(host, *arguments, **options)


async def test_the_connection_goes_to_the_address_that_was_checked(monkeypatch):
    _answers(monkeypatch, ["8.8.8.8"], ["127.0.0.1"])
    backend = GuardedBackend(allow_private=False)
    backend._inner = connections = _Connections()
    await backend.connect_tcp("feeds.example", 80)
    with pytest.raises(FetchError, match="not a public address") as refusal:
        await backend.connect_tcp("feeds.example", 80)
    assert refusal.value.outcome == "blocked_address"
    assert connections.hosts == ["8.8.8.8"]


async def test_of_a_mixed_answer_only_public_addresses_are_tried(monkeypatch):
    _answers(monkeypatch, ["10.0.0.1", "8.8.8.8"])
    backend = GuardedBackend(allow_private=False)
    backend._inner = connections = _Connections()
    await backend.connect_tcp("feeds.example", 80)
    assert connections.hosts == ["8.8.8.8"]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "0x7f.1"])
async def test_a_private_host_is_refused_in_every_spelling(host):
    async with Fetcher(HostGate(0), allow_private=False) as fetcher:
        with pytest.raises(FetchError) as refusal:
            await fetcher.get(f"http://{host}:9/feed")
    assert refusal.value.outcome in ("blocked_address", "dns")


async def test_a_redirect_into_the_private_network_is_refused(monkeypatch):
    monkeypatch.setattr(addresses, "is_public", lambda address: str(address) == "127.0.0.1")
    with feed_web(("127.0.0.1", "127.0.0.2")) as web:
        inside = web.put("/secret", Reply(b"<rss/>"), host="127.0.0.2")
        outside = web.put("/feed", redirect(inside))
        async with Fetcher(HostGate(0), allow_private=False) as fetcher:
            with pytest.raises(FetchError) as refusal:
                await fetcher.get(outside)
    assert refusal.value.outcome == "blocked_address"
    assert [request.path for request in web.log] == ["/feed"]
