/* mock_upstream: an OpenAI-compatible server that costs next to nothing, for measuring gateways.
 *
 *     cc -O2 -o mock_upstream mock_upstream.c && ./mock_upstream 9100
 *
 * POST, any path   a chat.completion of about 1 KB; or, if the body asks for "stream": true,
 *                  server-sent events: content chunks, a finish chunk, a usage chunk, [DONE].
 * GET, any path    a list of one model, with what the routers ask a new server for.
 *
 * The text of a prompt steers the answer:
 *     pace=N     N milliseconds before the first chunk and between chunks (else all at once)
 *     chunks=N   how many content chunks, at most 64 (else 64); each is one word, "word07 "
 *
 * One thread, one epoll. Requests with Content-Length or chunked bodies; no pipelining. Clients are
 * trusted: this is a test's counterpart on a loopback address, not a server.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define CHUNKS_MAX 64
#define DESCRIPTORS_MAX 65536
#define EVENTS_MAX 512
#define READ_MIN 16384

struct text {
    char *bytes;
    size_t length;
};

/* One connection, found by its file descriptor. */
struct connection {
    char *input; /* what has come of the request so far */
    size_t input_length, input_capacity;
    char *output; /* what the socket would not take yet */
    size_t output_length, output_sent;
    int is_paced; /* a paced stream is under way */
    int chunks, chunk_next, pace_ms;
    long due_us; /* when the next chunk is to go */
};

static struct connection connections[DESCRIPTORS_MAX];
static int paced[DESCRIPTORS_MAX]; /* descriptors with a paced stream under way */
static int paced_count;
static int poller;

/* Every byte that is ever sent, made once. */
static struct text stream_head, content[CHUNKS_MAX], ending[CHUNKS_MAX + 1], plain, models;

static long now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000000L + t.tv_nsec / 1000;
}

static struct text text_of(const char *string) {
    return (struct text){strdup(string), strlen(string)};
}

static void append(struct text *to, struct text more) {
    to->bytes = realloc(to->bytes, to->length + more.length + 1);
    memcpy(to->bytes + to->length, more.bytes, more.length);
    to->length += more.length;
    to->bytes[to->length] = 0;
}

/* A chunk of HTTP's chunked transfer coding. */
static struct text framed(const char *data) {
    struct text t;
    t.length = asprintf(&t.bytes, "%zx\r\n%s\r\n", strlen(data), data);
    return t;
}

static struct text json_answer(const char *body) {
    struct text t;
    t.length = asprintf(&t.bytes,
                        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
                        "Content-Length: %zu\r\n\r\n%s",
                        strlen(body), body);
    return t;
}

static void make_plain(void) {
    const char *sentence = "The gateway answered this fixed sentence so that every run is the same. ";
    struct text words = text_of("");
    while (words.length < 560) append(&words, text_of(sentence));
    char *body;
    if (asprintf(&body,
                 "{\"id\":\"chatcmpl-mock0000000000000000000000001\",\"object\":\"chat.completion\","
                 "\"created\":1760000000,\"model\":\"mock\",\"choices\":[{\"index\":0,\"message\":"
                 "{\"role\":\"assistant\",\"content\":\"%s\",\"refusal\":null},\"logprobs\":null,"
                 "\"finish_reason\":\"stop\"}],\"usage\":{\"prompt_tokens\":123,"
                 "\"completion_tokens\":128,\"total_tokens\":251,\"prompt_tokens_details\":"
                 "{\"cached_tokens\":0},\"completion_tokens_details\":{\"reasoning_tokens\":0}},"
                 "\"system_fingerprint\":\"fp_mock\"}",
                 words.bytes) < 0)
        abort();
    plain = json_answer(body);
}

static void make_stream(void) {
    const char *head = "data: {\"id\":\"chatcmpl-mock0000000000000000000000001\","
                       "\"object\":\"chat.completion.chunk\",\"created\":1760000000,"
                       "\"model\":\"mock\",\"system_fingerprint\":\"fp_mock\",\"choices\":";
    char line[1024];
    stream_head = text_of("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                          "Cache-Control: no-cache\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < CHUNKS_MAX; i++) {
        snprintf(line, sizeof line,
                 "%s[{\"index\":0,\"delta\":{%s\"content\":\"word%02d \"},\"logprobs\":null,"
                 "\"finish_reason\":null}]}\n\n",
                 head, i ? "" : "\"role\":\"assistant\",", i);
        content[i] = framed(line);
    }
    for (int chunks = 0; chunks <= CHUNKS_MAX; chunks++) {
        struct text *end = &ending[chunks];
        snprintf(line, sizeof line,
                 "%s[{\"index\":0,\"delta\":{},\"logprobs\":null,\"finish_reason\":\"stop\"}]}\n\n",
                 head);
        append(end, framed(line));
        snprintf(line, sizeof line,
                 "%s[],\"usage\":{\"prompt_tokens\":123,\"completion_tokens\":%d,"
                 "\"total_tokens\":%d}}\n\n",
                 head, chunks, 123 + chunks);
        append(end, framed(line));
        append(end, framed("data: [DONE]\n\n"));
        append(end, text_of("0\r\n\r\n"));
    }
}

/* vllm-router and sglang-router take members of this for the server's health and limits. */
static void make_models(void) {
    models = json_answer("{\"object\":\"list\",\"data\":[{\"id\":\"mock\",\"object\":\"model\","
                         "\"created\":1760000000,\"owned_by\":\"mock\",\"max_model_len\":131072}],"
                         "\"status\":\"ok\",\"model_path\":\"mock\",\"served_model_name\":\"mock\","
                         "\"tokenizer_path\":\"mock\",\"is_generation\":true,\"dp_size\":1,"
                         "\"tp_size\":1,\"version\":\"0.0\"}");
}

static void watch(int descriptor, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.fd = descriptor};
    epoll_ctl(poller, operation, descriptor, &event);
}

static void unpace(int descriptor) {
    for (int i = 0; i < paced_count; i++)
        if (paced[i] == descriptor) {
            paced[i] = paced[--paced_count];
            break;
        }
    connections[descriptor].is_paced = 0;
}

static void drop(int descriptor) {
    struct connection *c = &connections[descriptor];
    if (c->is_paced) unpace(descriptor);
    close(descriptor);
    free(c->output);
    c->output = NULL;
    c->output_length = c->output_sent = c->input_length = 0;
}

/* Send now what the socket takes, and keep the rest. Returns -1 if the connection is gone. */
static int put(int descriptor, struct text t) {
    struct connection *c = &connections[descriptor];
    size_t taken = 0;
    if (!c->output_length) {
        ssize_t written = write(descriptor, t.bytes, t.length);
        if (written == (ssize_t)t.length) return 0;
        if (written < 0 && errno != EAGAIN) {
            drop(descriptor);
            return -1;
        }
        taken = written < 0 ? 0 : written;
    }
    c->output = realloc(c->output, c->output_length + t.length - taken);
    memcpy(c->output + c->output_length, t.bytes + taken, t.length - taken);
    c->output_length += t.length - taken;
    watch(descriptor, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
    return 0;
}

static void put_kept(int descriptor) {
    struct connection *c = &connections[descriptor];
    while (c->output_sent < c->output_length) {
        ssize_t written =
            write(descriptor, c->output + c->output_sent, c->output_length - c->output_sent);
        if (written < 0) {
            if (errno != EAGAIN) drop(descriptor);
            return;
        }
        c->output_sent += written;
    }
    c->output_length = c->output_sent = 0;
    watch(descriptor, EPOLL_CTL_MOD, EPOLLIN);
}

static int number_after(const char *body, size_t length, const char *tag, int otherwise) {
    const char *found = memmem(body, length, tag, strlen(tag));
    return found ? atoi(found + strlen(tag)) : otherwise;
}

static int asks_for_stream(const char *body, size_t length) {
    const char *end = body + length, *at = body;
    while ((at = memmem(at, end - at, "\"stream\"", 8))) {
        at += 8;
        while (at < end && (*at == ' ' || *at == ':')) at++;
        if (end - at >= 4 && !memcmp(at, "true", 4)) return 1;
    }
    return 0;
}

/* The length of the request in the buffer if it is whole, else 0. */
static size_t whole_request(const struct connection *c, const char **body, size_t *body_length) {
    char *end = memmem(c->input, c->input_length, "\r\n\r\n", 4);
    if (!end) return 0;
    size_t head_length = end - c->input + 4, content_length = 0;
    int is_chunked = 0;
    for (char *line = c->input; line < end; line = (char *)memchr(line, '\n', end + 4 - line) + 1) {
        if (!strncasecmp(line, "content-length:", 15)) content_length = atol(line + 15);
        if (!strncasecmp(line, "transfer-encoding:", 18)) is_chunked = 1;
    }
    *body = c->input + head_length;
    if (is_chunked) {
        *body_length = c->input_length - head_length;
        return *body_length >= 5 && !memcmp(c->input + c->input_length - 5, "0\r\n\r\n", 5)
                   ? c->input_length
                   : 0;
    }
    *body_length = content_length;
    return c->input_length >= head_length + content_length ? head_length + content_length : 0;
}

static int answer_stream(int descriptor, const char *body, size_t length) {
    struct connection *c = &connections[descriptor];
    c->pace_ms = number_after(body, length, "pace=", 0);
    c->chunks = number_after(body, length, "chunks=", CHUNKS_MAX);
    if (c->chunks < 1 || c->chunks > CHUNKS_MAX) c->chunks = CHUNKS_MAX;
    if (c->pace_ms) {
        c->is_paced = 1;
        c->chunk_next = 0;
        c->due_us = now_us() + c->pace_ms * 1000L;
        paced[paced_count++] = descriptor;
        return put(descriptor, stream_head);
    }
    /* All at once: one write, as a fast server's socket buffer would hold it. */
    static char burst[65536];
    size_t used = 0;
    memcpy(burst, stream_head.bytes, stream_head.length);
    used += stream_head.length;
    for (int i = 0; i < c->chunks; i++) {
        memcpy(burst + used, content[i].bytes, content[i].length);
        used += content[i].length;
    }
    memcpy(burst + used, ending[c->chunks].bytes, ending[c->chunks].length);
    used += ending[c->chunks].length;
    return put(descriptor, (struct text){burst, used});
}

/* Answer what is whole in the buffer. */
static void serve(int descriptor) {
    struct connection *c = &connections[descriptor];
    const char *body;
    size_t body_length, length;
    while (!c->is_paced && c->input_length && (length = whole_request(c, &body, &body_length))) {
        int gone;
        if (c->input[0] != 'P')
            gone = put(descriptor, models);
        else if (asks_for_stream(body, body_length))
            gone = answer_stream(descriptor, body, body_length);
        else
            gone = put(descriptor, plain);
        if (gone) return;
        memmove(c->input, c->input + length, c->input_length - length);
        c->input_length -= length;
    }
}

static void take_new(int listening) {
    int descriptor, one = 1;
    while ((descriptor = accept4(listening, NULL, NULL, SOCK_NONBLOCK)) >= 0) {
        if (descriptor >= DESCRIPTORS_MAX) {
            close(descriptor);
            continue;
        }
        setsockopt(descriptor, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        watch(descriptor, EPOLL_CTL_ADD, EPOLLIN);
    }
}

static void take_input(int descriptor) {
    struct connection *c = &connections[descriptor];
    if (c->input_capacity - c->input_length < READ_MIN) {
        c->input_capacity = c->input_capacity ? c->input_capacity * 2 : 2 * READ_MIN;
        c->input = realloc(c->input, c->input_capacity);
    }
    ssize_t got =
        read(descriptor, c->input + c->input_length, c->input_capacity - c->input_length);
    if (got <= 0) {
        if (got == 0 || errno != EAGAIN) drop(descriptor);
        return;
    }
    c->input_length += got;
    serve(descriptor);
}

/* Send each chunk that is due; a stream's last chunk takes the ending with it. */
static void send_due(void) {
    long now = now_us();
    for (int i = 0; i < paced_count; i++) {
        int descriptor = paced[i];
        struct connection *c = &connections[descriptor];
        if (c->due_us > now) continue;
        c->due_us += c->pace_ms * 1000L;
        if (put(descriptor, content[c->chunk_next++])) {
            i--; /* gone, and another descriptor has taken its place in the list */
            continue;
        }
        if (c->chunk_next < c->chunks) continue;
        unpace(descriptor);
        i--;
        if (!put(descriptor, ending[c->chunks])) serve(descriptor);
    }
}

/* How long until a chunk is due: NULL waits for input only. */
static struct timespec *until_due(struct timespec *wait) {
    if (!paced_count) return NULL;
    long first = connections[paced[0]].due_us;
    for (int i = 1; i < paced_count; i++)
        if (connections[paced[i]].due_us < first) first = connections[paced[i]].due_us;
    long left = first - now_us();
    if (left < 0) left = 0;
    *wait = (struct timespec){left / 1000000, left % 1000000 * 1000};
    return wait;
}

static int listen_on(int port) {
    int listening = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(listening, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons(port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(listening, (void *)&address, sizeof address) || listen(listening, 4096)) {
        perror("mock_upstream");
        exit(1);
    }
    return listening;
}

int main(int count, char **arguments) {
    int listening = listen_on(count > 1 ? atoi(arguments[1]) : 9100);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_TIMERSLACK, 1); /* chunks leave when they are due, not 50 µs later */
    make_plain();
    make_stream();
    make_models();
    poller = epoll_create1(0);
    watch(listening, EPOLL_CTL_ADD, EPOLLIN);
    for (;;) {
        struct epoll_event events[EVENTS_MAX];
        struct timespec wait;
        int ready = epoll_pwait2(poller, events, EVENTS_MAX, until_due(&wait), NULL);
        for (int i = 0; i < ready; i++) {
            int descriptor = events[i].data.fd;
            if (descriptor == listening) {
                take_new(listening);
                continue;
            }
            if (events[i].events & EPOLLOUT) put_kept(descriptor);
            if (events[i].events & (EPOLLIN | EPOLLHUP | EPOLLERR)) take_input(descriptor);
        }
        send_due();
    }
}
