/* What the network's own source and the executor share: a network is a table of steps. */
#ifndef CF_STEPS_H
#define CF_STEPS_H

/* Everything that a step reads and writes; `workspaces` holds one workspace a thread. */
typedef struct {
    const float *input;
    float *output;
    char *arena;
    char *workspaces;
    const float *weights;
} cf_job;

/* One layer. `run` computes units begin to end - 1 of `units`, which do not depend on each other;
 * `thread` says whose workspace it may use. */
typedef struct {
    void (*run)(const cf_job *job, int thread, int begin, int end);
    int units;
} cf_step;

#endif
