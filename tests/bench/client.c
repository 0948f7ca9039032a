/*
 * The measuring end of the benchmark: sends bytes that were made beforehand and waits for
 * lines. It is loaded into Python as a shared library; each call measures many round trips,
 * so that no Python runs within one.
 *
 * Times are nanoseconds of CLOCK_MONOTONIC. Every function returns a negative number if the
 * connection broke (-1) or an answer was an error (-2).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define BUFFER (8 << 20)
#define BROKEN (-1)
#define REFUSED (-2)

static char buffer[BUFFER + 1];
static const char refusal[] = "\"error\": {\"class\"";

static int64_t now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int send_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = write(fd, data, size);
        if (sent <= 0)
            return BROKEN;
        data += sent;
        size -= sent;
    }
    return 0;
}

/* One answer per message, n times: ns[i] is from before the write to the end of the line. */
int bench_rounds(int fd, const char *message, size_t size, int n, int64_t *ns)
{
    for (int i = 0; i < n; i++) {
        size_t have = 0;
        int64_t start = now();
        if (send_all(fd, message, size))
            return BROKEN;
        do {
            ssize_t got = read(fd, buffer + have, BUFFER - have);
            if (got <= 0)
                return BROKEN;
            have += got;
        } while (buffer[have - 1] != '\n');
        ns[i] = now() - start;
        if (memmem(buffer, have, refusal, sizeof refusal - 1))
            return REFUSED;
    }
    return 0;
}

/* Send everything as fast as it is taken, read meanwhile, until that many lines are there. */
int64_t bench_pipeline(int fd, const char *data, size_t size, long lines)
{
    struct pollfd watched = { .fd = fd };
    int64_t start = now();
    while (lines > 0) {
        watched.events = POLLIN | (size ? POLLOUT : 0);
        if (poll(&watched, 1, -1) < 0)
            return BROKEN;
        if (watched.revents & POLLOUT) {
            ssize_t sent = write(fd, data, size);
            if (sent < 0 && errno != EAGAIN)
                return BROKEN;
            if (sent > 0) {
                data += sent;
                size -= sent;
            }
        }
        if (watched.revents & ~POLLOUT) {
            ssize_t got = read(fd, buffer, BUFFER);
            if (got <= 0)
                return BROKEN;
            for (char *at = buffer; (at = memchr(at, '\n', buffer + got - at)); at++)
                lines--;
        }
    }
    return now() - start;
}

/*
 * Send `command`; then ask `query` every `pause` ns until a line contains `end`; without a
 * query just wait. The messages must have the ids "command" and "query". ns[i] is the time of
 * the i-th answer to `query`; `total` is from the command to `end`. Returns the number of
 * answers, when nothing more is to come.
 */
int bench_watch(int fd, const char *command, size_t command_size,
                const char *query, size_t query_size, const char *end,
                int64_t pause, int64_t *ns, int room, int64_t *total)
{
    const struct timespec nap = { pause / 1000000000, pause % 1000000000 };
    int64_t start = now(), asked = 0;
    size_t have = 0;
    int count = 0, answered = 0;

    *total = 0;
    if (send_all(fd, command, command_size))
        return BROKEN;
    while (!*total || !answered || asked) {
        char *line_end;
        if (query_size && !asked && !*total && count < room) {
            asked = now();
            if (send_all(fd, query, query_size))
                return BROKEN;
        }
        while (!(line_end = memchr(buffer, '\n', have))) {
            ssize_t got = read(fd, buffer + have, BUFFER - have);
            if (got <= 0)
                return BROKEN;
            have += got;
        }
        *line_end = 0;
        if (strstr(buffer, refusal))
            return REFUSED;
        if (strstr(buffer, "\"id\": \"query\"")) {
            ns[count++] = now() - asked;
            asked = 0;
            if (!*total)
                nanosleep(&nap, NULL);
        } else if (strstr(buffer, "\"id\": \"command\"")) {
            answered = 1;
        } else if (strstr(buffer, end)) {
            *total = now() - start;
        }
        have -= line_end + 1 - buffer;
        memmove(buffer, line_end + 1, have);
    }
    return count;
}
