"""``--json``, ``--quiet`` and ``--log``: what a program, a script and somebody who looks later get, however a command ends."""

import json
import logging
import os
import shlex
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from seg2d3d_ros.cli.arguments.parser import options_of, sub_parsers
from seg2d3d_ros.cli.main import COMMANDS, build_parser, main
from seg2d3d_ros.cli.output.choice import ANSWERS, ONE_LINE, STREAM, TEXT, WITH_JSON_FILE, OutputChoice
from seg2d3d_ros.cli.output.events import EVENTS, EventWriter, as_line
from seg2d3d_ros.cli.output.telling import tell, tell_findings, tell_result
from seg2d3d_ros.errors import DataError
from seg2d3d_ros.findings import Findings, Kind
from seg2d3d_ros.progress import ProgressBars

SOURCE = Path(__file__).parents[2]
LIMIT_S = 60.0
ODD = Kind("odd_things", "odd things", cause="they are odd", remedy="look at them")


def work(args) -> int:
    """Stands for a command."""
    progress = ProgressBars()
    for done in range(4):
        progress("matching", done, 3)
    progress("mapping", 0, 0)
    progress.close()
    tell("a heading")
    print("printed by a library")
    logging.getLogger("seg2d3d_ros.test").warning("a warning")
    findings = Findings()
    findings.add(ODD, "this\x1b[2J")
    tell_findings(findings.list())
    tell_result("two lines\nof a result", share=float("nan"), out=Path("map"))
    return 0


@pytest.fixture
def doctor(monkeypatch):
    def put(run):
        monkeypatch.setattr("seg2d3d_ros.cli.doctor.run", run)

    put(work)
    return put


def events(text: str) -> list[dict]:
    """All lines as declared events; anything else fails."""
    found = [json.loads(line) for line in text.splitlines()]
    for event in found:
        assert EVENTS[event["event"]][1].keys() <= event.keys()
        assert event["time"].endswith("+00:00")
    return found


def test_events_tell_stages_progress_findings_messages_and_the_result_last(doctor, capsys):
    assert main(["doctor", "--json"]) == 0
    said = capsys.readouterr()
    found = events(said.out)
    assert said.err == ""
    assert (found[0]["event"], found[0]["command"], found[0]["schema"]) == ("start", "doctor", 1)
    stages = [(e["stage"], e["state"], e["of"]) for e in found if e["event"] == "stage"]
    assert stages == [("matching", "begin", 3), ("matching", "end", 3), ("mapping", "begin", None), ("mapping", "end", None)]
    steps = [e for e in found if e["event"] == "progress" and e["stage"] == "matching"]
    assert (steps[0]["done"], steps[0]["eta"]) == (0, None)
    assert (steps[-1]["done"], steps[-1]["of"], steps[-1]["eta"]) == (3, 3, 0.0)
    texts = [(e["level"], e["text"]) for e in found if e["event"] == "message"]
    assert texts == [("info", "a heading"), ("info", "printed by a library"), ("warning", "a warning")]
    (odd,) = (e for e in found if e["event"] == "finding")
    assert (odd["code"], odd["count"], odd["examples"]) == ("odd_things", 1, ["this\x1b[2J"])
    assert "\x1b" not in odd["text"]
    result = found[-1]
    assert (result["event"], result["exit"], result["text"]) == ("result", 0, ["two lines", "of a result"])
    assert (result["share"], result["out"]) == (None, "map")
    assert [item["code"] for item in result["findings"]] == ["odd_things"]
    assert [e["event"] for e in found].count("result") == 1


def test_quiet_leaves_the_result_and_what_is_doubted(doctor, capsys, monkeypatch):
    monkeypatch.setattr(logging.getLogger(), "handlers", [])  # as in a process of its own
    assert main(["doctor", "--quiet"]) == 0
    said = capsys.readouterr()
    assert "note: odd things: 1" in said.out
    assert "of a result" in said.out
    assert "a heading" not in said.out
    assert said.err == "WARNING a warning\n"


def test_the_log_file_has_everything_with_times_below_what_was_there(doctor, tmp_path, capsys):
    file = tmp_path / "drive.log"
    file.write_text("older\n")
    assert main(["doctor", "--log", str(file)]) == 0
    doctor(lambda args: 1 // 0)
    assert main(["doctor", f"--log={file}"]) == 1
    text = file.read_text()
    assert text.startswith("older\n2")
    for words in ("doctor of version", "matching begins (3)", "matching took", "a warning", "note: odd things", "of a result"):
        assert words in text
    assert "ended with status 0" in text
    assert "Traceback" in text, "of what was not expected"
    assert "unexpected ZeroDivisionError" in text.splitlines()[-1]
    assert "Traceback" not in capsys.readouterr().err
    assert "note: odd things: 1 (this\\x1b" in text


def test_a_log_that_cannot_be_is_refused_before_the_work(doctor, tmp_path, capsys):
    doctor(lambda args: pytest.fail("the command ran"))
    (tmp_path / "map").mkdir()
    (tmp_path / "map/map.json").write_text("{}")
    for path, words in ((tmp_path / "none/x.log", "cannot be written"), (tmp_path / "map/x.log", "the map directory")):
        assert main(["doctor", "--json", "--log", str(path)]) == 2
        said = capsys.readouterr()
        assert words in said.err
        assert events(said.out)[-1]["reason"] == "usage"
        assert not path.exists()


@pytest.mark.parametrize(
    ("failure", "code", "reason"),
    [
        (DataError("no image"), 1, "data"),
        (OSError(28, "No space left on device", "x"), 1, "data"),
        (ZeroDivisionError("0"), 1, "unexpected"),
        (KeyboardInterrupt(), 130, "interrupted"),
    ],
)
def test_an_error_is_the_last_event_and_one_line(doctor, capsys, failure, code, reason):
    def fail(args):
        raise failure

    doctor(fail)
    assert main(["--json", "doctor"]) == code
    said = capsys.readouterr()
    last = events(said.out)[-1]
    assert (last["event"], last["exit"], last["reason"]) == ("error", code, reason)
    assert said.err == last["text"] + "\n"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["run", "photos", "--labl", "x"], "unknown option --labl; did you mean '--label'?"),
        (["rum"], "did you mean 'run'?"),
        (["run", "a", "--out", "b", "--trust", "pryor"], "did you mean 'prior'?"),
        (["run", "a", "b", "--out", "c"], "'b': one word too many"),
        (["run", "--lab", "x"], "unknown option --lab; did you mean '--label'?"),
        (["doctor", "--log"], "--log: expected one argument"),
    ],
)
def test_what_is_unknown_is_refused_with_the_nearest_name(words, told, capsys):
    assert main([*words, "--json"]) == 2
    said = capsys.readouterr()
    assert told in said.err
    assert said.err.count("\n") == 1
    (event,) = events(said.out)
    assert (event["event"], event["reason"]) == ("error", "usage")


def test_every_command_takes_the_options_of_output_and_gives_examples_that_it_takes(capsys):
    parser = build_parser(every=True)
    for name, sub in sub_parsers(parser).items():
        assert {"--json", "--quiet", "--log", "--verbose"} <= set(options_of(sub)), name
        assert "for example:\n  seg2d3d " in sub.format_help(), name
        for line in sub.epilog.partition("for example:")[2].strip().splitlines():
            program, *words = shlex.split(line.partition(" > ")[0])
            assert program == "seg2d3d"
            assert build_parser(name).parse_whole(words).command == name
    assert set(sub_parsers(parser)) == set(COMMANDS)


def test_every_command_that_takes_long_says_what_an_interruption_leaves(monkeypatch, capsys):
    import importlib

    for name, (module, _) in COMMANDS.items():
        command = importlib.import_module(f"seg2d3d_ros.cli.{module}")
        if name in ("doctor", "completion"):
            continue
        assert command.INTERRUPTED
        words = shlex.split(command.EXAMPLES[0].partition(" > ")[0])[1:]

        def interrupt(args):
            raise KeyboardInterrupt

        monkeypatch.setattr(command, "run", interrupt)
        assert main(words) == 130
        said = capsys.readouterr().err
        args = vars(build_parser(name).parse_whole(words))
        assert said == f"seg2d3d {name}: interrupted; {command.INTERRUPTED.format(**args)}\n"
        assert "{" not in said


def test_the_form_is_read_off_the_command_line():
    def form(*words):
        return OutputChoice(words, COMMANDS).form

    assert form("run", "x") == TEXT
    assert form("run", "--json") == form("--json", "evaluate", "m") == form("--json", "find", "m", "--json") == STREAM
    assert {form(name, "--json") for name in ANSWERS} == {ONE_LINE}
    assert {form(name, "--json", "file.json") for name in WITH_JSON_FILE} == {TEXT}
    choice = OutputChoice(["--log", "run", "bag", "-q"], COMMANDS)
    assert (choice.command, choice.log, choice.quiet) == ("bag", "run", True)


def test_an_event_that_is_not_declared_or_lacks_a_field_is_a_mistake():
    for event in ({"event": "surprise"}, {"event": "error", "text": "x"}):
        with pytest.raises(ValueError, match="no declared event"):
            as_line(event)


def test_an_interruption_waits_until_the_line_is_whole():
    """The signal comes while the line is being written: the rest of the line follows all the same."""
    taken = []

    def slowly(line):
        taken.append(line[:10])
        if threading.current_thread() is not threading.main_thread():
            os.kill(os.getpid(), signal.SIGINT)
        taken.append(line[10:])

    write = EventWriter(slowly)

    def interrupted():
        write("message", level="info", text="x")
        signal.pause()

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    for thread in threading.enumerate():
        if thread is not threading.current_thread() and not thread.daemon:
            thread.join(LIMIT_S)
    assert json.loads("".join(taken))["text"] == "x"


STAND_IN = """
import os, sys, time
from seg2d3d_ros.cli import main, doctor
from seg2d3d_ros.cli.output.telling import tell
from seg2d3d_ros.cli.processes.supervisor import tell_if_interrupted
def run(args):
    tell_if_interrupted("what there is lies in MAP; --resume goes on")
    os.write(1, b"noise of a native library\\n")
    print("from Python")
    tell("ready")
    if {crash}:
        os.abort()
    while True:
        time.sleep(0.01)
doctor.run = run
sys.argv[1:] = ["doctor", "--json", "--log", {log!r}]
sys.exit(main.main())
"""


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere commands run in the first process")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, None])
def test_interrupted_or_crashed_the_last_line_says_so_and_every_line_is_an_event(number, tmp_path):
    process = subprocess.Popen(
        [sys.executable, "-c", STAND_IN.format(crash=number is None, log=str(tmp_path / "log"))],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(SOURCE)},
    )
    lines = []
    while number is not None and '"ready"' not in "".join(lines):
        lines.append(process.stdout.readline())
        assert lines[-1], "the command ended before it was interrupted"
    if number is not None:
        process.send_signal(number)
    rest, said = process.communicate(timeout=LIMIT_S)
    found = events("".join(lines) + rest)
    assert [event["text"] for event in found if event["event"] == "message"] == ["from Python", "ready"]
    last = found[-1]
    expected = ("interrupted", 128 + number) if number else ("crash", 1)
    assert (last["event"], last["reason"], last["exit"]) == ("error", *expected)
    assert last["text"].endswith("; what there is lies in MAP; --resume goes on")
    assert last["text"] in said
    assert process.returncode == last["exit"]
    assert (tmp_path / "log").read_text().splitlines()[-1].endswith(f"ERROR {last['text']}")
