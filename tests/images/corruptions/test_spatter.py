"""Drops against what OpenCV makes of two, and distances against Dijkstra's."""

import heapq

import numpy as np
import pytest
from skimage import data

from convforge.images.corruptions.spatter import MUD, WATER, canny, distances, shine, spatter

PHOTO = data.astronaut()[:224, 100:340] / 255

# Two drops, and what OpenCV 4.11 makes of them: Canny(50, 150), and three rows of the light.
_Y, _X = np.mgrid[:24, :24]
DROPS = np.where((_X - 9) ** 2 + (_Y - 12) ** 2 <= 49, 180 + _X, 0)
DROPS = np.where((_X - 19) ** 2 + (_Y - 5) ** 2 <= 6, 200, DROPS).astype(float)
RIMS = """
........................
........................
...................#....
.................##.##..
.................#...#..
........###.....#....#..
.....###...###...#...#..
....##.......##..#####..
...##.........##........
...#...........#........
...#............#.......
..#.............#.......
..#.............#.......
..#.............#.......
...#............#.......
...#...........#........
...##.........##........
....##.......##.........
.....###...###..........
........###.............
........................
........................
........................
........................
"""
LIGHT = {
    0: "213 200 183 149 111 85 93 118 130 130 130 130 108 64 26 5 5 1 9 23 66 88 88 74",
    5: "12 12 0 0 0 0 23 47 70 70 54 31 8 0 0 0 0 23 39 39 86 155 178 193",
    12: "23 23 70 155 240 255 255 250 238 199 141 74 27 5 0 47 132 217 255 255 255 255 254 254",
}
WATERY = ("water", 0.65, 0.3, 2, 0.68, 0.5)
MUDDY = ("mud", 0.67, 0.4, 1, 0.65, 1.5)


def test_rims_are_opencvs():
    drawn = ["".join(".#"[int(edge)] for edge in row) for row in canny(DROPS)]
    assert drawn == RIMS.split()


def test_light_is_opencvs():
    light = shine(DROPS)
    for row, values in LIGHT.items():
        np.testing.assert_array_equal(light[row], [int(value) for value in values.split()])


def test_a_weak_edge_counts_where_it_hangs_on_a_strong_one():
    plane = np.zeros((20, 40))
    plane[8:, :10] = 200
    plane[8:, 10:] = np.maximum(25 - np.arange(30) * 0.2, 20)  # 4 x 20 is below 150
    assert canny(plane)[7:9, 15:35].any(axis=0).all()
    assert not canny(np.where(plane < 50, plane, 0)).any()


@pytest.mark.parametrize("size", [(30, 45), (1, 7), (6, 1)])
def test_distances_are_those_of_the_shortest_ways(size):
    points = np.random.default_rng(1).random(size) < 0.01
    points[0, -1] = True
    steps = [(i, j, 1.0) for i, j in ((0, 1), (1, 0), (0, -1), (-1, 0))]
    steps += [(i, j, 1.4) for i in (-1, 1) for j in (-1, 1)]
    steps += [(i, j, 2.1969) for i in (-2, -1, 1, 2) for j in (-2, -1, 1, 2) if abs(i) != abs(j)]
    expected = np.full(size, np.inf)
    waiting = [(0.0, *map(int, place)) for place in np.argwhere(points)]
    while waiting:
        far, y, x = heapq.heappop(waiting)
        if far >= expected[y, x]:
            continue
        expected[y, x] = far
        for i, j, cost in steps:
            if 0 <= y + i < size[0] and 0 <= x + j < size[1]:
                heapq.heappush(waiting, (far + cost, y + i, x + j))
    found = distances(points)
    np.testing.assert_allclose(np.minimum(found, 20), np.minimum(expected, 20), atol=1e-9)


def test_water_only_adds_light_of_its_colour():
    more = spatter(PHOTO, WATERY, np.random.default_rng(0)) - PHOTO
    assert more.min() >= -1e-12
    np.testing.assert_allclose(more / WATER, (more / WATER)[:, :, :1].repeat(3, axis=2), atol=1e-12)
    assert (more / WATER).max() == pytest.approx(0.5)
    assert 0.05 < np.mean(more > 0) < 0.5


def test_mud_covers_and_leaves_the_rest_as_it_is():
    found = spatter(PHOTO, MUDDY, np.random.default_rng(0))
    clean = (found == PHOTO).all(axis=2)
    assert 0.5 < clean.mean() < 0.95
    # Where it is, at least four fifths are mud.
    assert np.abs(found - MUD)[~clean].max() <= 0.2
    assert np.abs(found - MUD).max(axis=2).min() < 1e-4


def test_without_drops_there_is_no_water():
    none = ("water", 0.0, 0.1, 2, 0.68, 0.5)
    np.testing.assert_array_equal(spatter(PHOTO, none, np.random.default_rng(0)), PHOTO)
