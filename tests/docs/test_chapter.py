"""The course map's modules, commands and pages exist; so do the front page's, and every link."""

import importlib.util
import re

import pytest

from convforge.networks.catalog import CATALOG
from convforge.studies.catalog import CATALOG as STUDIES

WIDEST = 140  # columns of a line
# Target and anchor of a link: "](target#anchor)", or "]: target#anchor" where they are collected;
# but not of one that leads elsewhere.
LINK = re.compile(r"\](?:\(|: )(?!\w+:)([\w./-]+)(?:#([\w-]+))?\)?")


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "docs"


@pytest.fixture(scope="module")
def course_map(folder):
    return (folder / "course-map.md").read_text(encoding="utf-8")


def cells(text):
    """Rows of all tables, without their heads."""
    rows = [re.split(r" \| ", line.strip("| ")) for line in text.splitlines() if line[:2] == "| "]
    return [row for row in rows if row[0] != "section" and not set(row[0]) <= {"-"}]


def anchors(path):
    """What a heading is linked by, as GitHub names it."""
    headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_row_names_a_section_modules_a_command_and_a_page(course_map):
    rows = cells(course_map)
    assert len(rows) > 40
    for row in rows:
        section, modules, command, page = row
        assert section
        assert modules
        assert command
        assert f"\n{page}: " in course_map, row


def test_every_module_exists(course_map):
    modules = [name for row in cells(course_map) for name in re.findall(r"`([\w.]+)`", row[1])]
    assert modules
    for name in modules:
        assert importlib.util.find_spec(f"convforge.{name}") is not None, name


def test_every_module_of_the_networks_has_its_row(course_map):
    named = " ".join(row[1] for row in cells(course_map))
    for module in {entry.module for entry in CATALOG.values()}:
        assert f"`networks.{module}`" in named


def test_commands_exist_and_name_networks(course_map, commands_in, parse_command):
    used = set()
    for words in commands_in(course_map):
        name, values = parse_command(words)
        used.add(name)
        assert name != "study" or values["name"] in STUDIES, words
        network = values.get("network") or (name == "describe" and values["what"])
        assert not network or network in CATALOG, words
    assert used == {
        *("compile", "describe", "evaluate", "explain", "export", "list", "predict", "scale"),
        *("study", "train"),
    }


@pytest.mark.parametrize("name", ["README.md", "README.ko.md"])
def test_commands_of_the_front_page_exist_and_write_a_file_each(
    name, repository, commands_in, parse_command
):
    found = [parse_command(words) for words in commands_in((repository / name).read_text("utf-8"))]
    names = [values.get(option) for _, values in found for option in ("output", "report")]
    written = [str(name) for name in names if name]
    assert len(written) > 6
    assert len(written) == len(set(written))
    assert {"train", "scale", "serve", "benchmark"} <= {command for command, _ in found}


def test_unknown_commands_and_options_would_be_found(parse_command):
    for words in (["search", "depth"], ["describe", "vgg16", "--depth", "3"]):
        with pytest.raises(Exception, match=r"No such (command|option)"):
            parse_command(words)


@pytest.mark.parametrize("name", ["*.md", "../README*.md", "networks/*.md", "studies/*.md"])
def test_links_lead_somewhere(name, folder):
    for path in folder.glob(name):
        text = path.read_text(encoding="utf-8")
        for target, anchor in LINK.findall(text):
            found = path.parent / target
            assert found.exists(), f"{path.name}: {target}"
            assert not anchor or anchor in anchors(found), f"{path.name}: {target}#{anchor}"


def test_lines_are_no_wider_than_the_rest(folder):
    for path in (folder / "course-map.md", *folder.glob("networks/*.md")):
        wide = [
            line for line in path.read_text(encoding="utf-8").splitlines() if len(line) > WIDEST
        ]
        assert wide == [], path.name
