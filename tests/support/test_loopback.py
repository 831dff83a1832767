"""A service's process reports why it does not start, and ends with its parent."""

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from loopback import Server

ECHO = """
from loopback import Answer, Service

class Echo(Service):
    def answer(self, asked):
        return Answer(200, asked.method.encode() + asked.body)

Echo().run()
"""

HOLDER = """
import sys, time
from loopback import Server

with Server(sys.argv[1]) as server:
    print(server._process.pid, flush=True)
    time.sleep(60)
"""


def test_a_service_that_does_not_start_reports_why(tmp_path):
    script = tmp_path / "broken.py"
    script.write_text("raise SystemExit('no such luck')")
    with pytest.raises(RuntimeError, match="did not start: no such luck"), Server(script):
        pass


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs /proc to see processes")
def test_a_service_ends_with_its_killed_parent(tmp_path):
    script = tmp_path / "echo.py"
    script.write_text(ECHO)
    holding = [sys.executable, "-c", HOLDER, str(script)]
    with subprocess.Popen(holding, stdout=subprocess.PIPE, text=True) as holder:
        service = int(holder.stdout.readline())
        assert Path(f"/proc/{service}").exists()
        holder.send_signal(signal.SIGKILL)
    for _ in range(100):
        if not is_running(service):
            return
        time.sleep(0.05)
    pytest.fail("the service outlives its parent process")


def is_running(process):
    try:
        state = Path(f"/proc/{process}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"
