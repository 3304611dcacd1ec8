"""Every study with its defaults, into docs/studies/: a chapter, a drawing and the numbers of each.

    python benchmarks/studies.py [NAME...] [--data URI] …     the options of `convforge study`

Sizes, machine, threads and verdicts stand in each chapter. With --data only those studies run that
train, and their files are called NAME-DATA. docs/studies/index.md gets the verdicts of all chapters
that there are. Prints one JSON line a study: its verdicts and seconds.
"""

import argparse
import json
import re
from pathlib import Path

from convforge.cli import console
from convforge.studies.catalog import CATALOG, run
from convforge.studies.figure import figure_png
from convforge.studies.page import study_markdown
from convforge.studies.study import Task

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "studies"
VERDICTS = re.compile(r"(<!-- verdicts -->\n).*(<!-- end -->)", flags=re.DOTALL)


def main() -> None:
    given = parse()
    names = given.names or [
        name for name, study in CATALOG.items() if given.data is None or study.images is not None
    ]
    suffix = "" if given.data is None else f"-{Path(given.data).name}"
    folder = given.folder
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        with console.progress_bar(f"study {name}") as progress:
            report = run(
                name,
                Task(
                    size="full" if given.full else "default",
                    images=given.data,
                    count=given.images,
                    epochs=given.epochs,
                    seeds=given.seeds,
                    device=given.device,
                    progress=progress,
                ),
            )
        stem = f"{name}{suffix}"
        chapter = study_markdown(report, picture=f"{stem}.png")
        (folder / f"{stem}.md").write_text(chapter, encoding="utf-8")
        (folder / f"{stem}.png").write_bytes(figure_png(report.result.panels))
        record = json.dumps(report.to_json(), indent=2) + "\n"
        (folder / f"{stem}.json").write_text(record, encoding="utf-8")
        verdicts = {one.claim: one.verdict for one in report.result.findings}
        print(json.dumps({"study": stem, "verdicts": verdicts, **report.circumstances}), flush=True)
    index = folder / "index.md"
    if index.exists():
        text = index.read_text(encoding="utf-8")
        table = verdicts_table(folder)
        text = VERDICTS.sub(lambda marks: f"{marks[1]}{table}{marks[2]}", text)
        index.write_text(text, encoding="utf-8")


def verdicts_table(folder: Path) -> str:
    """Every finding of every chapter, in the catalogue's order."""
    order = list(CATALOG)
    files = sorted(
        folder.glob("*.json"), key=lambda file: (order.index(file.stem.split("-")[0]), file.stem)
    )
    rows = ["| study | images | claim | verdict |", "| :--- | :--- | :--- | :--- |"]
    for file in files:
        record = json.loads(file.read_text(encoding="utf-8"))
        images = record["sizes"].get("images", "")
        rows += [
            f"| [{record['study']}]({file.stem}.md) | {images} | {one['claim']} "
            f"| **{one['verdict']}** |"
            for one in record["findings"]
        ]
    return "\n".join(rows) + "\n"


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("names", nargs="*", choices=[*CATALOG, []], metavar="NAME")
    parser.add_argument("--data", metavar="URI")
    parser.add_argument("--full", action="store_true")
    for option in ("--seeds", "--epochs", "--images"):
        parser.add_argument(option, type=int)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--folder", type=Path, default=FOLDER)
    return parser.parse_args()


if __name__ == "__main__":
    main()
