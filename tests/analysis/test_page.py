import re
from collections import OrderedDict
from html.parser import HTMLParser

import pytest
import torch
from torch import nn

from convforge.analysis.page import summary_html
from convforge.analysis.summary import describe

VOID = {"meta", "input", "br", "link", "img"}


class Reader(HTMLParser):
    """Text of a page; fails where tags are not closed in order."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.words = [], [], []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


@pytest.fixture
def page_of(summary_of):
    return lambda name: summary_html(summary_of(name))


def test_a_page_holds_drawing_totals_formulas_paper_and_deviations(page_of):
    page = page_of("lenet5")
    text = Reader(page).text
    assert "<svg" in page
    assert "60,000" in text
    assert "(1·5·5+1)·6 = 156" in text
    assert "28·28·6·(1·5·5) = 117,600" in text
    assert "LeCun et al. 1998" in text
    assert "Deviations: the drawings of the digits are our own" in text


def test_a_page_has_one_line_a_row_and_the_totals(summary_of):
    summary = summary_of("resnet18")
    reader = Reader(summary_html(summary))
    several = sum(1 for tag in reader.tags if tag == "input")
    assert reader.tags.count("tr") == len(summary.rows) + several + 2
    assert f"{summary.macs:,}" in reader.text


@pytest.mark.parametrize("name", ["lenet5", "googlenet", "efficientnet_b0"])
def test_a_page_needs_nothing_from_elsewhere(page_of, name):
    page = page_of(name)
    assert re.findall(r"https?://[^\"]*", page) == ["http://www.w3.org/2000/svg"]
    assert not re.search(r"<script|<link|<img|<iframe|url\(|@import|src=|href=", page)
    assert "default-src 'none'" in page


def test_long_tables_start_with_their_stages_closed(page_of):
    assert 'type="checkbox" checked' in page_of("lenet5")
    assert 'type="checkbox" checked' not in page_of("resnet50")


def test_names_are_escaped_everywhere():
    hostile = "<img src=x onerror=alert(1)>"
    block = nn.Sequential(OrderedDict({hostile: nn.Conv2d(1, 2, 3), "'\"&": nn.ReLU()}))
    net = nn.Sequential(OrderedDict({"<b>": block, "c": nn.Conv2d(2, 1, 1)}))
    net.name = "</title><script>alert(1)</script>"
    page = summary_html(describe(net, input_shape=(1, 8, 8)))
    assert "<script" not in page
    assert "<img" not in page
    assert "<b>" not in page
    assert hostile in Reader(page).text


def test_what_the_table_leaves_out_is_said(page_of):
    assert (
        "6,379,728 more parameters are read in training only" in Reader(page_of("googlenet")).text
    )

    class Sums(nn.Module):
        def forward(self, x):
            return torch.cumsum(x, 1)

    page = summary_html(describe(nn.Sequential(Sums()), input_shape=(1, 2, 2)))
    assert "Operators without a rule, so that FLOPs are a lower bound: cumsum." in Reader(page).text


def test_measured_milliseconds_have_a_column_with_their_conditions():
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU())
    timed = Reader(summary_html(describe(net, input_shape=(1, 8, 8), timing=2))).text
    assert "median of 2, torch," in timed
    assert "A row's milliseconds" in timed
    untimed = Reader(summary_html(describe(net, input_shape=(1, 8, 8)))).text
    assert "milliseconds" not in untimed
