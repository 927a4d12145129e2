#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif

dafka_socket *dafka_socket_new(void *context, int type) {
    dafka_socket *socket = calloc(1, sizeof *socket);
    if (!socket)
        return NULL;
    socket->zmq = zmq_socket(context, type);
    if (!socket->zmq) {
        int error = errno;
        free(socket);
        errno = error;
        return NULL;
    }
    return socket;
}

static void drop(dafka_message *message) {
    for (int i = 0; i < message->frames && i < DAFKA_FRAMES; i++)
        zmq_msg_close(&message->frame[i]);
    message->frames = 0;
}

// Drops the first of those behind.
static void drop_behind(dafka_socket *socket) {
    dafka_message *first = socket->behind;
    socket->behind = first->next;
    drop(first);
    free(first);
}

int dafka_socket_close(dafka_socket *socket) {
    drop(&socket->held);
    while (socket->behind)
        drop_behind(socket);
    // libzmq learns of the peers that have left in calls on the socket only, and of those it has not learned it waits
    // until its linger is over.
    int events;
    size_t size = sizeof events;
    zmq_getsockopt(socket->zmq, ZMQ_EVENTS, &events, &size);
    int rc = zmq_close(socket->zmq) == 0 ? 0 : -errno;
    free(socket);
    return rc;
}

// Takes one whole message from the socket, if there is one. Frames beyond DAFKA_FRAMES are counted and dropped, so that
// nothing of a malformed message is left for the next one.
static int receive(dafka_socket *socket, dafka_message *message) {
    int frames = 0;
    for (;;) {
        zmq_msg_t surplus;
        zmq_msg_t *frame = frames < DAFKA_FRAMES ? &message->frame[frames] : &surplus;
        zmq_msg_init(frame);
        // Only the first frame can be missing: libzmq hands on whole messages.
        while (zmq_msg_recv(frame, socket->zmq, frames == 0 ? ZMQ_DONTWAIT : 0) < 0) {
            if (errno == EINTR)
                continue;
            int error = errno;
            zmq_msg_close(frame);
            message->frames = frames;
            drop(message);
            return -error;
        }
        int more = zmq_msg_more(frame);
        if (frame == &surplus)
            zmq_msg_close(frame);
        frames++;
        if (!more)
            break;
    }
    message->frames = frames;
    return 0;
}

// Holds the next message: one of those behind, or one from the socket.
static int hold_next(dafka_socket *socket) {
    dafka_message *held = &socket->held, *first = socket->behind;
    if (!first)
        return receive(socket, held);
    for (int i = 0; i < first->frames && i < DAFKA_FRAMES; i++) {
        zmq_msg_init(&held->frame[i]);
        zmq_msg_move(&held->frame[i], &first->frame[i]);
    }
    held->frames = first->frames;
    drop_behind(socket);
    return 0;
}

// Polling reads the first frame of a message in advance, and libzmq aborts when the connection is ended before the
// others are read. So that message is taken whole first.
int dafka_disconnect(dafka_socket *socket, const char *endpoint) {
    dafka_message **last = &socket->behind;
    while (*last)
        last = &(*last)->next;
    if (!(*last = calloc(1, sizeof **last)))
        return -1;
    if (receive(socket, *last) < 0) {
        free(*last);
        *last = NULL;
    }
    int rc;
    do
        rc = zmq_disconnect(socket->zmq, endpoint);
    while (rc < 0 && errno == EINTR);
    return rc;
}

// Moves up to `most` messages into bytes. A message that does not fit stays held and comes first in the next call; when
// it is the first, *needed says how many bytes it takes. Returns the number of messages.
int dafka_drain(dafka_socket *socket, char *bytes, size_t capacity, dafka_shape *shapes, int most, size_t *needed) {
    size_t used = 0;
    int count = 0;
    *needed = 0;
    while (count < most) {
        if (!socket->held.frames) {
            int rc = hold_next(socket);
            if (rc == -EAGAIN)
                break;
            if (rc < 0)
                return count > 0 ? count : rc;
        }
        dafka_message *held = &socket->held;
        int kept = held->frames < DAFKA_FRAMES ? held->frames : DAFKA_FRAMES;
        size_t size = 0;
        for (int i = 0; i < kept; i++)
            size += zmq_msg_size(&held->frame[i]);
        if (size > capacity - used) {
            if (count == 0)
                *needed = size;
            break;
        }
        dafka_shape *shape = &shapes[count++];
        shape->frames = held->frames;
        shape->source = socket->sources ? zmq_msg_get(&held->frame[0], ZMQ_SRCFD) : -1;
        for (int i = 0; i < kept; i++) {
            size_t length = zmq_msg_size(&held->frame[i]);
            memcpy(bytes + used, zmq_msg_data(&held->frame[i]), length);
            shape->length[i] = length;
            used += length;
        }
        drop(held);
    }
    return count;
}

struct dafka_load {
    dafka_load *parent;
    size_t most;
    atomic_size_t bytes;
    atomic_int users; // whoever holds the load, its children, and each content under way
};

// A content under way; its bytes follow it.
typedef struct {
    dafka_load *load;
    size_t length;
} content;

dafka_load *dafka_load_new(size_t most, dafka_load *parent) {
    dafka_load *load = malloc(sizeof *load);
    if (!load)
        return NULL;
    load->parent = parent;
    load->most = most;
    atomic_init(&load->bytes, 0);
    atomic_init(&load->users, 1);
    if (parent)
        atomic_fetch_add(&parent->users, 1);
    return load;
}

void dafka_load_free(dafka_load *load) {
    while (load && atomic_fetch_sub(&load->users, 1) == 1) {
        dafka_load *parent = load->parent;
        free(load);
        load = parent;
    }
}

size_t dafka_load_bytes(dafka_load *load) { return atomic_load(&load->bytes); }

// libzmq calls this in a thread of its own when no peer needs the content any more.
static void content_sent(void *data, void *hint) {
    (void)data;
    content *c = hint;
    for (dafka_load *load = c->load; load; load = load->parent)
        atomic_fetch_sub(&load->bytes, c->length);
    dafka_load_free(c->load);
    free(c);
}

static int content_frame(zmq_msg_t *frame, const char *bytes, size_t length, dafka_load *load) {
    content *c = malloc(sizeof *c + length);
    if (!c)
        return -ENOMEM;
    *c = (content){load, length};
    memcpy(c + 1, bytes, length);
    if (zmq_msg_init_data(frame, c + 1, length, content_sent, c) != 0) {
        free(c);
        return -ENOMEM;
    }
    atomic_fetch_add(&load->users, 1);
    for (; load; load = load->parent)
        atomic_fetch_add(&load->bytes, length);
    return 0;
}

// A content that is larger than all the room has to be alone.
static int load_has_room(dafka_load *load, size_t length) {
    if (dafka_load_bytes(load) == 0)
        return 1;
    for (; load; load = load->parent)
        if (dafka_load_bytes(load) + length > load->most)
            return 0;
    return 1;
}

static int await_room(dafka_load *load, size_t length, int *patience_ms) {
    for (;;) {
        if (load_has_room(load, length))
            return 1;
        if (*patience_ms <= 0)
            return 0;
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
        --*patience_ms;
    }
}

static int send_frame(void *zmq, zmq_msg_t *frame, int flags) {
    while (zmq_msg_send(frame, zmq, flags) < 0) {
        if (errno == EINTR)
            continue;
        int error = errno;
        zmq_msg_close(frame);
        return -error;
    }
    return 0;
}

// A frame that follows another of its message waits for room rather than tearing the message apart; the room is there,
// because high-water marks count whole messages.
static int send_bytes(void *zmq, const char *bytes, size_t length, int first, int more, int wait) {
    zmq_msg_t frame;
    if (zmq_msg_init_size(&frame, length) != 0)
        return -ENOMEM;
    if (length > 0)
        memcpy(zmq_msg_data(&frame), bytes, length);
    return send_frame(zmq, &frame, (more ? ZMQ_SNDMORE : 0) | (first && !wait ? ZMQ_DONTWAIT : 0));
}

// Sends whole messages without waiting, until one is refused. Returns how many were sent, or the error when none was.
int dafka_send(dafka_socket *socket, const char *bytes, const dafka_shape *shapes, int count) {
    for (int i = 0; i < count; i++) {
        int frames = shapes[i].frames;
        for (int j = 0; j < frames; j++) {
            int rc = send_bytes(socket->zmq, bytes, shapes[i].length[j], j == 0, j + 1 < frames, 0);
            if (rc < 0)
                return i > 0 && j == 0 ? i : rc;
            bytes += shapes[i].length[j];
        }
    }
    return count;
}

// Sends records from..to-1 of a run; ends[i] is where content i ends, and the run's first sequence is `first`. A full
// pipe is waited for as long as ZMQ_SNDTIMEO allows, and a load without room patience_ms in all; neither when that is 0.
// Returns how many were sent, or the error when none was.
int dafka_send_run(dafka_socket *socket, const char *header, size_t header_length, uint64_t first, const char *contents,
                   const uint32_t *ends, int from, int to, dafka_load *load, int patience_ms) {
    int flags = ZMQ_SNDMORE | (patience_ms > 0 ? 0 : ZMQ_DONTWAIT);
    for (int i = from; i < to; i++) {
        uint32_t start = i > 0 ? ends[i - 1] : 0;
        size_t length = ends[i] - start;
        int counted = load && length >= DAFKA_LARGE;
        if (counted && !await_room(load, length, &patience_ms))
            return i > from ? i - from : -EAGAIN;
        zmq_msg_t frame;
        if (zmq_msg_init_size(&frame, header_length + 8) != 0)
            return -ENOMEM;
        unsigned char *data = zmq_msg_data(&frame);
        memcpy(data, header, header_length);
        data += header_length;
        uint64_t sequence = first + (uint64_t)i;
        for (int shift = 56; shift >= 0; shift -= 8)
            *data++ = (unsigned char)(sequence >> shift);
        int rc = send_frame(socket->zmq, &frame, flags);
        if (rc < 0)
            return i > from ? i - from : rc;
        if (counted) {
            rc = content_frame(&frame, contents + start, length, load);
            if (rc == 0)
                rc = send_frame(socket->zmq, &frame, 0);
        } else {
            rc = send_bytes(socket->zmq, contents + start, length, 0, 0, 1);
        }
        if (rc < 0)
            return rc;
    }
    return to - from;
}

dafka_poller *dafka_poller_new(void) {
    dafka_poller *poller = calloc(1, sizeof *poller);
    if (!poller)
        return NULL;
#ifdef __linux__
    poller->wake_read = poller->wake_write = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    if (poller->wake_read < 0)
        goto failed;
#else
    int pipes[2];
    if (pipe(pipes) != 0)
        goto failed;
    for (int i = 0; i < 2; i++) {
        fcntl(pipes[i], F_SETFL, O_NONBLOCK);
        fcntl(pipes[i], F_SETFD, FD_CLOEXEC);
    }
    poller->wake_read = pipes[0];
    poller->wake_write = pipes[1];
#endif
    poller->item[0].fd = poller->wake_read;
    poller->item[0].events = ZMQ_POLLIN;
    poller->count = 1;
    return poller;
failed:;
    int error = errno;
    free(poller);
    errno = error;
    return NULL;
}

void dafka_poller_free(dafka_poller *poller) {
    close(poller->wake_read);
    if (poller->wake_write != poller->wake_read)
        close(poller->wake_write);
    free(poller);
}

int dafka_poller_add(dafka_poller *poller, dafka_socket *socket) {
    if (poller->count > DAFKA_POLLED)
        return -ENOSPC;
    zmq_pollitem_t *item = &poller->item[poller->count++];
    item->socket = socket->zmq;
    item->events = ZMQ_POLLIN;
    return poller->count - 2;
}

// Waits until a socket has something to receive, the poller is woken or the time is over, and returns a bit for each
// socket that has. EINTR ends the wait early: the caller looks at its sockets and comes back.
int dafka_poll(dafka_poller *poller, long timeout_ms) {
    int rc = zmq_poll(poller->item, poller->count, timeout_ms);
    if (rc < 0)
        return errno == EINTR ? 0 : -errno;
    if (poller->item[0].revents) {
        char rest[64];
        while (read(poller->wake_read, rest, sizeof rest) == (ssize_t)sizeof rest)
            ;
    }
    int ready = 0;
    for (int i = 1; i < poller->count; i++)
        if (poller->item[i].revents & ZMQ_POLLIN)
            ready |= 1 << (i - 1);
    return ready;
}

int dafka_wake(int wake_write) {
    uint64_t one = 1;
    ssize_t rc;
    do
        rc = write(wake_write, &one, sizeof one);
    while (rc < 0 && errno == EINTR);
    return rc < 0 && errno != EAGAIN ? -errno : 0;
}
