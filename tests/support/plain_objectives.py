"""The scores of the objectives that ship, as a user's own script has them: lists and loops.

`plain_climb` is the sequential hill climb of such a script.
"""

from __future__ import annotations

import time
from itertools import chain, combinations
from statistics import fmean, pvariance

from paninifs.engine.climbing.objectives.group_moments import GRAIN
from paninifs.engine.climbing.objectives.labelled_shares import KEPT_OUT, labelled_shares, parted
from paninifs.graphs.inventories import PRIMES


def plain_climb(score, change, start, evaluations, threshold=1e-3):
    """Climb one candidate at a time; return the best score, and the evaluations per second."""
    began = time.perf_counter()
    state, height = start, score(start)
    for _ in range(evaluations - 1):
        candidate = change(state)
        found = score(candidate)
        if found > height + threshold:
            state, height = candidate, found
    return height, evaluations / (time.perf_counter() - began)


def plain_score(objective):
    """Return the plain score of a state of an objective that ships, with its own data."""
    if objective.name == "dictionary_ambiguity":
        source = objective.start.reshape(61, 10).tolist()
        return lambda state: plain_ambiguity(state.tolist(), source)
    texts = labelled_shares()
    parts = (texts.shares.tolist(), texts.groups.tolist(), parted(texts.groups, 5, 1).tolist())

    def score(state):
        chosen = objective.space.argument(state[None])
        return plain_separation(
            chosen["weights"][0].tolist(), chosen["exponents"][0].tolist(), *parts
        )

    return score


def plain_ambiguity(state, source, overlap=0.6, costs=(4, 2, 1, 8)):
    """The score of one mask: lists of zeros and ones, concept by concept."""
    n, atoms = len(source), len(source[0])
    rows = [list(map(int, state[at * atoms : (at + 1) * atoms])) for at in range(n)]
    has = [{atom for atom in range(atoms) if row[atom]} for row in rows]
    same = near = 0
    for one, other in combinations(has, 2):
        if one == other:
            same += 1
        elif len(one & other) / len(one | other) > overlap:
            near += 1
    changed = sum(a != b for a, b in zip(state, chain.from_iterable(source), strict=True))
    empty = sum(not one for one in has)
    counts = (same, near, changed, empty)
    return sum(cost * count for cost, count in zip(costs, counts, strict=True)) / -n


def plain_signatures(weights, exponents, shares, primes=PRIMES):
    """The signature of each text: lists of one number per prime."""
    return [
        [
            sum(
                w * s * p ** ((e * k) % p)
                for k, (w, s) in enumerate(zip(weights, text, strict=True))
            )
            for p, e in zip(primes, exponents, strict=True)
        ]
        for text in shares
    ]


def plain_noise(weights, exponents, shares):
    """The variance that the grain of the shares has in each prime's signature."""
    parts = [GRAIN * pvariance(column) for column in zip(*shares, strict=True)]
    return [
        sum(
            (w * p ** ((e * k) % p)) ** 2 * part
            for k, (w, part) in enumerate(zip(weights, parts, strict=True))
        )
        for p, e in zip(PRIMES, exponents, strict=True)
    ]


def plain_separation(weights, exponents, shares, groups, folds):
    """The score of one candidate, text by text; folds are numbered from 0."""
    signatures = plain_signatures(weights, exponents, shares)
    axes = range(len(exponents))
    scores = []
    for fold in range(max(folds) + 1):
        trained = [at for at, of in enumerate(folds) if of not in (KEPT_OUT, fold)]
        means = [fmean(signatures[at][p] for at in trained) for p in axes]
        noise = plain_noise(weights, exponents, [shares[at] for at in trained])
        scale = [
            fmean((signatures[at][p] - means[p]) ** 2 for at in trained) + noise[p] for p in axes
        ]
        centres = {
            group: [fmean(signatures[at][p] for at in trained if groups[at] == group) for p in axes]
            for group in sorted(set(groups))
        }
        own, others = [], []
        for group in centres:
            held = [at for at, of in enumerate(folds) if of == fold and groups[at] == group]
            apart = [
                {
                    other: sum(
                        ((signatures[at][p] - centre[p]) ** 2 + noise[p]) / scale[p] for p in axes
                    )
                    for other, centre in centres.items()
                }
                for at in held
            ]
            if held:
                own.append(fmean(one.pop(group) for one in apart))
                others.append(fmean(fmean(one.values()) for one in apart))
        scores.append((fmean(others) - fmean(own)) / (fmean(others) + fmean(own)))
    return fmean(scores)
