import os
import subprocess
import sys

import pytest

from convforge.cli import inspect
from convforge.cli.main import app, run
from convforge.errors import Interrupted, VerifyError
from convforge.version import __version__

COMMANDS = (
    *("train", "evaluate", "predict", "explain", "compile", "export", "serve", "benchmark"),
    *("scale", "study", "list", "describe"),
)
PROGRAM = "from convforge.cli.main import main; main()"


def convforge(*arguments, **options):
    """The entry point, in a process of its own."""
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, **options)


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(cli, command):
    result = cli(command, "--help")
    assert result.code == 0
    assert f"convforge {command} " in result.out.partition("Examples:")[2]
    # A server answers with JSON, and logs it.
    assert ("--json" in result.out) == (command != "serve")


def test_help_names_every_command_and_a_first_round(cli):
    result = cli("--help")
    assert result.code == 0
    for command in COMMANDS:
        assert f"│ {command} " in result.out
    for command in ("train", "evaluate", "compile", "predict", "serve"):
        assert f"convforge {command} digits" in result.out


def test_there_are_no_other_commands():
    assert [command.name for command in app().registered_commands] == list(COMMANDS)


def test_a_command_that_is_named_is_imported_alone():
    code = (
        "import sys\nfrom convforge.cli.main import run\nrun(['list', '--help'])\n"
        "print([m for m in sorted(sys.modules) if m.startswith('convforge.cli.')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    imported = done.stdout.splitlines()[-1]
    assert "convforge.cli.inspect" in imported
    assert not any(f"convforge.cli.{name}'" in imported for name in ("learn", "ship", "serve"))


def test_version_is_the_packages(cli):
    result = cli("--version")
    assert (result.code, result.out) == (0, f"convforge {__version__}\n")


@pytest.mark.parametrize(
    "arguments", [("train", "digits"), ("predict", "--tops", "1"), ("grow",), ("list", "a", "b")]
)
def test_a_wrong_option_or_command_exits_with_2(cli, arguments):
    result = cli(*arguments)
    assert (result.code, result.out) == (2, "")
    assert "--help" in result.err


def test_a_defect_exits_with_1_and_says_that_it_is_one(cli, monkeypatch):
    def break_down(*_):
        raise VerifyError("node 3 reads a value that nothing makes")

    monkeypatch.setattr(inspect.catalog, "entry", break_down)
    result = cli("list", "no such name")
    assert (result.code, result.out) == (1, "")
    assert result.err == (
        "error: node 3 reads a value that nothing makes (a defect in convforge: please report it)\n"
    )


def test_control_c_exits_with_130_and_without_a_traceback(cli, monkeypatch, tmp_path):
    from convforge.training import trainer

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(trainer, "train", interrupt)
    result = cli("train", "digits", "-n", "lenet5", "-o", tmp_path / "digits.safetensors")
    assert (result.code, result.out, result.err) == (130, "", "")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("package", "extra"), [("torch", "train"), ("sklearn", "train")])
def test_a_missing_package_is_named_with_what_installs_it(
    refused, monkeypatch, classifier_file, package, extra
):
    for name in [*sys.modules]:
        if name.partition(".")[0] == package or name == "convforge.classifier":
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    said = refused("evaluate", classifier_file, "digits", words=['"convforge[' + extra + ']"'])
    assert {"torch": "torch", "sklearn": "scikit-learn"}[package] in said


def test_an_error_of_the_system_that_names_a_file_is_one_paragraph(refused, monkeypatch):
    def fail(*_):
        raise PermissionError(13, "Permission denied", "/secret/digits.so")

    monkeypatch.setattr(inspect.catalog, "entry", fail)
    refused("list", "no such name", words=["/secret/digits.so: Permission denied"])


def test_the_entry_point_refuses_without_a_traceback(tmp_path):
    done = convforge("predict", "absent.so", "scan.png", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: absent.so: no such file")
    assert done.stderr.count("\n") == 1


def test_names_of_files_need_not_be_unicode(artifact_file, scans, tmp_path):
    strange = tmp_path / os.fsdecode(b"\xff\n.png")
    strange.write_bytes(scans[0].read_bytes())
    done = convforge("predict", artifact_file, strange)
    assert done.returncode == 0, done.stderr
    assert "\\udcff\\n.png" in done.stdout.replace("\n", "")  # a long path is broken


def test_a_reader_that_goes_away_is_no_error_to_speak_of():
    command = [sys.executable, "-c", PROGRAM, "list", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        said = process.stderr.read()
        assert process.wait() != 0
    assert b"Traceback" not in said


def test_help_list_and_whatever_an_artifact_does_import_no_torch(
    python, artifact_file, scans, photos
):
    # The folder is named after digits, so that the artifact knows its classes.
    for label, name in (("dark", "0"), ("light", "1")):
        (photos / label).rename(photos / name)
    python(
        "import sys\n"
        "from convforge.cli.main import run\n"
        "artifact, scan, photos = sys.argv[1:]\n"
        "assert run(['--help']) == 0\n"
        "assert run(['list']) == 0\n"
        "assert run(['predict', artifact, scan]) == 0\n"
        "assert run(['evaluate', artifact, photos]) == 0\n"
        "assert not {'torch', 'torchvision', 'sklearn'} & set(sys.modules)\n",
        artifact_file,
        scans[0],
        photos,
    )


@pytest.mark.parametrize(("rank", "said"), [("0", "error: stopped after step 3"), ("1", "")])
def test_a_team_that_is_stopped_says_so_once(cli, monkeypatch, rank, said):
    def stopped(*_, **__):
        raise Interrupted("stopped after step 3", signal=15)

    monkeypatch.setenv("RANK", rank)
    monkeypatch.setattr(inspect.catalog, "entry", stopped)
    result = cli("list", "no such name")
    assert (result.code, result.err.strip()) == (143, said)


def test_running_needs_no_process_of_its_own(cli):
    assert run(["list", "lenet5"]) == 0
