"""The demo's way through the nodes as a process: their log in a file, progress on the terminal, their end explained."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from seg2d3d_ros.cli.making import demo
from seg2d3d_ros.cli.processes.node_process import LogFollower, last_lines, run_logged
from seg2d3d_ros.errors import DataError


def program(tmp_path, text):
    path = tmp_path / "nodes.py"
    path.write_text(text)
    return [sys.executable, "-u", str(path)]


def test_what_the_nodes_say_goes_to_a_file_and_their_progress_to_the_terminal(tmp_path, capfd):
    told = []
    lines = ["[INFO] played 5 of 20 s (25%), 15 s left", "[WARN] odd", "[INFO] finalizing the map", "[INFO] mapping 3 of 9"]
    command = program(tmp_path, f"import sys\nprint({chr(10).join(lines)!r}); sys.exit(3)")
    assert run_logged(command, os.environ, tmp_path / "deep" / "nodes.log", lambda *step: told.append(step)) == 3
    assert told == [("playing (s)", 5, 20), ("finalizing", 0, 0), ("mapping", 3, 9)]
    assert capfd.readouterr() == ("", "")
    assert (tmp_path / "deep" / "nodes.log").read_text().splitlines() == lines
    assert last_lines(tmp_path / "deep" / "nodes.log") == "[WARN] odd"


def test_lines_that_arrive_in_pieces_are_read_whole_and_steps_before_the_end_are_no_progress():
    told = []
    follower = LogFollower(lambda *step: told.append(step))
    for piece in ("12 s: 7 of 9 keyframes\nplayed 1", "0 of 20 s\n", "finalizing the map\nmap", "ping 2 of 4\n"):
        follower.read(piece)
    assert told == [("playing (s)", 10, 20), ("finalizing", 0, 0), ("mapping", 2, 4)]


def test_an_interrupt_ends_the_nodes_too(tmp_path):
    marker = tmp_path / "pid"
    command = program(tmp_path, f"import os, time\nopen({str(marker)!r}, 'w').write(str(os.getpid()))\ntime.sleep(600)")

    def interrupt():
        while not (marker.exists() and marker.read_text()):
            time.sleep(0.01)
        os.kill(os.getpid(), signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        run_logged(command, os.environ, tmp_path / "log", lambda *_: None)
    thread.join()
    with pytest.raises(ProcessLookupError):
        os.kill(int(marker.read_text()), 0)


def test_nodes_that_fail_are_explained_by_their_last_errors(tmp_path, monkeypatch):
    def failing(_command, _environment, log, _progress):
        log.write_text("[INFO] fine\n[ERROR] the bag is empty\n[INFO] bye\n")
        return 1

    monkeypatch.setattr(demo, "run_logged", failing)
    with pytest.raises(DataError, match=re.escape("nodes.log says why")) as caught:
        demo._play(tmp_path / "street.mcap", tmp_path / "map")
    assert str(caught.value).endswith("[ERROR] the bag is empty")


@pytest.mark.parametrize("called", ["scripts/seg2d3d", "a link to it"])
def test_the_wrapper_runs_the_command_in_the_projects_environment(tmp_path, called):
    python = tmp_path / "venv" / "bin" / "python"
    python.parent.mkdir(parents=True)
    python.write_text('#!/bin/sh\necho "$@"\n')
    python.chmod(0o755)
    script = Path(__file__).resolve().parents[2] / "scripts" / "seg2d3d"
    if called == "a link to it":
        link = tmp_path / "seg2d3d"
        link.symlink_to(script)
        script = link
    done = subprocess.run(
        [script, "report", "a map"], env={**os.environ, "SEG2D3D_VENV": str(tmp_path / "venv")}, capture_output=True, text=True
    )
    assert done.stdout.splitlines()[-1] == "-m seg2d3d_ros report a map"
    assert "of disk" in done.stderr
