"""Whether another process runs, as far as this one can tell."""

import os
import re
import subprocess
import sys

import psutil
import pytest

from paninifs.storage.store.leases import process as module
from paninifs.storage.store.leases.process import identity, life_of

PID = os.getpid()
STARTED = psutil.Process().create_time()


def test_this_process_is_alive():
    assert life_of(identity(), PID, STARTED) == "alive"


@pytest.mark.parametrize(
    "started", [0.0, STARTED + 86_400, float("nan")], ids=["epoch", "day", "nan"]
)
def test_the_date_of_its_start_does_not_matter(started):
    assert life_of(identity(), PID, started) == "alive"


def test_a_later_process_of_the_same_number_is_another():
    assert life_of(re.sub(r"ticks:\d+", "ticks:7", identity()), PID, STARTED) == "dead"


def test_a_number_that_no_process_has_is_dead():
    code = "import os; print(os.getpid())"
    ended = subprocess.run([sys.executable, "-c", code], stdout=subprocess.PIPE, check=True)
    assert life_of(identity(), int(ended.stdout), STARTED) == "dead"


@pytest.mark.parametrize("pid", [0, -1])
def test_what_is_no_number_of_a_process_is_unknown(pid):
    assert life_of(identity(), pid, STARTED) == "unknown"


def test_a_number_beyond_all_processes_is_dead():
    assert life_of(identity(), 2**70, STARTED) == "dead"


@pytest.mark.parametrize("word", range(4))
def test_a_process_of_other_surroundings_is_unknown(word):
    words = identity().split(" ")
    words[word] = words[word].replace("[", "[1")[::-1] if word < 2 else f"{words[word]}1"
    assert life_of(" ".join(words), PID, STARTED) == "unknown"


def test_without_ticks_the_date_proves_life_alone():
    known = " ".join(word for word in identity().split(" ") if not word.startswith("ticks:"))
    assert life_of(known, PID, STARTED) == "alive"
    assert life_of(known, PID, STARTED - 60) == "unknown"


def test_a_system_without_proc_has_name_and_date(monkeypatch, tmp_path):
    monkeypatch.setattr(module, "_PROC", tmp_path / "proc")
    assert " " not in identity()
    assert life_of(identity(), PID, STARTED) == "alive"
    assert life_of(identity(), PID, STARTED + 60) == "unknown"
    assert life_of(identity(), 2**22 + 1, STARTED) == "dead"


@pytest.fixture
def other_user(monkeypatch):
    """Signals are refused, as those to the processes of another user are."""

    def refuse(pid, number):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "kill", refuse)


@pytest.mark.documented("hidden-processes")
def test_a_process_that_proc_hides_is_not_dead(monkeypatch, other_user):
    for error in (PermissionError(1, ""), FileNotFoundError(2, ""), ProcessLookupError(3, "")):

        def hidden(process, error=error):
            raise error

        known = identity()
        with monkeypatch.context() as patch:
            patch.setattr(module, "_state_and_ticks", hidden)
            assert life_of(known, PID, STARTED) == "unknown"


def test_a_former_lease_of_a_hidden_process_is_unknown(monkeypatch, other_user):
    def hidden(pid):
        raise psutil.NoSuchProcess(pid)

    monkeypatch.setattr(psutil, "Process", hidden)
    known = " ".join(word for word in identity().split(" ") if not word.startswith("ticks:"))
    assert life_of(known, PID, STARTED) == "unknown"


def test_processes_of_another_namespace_in_proc_are_not_believed(monkeypatch, tmp_path):
    """A container without a /proc of its own sees its host's processes, under other numbers."""
    proc = tmp_path / "proc"
    (proc / "1").mkdir(parents=True)
    (proc / "self").symlink_to("1")
    stat = f"1 (a b) c) S {' '.join(map(str, range(4, 52)))}"
    (proc / "1" / "stat").write_text(stat)
    monkeypatch.setattr(module, "_PROC", proc)
    assert module._own_ticks() == "22"
    assert life_of(identity(), PID, STARTED) == "unknown"


HIDING = """
mount -t proc -o hidepid={level} proc /proc || exit 77
exec setpriv --reuid 65534 --regid 65534 --clear-groups {python} -P -c "
import sys
sys.path[:0] = {path!r}
import importlib.util
spec = importlib.util.spec_from_file_location('process', '{file}')
process = importlib.util.module_from_spec(spec)
spec.loader.exec_module(process)
print(process.life_of('{known}', {pid}, 0.0))
"
"""


@pytest.mark.documented("hidden-processes")
@pytest.mark.parametrize("level", [1, 2])
def test_a_host_that_really_hides_processes(level):
    release = tuple(map(int, re.findall(r"\d+", os.uname().release)[:2]))
    if os.geteuid() or release < (5, 8):  # before, the option would hold for the whole system
        pytest.skip("needs root, and Linux 5.8")
    script = HIDING.format(
        level=level,
        python=sys.executable,
        path=sys.path,
        file=module.__file__,
        known=identity(),
        pid=PID,
    )
    tried = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False
    )
    if tried.returncode == 77 or "unshare" in tried.stderr or "setpriv" in tried.stderr:
        pytest.skip(f"needs leave to mount: {tried.stderr.strip()}")
    assert tried.stdout == "unknown\n", tried.stderr
