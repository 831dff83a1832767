"""Users' functions as they are sent to workers: what arrives, and what is refused by name."""

from __future__ import annotations

import pickle
import sys
import types
from collections.abc import Callable
from typing import Any

import cloudpickle
import pytest

from paninifs import Field, Graph, map_block
from paninifs.storage.errors import GraphError

X = [Field("x", "int32")]

HEAD = """
import functools, io, socket, sqlite3, threading, typing
from dataclasses import dataclass
from enum import Enum
import numpy as np
from paninifs import Field, map_block
X = [Field("x", "int32")]
"""
BLOCK = """
@map_block(fields=X, version="1")
def block(text): return np.full(len(text), {0}, "int32")
"""


class Session:
    """A notebook: what its cells define is in ``__main__``, which no worker can import."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._monkeypatch = monkeypatch
        self.main = types.ModuleType("__main__")
        monkeypatch.setitem(sys.modules, "__main__", self.main)

    def run(self, source: str) -> Any:
        """Run a cell; return ``block``."""
        exec(HEAD + source, vars(self.main))
        return self.main.block

    def on_worker(self, block: Any) -> Callable[..., Any]:
        """Return a block's code as a worker binds it."""
        sent = Graph(block).pickled()
        self._monkeypatch.setitem(sys.modules, "__main__", types.ModuleType("__main__"))
        (arrived,) = pickle.loads(sent)
        return arrived.bind("cpu")


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch) -> Session:
    return Session(monkeypatch)


# What a block calls, and the expression in the block; the value is 7 for a text of any length.
ARRIVES: dict[str, tuple[str, str]] = {
    "a cached loader": ("@functools.cache\ndef seven(): return 7\n", "seven()"),
    "a cache of bounded size": ("@functools.lru_cache(maxsize=2)\ndef f(n): return n\n", "f(7)"),
    "a cached function that calls itself": (
        "@functools.cache\ndef f(n): return 7 if n == 0 else f(n - 1)\n",
        "f(5)",
    ),
    "a partial of a cached function": (
        "@functools.cache\ndef f(a, b): return a + b\ng = functools.partial(f, 3)\n",
        "g(4)",
    ),
    "a cached function in a dict": (
        "@functools.cache\ndef f(): return 7\nTABLE = {'f': f}\n",
        "TABLE['f']()",
    ),
    "a cached method": (
        "class Model:\n    @functools.lru_cache\n    def seven(self): return 7\n",
        "Model().seven()",
    ),
    "a cached property": (
        "class Model:\n    @functools.cached_property\n    def seven(self): return 7\n",
        "Model().seven",
    ),
    "a function by the kind of its argument": (
        (
            "@functools.singledispatch\ndef f(value): return 0\n"
            "@f.register\ndef _(value: int): return value\n"
            "@f.register\ndef _(value: list): return sum(map(f, value))\n"
        ),
        "f([3, [4]])",
    ),
    "a method by the kind of its argument": (
        (
            "class Model:\n    @functools.singledispatchmethod\n    def f(self, value): return 0\n"
            "    @f.register\n    def _(self, value: int): return value\n"
        ),
        "Model().f(7)",
    ),
    "a class": ("class Model:\n    def seven(self): return 7\n", "Model().seven()"),
    "an instance": (
        "class Model:\n    def seven(self): return 7\nMODEL = Model()\n",
        "MODEL.seven()",
    ),
    "an enum": ("class Kind(Enum):\n    SEVEN = 7\n", "Kind.SEVEN.value"),
    "a dataclass": ("@dataclass\nclass Scale:\n    by: int\nSCALE = Scale(7)\n", "SCALE.by"),
    "a decorated function": (
        (
            "def same(f):\n    @functools.wraps(f)\n    def wrapper(): return f()\n"
            "    return wrapper\n@same\ndef seven(): return 7\n"
        ),
        "seven()",
    ),
    "a new type in an annotation": (
        "Count = typing.NewType('Count', int)\ndef seven() -> Count: return Count(7)\n",
        "seven()",
    ),
    "a loader that fills a global": (
        (
            "MODEL = None\ndef seven():\n    global MODEL\n    if MODEL is None: MODEL = 7\n"
            "    return MODEL\n"
        ),
        "seven()",
    ),
}


@pytest.mark.parametrize(("source", "expression"), ARRIVES.values(), ids=ARRIVES)
def test_what_a_notebook_defines_arrives(session: Session, source: str, expression: str) -> None:
    code = session.on_worker(session.run(source + BLOCK.format(expression)))
    assert code(["a", "b"]).tolist() == [7, 7]


REFUSED: dict[str, str] = {
    "a lock": "THING = threading.Lock()\n",
    "a thread": "THING = threading.Thread()\n",
    "a file": "THING = open(__import__('os').devnull)\n",
    "a binary file": "THING = open(__import__('os').devnull, 'rb')\n",
    "a socket": "THING = socket.socket()\n",
    "a generator": "THING = (n for n in [7])\n",
    "a database": "THING = sqlite3.connect(':memory:')\n",
    "an instance that holds a lock": (
        "class Model:\n    def __init__(self): self.lock = threading.Lock()\nTHING = Model()\n"
    ),
    "a partial over a lock": "THING = functools.partial(print, threading.Lock())\n",
    "a lock in a list": "THING = [1, threading.Lock()]\n",
    "a value that is sought by name": (
        "class One:\n    def __reduce__(self): return 'THING'\nTHING = One()\n"
    ),
    "a type parameter": "THING = typing.ParamSpec('THING')\n",
}


@pytest.mark.parametrize("helper", [False, True], ids=["direct", "in a helper"])
@pytest.mark.parametrize("thing", REFUSED.values(), ids=REFUSED)
def test_what_cannot_be_sent_is_refused_by_name(session: Session, thing: str, helper: bool) -> None:
    use = "def helper(): return THING\n" + BLOCK.format("bool(helper())")
    block = session.run(thing + (use if helper else BLOCK.format("bool(THING)")))
    with pytest.raises(GraphError, match=r"block 'block' uses 'THING' of type .*setup=\{'THING'"):
        Graph(block).pickled()
    getattr(session.main.THING, "close", str)()


def test_a_block_of_which_nothing_is_sent_is_refused_too(session: Session) -> None:
    source = "def make(lock):\n" + BLOCK.format("bool(lock)").replace("\n", "\n    ")
    session.run(source + "\n    return block\nblock = make(threading.Lock())")
    with pytest.raises(GraphError, match="block 'block' uses 'lock' of type lock"):
        Graph(session.main.block).pickled()


def test_a_session_keeps_its_classes(session: Session) -> None:
    source = "W = 7\nclass Model:\n    def weight(self): return W\n"
    block = session.run(source + BLOCK.format("Model().weight()"))
    (arrived,) = pickle.loads(Graph(block).pickled())
    before = session.main.Model.weight
    assert arrived.bind("cpu")(["a"]).tolist() == [7]  # in this process, as on threads
    assert session.main.Model.weight is before
    session.main.W = 8
    assert session.main.Model().weight() == 8
    assert arrived.bind("cpu")(["a"]).tolist() == [7]


def test_values_count_as_they_were_when_pickled(session: Session) -> None:
    block = session.run("N = 7\n" + BLOCK.format("N"))
    sent = Graph(block).pickled()
    session.main.N = 8
    (arrived,) = pickle.loads(sent)
    assert arrived.bind("cpu")(["a"]).tolist() == [7]


def test_blocks_share_what_they_refer_to() -> None:
    shared: list[int] = []

    @map_block(fields=X)
    def adds(text):
        shared.append(1)

    @map_block(fields=[Field("y", "int32")])
    def counts(text):
        return len(shared)

    added, counted = (block.bind("cpu") for block in pickle.loads((adds + counts).pickled()))
    added([])
    assert counted([]) == 1
    assert shared == []


def test_an_error_names_the_file_of_the_code(session: Session) -> None:
    # Since its version 3.1.3, cloudpickle leaves it out.
    code = session.on_worker(session.run(BLOCK.format(7)))
    assert code.__code__.co_filename == session.main.block.function.__code__.co_filename


def test_code_of_a_module_is_sent_where_it_is_registered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    module = types.ModuleType("mymodule")
    exec(HEAD + "@functools.cache\ndef seven(): return 7\n" + BLOCK.format("seven()"), vars(module))
    monkeypatch.setitem(sys.modules, "mymodule", module)
    assert b"mymodule" in Graph(module.block).pickled()
    cloudpickle.register_pickle_by_value(module)
    try:
        sent = Graph(module.block).pickled()
    finally:
        cloudpickle.unregister_pickle_by_value(module)
    monkeypatch.delitem(sys.modules, "mymodule")
    (arrived,) = pickle.loads(sent)
    assert arrived.bind("cpu")(["a"]).tolist() == [7]
