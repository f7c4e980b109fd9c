"""Whatever ends a command ends it with one line and the right status, and leaves no process behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest

from seg2d3d_ros.cli.main import main, run_command
from seg2d3d_ros.cli.processes.supervisor import crash_words, tell_if_interrupted

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere commands run in the first process")
LIMIT_S = 60.0
SOURCE = Path(__file__).parents[2]

START = """
import ctypes, os, signal, subprocess, sys, time
from seg2d3d_ros.cli.output.choice import OutputChoice
from seg2d3d_ros.cli.processes import supervisor
from seg2d3d_ros.cli.processes.supervisor import supervise, tell_if_interrupted
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # nohup ignores it
def ready():
    print(os.getpid(), flush=True)
def wait():
    ready()
    while True:
        time.sleep(0.01)
def deaf():
    ready()
    while True:
        try:
            time.sleep(0.01)
        except KeyboardInterrupt:
            pass
def with_helper(then):
    helper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"], start_new_session=True)
    print(helper.pid, flush=True)
    then()
def words():
    tell_if_interrupted("the map is as it was")
    tell_if_interrupted("MAP holds what there is: go on with --resume")
    wait()
def say(text):
    os.write(2, text.encode())
def fails(text, number):
    say(text)
    os.kill(os.getpid(), number)
"""


def start(work: str, setting: str = "", words: tuple[str, ...] = ("run",)) -> subprocess.Popen:
    """A supervised piece of Python in a session of its own."""
    code = f"{START}\n{setting}\nsys.exit(supervise(OutputChoice({words!r}, ('run',)), lambda: {work}))"
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )


def numbers(process: subprocess.Popen, count: int) -> list[int]:
    """The process ids that it prints first."""
    return [int(process.stdout.readline()) for _ in range(count)]


def gone(pid: int) -> bool:
    """Whether a process ends, within the limit."""
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end:
        with suppress(OSError):
            if Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX":
                time.sleep(0.02)
                continue
        return True
    return False


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)])
@pytest.mark.parametrize("group", [False, True])
def test_an_interrupted_command_says_so_in_one_line(number, status, group):
    process = start("words()")
    (child,) = numbers(process, 1)
    (os.killpg if group else os.kill)(process.pid, number)
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == status
    assert said == "seg2d3d run: interrupted; MAP holds what there is: go on with --resume\n"
    assert gone(child)


def test_a_signal_to_the_child_alone_is_the_same():
    process = start("wait()")
    (child,) = numbers(process, 1)
    os.kill(child, signal.SIGTERM)
    _, said = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (143, "seg2d3d run: interrupted\n")


def test_a_command_that_catches_the_interruption_itself_ends_with_the_signals_status():
    process = start(
        "caught()",
        """
def caught():
    try:
        wait()
    except KeyboardInterrupt:
        return 130
""",
    )
    numbers(process, 1)
    os.kill(process.pid, signal.SIGTERM)
    _, said = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said) == (143, "seg2d3d run: interrupted\n")


def test_a_command_that_does_not_listen_is_ended_with_what_it_started():
    process = start("with_helper(deaf)", "supervisor.GRACE_S = 0.2")
    helper, child = numbers(process, 2)
    os.kill(process.pid, signal.SIGINT)
    _, said = process.communicate(timeout=LIMIT_S)
    assert (process.returncode, said.strip()) == (130, "seg2d3d run: interrupted")
    assert gone(child)
    assert gone(helper)


def test_a_second_ctrl_c_does_not_wait():
    process = start("deaf()", f"supervisor.GRACE_S = {10 * LIMIT_S}; supervisor.ONE_PRESS_S = 0.05")
    numbers(process, 1)
    while process.poll() is None:
        os.kill(process.pid, signal.SIGINT)
        time.sleep(0.1)
    assert process.returncode == 130
    assert process.communicate()[1].strip() == "seg2d3d run: interrupted"


def test_signals_in_quick_succession_are_one():
    """``timeout`` sends one to the process and one to its group."""
    process = start("(words(), 1)", f"supervisor.ONE_PRESS_S = {LIMIT_S}")
    numbers(process, 1)
    for _ in range(20):
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGINT)
    assert process.communicate(timeout=LIMIT_S)[1].count("interrupted") == 1
    assert process.returncode == 130


def test_when_the_parent_is_killed_the_child_goes_too():
    process = start("wait()")
    (child,) = numbers(process, 1)
    process.kill()
    assert gone(child)


def test_the_demos_nodes_go_with_it(tmp_path):
    """However the demo ends."""
    setting = f"""
from pathlib import Path
from seg2d3d_ros.cli.processes.node_process import run_logged
def demo():
    ready()
    code = "import os, sys, time; print(os.getpid(), flush=True); time.sleep(1000)"
    run_logged([sys.executable, "-c", code], os.environ, Path({str(tmp_path / "nodes.log")!r}), print)
"""
    process = start("demo()", setting)
    numbers(process, 1)
    end = time.monotonic() + LIMIT_S
    while time.monotonic() < end and not (tmp_path / "nodes.log").exists():
        time.sleep(0.02)
    while time.monotonic() < end and not (node := (tmp_path / "nodes.log").read_text()):
        time.sleep(0.02)
    process.kill()
    assert gone(int(node))


def test_what_is_finished_is_not_interrupted():
    process = start(
        "(ready(), time.sleep(0.3), supervisor.time.sleep(0))[2] or 0", "signal.signal(signal.SIGINT, signal.SIG_IGN)"
    )
    numbers(process, 1)
    os.kill(process.pid, signal.SIGINT)  # ignored, as in a script's background job
    assert process.communicate(timeout=LIMIT_S) == ("", "")
    assert process.returncode == 0


@pytest.mark.parametrize("status", [0, 1, 2, 141])
def test_the_status_of_a_command_is_passed_on(status):
    process = start(f"(say('noise of a library\\n'), {status})[1]")
    assert process.communicate(timeout=LIMIT_S)[1] == ""
    assert process.returncode == status


@pytest.mark.parametrize(
    ("work", "words"),
    [
        ("fails('', signal.SIGSEGV)", "a library crashed (SIGSEGV)"),
        (
            "fails('terminate called after x\\n  what():  bad model\\n', signal.SIGABRT)",
            "a library crashed (SIGABRT: bad model)",
        ),
        (
            "fails('E1 db.cc:1] database or disk is full\\n*** Aborted\\n    @ 0x1 f\\n', signal.SIGABRT)",
            "a disk is full (E1 db.cc",
        ),
        ("fails('', signal.SIGKILL)", "memory ran out"),
        ("fails('', signal.SIGBUS)", "/dev/shm"),
        ("ctypes.string_at(0)", "a library crashed (SIGSEGV)"),
    ],
)
def test_a_crash_in_native_code_is_one_line(work, words):
    process = start(f"(tell_if_interrupted('the map is as it was'), {work})")
    _, said = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 1
    said = said.removeprefix("\n")  # below a bar, perhaps
    assert said.startswith("seg2d3d run: ")
    assert words in said
    assert said.endswith("; the map is as it was\n")
    assert said.count("\n") == 1


def test_a_crash_without_words_names_the_signal():
    assert (
        crash_words(64, "") == "a library crashed (SIGRTMAX); the likely cause is a damaged file: -v shows what was read last"
    )
    assert "signal 65" in crash_words(65, "")


def test_the_terminal_is_kept_for_what_python_says():
    """Bars stay live there; what libraries write to the same descriptor does not."""
    process = start("(say('noise'), print('bar', file=sys.stderr), sys.stderr.fileno() == 2)[2]")
    assert process.communicate(timeout=LIMIT_S)[1] == "bar\n"
    assert process.returncode == 0


def test_the_commands_run_supervised(tmp_path):
    """From the command line: the process that answers is not the one that was started."""
    code = (
        "import os, sys, time; from seg2d3d_ros.cli import main, doctor\n"
        "doctor.run = lambda args: print(os.getpid(), flush=True) or time.sleep(1000)\n"
        "sys.argv[1:] = ['doctor']; sys.exit(main.main())"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    (child,) = numbers(process, 1)
    assert child != process.pid
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=LIMIT_S)[1] == "seg2d3d doctor: interrupted\n"
    assert process.returncode == 130


class TestInProcess:
    """``main([…])`` runs where it is called; errors of the system and of libraries become one line there too."""

    @pytest.mark.parametrize(
        ("error", "words"),
        [
            (OSError(28, "No space left on device", "/map/x.png"), "/map/x.png: cannot be written (No space left on device)"),
            (OSError(30, "Read-only file system", "/map/x.png"), "/map/x.png: not allowed (Read-only file system); change"),
            (PermissionError(13, "Permission denied", "/map"), "/map: not allowed"),
            (FileNotFoundError(2, "No such file or directory", "a\x1b[2J"), r"a\x1b[2J: No such file"),
            (FileNotFoundError(2, "No usable temporary directory found in ['/tmp']"), "set TMPDIR"),
            (RuntimeError("[db.cc:1] SQLite error: database or disk is full"), "a disk is full"),
            (OSError(28, "No space left on device"), "a disk is full (No space left on device); free space"),
            (OSError(5, "Input/output error", "/map/x.png"), "/map/x.png: cannot be read or written (Input/output error)"),
            (RuntimeError("SQLite error: disk I/O error"), "a disk fails (SQLite error: disk I/O error); the disk is full"),
            (RuntimeError("attempt to write a readonly database"), "cannot be written"),
            (OSError(24, "Too many open files", "/map/x.png"), "ulimit -n"),
            (MemoryError(), "not enough memory"),
            (ZeroDivisionError("a\nb"), "unexpected ZeroDivisionError at test_cli_supervisor.py"),
        ],
    )
    def test_errors_are_one_line(self, error, words, monkeypatch, capsys):
        def fail(_):
            raise error

        monkeypatch.setattr("seg2d3d_ros.cli.doctor.run", fail)
        assert main(["doctor"]) == 1
        said = capsys.readouterr().err
        assert said.startswith("seg2d3d doctor: ")
        assert words in said
        assert said.count("\n") == 1

    def test_an_interruption_is_one_line(self, monkeypatch, capsys):
        def interrupt(_):
            raise KeyboardInterrupt

        tell_if_interrupted("what a command before it said does not count")
        monkeypatch.setattr("seg2d3d_ros.cli.doctor.run", interrupt)
        assert run_command(["doctor"]) == 130
        assert capsys.readouterr().err == "seg2d3d doctor: interrupted\n"

    def test_verbose_shows_where_an_unexpected_error_arose(self, monkeypatch, capsys):
        monkeypatch.setattr("seg2d3d_ros.cli.doctor.run", lambda _: 1 // 0)
        assert main(["-v", "doctor"]) == 1
        assert "Traceback" in capsys.readouterr().err

    def test_names_in_the_log_are_printed_harmlessly(self, capsys):
        """In a process of its own, as the log of a process is set up once."""
        code = (
            "import logging; from seg2d3d_ros.cli.output.choice import OutputChoice\n"
            "from seg2d3d_ros.cli.output.telling import Telling\n"
            "with Telling(OutputChoice(('run',), ('run',))): logging.info('%s: read', 'a\\x1b]0;x\\x07.jpg')"
        )
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=environment, timeout=LIMIT_S)
        assert done.stderr == "INFO a\\x1b]0;x\\x07.jpg: read\n"
