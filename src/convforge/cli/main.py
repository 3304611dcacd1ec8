"""The command line: `convforge COMMAND`, its commands in one list, and what its exit codes mean.

    0    done; a server that SIGTERM ended, having answered what it accepted
    1    a defect in convforge
    2    something given cannot be used; one paragraph on stderr says what, and what would be
    130  interrupted with Ctrl-C
    143  ended by SIGTERM, a training after its state was saved

Results go to stdout, everything else to stderr. torch is imported by the commands that need it,
when they need it.
"""

import io
import sys
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from convforge.cli import (
    console,
    explain,
    export,
    inspect,
    learn,
    measure,
    scale,
    serve,
    ship,
    study,
)
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

app = typer.Typer(
    no_args_is_help=True,
    rich_markup_mode="markdown",
    epilog="A first round:\n\n"
    "convforge train digits --network lenet5_relu\n\n"
    "convforge evaluate digits.safetensors digits\n\n"
    "convforge compile digits.safetensors\n\n"
    "convforge predict digits.so scan.png\n\n"
    "convforge serve digits.so",
)
for command, epilog in (
    (learn.train, learn.TRAIN_EXAMPLES),
    (learn.evaluate, learn.EVALUATE_EXAMPLES),
    (ship.predict, ship.PREDICT_EXAMPLES),
    (explain.explain, explain.EXPLAIN_EXAMPLES),
    (ship.compile_model, ship.COMPILE_EXAMPLES),
    (export.export, export.EXPORT_EXAMPLES),
    (serve.serve, serve.SERVE_EXAMPLES),
    (measure.benchmark, measure.BENCHMARK_EXAMPLES),
    (scale.scale, scale.SCALE_EXAMPLES),
    (study.study, study.STUDY_EXAMPLES),
    (inspect.list_networks, inspect.LIST_EXAMPLES),
    (inspect.describe, inspect.DESCRIBE_EXAMPLES),
):
    name = command.__name__.partition("_")[0]
    app.command(name, epilog=epilog, no_args_is_help=name != "list")(command)


def main() -> None:
    """The entry point `convforge`."""
    for stream in (sys.stdout, sys.stderr):
        # A file's name need not be Unicode, and a terminal need not know every character.
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Run one command and give its exit code; what it raises on purpose becomes a message."""
    program = typer.main.get_command(app)
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


@app.callback()
def _convforge(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
) -> None:
    """From a folder of images to a trained, measured, compiled image classifier."""
