"""The example for verifiers: its own command plays a world, pictures too, by an endpoint that is scripted."""

import json
import os
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

pytest.importorskip("verifiers")

ROOT = Path(__file__).resolve().parents[2]


class Endpoint(BaseHTTPRequestHandler):
    """Streams one and the same wrong answer."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["content-length"])))
        self.server.asked.append(asked["messages"])
        chunk = {"id": "1", "object": "chat.completion.chunk", "created": 0, "model": "m"}
        said = {"role": "assistant", "content": "1+1"}
        usage = {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}
        chunks = [
            chunk | {"choices": [{"index": 0, "delta": said, "finish_reason": None}]},
            chunk | {"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]},
            chunk | {"choices": [], "usage": usage},
        ]
        lines = [*map(json.dumps, chunks), "[DONE]"]
        body = "".join(f"data: {line}\n\n" for line in lines).encode()
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def endpoint():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    server.asked = []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()


@pytest.mark.slow
def test_verifiers_plays_a_world_by_the_example(endpoint, tmp_path):
    arguments = {"modality": "visual", "size": [84, 84], "attempts": 2}
    settings = {
        "--env.taskset.split": "id",
        "--env.taskset.arguments": json.dumps(arguments),
        "--env.player.runtime.type": "subprocess",
        "--model": "m",
        "--client.base-url": f"http://127.0.0.1:{endpoint.server_port}/v1",
        "--client.api-key-var": "NO_KEY",
        "-n": "2",
        "-o": str(tmp_path / "out"),
    }
    words = [word for pair in settings.items() for word in pair]
    places = os.pathsep.join([str(ROOT), str(ROOT / "examples" / "verifiers")])
    command = Path(sys.executable).with_name("vf-eval")
    done = subprocess.run(
        [str(command), "amft_worlds", *words, "--no-push", "--no-rich"],
        env=os.environ | {"PYTHONPATH": places, "NO_KEY": "none"},
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first = [messages for messages in endpoint.asked if len(messages) == 1]
    again = [messages for messages in endpoint.asked if len(messages) == 3]
    assert len(first) == len(again) == 2
    for messages in first:
        assert [part["type"] for part in messages[0]["content"]] == ["image_url", "text"]
    for messages in again:
        assert "1 attempt left" in str(messages[-1]["content"])
    [traces] = (tmp_path / "out").rglob("traces.jsonl")
    for line in traces.read_text().splitlines():
        assert '"return":{"score":-4.0' in line.replace(" ", "")
