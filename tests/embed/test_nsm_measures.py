"""The measures of the NSM–Greimas experiments, against scikit-learn, by hand, and under chance."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics
from threadpoolctl import threadpool_limits

from paninifs.engine.nsm.material import Material
from paninifs.engine.nsm.measures import clustering, isotopies, significance, squares
from paninifs.engine.nsm.measures.maps import maps
from paninifs.engine.nsm.measures.usable import REASONS, checked, cosine_distances
from paninifs.engine.nsm.measures.word_forms import WORD_FORMS, presence

MATERIAL = Material.load()
NAMES = [one.name for one in MATERIAL.primitives]
CATEGORY = np.array([MATERIAL.categories.index(one.category) for one in MATERIAL.primitives])
CORNERS = np.array([[NAMES.index(one) for one in four.corners] for four in MATERIAL.squares])
ISOTOPY = np.array([MATERIAL.isotopies.index(one.isotopy) for one in MATERIAL.sentences])
PRESENCE = presence([one.text for one in MATERIAL.sentences])

FEW = {"seed": 0, "permutations": 199, "subsamples": 10}
PURITY, MAJORITY, RAND, INFORMATION, OF_CLUSTERS, OF_CATEGORIES = range(6)


@pytest.fixture(autouse=True)
def _one_thread(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # else scikit-learn asks a process for the cores
    with threadpool_limits(1):
        yield


def noise(n, d=384, seed=0):
    return np.random.default_rng([seed, 99]).standard_normal((n, d))


def planted(labels, spread=0.01, seed=0):
    """Vectors that agree with the labels."""
    centres = noise(labels.max() + 1, 30, seed)
    return centres[labels] + spread * noise(len(labels), 30, seed + 1)


# --- figures --------------------------------------------------------------------------------------


def test_purity_is_the_best_of_all_assignments():
    random = np.random.default_rng(0)
    for k, c in ((4, 4), (3, 5), (5, 3)):
        tables = random.integers(0, 9, (20, k, c))
        tables[:, 0, 0] += 200 - tables.sum(axis=(1, 2))
        for table, purity in zip(tables, clustering.purities(tables), strict=True):
            wide = table if k <= c else table.T
            ways = itertools.permutations(range(wide.shape[1]), len(wide))
            best = max(sum(wide[row, to] for row, to in enumerate(way)) for way in ways)
            assert purity == best / 200


def test_figures_of_many_labellings_are_those_of_scikit_learn():
    vectors, clusters = noise(61), np.random.default_rng(1).integers(0, 12, 61)
    rows = next(significance.permuted(61, 8, seed=3))
    tables = clustering.contingencies(clusters, CATEGORY[rows])
    apart = clustering.euclidean(vectors)
    columns = (
        clustering.adjusted_rands(tables),
        clustering.mutual_informations(tables),
        clustering.silhouettes(apart, CATEGORY[rows]),
    )
    for row, rand, information, silhouette in zip(rows, *columns, strict=True):
        labels = CATEGORY[row]
        assert rand == pytest.approx(metrics.adjusted_rand_score(labels, clusters))
        assert information == pytest.approx(metrics.mutual_info_score(labels, clusters))
        assert silhouette == pytest.approx(metrics.silhouette_score(vectors, labels))
        assert (metrics.cluster.contingency_matrix(clusters, labels).max(1).sum() / 61) in (
            clustering.majority_purities(tables)
        )


def test_a_category_of_one_has_no_silhouette():
    labels = np.array([0, 0, 1, 2, 2])
    expected = metrics.silhouette_score(vectors := noise(5), labels)
    apart = clustering.euclidean(vectors)
    assert clustering.silhouettes(apart, labels[None])[0] == pytest.approx(expected)


def test_categories_that_are_there_are_found_with_the_least_p():
    found, clusters = clustering.clustering(planted(CATEGORY), CATEGORY, **FEW)
    assert len(np.unique(clusters)) == 12
    for one in (PURITY, MAJORITY, RAND, INFORMATION):
        assert found[one].value == pytest.approx(1.0)
        assert found[one].p == 1 / 200
    assert found[PURITY].chance < 0.5
    assert found[OF_CLUSTERS].value > 0.9
    assert np.isnan(found[OF_CLUSTERS].p)


def test_no_more_vectors_than_categories_is_undefined():
    found, clusters = clustering.clustering(noise(3), np.array([0, 1, 2]), **FEW)
    assert np.isnan([one.value for one in found]).all()
    assert clusters.tolist() == [-1, -1, -1]
    found, _ = clustering.clustering(noise(9), np.zeros(9, "int64"), **FEW)
    assert np.isnan([one.value for one in found]).all()
    found, _ = clustering.clustering(np.empty((0, 4)), np.empty(0, "int64"), **FEW)
    assert np.isnan([one.p for one in found]).all()


# --- squares --------------------------------------------------------------------------------------


def test_a_square_holds_if_contraries_are_closer_than_both():
    vectors = np.array([[1, 0.1], [1, -0.1], [-0.2, 1], [0.1, -1], [1, 0.0]])
    corners = np.array([[0, 1, 2, 3], [0, 2, 1, 3], [0, 1, 4, 3], [0, 1, -1, 3], [0, 1, 2, 4]])
    found = squares.squares(vectors, corners, seed=0, permutations=99)
    assert found.holds.tolist() == [1, 0, 0, -1, 0]
    assert found.share.value == 1 / 4
    assert np.isnan(found.distances[3]).all()
    cosine = vectors @ vectors.T / np.outer(*[np.linalg.norm(vectors, axis=1)] * 2)
    pairs = [(0, 1), (0, 2), (1, 3), (0, 3), (1, 2)]
    assert found.distances[0] == pytest.approx([1 - cosine[one] for one in pairs])
    interval = stats.binomtest(1, 4).proportion_ci(method="wilson")
    assert found.wilson == (interval.low, interval.high)


def test_squares_without_usable_corners_are_undefined():
    found = squares.squares(noise(4), np.full((2, 4), -1), seed=0, permutations=99)
    assert np.isnan(found.share).all()
    assert found.holds.tolist() == [-1, -1]


def test_shared_corners_widen_the_interval_of_the_share():
    vectors = noise(81)
    apart = np.arange(80).reshape(20, 4)
    alone = squares.squares(vectors, apart, seed=0, permutations=99)
    width = np.ptp(alone.wilson)
    assert alone.share.high - alone.share.low == pytest.approx(width, rel=0.25)
    shared = np.concatenate([apart[:3], np.stack([[40 + n, 60 + n, 0, 1] for n in range(17)])])
    vectors[40:60] = vectors[60:80] + 0.1 * vectors[40:60]  # these hold: one fate for all
    vectors[[0, 1]] = 5.0
    found = squares.squares(vectors, shared, seed=0, permutations=99)
    assert found.share.high - found.share.low > 0


# --- isotopies ------------------------------------------------------------------------------------


def test_a_word_without_sentences_has_no_correlation():
    found = isotopies.correlations(noise(105), PRESENCE, **FEW)
    defined = np.isfinite(found.r).all(axis=1).tolist()
    assert dict(zip(WORD_FORMS, defined, strict=True)) == {
        "JE": True,
        "PAS": False,
        "VOULOIR": True,
        "SAVOIR": True,
        "PENSER": True,
        "BON": True,
        "MAL": False,
    }
    assert np.isnan(found.p[[1, 6]]).all()
    assert found.sentences.tolist() == [24, 2, 22, 12, 10, 8, 0]


def test_correlations_are_those_of_numpy():
    vectors = noise(105)
    found = isotopies.correlations(vectors, PRESENCE, **FEW)
    scores = isotopies.components_of(vectors)
    for component in range(10):
        expected = np.corrcoef(PRESENCE[:, 0], scores[:, component])[0, 1]
        assert found.r[0, component] == pytest.approx(expected)
    assert found.largest.value == np.nanmax(np.abs(found.r))


def test_few_dimensions_give_few_components():
    weights = np.abs(noise(105, 9)) + 0.1
    weights /= weights.sum(axis=1, keepdims=True)  # like dhātu weights: of rank eight
    found = isotopies.correlations(weights, PRESENCE, **FEW)
    assert np.isfinite(found.r[0]).tolist() == [True] * 8 + [False] * 2
    same = isotopies.correlations(np.ones((105, 9)), PRESENCE, **FEW)
    assert np.isnan(same.r).all()
    assert np.isnan(same.largest.value)


def test_themes_that_are_there_are_found():
    found = isotopies.themes(planted(ISOTOPY), ISOTOPY, 7, **FEW)
    assert (found.found.value, found.accuracy.value) == (7.0, 1.0)
    assert (found.found.p, found.accuracy.p) == (1 / 200, 1 / 200)
    assert found.recall.tolist() == found.purity.tolist() == [1.0] * 7


def test_a_theme_needs_half_its_sentences_and_half_the_cluster():
    table = np.array([[[5, 5, 0], [5, 0, 4], [0, 5, 6]]])
    assert isotopies._found(table).tolist() == [3.0]  # 5/10 and 5/10; 5/10 and 5/10; 6/10 and 6/11
    table = np.array([[[4, 4, 0], [5, 5, 4], [1, 1, 6]]])
    assert isotopies._found(table).tolist() == [1.0]


def test_an_isotopy_without_sentences_is_undefined():
    labels = np.array([0] * 9 + [2] * 9)
    found = isotopies.themes(planted(labels), labels, 4, **FEW)
    assert np.isnan(found.recall).tolist() == [False, True, False, True]


# --- what can be compared -------------------------------------------------------------------------


def test_vectors_that_say_nothing_are_flagged():
    vectors = noise(9, 5)
    vectors[1] = 0
    vectors[2, 3] = np.inf
    vectors[3] = np.nan
    vectors[5] = vectors[4] * (1 + 1e-9)
    vectors[7] = vectors[6]
    found = checked(vectors, ["a", "b", "c", "d", "e", "f", "g", "g", "h"])
    assert [REASONS[flag].split()[0] for flag in found.flags] == [
        "usable",
        "the",
        "a",
        "no",
        "the",
        "the",
        "usable",
        "the",
        "usable",
    ]
    assert found.twins.tolist() == [-1, -1, -1, -1, 5, 4, -1, 6, -1]
    assert found.rows.tolist() == [0, 6, 8]
    assert (found.vectors == vectors[found.rows]).all()


def test_unknown_words_alone_reach_the_silhouette():
    vectors = noise(61)
    unknown = np.arange(61) % 5 > 0
    vectors[unknown] = noise(1, seed=7)
    clusters = clustering.clusters_of(vectors, 12, 0)
    apart = clustering.euclidean(vectors)
    assert clustering.silhouettes(apart, clusters[None])[0] > 0.5
    kept = checked(vectors, NAMES)
    assert kept.rows.tolist() == np.flatnonzero(~unknown).tolist()
    found, _ = clustering.clustering(kept.vectors, CATEGORY[kept.rows], **FEW)
    assert not found[OF_CLUSTERS].value > 0.1


def test_distances_of_huge_and_tiny_vectors_are_finite():
    vectors = np.array([[1e300, 0], [0, 1e-300], [1e-300, 1e-300]])
    assert cosine_distances(vectors)[0] == pytest.approx([0, 1, 1 - 0.5**0.5])


def test_maps_of_few_vectors_are_undefined():
    for n, d in ((0, 5), (3, 5), (9, 1)):
        assert np.isnan(maps(noise(n, d), 0).tsne).all()
    found = maps(noise(9, 5), 0)
    assert np.isfinite(found.tsne).all()
    assert 0 < found.explained.sum() < 1


# --- significance ---------------------------------------------------------------------------------


def resampled_purities(vectors, replace):
    random = np.random.default_rng(0)
    found = []
    for _ in range(30):
        rows = random.choice(61, 61 if replace else 49, replace=replace)
        labels = clustering.compact(CATEGORY[rows])
        clusters = clustering.clusters_of(vectors[rows], labels.max() + 1, 0)
        found.append(clustering.purities(clustering.contingencies(clusters, labels[None]))[0])
    return np.mean(found)


@pytest.mark.slow("clusters 60 resamples")
def test_the_ordinary_bootstrap_of_purity_is_biased_upward(monkeypatch):
    monkeypatch.setattr(clustering, "N_INIT", 2)
    vectors = noise(61)
    (purity, *_), _ = clustering.clustering(vectors, CATEGORY, **{**FEW, "subsamples": 30})
    bootstrap = resampled_purities(vectors, replace=True)
    subsample = resampled_purities(vectors, replace=False)
    assert bootstrap > purity.value + 0.08
    assert bootstrap > purity.chance_high  # noise would look better than chance
    assert abs(subsample - purity.value) < 0.04
    assert purity.low < purity.value < purity.high < bootstrap + 0.1


def test_an_interval_is_centred_at_its_figure():
    def figures(rows):
        return np.array([0.5 + 0.1 * (rows.mean() - 49.5) / 29 + 0.2])  # biased by 0.2

    ((low, high),) = significance.intervals(
        np.array([0.5]), figures, 100, count=500, seed=0, least=0.0
    )
    # The mean of 100 numbers from 0 to 99 has a standard error of 2.9.
    assert (low + high) / 2 == pytest.approx(0.5, abs=0.003)
    assert (high - low) / 2 == pytest.approx(1.96 * 0.01, rel=0.15)


def test_intervals_need_subsamples():
    for n, count in ((100, 0), (1, 10), (0, 10)):
        found = significance.intervals(
            np.array([0.5]), lambda rows: rows[:1] * 0.0, n, count=count, seed=0
        )
        assert np.isnan(found).all()


@pytest.mark.slow("400 experiments on random vectors: half a minute")
@pytest.mark.timeout(900)
def test_on_random_vectors_five_percent_are_significant(monkeypatch):
    monkeypatch.setattr(clustering, "N_INIT", 1)  # any clustering will do
    p_values = []
    for seed in range(400):
        options = {"seed": seed, "permutations": 499}
        both = {**options, "subsamples": 0}
        primitives, sentences = noise(61, seed=seed), noise(105, seed=400 + seed)
        figures, _ = clustering.clustering(primitives, CATEGORY, **both)
        found = isotopies.themes(sentences, ISOTOPY, 7, **both)
        p_values.append(
            [
                *(one.p for one in figures if not np.isnan(one.p)),
                squares.squares(primitives, CORNERS, **options).share.p,
                isotopies.correlations(sentences, PRESENCE, **both).largest.p,
                found.accuracy.p,
                found.found.p,
            ]
        )
    rejected = (np.array(p_values) < significance.ALPHA).mean(axis=0)
    assert rejected.shape == (9,)
    assert (rejected[:-1] >= 0.03).all()
    assert (rejected <= 0.07).all()  # by chance no theme is found, so the last is lower
