/* A wall clock that is wrong by as many seconds as the file named by JUMPING_CLOCK says, from the next reading on. The monotonic clock stays true: no machine sets that.
 *
 * Nothing here allocates or looks up a symbol, so it may be called while the allocator of the program begins. (libfaketime
 * does both, and a program with an allocator of its own that reads the clock hangs in it before `main`.) */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

/* Times below are of the monotonic clock: seconds since the machine began, not since 1970. */
#define MONOTONIC_BELOW 1000000000

struct control {
    volatile int64_t wrong_by; /* Written by the test. */
    volatile int64_t told;     /* Written here: what the program was told last, for the test to see that it jumped. */
};

static struct control *control(void)
{
    static struct control *_Atomic mapped;
    if (!mapped) {
        const char *name = getenv("JUMPING_CLOCK");
        int file = name ? open(name, O_RDWR | O_CLOEXEC) : -1;
        if (file < 0)
            return NULL;
        void *at = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
        close(file);
        if (at == MAP_FAILED)
            return NULL;
        mapped = at;
    }
    return mapped;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
    int failed = syscall(SYS_clock_gettime, clock, time);
    if (failed || (clock != CLOCK_REALTIME && clock != CLOCK_REALTIME_COARSE))
        return failed;
    struct control *file = control();
    if (file) {
        time->tv_sec += file->wrong_by;
        file->told = time->tv_sec;
    }
    return 0;
}

int gettimeofday(struct timeval *time, void *zone)
{
    struct timespec now;
    (void)zone;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *into)
{
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now))
        return -1;
    if (into)
        *into = now.tv_sec;
    return now.tv_sec;
}

/* Waits until a time that was reckoned by the wrong clock, which the kernel does not know. */
int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex, const struct timespec *until)
{
    struct timespec true_time = *until;
    if (until->tv_sec < MONOTONIC_BELOW)
        return pthread_cond_clockwait(condition, mutex, CLOCK_MONOTONIC, until);
    struct control *file = control();
    if (file)
        true_time.tv_sec -= file->wrong_by;
    return pthread_cond_clockwait(condition, mutex, CLOCK_REALTIME, &true_time);
}
