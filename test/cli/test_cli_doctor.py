"""What the doctor says of modules that work, that are broken, and that do not get on with each other."""

import importlib.metadata
import json
import os
from types import SimpleNamespace

from seg2d3d_ros.cli import doctor
from seg2d3d_ros.cli.main import main

MODULES = {
    "sound": "__version__ = '3.1'\nprint('a library greets')",
    "crashing": "import os; os.abort()",
    "failing": "raise OSError('libfoo.so.1: cannot open shared object file')",
    "jealous": "import sys\nif 'sound' in sys.modules: raise ImportError('not beside that')\n__version__ = '1'",
    "module_of_its_own": "import types; __version__ = types.SimpleNamespace(__version__='2')",
    "last": "__version__ = '5'",
}


def test_each_module_is_judged_by_itself_though_they_share_a_process(tmp_path, monkeypatch):
    for name, text in MODULES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    together = []
    whole = doctor._import
    monkeypatch.setattr(doctor, "_import", lambda modules: together.append(modules) or whole(modules))
    found = doctor._probe([*MODULES, "nowhere_at_all"])
    assert found == {
        "sound": (True, "3.1"),
        "crashing": (False, "the import ended with status -6"),
        "failing": (False, "OSError: libfoo.so.1: cannot open shared object file"),
        "jealous": (True, "1"),
        "module_of_its_own": (True, "2"),
        "last": (True, "5"),
        "nowhere_at_all": (False, "not installed"),
    }
    assert [modules[0] for modules in together] == ["sound", "crashing", "failing", "jealous"]


def test_an_import_that_does_not_end_is_named(tmp_path, monkeypatch):
    (tmp_path / "endless.py").write_text("import time; time.sleep(1000)")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path), os.environ.get("PYTHONPATH", "")]))
    monkeypatch.setattr(doctor, "_LIMIT_S", 1.0)
    assert doctor._probe(["endless"]) == {"endless": (False, "the import did not end within 1 s")}


def test_extras_come_from_where_this_was_installed_from(tmp_path, monkeypatch):
    noted = {"url": tmp_path.as_uri()}
    installed = SimpleNamespace(read_text=lambda name: json.dumps(noted) if name == "direct_url.json" else None)
    monkeypatch.setattr(importlib.metadata, "distribution", lambda name: installed)
    monkeypatch.setattr(doctor, "_CHECKOUT", tmp_path)
    assert doctor._extra("serve").endswith(f"'seg2d3d_ros[serve] @ {tmp_path.as_uri()}'")
    for other in ({"url": (tmp_path / "gone.whl").as_uri()}, {}, None):
        noted = other
        assert doctor._origin() == "file:///FOLDER/seg2d3d_ros-….whl"
    (tmp_path / "setup.py").touch()
    assert f"(in {tmp_path})" in doctor._extra("serve")


def test_every_optional_command_is_looked_after():
    needed = {module for modules, _ in doctor._NEEDS.values() for module in modules}
    assert {"starlette", "uvicorn", "rerun", "ray"} <= needed


def test_what_is_said_of_a_running_graph_goes_the_way_of_all_output(tmp_path, monkeypatch, capsys):
    (tmp_path / "listener").write_text("#!/bin/sh\necho 'warning  /fix: silent'\necho 'no map'\nexit 1\n")
    (tmp_path / "listener").chmod(0o755)
    monkeypatch.setattr(doctor.sys, "executable", str(tmp_path / "listener"))
    monkeypatch.setattr(doctor.importlib.util, "find_spec", lambda name: object())
    assert main(["doctor", "--live", "--json"]) == 1
    result = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert result["text"] == ["warning  /fix: silent", "no map"]
