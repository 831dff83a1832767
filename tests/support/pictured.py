"""Graphs whose explanations are looked at, and short ways to make their blocks."""

from __future__ import annotations

from paninifs import Field, Graph, default_graph, map_block, reduce_block


def mapped(name, inputs, fields, dtype="float32", shape=(), **options):
    """Return a map-block that nobody runs."""
    taken = dict.fromkeys([*inputs, *options.get("setup", ())])
    function = eval(f"lambda {', '.join(taken)}: None")
    made = [Field(field, dtype, shape) for field in fields]
    return map_block(function, fields=made, name=name, **options)


def condition(name, inputs=("length",)):
    """Return a map-block whose field can be a condition."""
    return mapped(name, inputs, [name], dtype="bool")


def reduced(name, inputs=()):
    """Return a reduction that nobody runs."""
    return reduce_block(eval(f"lambda {', '.join(['results', *inputs])}: None"), name=name)


FIVE_STAGES = (
    default_graph()
    + condition("is_long")
    + mapped(
        "embed",
        ["text"],
        ["vector"],
        shape=(384,),
        when="is_long",
        setup={"model": dict},
        text_seconds=0.02,
    )
    + reduced("mean_entropy")
    + mapped("centred", ["entropy", "mean_entropy", "lang"], ["centred"])
    + reduced("spread", ["mean_entropy"])
    + mapped("flag", ["centred", "spread", "dhatu"], ["flag"], dtype="bool")
)

THIRTY = Graph(
    tuple(
        mapped(
            f"block_{n:02}",
            ["text"] if n < 12 else [f"f{n * 7 % 12}", f"f{n - 5}"],
            [f"f{n}"],
            shape=(n + 1,) if n % 3 else (),
        )
        for n in range(30)
    )
)
