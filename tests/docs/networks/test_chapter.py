"""The pages of docs/networks: tables and drawings are the networks', code and commands run."""

import importlib
import re
import sys
from contextlib import nullcontext

import pytest
import timm
import torch
from torchvision import models

from convforge.analysis.volumes import TIMES
from convforge.cli import main
from convforge.networks.catalog import CATALOG

PAGES = ("index", *sorted({entry.module for entry in CATALOG.values()}))
REAL = ("efficientnet", "lenet")  # run as they stand; the others' weights need no memory
LARGEST_DRAWING = 150_000  # bytes


@pytest.fixture(scope="module")
def folder(repository):
    return repository / "docs" / "networks"


@pytest.fixture(scope="module")
def generator(folder):
    """The generator's modules, by name."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(folder / "generator")
        names = ("build", "cells", "papers", "peers", "published", "tables")
        yield {name: importlib.import_module(name) for name in names}
        for name in names:
            del sys.modules[name]


@pytest.fixture(scope="module", params=PAGES)
def page(request, folder):
    return folder / f"{request.param}.md"


@pytest.fixture
def text(page):
    return page.read_text(encoding="utf-8")


def peer_names(library):
    return timm.list_models() if library == "timm" else models.list_models(module=models)


def test_every_paper_has_its_page_and_no_other_has(folder):
    assert {path.stem for path in folder.glob("*.md")} == set(PAGES)


def test_tables_are_those_of_the_networks(text, generator):
    assert text == generator["build"].filled(text), (
        "run `python docs/networks/generator/build.py` and look at what it changed"
    )


def test_drawings_are_those_of_the_networks(page, text, folder, generator):
    drawings = generator["build"].drawings(text)
    assert drawings or page.stem == "index"
    for name, content in drawings.items():
        assert (folder / name).read_text(encoding="utf-8") == content, name
        assert len(content) < LARGEST_DRAWING


def test_no_drawing_is_left_over(folder, generator):
    shown = [name for page in folder.glob("*.md") for name in drawn(page, generator)]
    assert sorted(shown) == sorted(path.name for path in folder.glob("*.svg"))


def drawn(page, generator):
    names = generator["build"].PICTURE.findall(page.read_text(encoding="utf-8"))
    return [f"{name}.svg" for name in names]


def test_a_page_shows_the_costs_of_every_network_of_its_paper(page, text):
    names = [name for name, entry in CATALOG.items() if page.stem in ("index", entry.module)]
    assert [
        name for name in names if f"| `{name}` |" not in text and f"[`{name}`]" not in text
    ] == []


def test_python_runs_and_gives_what_stands_beside_it(page, text, run_python):
    with nullcontext() if page.stem in REAL else torch.device("meta"):
        assert run_python(text) >= 1


def test_commands_exist_and_name_networks(text, commands_in, parse_command):
    found = commands_in(text)
    assert found
    for words in found:
        name, values = parse_command(words)
        network = values.get("network") or (name == "describe" and values["what"])
        assert not network or network in CATALOG, words


def test_networks_described_can_be(text, commands_in, capsys):
    for words in commands_in(text):
        if words[:1] in (["describe"], ["list"]) and "--time" not in words:
            assert main.run([*words, "--json"]) == 0, words
            assert capsys.readouterr().out


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_peers_have_the_names_that_the_table_gives_them(library, generator):
    known = set(peer_names(library))
    for form in generator["peers"].FORMS:
        assert set(getattr(form, library)) <= known, form.what
        assert set(form.convforge) <= set(CATALOG), form.what


@pytest.mark.parametrize("library", ["torchvision", "timm"])
def test_peers_lack_the_forms_that_the_table_denies_them(library, generator):
    for form in generator["peers"].FORMS:
        if not getattr(form, library):
            assert form.absent, form.what
            found = [name for name in peer_names(library) if re.search(form.absent, name)]
            assert not found, form.what


def test_every_network_is_a_form_of_the_table(generator):
    named = {name for form in generator["peers"].FORMS for name in form.convforge}
    assert named == set(CATALOG)


@pytest.mark.parametrize("name", CATALOG)
def test_torchvisions_figures_are_those_of_its_weights(name, generator):
    published = generator["published"]
    figures = [cost for cost in published.COSTS.get(name, ()) if cost.source == "torchvision"]
    peer = {"alexnet_owt": "alexnet", "googlenet_bn": "googlenet"}.get(name, name)
    has = name in models.list_models(module=models) or peer != name
    assert len(figures) == (has and name not in ("alexnet", "googlenet"))
    for cost in figures:
        meta = models.get_model_weights(peer)["IMAGENET1K_V1"].meta
        assert (cost.parameters, cost.macs) == (meta["num_params"], f"{meta['_ops']:.3f} G")


def test_tables_of_a_page_can_differ_only_where_marks_stand(generator):
    filled = generator["build"].filled
    assert filled("no table\n") == "no table\n"
    before = "a\n<!-- table: costs lenet5 -->\nold\n<!-- end -->\nb\n"
    after = filled(before)
    assert "old" not in after
    assert "| `lenet5` | 32 | 60,000 | 60,000 | 0 |" in after
    assert after == filled(after)
    assert after.startswith("a\n<!-- table: costs lenet5 -->\n")
    assert after.endswith("<!-- end -->\nb\n")


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "resnet20", "efficientnet_b0"])
def test_totals_are_those_of_the_description(name, generator):
    counts, found = generator["cells"].counts(name), generator["cells"].summary(name)
    assert counts == (found.parameters, found.macs)


def test_a_layers_table_adds_up(generator):
    rows = [line.split(" | ") for line in generator["tables"].layers("vgg16").splitlines()[2:]]
    *layers, total = [row[-1].removesuffix(" |").replace(",", "") for row in rows]
    counts = [text.split(f" {TIMES} ") for text in layers if text != "\N{EN DASH}"]
    assert sum(int(one[0]) * int((*one, "1")[1]) for one in counts) == int(total)


@pytest.mark.parametrize(
    ("count", "figure", "difference"),
    [
        (60_000, 60_000, "0"),
        (60_001, 60_000, "+1"),
        (269_722, "0.27 M", "-0.1%"),
        (1_582_671_872, "1.5 G", "+5.5%"),
        (568_740_352, "569 M", "0.0%"),
        (7, None, "\N{EN DASH}"),
    ],
)
def test_differences_are_exact_from_integers_and_in_per_cent_from_rounded_figures(
    count, figure, difference, generator
):
    assert generator["tables"]._difference(count, figure) == difference
