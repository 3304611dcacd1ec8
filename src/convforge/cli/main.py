"""The command line: `convforge COMMAND`, its commands in one list, and what its exit codes mean.

    0    done; a server that SIGTERM ended, having answered what it accepted
    1    a defect in convforge
    2    something given cannot be used; one paragraph on stderr says what, and what would be
    130  interrupted with Ctrl-C
    143  ended by SIGTERM, a training after its state was saved

Results go to stdout, everything else to stderr. A command is imported when it is called, and
torch by those that need it, when they need it.
"""

import importlib
import io
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import typer

from convforge.cli import console
from convforge.cli.options import in_options
from convforge.errors import ConvforgeError, InputError, Interrupted
from convforge.version import __version__

# What `pip install "convforge[EXTRA]"` brings, by the name that Python imports it by.
EXTRAS = {
    "captum": "train",
    "fastapi": "serve",
    "matplotlib": "explain",
    "onnx": "onnx",
    "onnxruntime": "export",
    "onnxscript": "export",
    "optuna": "scale",
    "prometheus_client": "serve",
    "python_multipart": "serve",
    "sklearn": "train",
    "scipy": "train",
    "torch": "train",
    "torchvision": "train",
    "uvicorn": "serve",
    "ziglang": "compile",
}

# Where each command is: a module of `convforge.cli` and its function.
COMMANDS = {
    "train": ("learn", "train"),
    "evaluate": ("learn", "evaluate"),
    "predict": ("ship", "predict"),
    "explain": ("explain", "explain"),
    "compile": ("ship", "compile_model"),
    "export": ("export", "export"),
    "serve": ("serve", "serve"),
    "benchmark": ("measure", "benchmark"),
    "scale": ("scale", "scale"),
    "study": ("study", "study"),
    "list": ("inspect", "list_networks"),
    "describe": ("inspect", "describe"),
}
FIRST_ROUND = (
    "A first round:\n\n"
    "convforge train digits --network lenet5_relu\n\n"
    "convforge evaluate digits.safetensors digits\n\n"
    "convforge compile digits.safetensors\n\n"
    "convforge predict digits.so scan.png\n\n"
    "convforge serve digits.so"
)


def app(names: Iterable[str] = COMMANDS) -> typer.Typer:
    """The command line with these commands; only their modules are imported.

    With all of them `serve --help` takes 0.2 s of processor time more (AMD EPYC).
    """
    commands = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", epilog=FIRST_ROUND)
    commands.callback()(_convforge)
    for name in names:
        place, function = COMMANDS[name]
        module = importlib.import_module(f"convforge.cli.{place}")
        epilog = getattr(module, f"{name.upper()}_EXAMPLES")
        command = commands.command(name, epilog=epilog, no_args_is_help=name != "list")
        command(getattr(module, function))
    return commands


def main() -> None:
    """The entry point `convforge`."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name need not be Unicode, and a terminal need not know every character.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; what it raises on purpose becomes a message."""
    names = arguments[:1] if arguments and arguments[0] in COMMANDS else COMMANDS
    program: Any = typer.main.get_command(app(names))
    try:
        program(list(arguments), prog_name="convforge")
    except SystemExit as done:
        return done.code if isinstance(done.code, int) else int(done.code is not None)
    except ConvforgeError as error:
        return _explain(error, _options(program, arguments))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package not in EXTRAS:
            raise
        console.show_error(
            f"this needs the package {package}, which is not installed; "
            f'install it with: pip install "convforge[{EXTRAS[package]}]"'
        )
        return 2
    except OSError as error:
        if error.filename is None:
            raise
        console.show_error(f"{error.filename}: {error.strerror}")
        return 2
    return 0


def _options(program: Any, arguments: Sequence[str]) -> dict[str, str]:
    """The options of the command that was called, by the arguments of its function."""
    called = next(program.commands[name] for name in arguments if name in program.commands)
    return {
        one.name: max(one.opts, key=len) for one in called.params if one.param_type_name == "option"
    }


def _explain(error: ConvforgeError, options: Mapping[str, str]) -> int:
    """Show what was raised on purpose as a paragraph; gives the exit code."""
    if isinstance(error, InputError):
        console.show_error(in_options(error, options))
        return 2
    if isinstance(error, Interrupted):
        if console.is_first():
            console.show_error(str(error))
        return 128 + error.signal
    console.show_error(f"{error} (a defect in convforge: please report it)")
    return 1


def _show_version(wanted: bool) -> None:  # noqa: FBT001  (typer calls it with the option's value)
    if wanted:
        typer.echo(f"convforge {__version__}")
        raise typer.Exit


def _convforge(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """From a folder of images to a trained, measured, compiled image classifier."""
