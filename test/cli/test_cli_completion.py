"""The scripts complete what the parsers know, each read by its own shell where that is installed."""

import shutil
import subprocess

import pytest

from seg2d3d_ros.cli.arguments.parser import options_of, sub_parsers
from seg2d3d_ros.cli.completion import SHELLS, script
from seg2d3d_ros.cli.main import COMMANDS, build_parser, main

LIMIT_S = 60.0


@pytest.fixture(scope="module")
def scripts():
    return {shell: script(shell) for shell in SHELLS}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_command_and_option_is_in_it(scripts, shell):
    for name, sub in sub_parsers(build_parser(every=True)).items():
        assert name in scripts[shell]
        for option in options_of(sub):
            assert (option[2:] if shell in ("fish", "tcsh") else option) in scripts[shell], (name, option)
    assert "vehicle walk drone archive" in scripts[shell], "the values of --preset"


@pytest.mark.parametrize(("shell", "check"), [("bash", "-n"), ("zsh", "-n"), ("fish", "-n"), ("tcsh", "-n")])
def test_its_shell_reads_it(scripts, shell, check, tmp_path):
    if shutil.which(shell) is None:
        pytest.skip(f"{shell} is not installed")
    (tmp_path / "script").write_text(scripts[shell] + "\n")
    done = subprocess.run([shell, check, str(tmp_path / "script")], capture_output=True, text=True, timeout=LIMIT_S)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(
    ("words", "expected", "not_expected"),
    [
        (["ex"], {"export"}, {"run"}),
        (["run", "--lab"], {"--label"}, {"--out"}),
        (["-q", "run", "photos", "--preset", ""], {"vehicle", "archive"}, {"--label"}),
        (["export", "map", "--format", "geo"], {"geojson", "geoparquet"}, {"gpkg"}),
        (["completion", ""], set(SHELLS), set()),
        (["run", "pho"], {"photos"}, set()),
        (["run", "--out", ""], {"photos"}, {"--label"}),
        (["--log", "pho"], {"photos"}, {"run"}),
    ],
)
def test_bash_completes(scripts, words, expected, not_expected, tmp_path):
    (tmp_path / "photos").mkdir()
    line = " ".join(f"'{word}'" for word in ["seg2d3d", *words])
    code = f'{scripts["bash"]}\nCOMP_WORDS=({line}); COMP_CWORD={len(words)}; _seg2d3d; printf "%s\\n" "${{COMPREPLY[@]}}"'
    done = subprocess.run(["bash", "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.stderr == ""
    found = set(done.stdout.split())
    assert expected <= found
    assert not not_expected & found


def test_the_command_prints_it_and_refuses_other_shells(capsys):
    assert main(["completion", "bash"]) == 0
    assert capsys.readouterr().out == script("bash") + "\n"
    assert main(["completion", "fisch"]) == 2
    assert "did you mean 'fish'?" in capsys.readouterr().err
    assert "completion" in COMMANDS
