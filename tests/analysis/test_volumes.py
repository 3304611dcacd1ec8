import pytest
from torch import nn

from convforge.analysis.summary import describe
from convforge.analysis.volumes import TIMES, groups, volumes
from convforge.networks import catalog


@pytest.fixture
def words(summary_of):
    def words_of(name):
        made = volumes(summary_of(name))
        return [(v.name, v.kind, v.what.replace(TIMES, "x"), v.shape) for v in made]

    return words_of


def test_lenet5_has_the_maps_of_its_papers_figure_2(words):
    assert words("lenet5") == [
        ("input", "input", "", (1, 32, 32)),
        ("c1", "convolution", "5x5 conv", (6, 28, 28)),
        ("s2", "pooling", "2x2 subsampling /2", (6, 14, 14)),
        ("c3", "convolution", "5x5 conv", (16, 10, 10)),
        ("s4", "pooling", "2x2 subsampling /2", (16, 5, 5)),
        ("c5", "convolution", "5x5 conv", (120, 1, 1)),
        ("f6", "linear", "linear", (84,)),
        ("output", "linear", "RBF", (10,)),
    ]


def test_vgg16_has_its_thirteen_convolutions_five_poolings_and_three_linear_layers(words):
    kinds = [kind for _, kind, _, _ in words("vgg16")]
    assert [kinds.count(k) for k in ("input", "convolution", "pooling", "linear")] == [1, 13, 5, 3]


def test_resnet152s_stages_say_how_many_blocks_of_which_kernels(words):
    stages = [what for _, kind, what, _ in words("resnet152") if kind == "blocks"]
    assert stages == [f"{n} x (1x1, 3x3, 1x1)" for n in (3, 8, 36, 3)]


def test_inception_modules_are_one_map_of_four_branches(words):
    modules = [(what, shape) for name, _, what, shape in words("googlenet") if "inception" in name]
    assert len(modules) == 9
    assert modules[0] == ("4 branches", (256, 28, 28))
    assert {what for what, _ in modules} == {"4 branches"}


def test_squeeze_and_excitation_is_not_taken_for_a_kernel_of_the_block(words):
    whats = [what for _, kind, what, _ in words("efficientnet_b0") if kind == "blocks"]
    assert whats[:2] == ["3x3 dw, 1x1", "2 x (1x1, 3x3 dw, 1x1)"]


@pytest.mark.parametrize("name", catalog.names())
def test_every_networks_maps_end_in_its_output_and_cover_rows_in_order(summary_of, name):
    summary = summary_of(name)
    made = volumes(summary)
    assert made[0].shape == summary.input_shape
    assert made[-1].shape[0] == summary.output_shape[0]
    assert 5 <= len(made) <= 30
    starts = [volume.rows.start for volume in made[1:]]
    assert starts == sorted(starts)
    spans = [span for _, span in groups(summary)]
    assert [i for span in spans for i in span] == list(range(len(summary.rows)))


def test_a_name_that_all_rows_share_is_skipped():
    net = nn.Sequential()
    net.add_module("backbone", nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU(), nn.MaxPool2d(2)))
    summary = describe(net, input_shape=(1, 8, 8))
    assert [name for name, _ in groups(summary)] == ["backbone.0", "backbone.1", "backbone.2"]
    assert [volume.kind for volume in volumes(summary)] == ["input", "convolution", "pooling"]
