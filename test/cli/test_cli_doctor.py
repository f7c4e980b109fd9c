"""What the doctor says of modules that work, that are broken, and that do not get on with each other."""

import os

from seg2d3d_ros.cli import doctor

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
