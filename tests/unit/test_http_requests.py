"""Requests to other services: bounded, without redirects, and errors that contain no address."""

import socket
import time
from contextlib import closing

import pytest
import sentry_sdk

from sisy.alerting.http import NotDelivered, send
from tests.support.http_server import http_server, status
from tests.support.sentry import breadcrumbs_of_requests

SECRET = "5bf66975-d4c7-4bf5"


@pytest.fixture
def server():
    with http_server() as server:
        yield server


def error_of(address, **options):
    with pytest.raises(NotDelivered) as caught:
        send(address, **options)
    assert SECRET not in str(caught.value)
    return caught.value


def test_a_request_arrives_with_its_body_and_headers(server):
    answered = send(f"{server.url}/{SECRET}?rid=7", b"hello", {"X-Key": "1"})
    [request] = server.received
    assert answered == 200
    assert (request.method, request.path, request.body) == ("POST", f"/{SECRET}?rid=7", b"hello")
    assert (request.headers["X-Key"], request.headers["User-Agent"]) == ("1", "Sisy")


def test_a_request_without_a_body_is_possible(server):
    send(server.url, method="GET")
    assert [request.method for request in server.received] == ["GET"]


@pytest.mark.parametrize("code", [400, 404, 429, 500, 503])
def test_an_answer_that_is_not_a_success_is_an_error(server, code):
    server.answer = status(code)
    error = error_of(f"{server.url}/{SECRET}")
    assert error.status == code
    assert str(error).startswith(f"The server answered {code} ")


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_redirect_is_not_followed(server, code, method):
    with http_server() as other:
        server.answer = status(code, Location=f"{other.url}/{SECRET}")
        error = error_of(f"{server.url}/{SECRET}", method=method)
        assert other.received == []
    assert len(server.received) == 1
    assert "Configure the address to which it redirects" in str(error)


@pytest.mark.parametrize("behaviour", ["hangs", "drips"])
def test_a_slow_server_is_given_up_in_time(server, behaviour):
    server.answer = getattr(server, behaviour)
    began = time.monotonic()
    assert (
        str(error_of(f"{server.url}/{SECRET}", within=0.3)) == "There was no answer within 0.3 s"
    )
    assert time.monotonic() - began < 10


def test_a_server_that_is_down_is_an_error():
    with closing(socket.socket()) as taken:
        taken.bind(("127.0.0.1", 0))
        error = error_of(f"http://127.0.0.1:{taken.getsockname()[1]}/{SECRET}")
    assert str(error) == "The request failed: Connection refused"


def test_an_answer_that_is_not_http_is_an_error(server):
    server.answer = lambda handler: handler.wfile.write(f"{SECRET}\r\n\r\n".encode())
    assert str(error_of(f"{server.url}/{SECRET}")) == "The request failed: BadStatusLine"


def test_a_server_without_tls_is_an_error(server):
    error = error_of(server.url.replace("http:", "https:") + f"/{SECRET}", within=5)
    assert str(error).startswith("The request failed: ")


@pytest.mark.parametrize("address", ["file:///etc/passwd", "ftp://127.0.0.1/", "http://[::1", ""])
def test_only_the_web_is_reached_whatever_is_stored(address):
    assert str(error_of(address)).startswith("The address must be an address such as")


def test_sentry_does_not_keep_the_address_for_later_errors(server, monkeypatch):
    with breadcrumbs_of_requests(monkeypatch) as transport:
        send(f"{server.url}/{SECRET}")
        sentry_sdk.capture_message("later")
        assert SECRET not in str(transport.events)
