"""A world for TRL's GRPOTrainer: `environment_factory("amft/VIRL-v0", split="train")`.

    trainer = GRPOTrainer(model, args=config, train_dataset=rows, environment_factory=environment_factory(
        "amft/GeneralPoints-v0", modality="text", split="train"))

Each row of the data set is a prompt and, as `seed` (or `index`), which instance is played: all members of a
group get the same one. What the world shows is appended to the prompt; the model answers by the tool
`answer`, or by the world's own tools where it has some before an episode begins; the reward of an episode is
its return, or with `reward="success"` 1 or 0. The model has to call tools.
"""

from __future__ import annotations

import inspect
import json
import keyword
from collections.abc import Callable, Iterator
from typing import Any

from envs.protocols.session import Session, make_world, world_in
from envs.tools import Tool, in_words, write_call

REWARDS = ("return", "success")


def environment_factory(
    world: str, *, reward: str = "return", **arguments: Any
) -> Callable[[], Any]:
    """A class without constructor arguments, as TRL wants it. Whatever is wrong is told here."""
    if reward not in REWARDS:
        raise ValueError(f"reward={reward!r} is not one of {', '.join(REWARDS)}")
    made = make_world(world, arguments)
    tools = world_in(made).tools
    made.close()
    for tool in tools:
        if tool.name in ("reset", "get_reward") or tool.name.startswith("_"):
            raise ValueError(
                f"tool {tool.name}: TRL calls `reset` and `get_reward` itself, and offers the model no "
                "name that begins with _; rename it in the world"
            )
    name = world.rpartition("/")[2].partition("-")[0]
    base = _TaskEnvironment if tools else _Answering
    methods = {tool.name: _method(tool) for tool in tools}
    return type(name, (base,), {"_world": (world, arguments), "_reward": reward, **methods})


class _TaskEnvironment:
    """What TRL plays: every public method but `reset` and `get_reward` is a tool. The factory puts in a
    world's own."""

    _world: tuple[str, dict[str, Any]]
    _reward = "return"
    _tells_tools = False

    def __init__(self) -> None:
        self._session = Session(*self._world)

    def reset(self, **row: Any) -> Any:
        """A new episode: the row's `seed`, or `index`, says which."""
        index = row.get("index")
        chosen = row.get("seed") if index is None else index
        seed = None if chosen is None else int(chosen)
        return self._content(self._session.reset(seed=seed, split=row.get("split")))

    def get_reward(self) -> float:
        """Of the whole episode."""
        if self._reward == "success":
            return float(self._session.success)
        return self._session.total_reward

    def _said(self, text: str) -> Any:
        if self._session.done:
            return "The episode has ended: do not answer any more."
        shown = self._session.answer(text)
        if shown["done"]:
            shown["text"] += " The episode has ended."
        return self._content(shown)

    def _content(self, shown: dict[str, Any]) -> Any:
        """Text alone, or new pictures and the text. A system prompt of the world's own, and tools that are no
        methods, come before it, since the prompt has been written already."""
        tools = [Tool.of(tool) for tool in shown["tools"]] if self._tells_tools else []
        parts = (shown["system"], in_words(tools) if tools else "", shown["text"])
        text = "\n\n".join(filter(None, parts))
        if not shown["images"]:
            return text
        pictures = [{"type": "image", "image": picture} for picture in self._session.pictures()]
        return [*pictures, {"type": "text", "text": text}]


class _Answering(_TaskEnvironment):
    """Of a world that takes any text; tools that it declares with an episode are called in it."""

    _tells_tools = True

    def answer(self, text: str) -> Any:
        """
        Answers what you were last shown, in the form that the task asks for.

        Args:
            text: The answer.

        Returns:
            What came of it, and what you see now.
        """
        return self._said(text)


_TYPES = {"string": str, "integer": int, "number": float, "boolean": bool, "array": list}


def _method(tool: Tool) -> Callable[..., Any]:
    """A world's tool as a method whose signature and docstring TRL reads."""
    required = set(tool.parameters.get("required", ()))
    either = inspect.Parameter.POSITIONAL_OR_KEYWORD
    parameters, lines = [inspect.Parameter("self", either)], []
    for name, schema in sorted(_properties(tool), key=lambda named: named[0] not in required):
        default = inspect.Parameter.empty if name in required else None
        parameters.append(
            inspect.Parameter(name, either, default=default, annotation=_kind(schema))
        )
        choices = f" (choices: {json.dumps(schema['enum'])})" if "enum" in schema else ""
        lines.append(f"    {name}: {schema.get('description', name)}{choices}")

    def call(self: _TaskEnvironment, *given: Any, **named: Any) -> Any:
        bound = signature.bind(self, *given, **named).arguments
        # An argument that may be left out is left out by None; one that may not says null by it.
        chosen = {
            k: v for k, v in bound.items() if k != "self" and (v is not None or k in required)
        }
        return self._said(write_call(tool.name, **chosen))

    signature = inspect.Signature(parameters, return_annotation=str)
    listed = "\n\nArgs:\n" + "\n".join(lines) if lines else ""
    call.__name__ = tool.name
    call.__doc__ = f"{tool.description}{listed}\n\nReturns:\n    What you see now."
    call.__signature__ = signature  # type: ignore[attr-defined]
    call.__annotations__ = {p.name: p.annotation for p in parameters[1:]} | {"return": str}
    return call


def _properties(tool: Tool) -> Iterator[tuple[str, dict[str, Any]]]:
    """A tool's arguments and their schemas; ValueError for a name that no Python parameter can have."""
    for name, schema in tool.parameters.get("properties", {}).items():
        if not name.isidentifier() or keyword.iskeyword(name) or name == "self":
            raise ValueError(
                f"tool {tool.name}: its argument {name!r:.100} cannot be the name of a Python parameter, as "
                "TRL needs it: expected letters, digits and _, no word of Python's own and not self; "
                "rename it in the world's tool"
            )
        if schema is not False:  # which no value fits
            yield name, {} if schema is True else schema


def _kind(schema: dict[str, Any]) -> type:
    """The Python type of an argument; of several, the first that is not null's."""
    said = schema.get("type", "string" if "enum" in schema else "")
    several = said if isinstance(said, list) else [said]
    return _TYPES.get(next((one for one in several if one != "null"), ""), dict)
