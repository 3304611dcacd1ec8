"""The C interface from C and C++: with sanitizers, and held against Python's runtime."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace

import numpy as np
import pytest

from convforge.compiler.backend.package import save_artifact
from convforge.compiler.backend.target import native
from convforge.compiler.backend.toolchain import units
from convforge.compiler.ir.graph import Node
from convforge.compiler.pipeline import compile_graph
from convforge.runtime import Runtime

SANITIZERS = ("address,undefined", "thread")

# Prints the logits of a fixed input and the probabilities of a fixed image at every level, and
# uses all of the interface, refusals included.
MAIN = r"""
#include "convforge.h"
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LARGEST (3 * 300 * 7)
static const int SIZES[][2] = {{1, 1}, {7, 300}, {300, 7}, {33, 33}};

static void print(const char *what, const char *level, const float *values)
{
    printf("%s %s", what, level);
    for (int i = 0; i < cf_classes(); i++)
        printf(" %a", (double)values[i]);
    printf("\n");
}

static int use(cf_context *context, int threads)
{
    if (!context)
        return 0;
    if (cf_threads(context) != threads || cf_context_bytes(context) <= 0)
        abort();
    float *input = malloc(sizeof(float) * (size_t)cf_input_floats());
    float *prepared = malloc(sizeof(float) * (size_t)cf_input_floats());
    float *result = malloc(sizeof(float) * (size_t)cf_classes());
    uint8_t *rgb = malloc(LARGEST);
    int64_t *spent = malloc(sizeof(int64_t) * (size_t)cf_layers());
    if (!input || !result || !rgb || !spent)
        abort();
    for (int i = 0; i < cf_input_floats(); i++)
        input[i] = (float)(i % 17) / 8.0f - 1.0f;
    for (int i = 0; i < LARGEST; i++)
        rgb[i] = (uint8_t)(i * 37);
    for (int repeat = 0; repeat < 2; repeat++) {
        if (cf_run(context, input, result) != CF_OK)
            abort();
        print("logits", cf_level_name(context), result);
        if (cf_profile(context, input, result, spent) != CF_OK)
            abort();
        print("logits", cf_level_name(context), result);
        for (int i = 0; i < cf_layers(); i++)
            if (spent[i] < 0 || !cf_layer_name(i)[0] || !cf_layer_kernel(i)[0] ||
                cf_layer_macs(i) < 0)
                abort();
        for (int i = 0; i < cf_layers(); i++) {
            float *maps = malloc((size_t)cf_layer_floats(i) * sizeof *maps);
            if (cf_feature_maps(context, input, i, maps) != CF_OK || cf_layer_facts(i)[0] != '{')
                abort();
            free(maps);
        }
        if (cf_feature_maps(context, input, -1, result) != CF_NO_LAYER ||
            cf_feature_maps(context, input, cf_layers(), result) != CF_NO_LAYER)
            abort();
        const int32_t *cam = cf_grad_cam_shape();
        float *heat = malloc(sizeof(float) * (size_t)(cam[0] * cam[1]));
        if (!cam[0] || cam[2] || cf_grad_cam(context, input, 0, heat) != CF_OK ||
            cf_grad_cam(context, input, -1, heat) != CF_NO_OUTPUT ||
            cf_grad_cam(context, input, cf_output_floats(), heat) != CF_NO_OUTPUT)
            abort();
        free(heat);
        if (cf_selftest(context) != CF_OK)
            abort();
        if (cf_predict(context, rgb, 7, 5, result) != CF_OK)
            abort();
        print("probabilities", cf_level_name(context), result);
        /* pixels at the very end of their memory, so that one too many is an error */
        for (int k = 0; k < 4; k++)
            if (cf_predict(context, rgb + LARGEST - 3 * SIZES[k][0] * SIZES[k][1], SIZES[k][0],
                           SIZES[k][1], result) != CF_OK)
                abort();
        if (cf_predict(context, rgb, 0, 5, result) != CF_IMAGE_SIZE)
            abort();
        if (cf_preprocess_image(context, rgb, 7, 5, prepared) != CF_OK ||
            cf_preprocess_image(context, rgb, 0, 5, prepared) != CF_IMAGE_SIZE)
            abort();
        if (cf_predict(context, rgb, 7, 1 << 30, result) != CF_IMAGE_SIZE)
            abort();
    }
    free(input);
    free(prepared);
    free(result);
    free(rgb);
    free(spent);
    cf_destroy(context);
    return 1;
}

int main(int count, char **levels)
{
    if (cf_abi() != CF_ABI || cf_card()[0] != '{')
        abort();
    if (cf_layer_name(-1) || cf_layer_name(cf_layers()) || cf_layer_kernel(-1) ||
        cf_layer_macs(cf_layers()) || cf_layer_facts(-1) || cf_layer_floats(-1))
        abort();
    const int32_t *takes = cf_input_shape(), *gives = cf_output_shape();
    if (takes[0] != 1 || takes[1] != 3 || takes[2] != 12 || takes[3] != 12 || takes[4])
        abort();
    if (gives[0] != 1 || gives[1] != cf_classes() || gives[2] || cf_output_floats() != gives[1])
        abort();
    if (cf_create_with("no such level", 1) || cf_create_with(NULL, 65) || cf_create_with(NULL, -1))
        abort();
    if (!use(cf_create(), 2) || !use(cf_create_with(NULL, 1), 1))
        abort();
    cf_destroy(NULL);
    for (int i = 1; i < count; i++)
        for (int threads = 1; threads <= 3; threads++)
            use(cf_create_with(levels[i], threads), threads);
    return 0;
}
"""


@pytest.fixture
def card(make_card):
    return make_card(tuple("abcde"), shape=(3, 12, 12))


def parse(stdout):
    """{(what, level): values}; both repetitions must be the same."""
    found = {}
    for line in stdout.splitlines():
        what, level, *values = line.split()
        row = [float.fromhex(value) for value in values]
        assert found.setdefault((what, level), row) == row
    return found


def input_of_main():
    return np.float32(np.arange(432) % 17).reshape(1, 3, 12, 12) / np.float32(8) - np.float32(1)


def image_of_main():
    return np.uint8(np.arange(105) * 37 % 256).reshape(5, 7, 3)


def with_head(graph):
    """From the last branches on the layers are named as those of a head."""
    start = [node.name for node in graph.nodes].index("shares")
    names = {node.name: f"head.{node.name}" for node in graph.nodes[start:]}
    nodes = tuple(
        replace(
            node,
            name=names.get(node.name, node.name),
            inputs=tuple(names.get(name, name) for name in node.inputs),
        )
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes, output=names[graph.output])


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("sanitizers", SANITIZERS)
def test_a_c_program_gets_the_same_numbers_without_a_sanitizers_complaint(
    zoo, card, sanitizers, tmp_path
):
    target = native()
    compiled = compile_graph(with_head(zoo), card=card, target=target, threads=2)
    sanitize = (f"-fsanitize={sanitizers}", "-fno-sanitize-recover=all", "-g", "-O1")
    for name, content in compiled.sources.items():
        (tmp_path / name).write_bytes(content)
    (tmp_path / "main.c").write_text(MAIN)
    strict = ("-std=c11", "-Wall", "-Wextra", "-Werror", "-pedantic")
    jobs = [
        ["main.c", "main.o", *strict],
        *([u.source, u.object, *u.flags] for u in units(target, compiled.sources)),
    ]
    running = [
        subprocess.Popen(["gcc", *flags, *sanitize, "-c", source, "-o", made], cwd=tmp_path)
        for source, made, *flags in jobs
    ]
    assert [process.wait() for process in running] == [0] * len(jobs)
    link = ["gcc", *sanitize, *(made for _, made, *_ in jobs), "-o", "main", "-lm", "-pthread"]
    subprocess.run(link, cwd=tmp_path, check=True)
    levels = [level.name for level in target.levels]
    done = subprocess.run(
        ["./main", *levels], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")

    save_artifact(compiled.library, tmp_path / "net.so")
    found = parse(done.stdout)
    assert ("logits", "baseline") in found
    for (what, level), values in found.items():
        runtime = Runtime(tmp_path / "net.so", level=level)
        if what == "logits":
            expected = runtime.logits(input_of_main())[0]
        else:
            expected = runtime.probabilities([image_of_main()])[0]
        np.testing.assert_allclose(values, expected, rtol=1e-5, atol=1e-6)


@pytest.mark.skipif(not shutil.which("g++"), reason="no g++")
def test_the_header_is_cpp_too(zoo, card, baseline, tmp_path):
    compiled = compile_graph(zoo, card=card, target=baseline)
    (tmp_path / "convforge.h").write_bytes(compiled.sources["convforge.h"])
    (tmp_path / "user.cpp").write_text(
        '#include "convforge.h"\nint main() { return cf_abi() == CF_ABI ? CF_OK : 1; }\n'
    )
    flags = ("-std=c++11", "-Wall", "-Wextra", "-Werror", "-pedantic", "-fsyntax-only")
    subprocess.run(["g++", *flags, "user.cpp"], cwd=tmp_path, check=True)


@pytest.mark.skipif(not shutil.which("nm"), reason="no nm")
def test_the_library_shows_its_interface_and_nothing_else(zoo, card, baseline, tmp_path):
    compiled = compile_graph(zoo, card=card, target=baseline)
    (tmp_path / "net.so").write_bytes(compiled.library)
    done = subprocess.run(
        ["nm", "-D", "--defined-only", "net.so"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    shown = {line.split()[-1] for line in done.stdout.splitlines()}
    header = compiled.sources["convforge.h"].decode()
    declared = {
        line.split("(")[0].split()[-1].lstrip("*")
        for line in header.splitlines()
        if line.startswith("CF_API")
    }
    assert shown - {"_init", "_fini"} == declared


BARE = r"""
#include "convforge.h"
#include <stdio.h>

int main(void)
{
    uint8_t rgb[3 * 4 * 4] = {0};
    static float input[2 * 3 * 5 * 4], output[2 * 6];
    cf_context *context = cf_create();
    if (!context || cf_card() || cf_classes())
        return 1;
    for (const int32_t *length = cf_input_shape(); *length; length++)
        printf("%d ", (int)*length);
    for (const int32_t *length = cf_output_shape(); *length; length++)
        printf("%d ", (int)*length);
    if (cf_predict(context, rgb, 4, 4, output) != CF_NO_PREPROCESSING)
        return 2;
    if (cf_selftest(context) != CF_OK || cf_run(context, input, output) != CF_OK)
        return 3;
    cf_destroy(context);
    return 0;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_a_bare_network_takes_tensors_and_refuses_images(make_graph, draw, baseline, tmp_path):
    nodes = (
        Node("flat", "reshape", ("x",), {"shape": (2, 60)}),
        Node("y", "linear", ("flat", "w")),
    )
    graph = make_graph(*nodes, shape=(2, 3, 5, 4), w=draw(6, 60))
    compiled = compile_graph(graph, target=baseline)
    (tmp_path / "net.so").write_bytes(compiled.library)
    (tmp_path / "convforge.h").write_bytes(compiled.sources["convforge.h"])
    (tmp_path / "main.c").write_text(BARE)
    command = ["gcc", "-std=c11", "-Wall", "-Werror", "main.c", "./net.so", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./main"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "2 3 5 4 2 6 ")


# Linked with one artifact, opens another, whose path it is given.
TWO = r"""
#include "convforge.h"
#include <dlfcn.h>
#include <stdio.h>

int main(int count, char **paths)
{
    cf_context *mine = cf_create();
    void *other = count == 2 ? dlopen(paths[1], RTLD_NOW | RTLD_LOCAL) : NULL;
    if (!mine || !other)
        return 1;
    __typeof__(cf_create) *create = dlsym(other, "cf_create");
    __typeof__(cf_context_bytes) *bytes = dlsym(other, "cf_context_bytes");
    __typeof__(cf_selftest) *selftest = dlsym(other, "cf_selftest");
    __typeof__(cf_create_with) *create_with = dlsym(other, "cf_create_with");
    cf_context *its = create(), *same = create_with(NULL, 0);
    if (cf_selftest(mine) != CF_OK || bytes(its) != bytes(same))
        return 2;
    return selftest(its) == CF_OK && selftest(same) == CF_OK ? 0 : 3;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_a_c_program_may_have_two_artifacts(compiled_small, make_graph, draw, baseline, tmp_path):
    sources, _, built = compiled_small
    nodes = (Node("y", "linear", ("x", "w")),)
    graph = make_graph(*nodes, shape=(1, 4), w=draw(3, 4))
    tiny = compile_graph(graph, target=baseline).library
    (tmp_path / "tiny.so").write_bytes(tiny)
    (tmp_path / "large.so").write_bytes(built.read_bytes())
    (tmp_path / "convforge.h").write_bytes(sources["convforge.h"])
    (tmp_path / "two.c").write_text(TWO)
    command = ["gcc", "-std=gnu11", "-Wall", "-Werror", "two.c", "./tiny.so", "-o", "two", "-ldl"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(["./two", "./large.so"], cwd=tmp_path, check=False)
    assert done.returncode == 0


# Its clock of the day is looked up in this program, and is set back all the time.
SET_BACK = r"""
#include "convforge.h"
#include <stdlib.h>
#include <time.h>

static time_t today = 1000000;

int timespec_get(struct timespec *now, int base)
{
    *now = (struct timespec){today--, 0};
    return base;
}

int main(void)
{
    struct timespec now;
    float *input = calloc((size_t)cf_input_floats(), sizeof *input);
    float *output = calloc((size_t)cf_output_floats(), sizeof *output);
    int64_t *spent = calloc((size_t)cf_layers(), sizeof *spent);
    cf_context *context = cf_create();
    if (!timespec_get(&now, TIME_UTC) || !input || !output || !spent || !context)
        return 1;
    if (cf_profile(context, input, output, spent) != CF_OK)
        return 2;
    for (int i = 0; i < cf_layers(); i++)
        if (spent[i] < 0)
            return 3;
    return 0;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
def test_a_profile_is_of_a_clock_that_nobody_sets(compiled_small, tmp_path):
    sources, _, built = compiled_small
    (tmp_path / "net.so").write_bytes(built.read_bytes())
    (tmp_path / "convforge.h").write_bytes(sources["convforge.h"])
    (tmp_path / "main.c").write_text(SET_BACK)
    command = ["gcc", "-std=gnu11", "-Wall", "-Werror", "main.c", "./net.so", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    assert subprocess.run(["./main"], cwd=tmp_path, check=False).returncode == 0
