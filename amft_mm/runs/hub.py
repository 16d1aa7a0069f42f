"""`push_to_hub=USER/NAME`: a trained model with its card, and demonstrations, on the hub.

    hub = Hub("me/agent", private=True)    or kind="dataset"
    hub.open()                             before anything starts: a token, the network, the right to write
    hub.push(folder)                       the address of what is there now

All that goes wrong is a HubError in a sentence; what is on this machine stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from huggingface_hub import HfApi, constants, get_token

Answer = TypeVar("Answer")


class HubError(RuntimeError):
    """What was asked of the hub and could not be done."""


class Hub:
    def __init__(
        self, name: str, *, private: bool, kind: str = "model", endpoint: str | None = None
    ) -> None:
        self.name, self._private, self._kind = name, private, kind
        self._api = HfApi(endpoint=endpoint)

    def beside(self, ending: str) -> Hub:
        """The data set that belongs to a model."""
        name = f"{self.name}-{ending}"
        return Hub(name, private=self._private, kind="dataset", endpoint=self._api.endpoint)

    def open(self) -> None:
        """Makes the repository where it is not there yet, which takes all that a push does."""
        if constants.HF_HUB_OFFLINE:
            raise HubError(f"push_to_hub={self.name}: HF_HUB_OFFLINE is set; unset it to push")
        if self.name.count("/") != 1:
            raise HubError(f"push_to_hub={self.name}: give USER/NAME, as on the hub")
        if get_token() is None:
            raise HubError(
                f"push_to_hub={self.name} needs a token that may write: hf auth login, or set HF_TOKEN"
            )
        self._ask(
            lambda: self._api.create_repo(
                self.name, repo_type=self._kind, private=self._private, exist_ok=True
            )
        )

    def push(self, folder: Path) -> str:
        self.open()
        made = self._ask(
            lambda: self._api.upload_folder(
                repo_id=self.name,
                repo_type=self._kind,
                folder_path=folder,
                ignore_patterns=["progress.json", "left_out.jsonl", "*.unfinished"],
                commit_message="Upload by amft_mm",
            )
        )
        return str(made.repo_url)

    def _ask(self, what: Callable[[], Answer]) -> Answer:
        try:
            return what()
        except Exception as error:  # of HTTP, of the network, of names: each its own kind
            why = next((line for line in str(error).splitlines() if line.strip()), repr(error))
            raise HubError(
                f"push_to_hub={self.name}: the hub did not take it ({why:.300})"
            ) from error
