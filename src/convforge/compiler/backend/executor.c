/* The executor: walks the table of steps, alone or as a team of threads.
 *
 * Threads claim the units of a step in pieces, so one that the system has taken off its core holds
 * up no more than the piece it has begun; the others take the rest. A step begins when all units of
 * the one before are done. Claims carry the number of the run: a thread that slept through a run
 * cannot claim anything of a later one by mistake. */

static void cf_walk_alone(const cf_step *steps, int first, int end, const cf_job *job,
                          int64_t *ends)
{
    for (int s = first; s < end; s++) {
        steps[s].run(job, 0, 0, steps[s].units);
        if (ends)
            ends[s] = cf_now();
    }
}

#if CF_MOST_THREADS > 1

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#if !defined(_WIN32)
#include <unistd.h>
#endif

#define CF_PIECES 4   /* in which a thread takes its share of a step */
#define CF_SPINS 4000 /* looks at a variable before the system is asked to wait: some 50 us */
#define CF_YIELDS 2000 /* times that a thread offers its core before it leaves it: some 500 us */

/* Units of one step, both as run << 32 | count; no two steps in one cache line. */
typedef struct {
    _Atomic uint64_t claimed, done;
    char unused[CF_ALIGNMENT - 2 * sizeof(uint64_t)];
} cf_progress;

typedef struct cf_team cf_team;

typedef struct {
    cf_team *team;
    int thread;
    pthread_t handle;
} cf_member;

struct cf_team {
    const cf_step *steps;
    cf_job job;
    int threads, started; /* the caller of cf_run is thread 0; `started` counts the others */
    long process;         /* that the others are of */
    _Atomic uint32_t run;
    _Atomic int stopped, sleeping;
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    cf_member members[CF_MOST_THREADS];
    cf_progress progress[CF_STEPS_COUNT];
};

static long cf_process(void)
{
#if defined(_WIN32)
    return 0;
#else
    return (long)getpid();
#endif
}

static void cf_pause(void)
{
#if defined(__x86_64__)
    __asm__ volatile("pause");
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

/* First unit of a piece of the run's step; -1 when none is left, or the run is over. */
static int cf_claim(cf_progress *progress, uint32_t run, int units, int piece)
{
    uint64_t seen = atomic_load_explicit(&progress->claimed, memory_order_relaxed);
    while (seen >> 32 == run && (int)(uint32_t)seen < units)
        if (atomic_compare_exchange_weak_explicit(&progress->claimed, &seen,
                                                  seen + (uint64_t)piece, memory_order_acquire,
                                                  memory_order_relaxed))
            return (int)(uint32_t)seen;
    return -1;
}

/* On which cores the other threads of a team may run: all that the caller may use but one of them,
 * or all where `but` is none. */
static void cf_allow_cores(cf_team *team, int but)
{
#if defined(__linux__)
    cpu_set_t cores;
    if (sched_getaffinity(0, sizeof cores, &cores))
        return;
    if (but >= 0 && CPU_COUNT(&cores) > 1)
        CPU_CLR(but, &cores);
    for (int i = 1; i <= team->started; i++)
        pthread_setaffinity_np(team->members[i].handle, sizeof cores, &cores);
#else
    (void)team;
    (void)but;
#endif
}

/* Waits on: at first as who is about to go on, then as who leaves its core to others. Whoever holds
 * the unit that is missing may be waiting for a core that another program has; it may have this one.
 * MobileNetV2 with two threads beside a program that spins: medians of 40, 6.2 ms and 11.7 before. */
static void cf_wait_a_little(cf_team *team, int thread, int spins)
{
    if (spins < CF_SPINS) {
        cf_pause();
    } else if (spins < CF_SPINS + CF_YIELDS) {
        sched_yield();
    } else {
        if (thread == 0 && spins == CF_SPINS + CF_YIELDS)
            cf_allow_cores(team, -1);
        nanosleep(&(struct timespec){0, 20000}, NULL);
    }
}

/* Returns when all units are done: 1, or 0 when another run has begun. */
static int cf_await(cf_team *team, cf_progress *progress, uint32_t run, int units, int thread)
{
    const uint64_t all = (uint64_t)run << 32 | (uint32_t)units;
    for (int spins = 0; atomic_load_explicit(&progress->done, memory_order_acquire) != all;) {
        if (atomic_load_explicit(&team->run, memory_order_relaxed) != run)
            return 0;
        cf_wait_a_little(team, thread, spins++);
    }
    return 1;
}

static void cf_walk(cf_team *team, uint32_t run, int thread, int64_t *ends)
{
    for (int s = 0; s < CF_STEPS_COUNT; s++) {
        cf_progress *progress = &team->progress[s];
        const int units = team->steps[s].units;
        const int pieces = team->threads * CF_PIECES;
        const int piece = (units + pieces - 1) / pieces;
        for (int begin; (begin = cf_claim(progress, run, units, piece)) >= 0;) {
            const int end = units - begin < piece ? units : begin + piece;
            team->steps[s].run(&team->job, thread, begin, end);
            atomic_fetch_add_explicit(&progress->done, (uint64_t)(end - begin),
                                      memory_order_release);
        }
        if (!cf_await(team, progress, run, units, thread))
            return;
        if (ends)
            ends[s] = cf_now();
    }
}

/* The number of a run after `run`, as soon as one begins: spins for it, then sleeps. */
static uint32_t cf_next_run(cf_team *team, uint32_t run)
{
    for (int spins = 0; spins < CF_SPINS && atomic_load(&team->run) == run; spins++)
        cf_pause();
    if (atomic_load(&team->run) == run) {
        pthread_mutex_lock(&team->mutex);
        atomic_fetch_add(&team->sleeping, 1);
        while (atomic_load(&team->run) == run)
            pthread_cond_wait(&team->wake, &team->mutex);
        atomic_fetch_sub(&team->sleeping, 1);
        pthread_mutex_unlock(&team->mutex);
    }
    return atomic_load(&team->run);
}

static void *cf_serve(void *argument)
{
    const cf_member *member = argument;
    uint32_t run = 0;
    for (;;) {
        run = cf_next_run(member->team, run);
        if (atomic_load(&member->team->stopped))
            return NULL;
        cf_walk(member->team, run, member->thread, NULL);
    }
}

/* Linux may wake a thread on the core of the one that wakes it, where it waits while another core
 * idles; so those that sleep are told to wake on any other. MobileNetV2 with two threads, medians of
 * 80 runs after pauses: 3.5 ms with this, 5.2 without, 6.1 with one thread (two cores of Zen 4). */
static void cf_wake_elsewhere(cf_team *team)
{
#if defined(__linux__)
    cf_allow_cores(team, sched_getcpu());
#else
    (void)team;
#endif
}

static void cf_begin_run(cf_team *team)
{
    atomic_fetch_add(&team->run, 1);
    if (atomic_load(&team->sleeping)) {
        cf_wake_elsewhere(team);
        pthread_mutex_lock(&team->mutex);
        pthread_cond_broadcast(&team->wake);
        pthread_mutex_unlock(&team->mutex);
    }
}

static void cf_team_stop(cf_team *team)
{
    /* Of another process, which forked this one, there are no threads here, and nobody to wait for. */
    if (team->threads < 2 || team->process != cf_process())
        return;
    atomic_store(&team->stopped, 1);
    cf_begin_run(team);
    for (int i = 1; i <= team->started; i++)
        pthread_join(team->members[i].handle, NULL);
    pthread_cond_destroy(&team->wake);
    pthread_mutex_destroy(&team->mutex);
}

/* Starts the other threads of a team whose memory is zero; 0 when the system has none to give. */
static int cf_team_start(cf_team *team, const cf_step *steps, int threads)
{
    team->steps = steps;
    team->threads = threads;
    team->process = cf_process();
    if (threads < 2)
        return 1;
    pthread_mutex_init(&team->mutex, NULL);
    pthread_cond_init(&team->wake, NULL);
    for (int i = 1; i < threads; i++) {
        team->members[i].team = team;
        team->members[i].thread = i;
        if (pthread_create(&team->members[i].handle, NULL, cf_serve, &team->members[i])) {
            cf_team_stop(team);
            return 0;
        }
        team->started = i;
    }
    return 1;
}

/* In a process that was forked, where a team has lost its threads: starts others, or goes on alone. */
static void cf_team_revive(cf_team *team)
{
    const cf_step *steps = team->steps;
    const int threads = team->threads;
    /* Its lock and its queue may be as a thread left them that is not here. */
    memset(team, 0, sizeof *team);
    if (!cf_team_start(team, steps, threads))
        team->threads = 1;
}

/* Runs the steps from `first` to before `end`; `ends`, if any, gets the time at which each was done. */
static void cf_execute(cf_team *team, int first, int end, const cf_job *job, int64_t *ends)
{
    if (team->threads > 1 && team->process != cf_process())
        cf_team_revive(team);
    if (team->threads < 2) {
        cf_walk_alone(team->steps, first, end, job, ends);
        return;
    }
    /* Nobody is inside a step now, and nobody can claim one before the new run has begun. */
    const uint32_t run = atomic_load(&team->run) + 1;
    team->job = *job;
    for (int s = 0; s < CF_STEPS_COUNT; s++) {
        /* Of a step that is not to run all units are done already. */
        const uint32_t units = s >= first && s < end ? 0 : (uint32_t)team->steps[s].units;
        const uint64_t begun = (uint64_t)run << 32 | units;
        atomic_store_explicit(&team->progress[s].done, begun, memory_order_relaxed);
        atomic_store_explicit(&team->progress[s].claimed, begun, memory_order_release);
    }
    cf_begin_run(team);
    cf_walk(team, run, 0, ends);
}

#else

typedef struct {
    const cf_step *steps;
} cf_team;

static int cf_team_start(cf_team *team, const cf_step *steps, int threads)
{
    team->steps = steps;
    return threads == 1;
}

static void cf_team_stop(cf_team *team)
{
    (void)team;
}

static void cf_execute(cf_team *team, int first, int end, const cf_job *job, int64_t *ends)
{
    cf_walk_alone(team->steps, first, end, job, ends);
}

#endif
