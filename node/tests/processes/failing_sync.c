/* Lets fsync and fdatasync fail with EIO once the file named by FAILING_SYNC exists. Loaded by LD_PRELOAD. */

#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
    const char *control = getenv("FAILING_SYNC");
    return control && access(control, F_OK) == 0;
}

static int call(const char *name, int file) {
    int saved = errno;
    if (fails()) {
        errno = EIO;
        return -1;
    }
    errno = saved;
    int (*real)(int) = (int (*)(int))dlsym(RTLD_NEXT, name);
    return real(file);
}

int fsync(int file) { return call("fsync", file); }
int fdatasync(int file) { return call("fdatasync", file); }
