"""The rules of docs/architecture.md that no linter knows, read from the source itself."""

import ast
from collections import defaultdict
from functools import cache
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parents[1] / "src" / "convforge"
TESTS = Path(__file__).resolve().parent

# Who may import whom: area → the areas that it may know. An area is a module or a package directly
# in convforge, in the compiler one below it. Anyone may know those FOR_ALL; the command line may
# know everything; nobody may know the command line.
MAY_IMPORT = {
    "errors": "",
    "version": "",
    "file_kinds": "",
    "files": "",
    "html_page": "",
    "page_source": "card",
    "processors": "",
    "seal": "",
    "prediction": "",
    "images": "",
    "networks": "",
    "calibration": "prediction",
    "card": "images",
    "classifier": "card file_kinds images networks prediction",
    "pretrained": "card classifier images networks",
    "evaluation": "calibration card images",
    "answers": "evaluation images prediction",
    "ray_prediction": "answers images loading prediction",
    "report": "calibration card evaluation html_page images prediction",
    "training": "calibration card classifier evaluation html_page images networks prediction "
    "pretrained report",
    "analysis": "card classifier evaluation html_page images networks prediction runtime",
    "compiler.ir": "",
    "compiler.c": "",
    "compiler.frontends": "compiler.ir",
    "compiler.kernels": "compiler.c compiler.ir images",
    "compiler.passes": "compiler.ir compiler.kernels",
    "compiler.backend": "card compiler.c compiler.ir compiler.kernels page_source seal",
    "compiler.pipeline": "card compiler.backend compiler.ir compiler.passes",
    "compiler.dump": "compiler.backend compiler.ir",
    "compiler.models": "card classifier compiler.frontends compiler.ir networks pretrained",
    "compiler.proof": "card compiler.backend compiler.pipeline",
    "compiler.web_page": "card compiler.backend compiler.models compiler.pipeline compiler.proof",
    "compiler.precision": "card compiler.backend compiler.ir compiler.models compiler.pipeline "
    "quantization",
    "compiler.compilation": "compiler.backend compiler.dump compiler.ir compiler.models "
    "compiler.pipeline compiler.precision compiler.proof compiler.web_page",
    "quantization": "card compiler.backend compiler.ir compiler.passes compiler.pipeline "
    "evaluation images runtime",
    "serving": "html_page images page_source prediction runtime seal",
    "studies": "analysis benchmark compiler.backend compiler.compilation compiler.models html_page "
    "images networks report runtime training",
    "library": "seal",
    "runtime": "card images library prediction",
    "loading": "classifier file_kinds runtime seal",
    "onnx_export": "card classifier loading runtime",
    "torch_backend": "compiler.compilation runtime",
    # Candidates are compiled, timed and trained: the one area that knows both roads.
    "scaling": "analysis benchmark card classifier compiler.backend compiler.compilation "
    "compiler.models compiler.pipeline evaluation file_kinds html_page images networks report "
    "runtime training",
    "benchmark": "compiler.backend compiler.compilation compiler.ir compiler.models onnx_export "
    "runtime seal",
    # The public verbs, each by the name of its module.
    "convforge": "analysis classifier compiler.compilation evaluation loading networks onnx_export "
    "pretrained runtime scaling training",
}
FOR_ALL = {"errors", "files", "processors", "version"}
SERVING = {"fastapi", "prometheus_client", "pydantic", "python_multipart", "starlette", "uvicorn"}
HEAVY = {
    *("captum", "matplotlib", "mlflow", "onnx", "onnxruntime", "onnxscript", "openvino", "optuna"),
    *("pyarrow", "ray", "scipy", "sklearn", "tensorboard", "timm", "torch", "torchvision", "wandb"),
    *SERVING,
}
AT_THE_TOP = {
    "onnx": {"compiler.frontends"},
    "torch": {
        "analysis",
        "classifier",
        "compiler.frontends",
        "networks",
        "pretrained",
        "scaling",
        "studies",
        "torch_backend",
        "training",
    },
    **{package: {"serving"} for package in SERVING},
}
TALKS_OR_EXITS = {"exit", "input", "os._exit", "print", "quit", "sys.exit", "SystemExit"}
STREAMS = {"sys.stderr", "sys.stdin", "sys.stdout"}
VAGUE = {"base", "common", "helper", "helpers", "manager", "misc", "tools", "util", "utils"}
# Of the whole, of the documentation, of what several modules do alike.
TEST_FILES_OF_NO_MODULE = {
    "test_architecture",
    "test_benchmarks",
    "test_bytes_on_machines",
    "test_tiles_in_web",
    "test_chapter",
    "test_classifier_file",
    "test_convolution",
    "test_endurance",
    "test_every_network",
    "test_examples",
    "test_feature_maps",
    "test_nasty",
    "test_onnx_networks",
    "test_page_views",
    "test_machines",
    "test_photos",
    "test_processes",
    "test_public",
    "test_tiny",
}

LONGEST_FILE = 400
LONGEST_BODY = 40


def modules(*, below=""):
    """Every file of convforge by its dotted name without "convforge."; packages by their own."""
    found = {}
    for path in sorted(SOURCE.rglob("*.py")):
        parts = path.relative_to(SOURCE).with_suffix("").parts
        name = ".".join(part for part in parts if part != "__init__") or "convforge"
        if name.startswith(below):
            found[name] = path
    return found


def area(module):
    parts = module.split(".")
    return ".".join(parts[:2]) if parts[0] == "compiler" else parts[0]


@cache
def parse(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path, *, types=True, functions=True):
    """(line, module) of the imports of a file, also by `import_module`.

    With `types`, those for the type checker only; with `functions`, those within functions.
    """
    found = []
    waiting = [parse(path)]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found += [(node.lineno, name.name) for name in node.names]
        elif isinstance(node, ast.ImportFrom):
            # "from package import module" and "from module import name" look alike.
            found += [(node.lineno, f"{node.module}.{name.name}") for name in node.names]
        elif isinstance(node, ast.Call) and ast.unparse(node.func).endswith("import_module"):
            found += [
                (node.lineno, argument.value)
                for argument in node.args
                if isinstance(argument, ast.Constant)
            ]
        hidden = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
        inner = isinstance(node, ast.FunctionDef)
        if not (hidden and not types) and not (inner and not functions):
            waiting += ast.iter_child_nodes(node)
    return found


def own_imports(path, **which):
    """(line, module) of the imports of convforge's own modules."""
    known = modules()
    for line, name in imports(path, **which):
        if name.split(".")[0] != "convforge":
            continue
        target = name.removeprefix("convforge.")
        while target not in known and "." in target:
            target = target.rpartition(".")[0]
        yield line, target if target in known else "convforge"


def place(path, line):
    return f"{path.relative_to(SOURCE.parent)}:{line}"


def test_every_area_has_its_row():
    present = {area(name) for name in modules()} - {"__main__", "cli", "compiler"}
    assert present == set(MAY_IMPORT)


def test_areas_import_only_what_they_may():
    broken = []
    for name, path in modules().items():
        own = area(name)
        if own in {"__main__", "cli"}:
            continue
        allowed = {own, *FOR_ALL, *MAY_IMPORT.get(own, "").split()}
        broken += [
            f"{place(path, line)}: {own} imports {area(target)}"
            for line, target in own_imports(path)
            if area(target) not in allowed
        ]
    assert not broken, "\n".join(broken)


def test_no_modules_import_each_other_in_a_circle():
    graph = defaultdict(set)
    for name, path in modules().items():
        graph[name] = {target for _, target in own_imports(path, types=False)} - {name}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail(" imports ".join(reversed(error.args[1])))


def test_only_its_front_ends_bring_torch_or_onnx_into_the_compiler():
    broken = [
        f"{place(path, line)}: {name}"
        for module, path in modules(below="compiler").items()
        if area(module) != "compiler.frontends"
        for line, name in imports(path)
        if name.split(".")[0] in HEAVY
    ]
    assert not broken, "\n".join(broken)


def test_heavy_packages_are_imported_where_they_are_needed():
    """At the top of a file where all of it is about them, elsewhere in functions."""
    broken = [
        f"{place(path, line)}: {name}"
        for module, path in modules().items()
        for line, name in imports(path, types=False, functions=False)
        if (package := name.split(".")[0]) in HEAVY
        if area(module) not in AT_THE_TOP.get(package, ())
    ]
    assert not broken, "\n".join(broken)


def test_only_the_command_line_draws_prints_or_exits():
    broken = []
    for module, path in modules().items():
        if area(module) == "cli":
            continue
        broken += [
            f"{place(path, line)}: imports {name}"
            for line, name in imports(path)
            if name.split(".")[0] in {"rich", "typer"}
        ]
        for node in ast.walk(parse(path)):
            called = ast.unparse(node.func) if isinstance(node, ast.Call) else ""
            if called in TALKS_OR_EXITS:
                broken.append(f"{place(path, node.lineno)}: {called}")
            if isinstance(node, ast.Attribute) and ast.unparse(node) in {
                "sys.stdout",
                "sys.stderr",
            }:
                broken.append(f"{place(path, node.lineno)}: {ast.unparse(node)}")
    assert not broken, "\n".join(broken)


def test_private_names_stay_in_their_module():
    broken = [
        f"{place(path, node.lineno)}: {alias.name}"
        for path in modules().values()
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ImportFrom) and str(node.module).startswith("convforge")
        for alias in node.names
        if alias.name.startswith("_") and not alias.name.startswith("__")
    ]
    assert not broken, "\n".join(broken)


def test_no_file_has_over_400_lines():
    files = [*SOURCE.rglob("*.py"), *SOURCE.rglob("*.c"), *TESTS.rglob("*.py")]
    lengths = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in files}
    broken = [f"{path}: {length}" for path, length in lengths.items() if length > LONGEST_FILE]
    assert not broken, "\n".join(broken)


def test_no_function_has_over_40_lines_below_its_docstring():
    broken = []
    for path in modules().values():
        for node in ast.walk(parse(path)):
            if not isinstance(node, ast.FunctionDef):
                continue
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            if lines > LONGEST_BODY:
                broken.append(f"{place(path, node.lineno)}: {node.name}, {lines}")
    assert not broken, "\n".join(broken)


def test_no_module_has_a_name_that_says_nothing():
    vague = [str(path) for name, path in modules().items() if VAGUE & set(name.split("."))]
    assert not vague, "\n".join(vague)


def test_no_package_gives_a_name_that_one_of_its_modules_has():
    """`from package import name` would give the module once anybody has imported that."""
    taken = []
    for path in sorted(SOURCE.rglob("__init__.py")):
        own = {module.stem for module in path.parent.iterdir()}
        for node in parse(path).body:
            if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
                taken += [
                    f"{place(path, node.lineno)}: {n}"
                    for n in own & set(ast.literal_eval(node.value))
                ]
    assert not taken, "\n".join(taken)


def test_tests_lie_where_the_module_that_they_test_lies():
    known = modules()
    strays = []
    for path in sorted(TESTS.rglob("test_*.py")):
        folder = path.relative_to(TESTS).parent.parts
        name = ".".join((*folder, path.stem.removeprefix("test_")))
        if name not in known and path.stem not in TEST_FILES_OF_NO_MODULE:
            strays.append(f"{path}: no module convforge.{name}")
    assert not strays, "\n".join(strays)
