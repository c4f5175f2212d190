/* loadgen: sends one HTTP request over and over, on N connections at once, and times the answers.
 *
 *     cc -O2 -o loadgen loadgen.c
 *     ./loadgen -a 127.0.0.1:8400 -p /v1/chat/completions -b body.json -c 64 -w 0.5 -d 3 \
 *               -m word -H 'Authorization: Bearer k'
 *
 * Closed loop: a connection sends its next request when its answer is whole. Answers that end within
 * the -d seconds after the -w seconds of warm-up are measured. Then no more requests are sent, and
 * those under way are waited for (-g seconds at most), so that every request sent is also answered:
 * a gateway's bill can be held against `answered` exactly.
 *
 * -m MARK counts MARK in the body of answers (chunk framing taken off) and times the first: for a
 * mark that each streamed chunk holds once, these are chunks and the time to the first of them.
 *
 * Prints one line of JSON; times are microseconds:
 *   answered           whole answers with status 200, warm-up and wait at the end included
 *   marks_answered     marks in those answers
 *   failed             answers with another status, or cut short; first_error shows the first
 *   unfinished         requests still without an answer when the wait was over
 *   measured, requests_per_s, latency     whole answers in the measured time
 *   marks_per_s, first_mark               marks that came in the measured time
 *
 * One thread, one epoll. Exits 2 if nothing was measured.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define HEAD_MAX 65536
#define READ_MAX (1 << 18)
#define MARK_MAX 32
#define EVENTS_MAX 512

/* Where a response is in its body. The CHUNK states are those of HTTP's chunked transfer coding. */
enum framing { NO_HEAD_YET, BY_LENGTH, UNTIL_CLOSE, CHUNK_SIZE, CHUNK_EXTENSION, CHUNK_DATA, CHUNK_END, TRAILER };

struct connection {
    int descriptor; /* -1: not connected */
    int is_busy;    /* a request is sent and not yet answered */
    long sent_us, first_mark_us;
    char *head;
    size_t head_length;
    enum framing framing;
    int status, closes;
    long body_left;      /* of the body, or of the chunk at hand */
    size_t trailer_line; /* length of the trailer line at hand */
    char tail[MARK_MAX]; /* the last bytes, in case a mark is cut in two */
    size_t tail_length;
    long marks;
};

struct samples {
    long *values;
    size_t count, capacity;
};

static struct sockaddr_in address;
static char *request;
static size_t request_length;
static const char *mark;
static size_t mark_length;
static struct connection *connections;
static int poller, busy;
static long measure_from_us, measure_until_us;
static struct samples latencies, first_marks;
static long answered, marks_answered, failed, marks_measured;
static char first_error[400];

static long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static int is_measured(long at_us) {
    return at_us >= measure_from_us && at_us <= measure_until_us;
}

static void add(struct samples *s, long value) {
    if (s->count == s->capacity) {
        s->capacity = s->capacity ? s->capacity * 2 : 4096;
        s->values = realloc(s->values, s->capacity * sizeof *s->values);
    }
    s->values[s->count++] = value;
}

static int by_value(const void *a, const void *b) {
    long x = *(const long *)a, y = *(const long *)b;
    return (x > y) - (x < y);
}

static void note_error(const char *text, size_t length) {
    if (!first_error[0])
        snprintf(first_error, sizeof first_error, "%.*s", (int)(length < 380 ? length : 380), text);
}

static void hang_up(struct connection *c) {
    if (c->descriptor >= 0) close(c->descriptor);
    c->descriptor = -1;
}

static int dial(struct connection *c) {
    int one = 1;
    c->descriptor = socket(AF_INET, SOCK_STREAM, 0);
    if (connect(c->descriptor, (void *)&address, sizeof address)) {
        note_error(strerror(errno), 100);
        hang_up(c);
        return -1;
    }
    fcntl(c->descriptor, F_SETFL, O_NONBLOCK);
    setsockopt(c->descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    return epoll_ctl(poller, EPOLL_CTL_ADD, c->descriptor, &event);
}

static void fail(struct connection *c) {
    failed++;
    busy -= c->is_busy;
    c->is_busy = 0;
    hang_up(c);
}

/* Send the next request, unless time is up. A connection that can't be made is tried again later. */
static void send_request(struct connection *c) {
    if (now_us() >= measure_until_us) return;
    if (c->descriptor < 0 && dial(c)) return;
    c->head_length = 0;
    c->framing = NO_HEAD_YET;
    c->closes = 0;
    c->first_mark_us = 0;
    c->tail_length = 0;
    c->marks = 0;
    c->is_busy = 1;
    busy++;
    c->sent_us = now_us();
    for (size_t sent = 0; sent < request_length;) {
        ssize_t written = write(c->descriptor, request + sent, request_length - sent);
        if (written >= 0) {
            sent += written;
        } else if (errno == EAGAIN) {
            struct pollfd room = {.fd = c->descriptor, .events = POLLOUT};
            poll(&room, 1, 10);
        } else {
            note_error(strerror(errno), 100);
            fail(c);
            return;
        }
    }
}

/* An answer is whole: count it, and send the next request. */
static void finish(struct connection *c) {
    long now = now_us();
    busy--;
    c->is_busy = 0;
    if (c->status == 200) {
        answered++;
        marks_answered += c->marks;
        if (is_measured(now)) {
            add(&latencies, now - c->sent_us);
            if (c->first_mark_us) add(&first_marks, c->first_mark_us - c->sent_us);
        }
    } else {
        failed++;
    }
    if (c->closes) hang_up(c);
    send_request(c);
}

static void count_marks(struct connection *c, const char *bytes, size_t length) {
    if (!mark_length) return;
    long found = 0;
    /* A mark that began in the bytes before: what is kept of them is one byte short of a mark. */
    char seam[2 * MARK_MAX];
    size_t more = length < mark_length - 1 ? length : mark_length - 1;
    memcpy(seam, c->tail, c->tail_length);
    memcpy(seam + c->tail_length, bytes, more);
    if (memmem(seam, c->tail_length + more, mark, mark_length)) found++;
    const char *end = bytes + length, *at = bytes;
    while ((at = memmem(at, end - at, mark, mark_length))) {
        found++;
        at += mark_length;
    }
    size_t all = c->tail_length + more, keep = mark_length - 1;
    if (length >= keep) {
        memcpy(c->tail, end - keep, keep);
        c->tail_length = keep;
    } else {
        c->tail_length = all < keep ? all : keep;
        memmove(c->tail, seam + all - c->tail_length, c->tail_length);
    }
    if (!found) return;
    long now = now_us();
    c->marks += found;
    if (is_measured(now)) marks_measured += found;
    if (!c->first_mark_us) c->first_mark_us = now;
}

/* Take body bytes; returns 1 when the body is whole. */
static int take_body(struct connection *c, const char *bytes, size_t length) {
    const char *end = bytes + length;
    if (c->framing == BY_LENGTH && !c->body_left) return 1;
    while (bytes < end) {
        size_t take = end - bytes;
        char byte = *bytes;
        switch (c->framing) {
        case BY_LENGTH:
            count_marks(c, bytes, take);
            c->body_left -= take;
            return c->body_left <= 0;
        case CHUNK_DATA:
            if ((long)take > c->body_left) take = c->body_left;
            count_marks(c, bytes, take);
            c->body_left -= take;
            bytes += take;
            if (!c->body_left) c->framing = CHUNK_END;
            continue;
        case CHUNK_END:
            if (byte == '\n') c->framing = CHUNK_SIZE;
            break;
        case CHUNK_SIZE:
            if (byte >= '0' && byte <= '9')
                c->body_left = c->body_left * 16 + byte - '0';
            else if ((byte | 32) >= 'a' && (byte | 32) <= 'f')
                c->body_left = c->body_left * 16 + (byte | 32) - 'a' + 10;
            else if (byte == ';')
                c->framing = CHUNK_EXTENSION;
            /* fallthrough */
        case CHUNK_EXTENSION:
            if (byte == '\n') c->framing = c->body_left ? CHUNK_DATA : TRAILER;
            break;
        case TRAILER:
            if (byte == '\n' && !c->trailer_line) return 1;
            if (byte == '\n')
                c->trailer_line = 0;
            else if (byte != '\r')
                c->trailer_line++;
            break;
        default: /* UNTIL_CLOSE */
            count_marks(c, bytes, take);
            return 0;
        }
        bytes++;
    }
    return 0;
}

/* Read status and framing from a whole head. */
static void read_head(struct connection *c, const char *end) {
    c->status = atoi(c->head + 9);
    c->framing = UNTIL_CLOSE;
    c->body_left = 0;
    c->trailer_line = 0;
    for (const char *line = c->head; line < end;) {
        if (!strncasecmp(line, "content-length:", 15)) {
            c->framing = BY_LENGTH;
            c->body_left = atol(line + 15);
        } else if (!strncasecmp(line, "transfer-encoding: chunked", 26)) {
            c->framing = CHUNK_SIZE;
        } else if (!strncasecmp(line, "connection: close", 17)) {
            c->closes = 1;
        }
        line = (const char *)memchr(line, '\n', end + 4 - line) + 1;
    }
}

static void take_bytes(struct connection *c, const char *bytes, size_t length) {
    if (c->framing == NO_HEAD_YET) {
        if (c->head_length + length > HEAD_MAX) {
            /* A small head always ends within the first read; what is longer is no answer. */
            note_error("no end of the response's head within 64 KiB", 60);
            fail(c);
            return;
        }
        memcpy(c->head + c->head_length, bytes, length);
        c->head_length += length;
        c->head[c->head_length] = 0;
        const char *end = memmem(c->head, c->head_length, "\r\n\r\n", 4);
        if (!end) return;
        read_head(c, end);
        if (c->status != 200) note_error(c->head, c->head_length);
        size_t head_length = end + 4 - c->head;
        bytes = c->head + head_length;
        length = c->head_length - head_length;
    }
    if (take_body(c, bytes, length)) finish(c);
}

static void take_input(struct connection *c) {
    static char buffer[READ_MAX];
    /* Before the head is whole, only as much as fits beside it. */
    size_t room = c->framing == NO_HEAD_YET ? HEAD_MAX - c->head_length : READ_MAX;
    ssize_t got = read(c->descriptor, buffer, room);
    if (got > 0 && c->is_busy) {
        take_bytes(c, buffer, got);
        return;
    }
    if (got < 0 && errno == EAGAIN) return;
    if (c->is_busy && c->framing == UNTIL_CLOSE) {
        c->closes = 1;
        finish(c);
    } else if (c->is_busy) {
        note_error("connection closed before the answer was whole", 60);
        fail(c);
    } else {
        hang_up(c); /* an idle connection was closed: nothing is lost */
    }
}

static void print_percentiles(const char *name, struct samples *s) {
    if (!s->count) {
        printf(",\"%s\":null", name);
        return;
    }
    qsort(s->values, s->count, sizeof *s->values, by_value);
    double sum = 0;
    for (size_t i = 0; i < s->count; i++) sum += s->values[i];
    printf(",\"%s\":{\"count\":%zu,\"mean\":%.0f,\"p50\":%ld,\"p90\":%ld,\"p99\":%ld,\"max\":%ld}", name,
           s->count, sum / s->count, s->values[s->count / 2], s->values[s->count * 9 / 10],
           s->values[s->count * 99 / 100], s->values[s->count - 1]);
}

static void print_report(double seconds) {
    printf("{\"answered\":%ld,\"marks_answered\":%ld,\"failed\":%ld,\"unfinished\":%d,"
           "\"measured\":%zu,\"requests_per_s\":%.2f,\"marks_per_s\":%.1f",
           answered, marks_answered, failed, busy, latencies.count, latencies.count / seconds,
           marks_measured / seconds);
    print_percentiles("latency", &latencies);
    print_percentiles("first_mark", &first_marks);
    printf(",\"first_error\":\"");
    for (const char *p = first_error; *p; p++)
        putchar(*p == '"' || *p == '\\' ? '\'' : *p < 32 ? ' ' : *p);
    printf("\"}\n");
}

static char *read_file(const char *path, size_t *length) {
    FILE *file = fopen(path, "r");
    if (!file) {
        perror(path);
        exit(1);
    }
    char *bytes = malloc(1 << 24);
    *length = fread(bytes, 1, 1 << 24, file);
    fclose(file);
    return bytes;
}

int main(int count, char **arguments) {
    char host[64] = "127.0.0.1", headers[8192] = "";
    const char *path = "/v1/chat/completions", *body_file = NULL;
    int port = 8400, concurrency = 1, option;
    double measure_s = 5, warm_s = 1, grace_s = 20;
    while ((option = getopt(count, arguments, "a:p:b:c:d:w:g:m:H:")) != -1) switch (option) {
        case 'a': sscanf(optarg, "%63[^:]:%d", host, &port); break;
        case 'p': path = optarg; break;
        case 'b': body_file = optarg; break;
        case 'c': concurrency = atoi(optarg); break;
        case 'd': measure_s = atof(optarg); break;
        case 'w': warm_s = atof(optarg); break;
        case 'g': grace_s = atof(optarg); break;
        case 'm': mark = optarg; mark_length = strlen(optarg); break;
        case 'H':
            if (strlen(headers) + strlen(optarg) + 3 > sizeof headers) return 1;
            strcat(strcat(headers, optarg), "\r\n");
            break;
        default: return 1;
        }
    if (!body_file || mark_length > MARK_MAX) {
        fprintf(stderr, "usage: see the top of loadgen.c\n");
        return 1;
    }
    size_t body_length;
    char *body = read_file(body_file, &body_length);
    int head_length = asprintf(&request,
                               "POST %s HTTP/1.1\r\nHost: %s:%d\r\n"
                               "Content-Type: application/json\r\nContent-Length: %zu\r\n%s\r\n",
                               path, host, port, body_length, headers);
    request = realloc(request, head_length + body_length);
    memcpy(request + head_length, body, body_length);
    request_length = head_length + body_length;
    address = (struct sockaddr_in){.sin_family = AF_INET, .sin_port = htons(port)};
    inet_pton(AF_INET, host, &address.sin_addr);

    signal(SIGPIPE, SIG_IGN);
    poller = epoll_create1(0);
    measure_from_us = now_us() + (long)(warm_s * 1e6);
    measure_until_us = measure_from_us + (long)(measure_s * 1e6);
    long give_up_us = measure_until_us + (long)(grace_s * 1e6);
    connections = calloc(concurrency, sizeof *connections);
    for (int i = 0; i < concurrency; i++) {
        connections[i].descriptor = -1;
        connections[i].head = malloc(HEAD_MAX + 1);
        send_request(&connections[i]);
    }
    for (long now; (now = now_us()) < measure_until_us || (busy && now < give_up_us);) {
        struct epoll_event events[EVENTS_MAX];
        int ready = epoll_wait(poller, events, EVENTS_MAX, 20);
        for (int i = 0; i < ready; i++) take_input(events[i].data.ptr);
        if (!ready) /* connections that failed or were refused a while ago */
            for (int i = 0; i < concurrency; i++)
                if (!connections[i].is_busy) send_request(&connections[i]);
    }
    print_report(measure_s);
    return latencies.count ? 0 : 2;
}
