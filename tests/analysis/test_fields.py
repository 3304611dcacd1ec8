import pytest
import torch
from torch import nn
from torch.nn import functional as F

from convforge.analysis.fields import receptive_fields
from convforge.analysis.trace import trace
from convforge.networks import catalog
from convforge.networks.blocks import LocalResponseNorm


def field_of(net, shape):
    ran = trace(net, shape)
    return receptive_fields(ran)[id(ran.outputs[0])]


class Branches(nn.Module):
    """Three paths of unlike reach, concatenated; a shortcut around all."""

    def __init__(self):
        super().__init__()
        self.near = nn.Conv2d(2, 2, 1)
        self.far = nn.Sequential(nn.Conv2d(2, 2, 3, padding=1), nn.Conv2d(2, 2, 5, padding=2))
        self.pool = nn.Sequential(nn.MaxPool2d(3, 1, padding=1), nn.Conv2d(2, 2, 1))
        self.mix = nn.Conv2d(6, 2, 1)

    def forward(self, x):
        return self.mix(torch.cat([self.near(x), self.far(x), self.pool(x)], 1)) + x


class Gate(nn.Module):
    def __init__(self):
        super().__init__()
        self.squeeze = nn.Conv2d(2, 2, 1)

    def forward(self, x):
        return x * torch.sigmoid(self.squeeze(F.adaptive_avg_pool2d(x, 1)))


class OptionA(nn.Module):
    """A strided shortcut without parameters: every other pixel, more maps by zeros."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(2, 4, 3, stride=2, padding=1)

    def forward(self, x):
        return self.conv(x) + F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 1, 1))


class Shifted(nn.Module):
    def forward(self, x):
        return F.conv2d(F.pad(x, (0, 1, 2, 0)), x.new_ones(2, 2, 3, 2), stride=2)


NETS = {
    "chain": nn.Sequential(nn.Conv2d(2, 2, 5), nn.MaxPool2d(2), nn.Conv2d(2, 2, 3, stride=2)),
    "unlike rows and columns": nn.Sequential(
        nn.Conv2d(2, 2, (3, 1), padding=(1, 0)), nn.AvgPool2d((1, 4), (1, 2)), nn.Conv2d(2, 2, 3)
    ),
    "dilation": nn.Sequential(nn.Conv2d(2, 2, 3, dilation=4), nn.Conv2d(2, 2, 2, dilation=3)),
    "branches": nn.Sequential(nn.Conv2d(2, 2, 3, stride=2), Branches(), Branches()),
    "option A": nn.Sequential(nn.Conv2d(2, 2, 3), OptionA()),
    "asymmetric padding": nn.Sequential(nn.Conv2d(2, 2, 3, stride=2), Shifted()),
    "padding same": nn.Sequential(nn.Conv2d(2, 2, 5, padding="same"), nn.MaxPool2d(2)),
    "adaptive": nn.Sequential(nn.Conv2d(2, 2, 3), nn.AdaptiveAvgPool2d(10)),
}


def make_monotone(net):
    """Positive weights and double precision: more of any pixel in its field is more output."""
    for module in net.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.constant_(module.weight, 1 / module.weight[0].numel())
            if module.bias is not None:
                nn.init.zeros_(module.bias)
    return net.double().eval()


def outputs_that_change(net, shape, *, rows, columns):
    """For each of some input rows, then columns, where the output changes as they are raised.

    Bool [rows, OH, OW] and [columns, OH, OW].
    """
    images = torch.ones(1 + len(rows) + len(columns), *shape, dtype=torch.float64)
    for image, row in zip(images[1:], rows, strict=False):
        image[:, row] += 1e3
    for image, column in zip(images[1 + len(rows) :], columns, strict=True):
        image[:, :, column] += 1e3
    with torch.no_grad():
        plain, *raised = make_monotone(net)(images)
    changed = (torch.stack(raised) != plain).any(1)
    return changed[: len(rows)], changed[len(rows) :]


def predicted(field, index):
    start = field.first + index * field.jump
    return range(int(start), int(start + field.size))


@pytest.mark.parametrize("name", NETS)
def test_the_field_is_where_a_raised_pixel_changes_the_output(name):
    side = 34
    field = field_of(NETS[name], (2, side, side))
    changed = outputs_that_change(
        NETS[name], (2, side, side), rows=range(side), columns=range(side)
    )
    height, width = changed[0].shape[1:]
    for axis, found, size in (
        (field.rows, changed[0][:, :, width // 2], height),
        (field.columns, changed[1][:, height // 2, :], width),
    ):
        centre = found[:, size // 2].nonzero()
        expected = predicted(axis, size // 2)
        assert (int(centre.min()), int(centre.max())) == (expected[0], expected[-1])
        for index in range(size):  # at the borders less, where padding is, not more
            assert {*found[:, index].nonzero().flatten().tolist()} <= {*predicted(axis, index)}


@pytest.mark.parametrize("name", ["resnet20", "plain20"])
def test_a_residual_networks_field_ends_at_the_pixels_that_change_nothing(name):
    net, shape = catalog.create(name).features, (3, 97, 97)
    inside = predicted(field_of(net, shape).rows, 12)  # the centre of 25 x 25 maps
    edges = [inside[0] - 1, inside[0], inside[-1], inside[-1] + 1]
    for changed in outputs_that_change(net, shape, rows=edges, columns=edges):
        assert changed[:, 12, 12].tolist() == [False, True, True, False]


def test_a_gate_lets_every_output_see_the_whole_image():
    net = nn.Sequential(nn.Conv2d(2, 2, 3), Gate(), nn.Conv2d(2, 2, 3))
    field = field_of(net, (2, 34, 34))
    assert field.gated
    assert (field.rows.size, field.rows.first) == (5, 0)
    for changed in outputs_that_change(net, (2, 34, 34), rows=[0, 33], columns=[0, 33]):
        assert changed.all()


# The fields of the last maps, by Araujo, Norris and Sim 2019, "Computing receptive fields of
# convolutional neural networks", their table; ResNets there halve maps as the paper does.
@pytest.mark.parametrize(
    ("name", "size"),
    [("alexnet", 195), ("vgg16", 212), ("mobilenet_v1", 315), ("resnet50_v1", 483)],
)
def test_fields_are_those_published(name, size, on_meta):
    net = on_meta(name)
    field = field_of(net.features, net.input_shape)
    assert field.rows.size == field.columns.size == size


def test_flattening_joins_all_positions():
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.Flatten(), nn.Linear(2 * 4 * 4, 3))
    field = field_of(net, (1, 9, 9))
    assert not field.spatial
    assert (field.rows.first, field.rows.size) == (0, 9)


def test_normalisation_across_maps_keeps_positions():
    net = nn.Sequential(nn.Conv2d(2, 8, 3), nn.LocalResponseNorm(5), LocalResponseNorm(n=3))
    field = field_of(net, (2, 9, 9))
    assert (field.rows.size, field.spatial) == (3, True)


def test_softmax_over_positions_sees_all_of_them():
    field = field_of(nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Softmax(3)), (1, 9, 9))
    assert field.rows.size == 11


class Upsampled(nn.Module):
    def forward(self, x):
        return F.interpolate(x, scale_factor=2) + 1


class Transposed(nn.Module):
    def forward(self, x):
        return x.transpose(2, 3)


UNKNOWN = {
    "resampling": Upsampled(),
    "transposed convolution": nn.ConvTranspose2d(1, 1, 2),
    "shuffling pixels": nn.Sequential(nn.Conv2d(1, 4, 1), nn.PixelShuffle(2)),
    "swapping axes": Transposed(),
}


@pytest.mark.parametrize("name", UNKNOWN)
def test_an_operator_without_a_rule_gives_unknown_and_so_does_what_follows(name):
    assert field_of(nn.Sequential(UNKNOWN[name], nn.ReLU()), (1, 9, 9)) is None


def test_adding_maps_of_unlike_steps_is_unknown():
    class Unlike(nn.Module):
        def forward(self, x):
            return F.avg_pool2d(x, 2) + x[:, :, :4, :4]

    assert field_of(nn.Sequential(Unlike()), (1, 9, 9)) is None
