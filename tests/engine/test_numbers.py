"""Numbers that no option takes: not a number, infinite, negative, broken, or no number at all."""

import pytest

import paninifs as pf
from paninifs.engine.cluster.size import ClusterSize
from paninifs.engine.hardware.platform import _end
from paninifs.storage.errors import UsageError

NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("value", [NAN, INF, -1, 0, 2.5, "8", None])
@pytest.mark.parametrize("name", ["rows", "text_bytes"])
def test_a_micro_batch_has_whole_numbers(name, value):
    with pytest.raises(UsageError, match="whole number of rows and bytes, at least one"):
        pf.MicroBatch(**{name: value})


@pytest.mark.parametrize("value", [NAN, INF, -1, 0, 2.5, True, "2", (2, 1), (NAN, 2), (1, INF)])
def test_a_cluster_has_whole_workers(value):
    with pytest.raises(UsageError, match="must be a positive whole number"):
        ClusterSize(workers=value).between(1)


@pytest.mark.parametrize("value", [NAN, INF, -1, 0, 2.5, True, "2"])
def test_a_worker_has_whole_threads(value):
    with pytest.raises(UsageError, match="threads must be a whole number, at least 1"):
        ClusterSize(threads=value)


@pytest.mark.parametrize("value", ["-1GiB", " -5 MB", -1])
def test_memory_is_not_negative(value):
    with pytest.raises(UsageError, match="memory must be an amount"):
        ClusterSize(memory=value)


@pytest.mark.parametrize("value", [NAN, INF, 512.0, -4, 0, "512"])
def test_a_shard_has_whole_rows(value, inline, tmp_path):
    (tmp_path / "c.txt").write_text("one\n")
    corpus = pf.open_corpus(tmp_path / "c.txt")
    with pytest.raises(UsageError, match="power of two"):
        pf.submit(pf.default_graph(), corpus, tmp_path / "out", client=inline, shard_rows=value)


@pytest.mark.parametrize("value", [NAN, INF, 1.5, -(10**7)])
def test_a_priority_is_whole(value, inline, tmp_path):
    (tmp_path / "c.txt").write_text("one\n")
    corpus = pf.open_corpus(tmp_path / "c.txt")
    with pytest.raises(UsageError, match="priority must be a whole number"):
        pf.submit(pf.default_graph(), corpus, tmp_path / "out", client=inline, priority=value)


@pytest.mark.parametrize("value", [NAN, INF, 0, -1, 2.5])
def test_work_has_whole_tasks(value):
    with pytest.raises(UsageError, match="number of tasks must be a whole number"):
        pf.Work(1000, tasks=value)


@pytest.mark.parametrize("value", ["", "Unknown", "nan", "inf", "9" * 30, "-" + "9" * 30, "1.5"])
def test_a_job_without_a_date_has_no_end(value):
    assert _end({"SLURM_JOB_END_TIME": value}) is None


@pytest.mark.parametrize("value", [NAN, INF, 0, -5, 2.5, "8"])
def test_a_sample_to_verify_is_not_empty(value, tmp_path):
    with pytest.raises(UsageError, match="sample must be a whole number of texts"):
        pf.verify(tmp_path / "nowhere", sample=value)


@pytest.mark.parametrize("value", [NAN, INF, -1, 2.5, "8"])
def test_a_number_of_nearest_texts_is_whole(value):
    with pytest.raises(UsageError, match="top must be a whole number"):
        pf.peek("le mot", top=value)
