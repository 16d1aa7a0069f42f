"""engine=openai and its manners, against a real HTTP server on this machine."""

import base64
import contextlib
import gzip
import io
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from agents.conversation import Conversation, Limits
from agents.engines import Request, Sampling, make_engine, written
from agents.engines.openai import words
from agents.engines.web import ServerError, client_of, get, post
from agents.rollout import Plan, play
from agents.worlds import World, Worlds
from tests.agents.test_conversation import picture


class Endpoint:
    """Replies as it is told: a list of (status, body), the last one for ever."""

    def __init__(self, *replies):
        self.replies, self.asked, self.headers = list(replies), [], []
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["content-length"]))
                endpoint.asked.append(json.loads(body))
                endpoint.headers.append(dict(self.headers))
                status, reply = endpoint.replies[0]
                if len(endpoint.replies) > 1:
                    endpoint.replies.pop(0)
                data = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_port}"


@pytest.fixture
def endpoint(request):
    made = []

    def make(*replies):
        made.append(Endpoint(*replies))
        return made[-1]

    yield make
    for one in made:
        one.server.shutdown()


def said(text, finish_reason="stop"):
    usage = {"prompt_tokens": 100, "completion_tokens": 7}
    choice = {"message": {"content": text}, "finish_reason": finish_reason}
    return 200, {"choices": [choice], "usage": usage}


def ask(engine, conversation):
    [sample] = written(engine, [Request(conversation, 5, Sampling(0.5, 0.9), 32)])
    return sample


def test_the_conversation_arrives_with_its_pictures_as_they_are(endpoint):
    server = endpoint(said("forward()"))
    engine = make_engine("openai", None, model="m", base_url=server.url, system="Be brief.")
    conversation = Conversation(words())
    conversation.observe("Look.", picture(1))
    conversation.say("left")
    conversation.observe("Right.")
    assert ask(engine, conversation).text == "forward()"
    [body] = server.asked
    assert [m["role"] for m in body["messages"]] == ["system", "user", "assistant", "user"]
    assert body["temperature"] == 0.5
    assert body["top_p"] == 0.9
    assert body["max_tokens"] == 32
    address = body["messages"][1]["content"][0]["image_url"]["url"]
    sent = Image.open(io.BytesIO(base64.b64decode(address.removeprefix("data:image/png;base64,"))))
    assert np.array_equal(np.asarray(sent), picture(1))
    assert body["messages"][2]["content"] == "left"


def test_what_an_endpoint_does_not_take_is_left_out(endpoint):
    """Defect: models that reason refused every request, for max_tokens and temperature."""
    server = endpoint(said("forward()"))
    extra = {"temperature": None, "reasoning_effort": "low"}
    options = {"limit": "max_completion_tokens", "extra": extra}
    engine = make_engine("openai", None, model="m", base_url=server.url, **options)
    conversation = Conversation(words())
    conversation.observe("Look.")
    ask(engine, conversation)
    [body] = server.asked
    assert body["max_completion_tokens"] == 32
    assert body["reasoning_effort"] == "low"
    assert not {"max_tokens", "temperature", "top_k"} & body.keys()
    assert None not in body.values()


def test_top_k_is_asked_for_where_it_is_set(endpoint):
    """Defect: it was left out without a word."""
    server = endpoint(said("forward()"))
    engine = make_engine("openai", None, model="m", base_url=server.url)
    for top_k in (0, 20):
        conversation = Conversation(words())
        conversation.observe("Look.")
        written(engine, [Request(conversation, 5, Sampling(top_k=top_k), 32)])
    assert [body.get("top_k") for body in server.asked] == [None, 20]


def test_the_key_comes_from_the_environment_and_shows_nowhere(endpoint, monkeypatch):
    monkeypatch.setenv("MY_KEY", "secret-123")
    server = endpoint((401, {"error": "no"}))
    engine = make_engine("openai", None, model="m", base_url=server.url, key_variable="MY_KEY")
    conversation = Conversation(words())
    conversation.observe("Hi.")
    sample = ask(engine, conversation)
    assert server.headers[0]["Authorization"] == "Bearer secret-123"
    assert "401" in sample.error
    assert "secret" not in sample.error + repr(vars(engine))
    assert len(server.asked) == 1  # a wrong key is not tried again


@pytest.mark.parametrize("around", ["{}\r", "{}\n", " {} ", "{}\r\n"])
def test_a_key_is_sent_without_blanks_around_it(endpoint, monkeypatch, around):
    """Defect: no request could be sent, and the error said why with the key in it."""
    monkeypatch.setenv("OPENAI_API_KEY", around.format("secret-123"))
    server = endpoint(said("left"))
    conversation = Conversation(words())
    conversation.observe("Hi.")
    assert ask(make_engine("openai", None, model="m", base_url=server.url), conversation).text
    assert server.headers[0]["Authorization"] == "Bearer secret-123"


@pytest.mark.parametrize("key", ["secret\r123", "secret\x01123", "secret-é123", "secret\u2028123"])
def test_a_key_that_no_header_can_hold_is_refused_without_being_named(monkeypatch, key):
    """Defect: the key was in the error that its first request ended with."""
    monkeypatch.setenv("MY_KEY", key)
    with pytest.raises(ValueError, match="MY_KEY holds characters that no HTTP header") as error:
        make_engine("openai", None, model="m", key_variable="MY_KEY")
    assert "secret" not in str(error.value)


def test_a_key_that_the_server_repeats_is_not_in_the_error(endpoint, monkeypatch):
    """Defect: what an endpoint said of a wrong key was told and saved with the key."""
    monkeypatch.setenv("OPENAI_API_KEY", "secret-123")
    server = endpoint((401, {"error": "x" * 270 + " wrong key: secret-123"}))
    conversation = Conversation(words())
    conversation.observe("Hi.")
    error = ask(make_engine("openai", None, model="m", base_url=server.url), conversation).error
    assert "wrong key" in error
    assert "secre" not in error


@pytest.mark.parametrize(
    "url",
    ["http://host:port/v1", "localhost:8000/v1", "http:///v1", "http://h:70000/v1", "http://xn--/"],
)
def test_an_address_that_is_none_is_refused_when_the_engine_is_made(url):
    """Defect: the first request ended the run with a traceback."""
    with pytest.raises(ValueError) as error:
        make_engine("openai", None, model="m", base_url=url)
    assert f"engine.base_url={url!r} is not the address of a server" in str(error.value)
    assert "http://127.0.0.1:8000/v1" in str(error.value)


def test_an_address_that_httpx_does_not_take_is_a_server_error():
    """Defect: of servers that others name it was a traceback as well."""
    with httpx.Client() as client, pytest.raises(ServerError, match="'http://host:port/v1' is not"):
        get(client, "http://host:port/v1")


def test_a_packed_reply_is_not_unpacked():
    """Defect: 1,305 bytes became 1.4 gigabytes before their number was looked at."""
    asked = []

    def packing(request):
        asked.append(request.headers["accept-encoding"])
        data = gzip.compress(gzip.compress(b" " * 10**7 + b"{}"))
        return httpx.Response(
            503 if len(asked) == 1 else 200,
            headers={"Content-Encoding": "gzip, gzip"},
            stream=httpx.ByteStream(data),
        )

    client = httpx.Client(transport=httpx.MockTransport(packing))
    with client, pytest.raises(ServerError, match=r"http://x/ sent .*'gzip, gzip'.*identity"):
        post(client, "http://x/", {}, sleep=lambda _: None)
    assert asked == ["identity", "identity"]  # an error is tried again however it is packed


def test_tokens_and_money_are_counted(endpoint):
    server = endpoint(said("a"))
    engine = make_engine(
        "openai", None, model="m", base_url=server.url, price_per_million=(2.0, 10.0)
    )
    for _ in range(3):
        conversation = Conversation(words())
        conversation.observe("Hi.")
        ask(engine, conversation)
    assert engine.usage == {"answers": 3, "read": 300, "written": 21}
    assert engine.cost() == pytest.approx((300 * 2 + 21 * 10) / 1e6)


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("at_once", 0),
        ("retries", -1),
        ("seconds", -1.0),
        ("price_per_million", 3.0),
        ("extra", "low"),
    ],
)
def test_a_setting_that_can_not_be_is_named_when_the_engine_is_made(option, value):
    """Defects: with at_once=0 nothing was ever asked and a run hung; retries=-1 was an UnboundLocalError; a
    single price a TypeError once everything had been paid for."""
    with pytest.raises(ValueError, match=f"engine.{option}="):
        make_engine("openai", None, model="m", **{option: value})


@pytest.mark.parametrize(
    "reply",
    [
        (200, b"<html>"),
        (200, {"choices": []}),
        (200, []),
        (200, b"[" * 100_000),
        (400, {"error": "bad request"}),
        (200, {"choices": [{"message": None}]}),
    ],
)
def test_nonsense_is_an_error_of_the_sample_not_a_crash(endpoint, reply):
    engine = make_engine("openai", None, model="m", base_url=endpoint(reply).url, retries=0)
    conversation = Conversation(words())
    conversation.observe("Hi.")
    assert ask(engine, conversation).error


def test_half_a_character_is_no_crash(endpoint):
    """Defect: neither a tokenizer nor the next request took the answer, and the run ended."""
    engine = make_engine("openai", None, model="m", base_url=endpoint(said("\ud800 left")).url)
    conversation = Conversation(words())
    conversation.observe("Hi.")
    assert ask(engine, conversation).text == "\ufffd left"


def test_a_busy_server_is_asked_again_after_longer_and_longer_waits(endpoint):
    server = endpoint((503, {}), (429, {}), (200, {"ok": 1}))
    waits = []
    with httpx.Client() as client:
        assert post(client, server.url, {"a": 1}, sleep=waits.append) == {"ok": 1}
    assert len(waits) == 2
    assert server.asked == [{"a": 1}] * 3


def test_a_wait_that_is_no_number_is_no_crash():
    """Defect: a digit that Python takes for one and `float` does not ended the run."""

    def busy(request):
        return httpx.Response(
            503, headers=[(b"retry-after", b"\xb2")], stream=httpx.ByteStream(b"")
        )

    client = httpx.Client(transport=httpx.MockTransport(busy))
    with client, pytest.raises(ServerError, match="HTTP 503"):
        post(client, "http://x/", {}, retries=1, sleep=lambda _: None)


def test_a_reply_that_drips_is_given_up():
    """Defect: each byte had the time that the whole reply is to have, and the episode waited for ever."""

    class Drip(httpx.SyncByteStream):
        def __iter__(self):
            for _ in range(300):
                time.sleep(0.01)
                yield b" "
            yield b"{}"

    def dripping(request):
        return httpx.Response(200, stream=Drip())

    with httpx.Client(transport=httpx.MockTransport(dripping), timeout=0.1) as client:
        with pytest.raises(ServerError, match=r"2 tries.*no whole reply in 0\.1 seconds"):
            post(client, "http://x/", {}, retries=1, sleep=lambda _: None)
        with pytest.raises(ServerError, match="no whole reply"):
            get(client, "http://x/")


def test_nothing_is_asked_over_a_connection_on_which_the_server_failed():
    """Defect: such a server closes it a moment later, and what was asked by then was lost."""
    came_from, replies = [], [200, 200, 500, 200]

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # which keeps connections

        def do_GET(self):
            came_from.append(self.client_address)
            self.send_response(replies[len(came_from) - 1])
            self.send_header("content-length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with client_of(10, connections=1) as client:
            url = f"http://127.0.0.1:{server.server_port}"
            for status in replies:
                with contextlib.nullcontext() if status < 300 else pytest.raises(ServerError):
                    get(client, url)
        server.shutdown()
    assert came_from[0] == came_from[1] == came_from[2] != came_from[3]


def test_a_server_that_is_down_is_named():
    with httpx.Client() as client, pytest.raises(ServerError, match=r"127\.0\.0\.1:9.*3 tries"):
        post(client, "http://127.0.0.1:9/x", {}, retries=2, sleep=lambda _: None)


def test_whole_episodes_are_played_by_an_endpoint(endpoint):
    server = endpoint(said(r"The answer is \boxed{3}."))
    engine = make_engine("openai", None, model="m", base_url=server.url)
    worlds = Worlds(World("amft/Math-v0"), slots=3)
    trajectories = play(worlds, words(), engine, Plan(tasks=5))
    worlds.close()
    assert [t.stop for t in trajectories].count("error") == 0
    assert {turn.verdict for t in trajectories for turn in t.turns} <= {"correct", "wrong_answer"}
    assert all(t.conversation.answers[0].text == r"The answer is \boxed{3}." for t in trajectories)


def test_an_answer_that_the_limit_cut_is_kept_as_cut(endpoint):
    """Defect: it was kept as if the agent had ended it; a model that thinks may have said nothing yet."""
    server = endpoint(said("The answer is", "length"), said("", "length"), said("3"))
    engine = make_engine("openai", None, model="m", base_url=server.url)
    worlds = Worlds(World("amft/Math-v0", {"attempts": 3}), slots=1)
    [trajectory] = play(worlds, words(), engine, Plan(tasks=1))
    worlds.close()
    conversation = trajectory.conversation
    assert [answer.text for answer in conversation.answers] == ["The answer is", "", "3"]
    assert [answer.cut for answer in conversation.answers] == [True, True, False]
    assert not trajectory.cut  # which asks for the last
    stops = [number for number in conversation.ids if number == conversation.stop_id]
    assert len(stops) == 3  # also after an answer that found no end


def test_a_server_that_dies_costs_the_episodes_and_is_counted(endpoint):
    server = endpoint(said("1"), said("1"), (400, {"error": "gone"}))
    engine = make_engine("openai", None, model="m", base_url=server.url, retries=0)
    worlds = Worlds(World("amft/Math-v0", {"attempts": 3}), slots=1)
    trajectories = play(worlds, words(), engine, Plan(tasks=3, replacements=1))
    worlds.close()
    assert len(trajectories) == 3
    assert trajectories[-1].failed
    assert trajectories[-1].tries == 2
    assert trajectories[-1].error["kind"] == "engine"
    assert "gone" in trajectories[-1].error["message"]


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=50))
def test_words_come_back_as_they_were_said(text):
    conversation = Conversation(words(), Limits())
    conversation.observe(text)
    assert conversation.say(text) == text
