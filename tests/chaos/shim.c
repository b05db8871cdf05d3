/* Count what a process changes below a folder, and let the n-th change fail or end the process.

   Preloaded by chaos/process.py. Nothing happens before chaos_arm is called. Counted: files opened for writing,
   writes to them, and folders and files made, renamed and removed. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

enum { FDS = 65536 };
static _Atomic long left, counted;
static int armed, sign, error, sticky;
static char root[4096];
static char ours[FDS];

/* n: of the change. signal_number: sent before it, if not 0. error_number: the change fails with it, if not 0.
   is_sticky: so do all changes after it that need space or permission. */
void chaos_arm(const char *below, long n, int signal_number, int error_number, int is_sticky) {
    strncpy(root, below, sizeof root - 1);
    left = n;
    counted = 0;
    sign = signal_number;
    error = error_number;
    sticky = is_sticky;
    armed = 1;
}

long chaos_count(void) { return counted; }

static int below(const char *path) { return path && root[0] && strncmp(path, root, strlen(root)) == 0; }

/* Count a change; return whether it must fail. needs: whether it needs space or permission. */
static int point(int needs) {
    counted++;
    long before = left--;
    if (before == 1) {
        if (sign) kill(getpid(), sign);
        if (error) { errno = error; return 1; }
    } else if (before < 1 && sticky && error && needs) {
        errno = error;
        return 1;
    }
    return 0;
}

#define REAL(type, name, ...) \
    static type (*real)(__VA_ARGS__); \
    if (!real) real = (type(*)(__VA_ARGS__))dlsym(RTLD_NEXT, #name)

static int is_change(int flags) { return (flags & (O_WRONLY | O_RDWR | O_CREAT)) != 0; }

static int kept(int fd, int mine) {
    if (fd >= 0 && fd < FDS) ours[fd] = (char)mine;
    return fd;
}

#define OPEN(name) \
    int name(const char *path, int flags, ...) { \
        REAL(int, name, const char *, int, ...); \
        va_list list; va_start(list, flags); mode_t mode = (mode_t)va_arg(list, int); va_end(list); \
        int mine = armed && is_change(flags) && below(path); \
        if (mine && point(1)) return -1; \
        return kept(real(path, flags, mode), mine); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name) \
    int name(int folder, const char *path, int flags, ...) { \
        REAL(int, name, int, const char *, int, ...); \
        va_list list; va_start(list, flags); mode_t mode = (mode_t)va_arg(list, int); va_end(list); \
        int mine = armed && is_change(flags) && below(path); \
        if (mine && point(1)) return -1; \
        return kept(real(folder, path, flags, mode), mine); \
    }
OPENAT(openat)
OPENAT(openat64)

static int written(int fd) { return armed && fd >= 0 && fd < FDS && ours[fd]; }

ssize_t write(int fd, const void *data, size_t n) {
    REAL(ssize_t, write, int, const void *, size_t);
    if (written(fd) && point(1)) return -1;
    return real(fd, data, n);
}
ssize_t writev(int fd, const struct iovec *parts, int n) {
    REAL(ssize_t, writev, int, const struct iovec *, int);
    if (written(fd) && point(1)) return -1;
    return real(fd, parts, n);
}
ssize_t pwrite(int fd, const void *data, size_t n, off_t at) {
    REAL(ssize_t, pwrite, int, const void *, size_t, off_t);
    if (written(fd) && point(1)) return -1;
    return real(fd, data, n, at);
}
ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at) {
    REAL(ssize_t, pwrite64, int, const void *, size_t, off64_t);
    if (written(fd) && point(1)) return -1;
    return real(fd, data, n, at);
}
int rename(const char *from, const char *to) {
    REAL(int, rename, const char *, const char *);
    if (armed && below(to) && point(1)) return -1;
    return real(from, to);
}
int mkdir(const char *path, mode_t mode) {
    REAL(int, mkdir, const char *, mode_t);
    if (armed && below(path) && point(1)) return -1;
    return real(path, mode);
}
int unlink(const char *path) {
    REAL(int, unlink, const char *);
    if (armed && below(path) && point(0)) return -1;
    return real(path);
}
int unlinkat(int folder, const char *path, int flags) {
    REAL(int, unlinkat, int, const char *, int);
    if (armed && (folder != AT_FDCWD || below(path)) && point(0)) return -1;
    return real(folder, path, flags);
}
int rmdir(const char *path) {
    REAL(int, rmdir, const char *);
    if (armed && below(path) && point(0)) return -1;
    return real(path);
}
