/* Lets one call fail, or all from one on, of those by which a process and its children change files below a folder.
 *
 * Loaded before the C library (LD_PRELOAD), so that Python's, SQLite's, COLMAP's and OpenCV's calls are met alike. What is to
 * fail stands in a file that all processes map (SEG2D3D_WRITE_FAULTS names it; write_faults.py writes it). A write that fails
 * has written half of its bytes, and a stream that cannot be flushed loses its buffer, as on a disk that runs full.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdio_ext.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

struct control {
    long armed;      /* whether calls are counted at all */
    long count;      /* so many were made */
    long fail_at;    /* which one fails, from 1; 0 = none */
    long error;      /* with which errno */
    long persistent; /* whether all after it fail, too */
    long failed;     /* so many failed */
    char folder[1024], first[1024], list[1024]; /* below this; "call path" of the first that failed; a file to list all in */
};

static struct control *control;
#define REAL(name) __typeof__(&name) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

__attribute__((constructor)) static void begin(void)
{
    const char *path = getenv("SEG2D3D_WRITE_FAULTS");
    int fd = path ? (int)syscall(SYS_openat, AT_FDCWD, path, O_RDWR | O_CLOEXEC) : -1;
    if (fd < 0)
        return;
    void *mapped = mmap(NULL, sizeof(struct control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    control = mapped == MAP_FAILED ? NULL : mapped;
}

static void list(const char *line, size_t size)
{
    int fd = (int)syscall(SYS_openat, AT_FDCWD, control->list, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    if (fd >= 0) {
        syscall(SYS_write, fd, line, size);
        syscall(SYS_close, fd);
    }
}

/* Whether this call is to fail; errno says why. */
static int fails(const char *call, const char *path)
{
    if (!control || !control->armed || !path || strncmp(path, control->folder, strlen(control->folder)))
        return 0;
    long number = __sync_add_and_fetch(&control->count, 1);
    char line[PATH_MAX + 32];
    int size = snprintf(line, sizeof line, "%s %s\n", call, path);
    if (control->list[0])
        list(line, (size_t)size);
    if (!control->fail_at || number < control->fail_at || (number > control->fail_at && !control->persistent))
        return 0;
    if (__sync_add_and_fetch(&control->failed, 1) == 1)
        snprintf(control->first, sizeof control->first, "%s %s", call, path);
    errno = (int)control->error;
    return 1;
}

static const char *path_of(int fd, char *path)
{
    char link[64];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    int kept = errno;
    ssize_t size = readlink(link, path, PATH_MAX - 1);
    errno = kept;
    if (size < 0)
        return NULL;
    path[size] = 0;
    return path;
}

static int fd_fails(const char *call, int fd)
{
    char path[PATH_MAX];
    return control && control->armed && fails(call, path_of(fd, path));
}

static int at_fails(const char *call, int folder, const char *path)
{
    char whole[2 * PATH_MAX];
    if (!control || !control->armed || !path)
        return 0;
    if (path[0] == '/' || folder == AT_FDCWD || !path_of(folder, whole))
        return fails(call, path);
    size_t size = strlen(whole);
    snprintf(whole + size, sizeof whole - size, "/%s", path);
    return fails(call, whole);
}

#define WRITES(flags) ((flags) & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC))

#define OPEN(name)                                                        \
    int name(const char *path, int flags, ...)                            \
    {                                                                     \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        mode_t mode = va_arg(more, mode_t);                               \
        va_end(more);                                                     \
        REAL(name);                                                       \
        return WRITES(flags) && fails("open", path) ? -1 : real(path, flags, mode); \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                      \
    int name(int folder, const char *path, int flags, ...)                \
    {                                                                     \
        va_list more;                                                     \
        va_start(more, flags);                                            \
        mode_t mode = va_arg(more, mode_t);                               \
        va_end(more);                                                     \
        REAL(name);                                                       \
        return WRITES(flags) && at_fails("open", folder, path) ? -1 : real(folder, path, flags, mode); \
    }
OPENAT(openat)
OPENAT(openat64)

#define FOPEN(name)                                                       \
    FILE *name(const char *path, const char *mode)                        \
    {                                                                     \
        REAL(name);                                                       \
        return strpbrk(mode, "wa+") && fails("open", path) ? NULL : real(path, mode); \
    }
FOPEN(fopen)
FOPEN(fopen64)

ssize_t write(int fd, const void *data, size_t size)
{
    REAL(write);
    if (!fd_fails("write", fd))
        return real(fd, data, size);
    int error = errno;
    if (size > 1)
        real(fd, data, size / 2);
    errno = error;
    return -1;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    REAL(writev);
    return fd_fails("write", fd) ? -1 : real(fd, parts, count);
}

#define PWRITE(name, offset_type)                                         \
    ssize_t name(int fd, const void *data, size_t size, offset_type at)   \
    {                                                                     \
        REAL(name);                                                       \
        if (!fd_fails("write", fd))                                       \
            return real(fd, data, size, at);                              \
        int error = errno;                                                \
        if (size > 1)                                                     \
            real(fd, data, size / 2, at);                                 \
        errno = error;                                                    \
        return -1;                                                        \
    }
PWRITE(pwrite, off_t)
PWRITE(pwrite64, off64_t)

size_t fwrite(const void *data, size_t size, size_t count, FILE *file)
{
    REAL(fwrite);
    if (control && control->armed && fd_fails("write", fileno(file))) {
        file->_flags |= 0x20; /* ferror says so */
        return 0;
    }
    return real(data, size, count, file);
}

int fflush(FILE *file)
{
    REAL(fflush);
    if (file && control && control->armed && __fpending(file) && fd_fails("write", fileno(file))) {
        __fpurge(file);
        file->_flags |= 0x20;
        return EOF;
    }
    return real(file);
}

int fclose(FILE *file)
{
    REAL(fclose);
    if (control && control->armed && __fpending(file) && fd_fails("write", fileno(file))) {
        int error = errno;
        __fpurge(file);
        real(file);
        errno = error;
        return EOF;
    }
    return real(file);
}

#define ON_FD(name, call, declared, given)                                \
    int name declared                                                     \
    {                                                                     \
        REAL(name);                                                       \
        return fd_fails(call, fd) ? -1 : real given;                      \
    }
ON_FD(fsync, "fsync", (int fd), (fd))
ON_FD(fdatasync, "fsync", (int fd), (fd))
ON_FD(ftruncate, "truncate", (int fd, off_t size), (fd, size))
ON_FD(ftruncate64, "truncate", (int fd, off64_t size), (fd, size))

int posix_fallocate(int fd, off_t at, off_t size)
{
    REAL(posix_fallocate);
    return fd_fails("truncate", fd) ? errno : real(fd, at, size);
}

ssize_t sendfile(int fd, int from, off_t *at, size_t size)
{
    ssize_t (*real)(int, int, off_t *, size_t) = dlsym(RTLD_NEXT, "sendfile");
    return fd_fails("write", fd) ? -1 : real(fd, from, at, size);
}

ssize_t sendfile64(int fd, int from, off64_t *at, size_t size)
{
    ssize_t (*real)(int, int, off64_t *, size_t) = dlsym(RTLD_NEXT, "sendfile64");
    return fd_fails("write", fd) ? -1 : real(fd, from, at, size);
}

#define ON_PATH(name, call, declared, given)                              \
    int name declared                                                     \
    {                                                                     \
        REAL(name);                                                       \
        return fails(call, path) ? -1 : real given;                       \
    }
ON_PATH(mkdir, "mkdir", (const char *path, mode_t mode), (path, mode))
ON_PATH(rename, "rename", (const char *from, const char *path), (from, path))
ON_PATH(link, "link", (const char *from, const char *path), (from, path))

#define AT(name, call, declared, given)                                   \
    int name declared                                                     \
    {                                                                     \
        REAL(name);                                                       \
        return at_fails(call, folder, path) ? -1 : real given;            \
    }
AT(mkdirat, "mkdir", (int folder, const char *path, mode_t mode), (folder, path, mode))
AT(renameat, "rename", (int other, const char *from, int folder, const char *path), (other, from, folder, path))
AT(renameat2, "rename", (int other, const char *from, int folder, const char *path, unsigned flags),
   (other, from, folder, path, flags))

/* A full disk lets files be deleted; a failing one does not. */
#define DELETES() (control && control->armed && control->error == EIO)
int unlink(const char *path)
{
    REAL(unlink);
    return DELETES() && fails("delete", path) ? -1 : real(path);
}
int rmdir(const char *path)
{
    REAL(rmdir);
    return DELETES() && fails("delete", path) ? -1 : real(path);
}
int unlinkat(int folder, const char *path, int flags)
{
    REAL(unlinkat);
    return DELETES() && at_fails("delete", folder, path) ? -1 : real(folder, path, flags);
}
