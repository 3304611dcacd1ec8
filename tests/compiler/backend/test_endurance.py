"""Artifacts in many threads for a while: the same numbers all the time, and nothing left behind."""

from __future__ import annotations

import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from convforge.compiler.pipeline import compile_graph
from convforge.runtime import Runtime

THREADS = 16
SECONDS = [
    pytest.param(1.5, id="a moment"),
    pytest.param(60.0, id="a minute", marks=pytest.mark.slow),
]
SANITIZE = ("-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-g", "-O1")

# THREADS threads take turns with two contexts, one of them a team of two, and make and drop others
# of their own meanwhile; any other bit than at first is an error. Prints the number of runs.
MAIN = r"""
#include "convforge.h"
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { CONTEXTS = 2, MOST = 4096 };

static cf_context *contexts[CONTEXTS];
static pthread_mutex_t locks[CONTEXTS];
static float input[MOST], first[CONTEXTS][MOST], answer[MOST];
static uint8_t rgb[3 * 40 * 30];
static atomic_long runs;
static time_t end;

static void same(const float *found, const float *expected, int count)
{
    if (memcmp(found, expected, sizeof(float) * (size_t)count))
        abort();
}

static void use(cf_context *context, int number)
{
    float output[MOST];
    if (!context || cf_run(context, input, output))
        abort();
    same(output, first[number], cf_output_floats());
    if (cf_predict(context, rgb, 40, 30, output))
        abort();
    same(output, answer, cf_classes());
    if (cf_predict(context, rgb, 0, 30, output) != CF_IMAGE_SIZE || cf_selftest(context))
        abort();
    atomic_fetch_add(&runs, 1);
}

static void *work(void *argument)
{
    for (int turn = *(int *)argument; time(NULL) < end; turn++) {
        const int number = turn % CONTEXTS;
        pthread_mutex_lock(&locks[number]);
        use(contexts[number], number);
        pthread_mutex_unlock(&locks[number]);
        if (turn % 8)
            continue;
        cf_context *own = cf_create_with(NULL, 1 + turn % 3);
        use(own, 0);
        cf_destroy(own);
    }
    return NULL;
}

int main(int count, char **arguments)
{
    const int threads = atoi(arguments[count - 2]);
    if (cf_input_floats() > MOST || cf_output_floats() > MOST)
        abort();
    for (int i = 0; i < cf_input_floats(); i++)
        input[i] = (float)(i % 17) / 8.0f - 1.0f;
    for (int i = 0; i < (int)sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 37);
    for (int i = 0; i < CONTEXTS; i++) {
        contexts[i] = cf_create_with(NULL, 1 + i);
        pthread_mutex_init(&locks[i], NULL);
        if (!contexts[i] || cf_run(contexts[i], input, first[i]))
            abort();
    }
    same(first[0], first[1], cf_output_floats());
    if (cf_predict(contexts[0], rgb, 40, 30, answer))
        abort();
    end = time(NULL) + atoi(arguments[count - 1]);
    pthread_t *handles = malloc(sizeof *handles * (size_t)threads);
    int *numbers = malloc(sizeof *numbers * (size_t)threads);
    for (int i = 0; i < threads; i++) {
        numbers[i] = i;
        if (pthread_create(&handles[i], NULL, work, &numbers[i]))
            abort();
    }
    for (int i = 0; i < threads; i++)
        pthread_join(handles[i], NULL);
    free(handles);
    free(numbers);
    for (int i = 0; i < CONTEXTS; i++) {
        cf_destroy(contexts[i]);
        pthread_mutex_destroy(&locks[i]);
    }
    printf("%ld\n", atomic_load(&runs));
    return 0;
}
"""


@pytest.mark.skipif(not shutil.which("gcc"), reason="no gcc")
@pytest.mark.parametrize("seconds", SECONDS)
def test_two_contexts_in_sixteen_threads_of_c_differ_in_no_bit_and_leak_nothing(
    zoo, make_card, baseline, tmp_path, monkeypatch, seconds
):
    monkeypatch.setenv("CC", "gcc")
    card = make_card(tuple("abcde"), shape=(3, 12, 12))
    compiled = compile_graph(zoo, card=card, target=baseline, flags=SANITIZE)
    (tmp_path / "net.so").write_bytes(compiled.library)
    (tmp_path / "convforge.h").write_bytes(compiled.sources["convforge.h"])
    (tmp_path / "main.c").write_text(MAIN)
    strict = ("-std=gnu11", "-Wall", "-Wextra", "-Werror", "-pthread")
    command = ["gcc", *strict, *SANITIZE, "main.c", "./net.so", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    done = subprocess.run(
        ["./main", str(THREADS), str(max(2, round(seconds)))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    # The address sanitizer fails a program that leaves memory behind.
    assert (done.returncode, done.stderr) == (0, "")
    assert int(done.stdout) > THREADS


@pytest.mark.parametrize("seconds", SECONDS)
def test_two_runtimes_in_sixteen_threads_of_python_differ_in_no_bit_and_leak_nothing(
    artifact_file, seconds
):
    runtimes = [Runtime(artifact_file), Runtime(artifact_file, threads=2)]
    generator = np.random.default_rng(0)
    images = [generator.integers(0, 256, (20 + i, 50 - i, 3), np.uint8) for i in range(4)]
    expected = runtimes[0].probabilities(images)
    x = generator.standard_normal((1, 1, 32, 32), np.float32)
    logits = runtimes[0].run(x)
    start = threading.Barrier(THREADS)

    def work(number: int) -> int:
        start.wait()
        runs = 0
        while time.monotonic() < end:
            runtime = runtimes[(number + runs) % 2]
            np.testing.assert_array_equal(runtime.probabilities(images), expected)
            np.testing.assert_array_equal(runtime.run(x), logits)
            runs += 1
        return runs

    before = 0
    for share in (0.3, 0.7):  # what the first threads need once is no leak
        end = time.monotonic() + share * seconds
        with ThreadPoolExecutor(THREADS) as pool:
            assert min(pool.map(work, range(THREADS))) >= 0
        grown = resident_bytes() - before
        before = resident_bytes()
    assert grown < 8 << 20, f"{grown} bytes more after {0.7 * seconds} s"


def resident_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) << 10 for line in lines if line.startswith("VmRSS"))
