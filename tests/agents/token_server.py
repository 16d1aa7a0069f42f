"""A server of tokens as vLLM's, around engine=hf: for tests of what is asked of servers, where vLLM is not.

`python -m tests.agents.token_server MODEL PORT`, or TokenServer(MODEL) in this process. It reads text alone,
keeps the routes that agents/engines/servers.py asks for, as vLLM 0.32 has them.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import torch
from safetensors.torch import load_file

from agents.conversation import Conversation
from agents.engines import Request, Sampling, written
from agents.engines.hf import HFEngine
from agents.loading import load_adapter
from agents.policy import Policy
from tests.agents.gloo_group import GlooGroup

ONE = threading.Lock()
"""transformers does not load two models at the same time."""


REFUSED = {"error": {"message": "the prompt is too long"}}
FAILED = {"error": {"message": "no weight update is under way, or one is already"}}


class TokenServer:
    def __init__(self, model, port=0):
        torch.set_num_threads(1)
        self._policy = Policy.load(model, device="cpu")
        self._adapters = {}
        self._engine = HFEngine(self._policy)
        self.asked, self.loaded, self.broken = 0, [], False
        self.hangs, self.hung = threading.Event(), 0  # while it is set; how often to the end
        self.refuses = None  # words in a prompt
        self.group, self.updating, self.paused = None, False, False
        self.version, server = "default", self

        class Handler(BaseHTTPRequestHandler):
            def respond(self):
                if server.hangs.is_set():
                    for _ in range(200):
                        if not server.hangs.is_set():
                            break
                        time.sleep(0.1)
                    else:
                        server.hung += 1
                size = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(size) or b"{}")
                answer = server._transfer(self.path, body)
                if answer is None:
                    with ONE:
                        answer = server._answer(self.path, body)
                words = answer if isinstance(answer, str) else json.dumps(answer or {})
                data = words.encode()
                status = 400 if answer == REFUSED else 404 if answer is None else 200
                status = 500 if answer == FAILED else status
                self.send_response(status)
                self.send_header("content-length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = respond

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def process_request(self, request, address):
                if server.broken:  # as if nobody were there
                    return self.shutdown_request(request)
                return super().process_request(request, address)

        self.http = Server(("127.0.0.1", port), Handler)
        self.url = f"http://127.0.0.1:{self.http.server_port}"

    def begin(self):
        threading.Thread(target=self.http.serve_forever, daemon=True).start()
        return self

    def _transfer(self, path, body):
        """Of weights that the learner sends, while others ask; None: it is about something else."""
        if path == "/get_world_size":
            return {"world_size": 1}
        if path == "/shutdown_weight_transfer_engine":
            return FAILED if self.updating else {}
        if path == "/init_weight_transfer_engine":
            about = body["init_info"]
            assert not about["packed"]
            where = about["master_address"], about["master_port"], about["world_size"]
            self.group = GlooGroup.joined(*where, about["rank_offset"])
            return {}
        if path in ("/start_weight_update", "/finish_weight_update"):
            began = path == "/start_weight_update"
            if self.updating is began:
                return FAILED
            self.updating = began
            assert self.paused
            return {}
        if path in ("/pause", "/resume"):
            self.paused = path == "/pause"
            return {}
        if path == "/update_weights":
            assert self.updating
            self._take(dict(self.group.received(body["update_info"])))
            self.loaded.append("sent")
            return {}
        return None

    def _take(self, weights):
        missing, unknown = self._policy.plain_model.load_state_dict(weights, strict=False)
        assert not unknown
        assert all("lm_head" in name for name in missing)
        self._engine.refresh()

    def _answer(self, path, body):
        if path == "/inference/v1/generate":
            return self._generate(body)
        if path == "/collective_rpc":
            assert body["method"] == "reload_weights"
            folder = Path(body["kwargs"]["weights_path"])
            weights = {
                k: v for part in folder.glob("*.safetensors") for k, v in load_file(part).items()
            }
            self._take(weights)
            self.loaded.append(sorted(path.name for path in folder.iterdir()))
        elif path == "/v1/load_lora_adapter":
            if body["lora_name"] in self._adapters and not body.get("load_inplace"):
                return REFUSED
            folder, base = Path(body["lora_path"]), Policy.load(self._policy.below, device="cpu")
            base.model = load_adapter(base.model, str(folder))
            self._adapters[body["lora_name"]] = HFEngine(base)
            self.loaded.append(sorted(path.name for path in folder.iterdir()))
            return f"Success: LoRA adapter '{body['lora_name']}' added successfully."
        elif path == "/v1/unload_lora_adapter":
            found = self._adapters.pop(body["lora_name"], None)
            return "Success: it was removed." if found else None
        elif path == "/update_weight_version":
            self.version = body["new_version"]
        elif path == "/weight_info":
            return {"weight_version": self.version}
        elif path != "/health" and not path.endswith("_cache"):
            return None
        return {}

    def _generate(self, body):
        self.asked += 1
        versions, engine = [self.version], self._engine
        if "model" in body:
            if body["model"] not in self._adapters:
                return None
            engine = self._adapters[body["model"]]
        settings = body["sampling_params"]
        conversation = Conversation(self._policy)
        conversation.ids = list(body["token_ids"])
        read = self._policy.chat_format.tokenizer.decode(conversation.ids)
        if self.refuses is not None and self.refuses in read:
            return REFUSED
        sampling = Sampling(settings["temperature"], settings["top_p"], settings["top_k"])
        [sample] = written(
            engine, [Request(conversation, settings["seed"], sampling, settings["max_tokens"])]
        )
        engine.release(conversation)
        content = [{"logprob": p} for p in sample.log_probs]
        if self.version not in versions:  # it changed meanwhile
            versions.append(self.version)
        choice = {
            "token_ids": sample.ids,
            "logprobs": {"content": content},
            "weight_versions": [{"version": version} for version in versions],
        }
        return {"prompt_token_ids": conversation.ids, "choices": [choice]}


if __name__ == "__main__":
    TokenServer(sys.argv[1], int(sys.argv[2])).http.serve_forever()
