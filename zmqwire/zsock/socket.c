#include "socket.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifdef __linux__
#include <sys/eventfd.h>
#endif
#ifdef __GLIBC__
#include <malloc.h>
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

static void forget(dafka_connection *connection) {
    if (connection->description)
        zmq_msg_close(&connection->witness);
    connection->description = NULL;
}

// The file descriptor of the connection by which a frame came. libzmq finds it in a map of strings, which takes as long
// as all else that is done with a small message here. But its messages begin with a pointer to that map, which is made
// once for each connection. Should a libzmq ever lay them out otherwise, one look in 64 notices it.
static int32_t source_of(dafka_socket *socket, zmq_msg_t *frame) {
    void *description;
    memcpy(&description, frame, sizeof description);
    dafka_connection *known = &socket->known[((uintptr_t)description >> 5) % DAFKA_KNOWN];
    int doubt = socket->looked++ % 64 == 0;
    if (description && known->description == description && !doubt)
        return known->source;
    int32_t source = zmq_msg_get(frame, ZMQ_SRCFD);
    if (known->description == description && known->source == source)
        return source;
    forget(known);
    // A large frame is no witness: it would be kept for as long as the slot.
    if (description && zmq_msg_size(frame) < DAFKA_LARGE && zmq_msg_init(&known->witness) == 0 && zmq_msg_copy(&known->witness, frame) == 0) {
        known->description = description;
        known->source = source;
    }
    return source;
}

int dafka_socket_close(dafka_socket *socket) {
    for (int i = 0; i < DAFKA_KNOWN; i++)
        forget(&socket->known[i]);
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
// nothing of a malformed message is left for the next one. None is waited for: a SUB hands on whole messages, but an XPUB
// takes a subscription out of whatever a peer sends, and says that a frame follows which does not.
static int receive(dafka_socket *socket, dafka_message *message) {
    int frames = 0;
    for (;;) {
        zmq_msg_t surplus;
        zmq_msg_t *frame = frames < DAFKA_FRAMES ? &message->frame[frames] : &surplus;
        zmq_msg_init(frame);
        while (zmq_msg_recv(frame, socket->zmq, ZMQ_DONTWAIT) < 0) {
            if (errno == EINTR)
                continue;
            int error = errno;
            zmq_msg_close(frame);
            message->frames = frames;
            if (frames > 0 && error == EAGAIN)
                return 0;
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
    if (socket->peers && most > 1)
        most = 1;
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
        shape->source = socket->sources ? source_of(socket, &held->frame[0]) : -1;
        if (socket->peers) {
            const char *peer = zmq_msg_gets(&held->frame[0], "Peer-Address");
            snprintf(socket->peer, sizeof socket->peer, "%s", peer ? peer : "");
        }
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

// Sends whole messages without waiting, until one is refused. Returns how many were sent, or the error when none was.
int dafka_send(dafka_socket *socket, const char *bytes, const dafka_shape *shapes, int count) {
    for (int i = 0; i < count; i++) {
        int frames = shapes[i].frames;
        for (int j = 0; j < frames; j++) {
            size_t length = shapes[i].length[j];
            zmq_msg_t frame;
            if (zmq_msg_init_size(&frame, length) != 0)
                return -ENOMEM;
            if (length > 0)
                memcpy(zmq_msg_data(&frame), bytes, length);
            // A frame that follows another of its message waits for room rather than tearing the message apart; the room
            // is there, because high-water marks count whole messages.
            int rc = send_frame(socket->zmq, &frame, (j + 1 < frames ? ZMQ_SNDMORE : 0) | (j == 0 ? ZMQ_DONTWAIT : 0));
            if (rc < 0)
                return i > 0 && j == 0 ? i : rc;
            bytes += length;
        }
    }
    return count;
}

// Memory for the frames of many records, which libzmq lets go of in another thread, one by one. If each frame were a piece
// of its own, as zmq_msg_init_size makes it, the two threads would wait for each other in malloc and free: that takes a
// sixth of the time of a replay.
typedef struct {
    atomic_int frames; // whose bytes follow and which libzmq still has
} slab;

enum {
    SLAB_BYTES = 32 << 10,
    SLAB_OPEN = 1 << 30, // counts as so many frames while it is being filled
    FRAME_INLINE = 33,   // libzmq has frames up to this size in the message itself
};

// The slab that is being filled.
typedef struct {
    slab *slab;
    char *at, *end;
    int frames;
} filling;

static void let_go(slab *slab, int frames) {
    if (atomic_fetch_sub(&slab->frames, frames) == frames)
        free(slab);
}

static void frame_sent(void *data, void *hint) {
    (void)data;
    let_go(hint, 1);
}

static void fill_no_more(filling *f) {
    if (f->slab)
        let_go(f->slab, SLAB_OPEN - f->frames);
}

// Makes a frame of the next bytes of a slab. `expected` is how many bytes will be wanted, this frame's among them.
static int fill_frame(filling *f, zmq_msg_t *frame, size_t length, size_t expected) {
    if (length <= FRAME_INLINE)
        return zmq_msg_init_size(frame, length) == 0 ? 0 : -ENOMEM;
    if ((size_t)(f->end - f->at) < length) {
        fill_no_more(f);
        size_t bytes = expected < SLAB_BYTES ? expected : SLAB_BYTES;
        if (bytes < length)
            bytes = length;
        *f = (filling){malloc(sizeof *f->slab + bytes), NULL, NULL, 0};
        if (!f->slab)
            return -ENOMEM;
        atomic_init(&f->slab->frames, SLAB_OPEN);
        f->at = (char *)(f->slab + 1);
        f->end = f->at + bytes;
    }
    if (zmq_msg_init_data(frame, f->at, length, frame_sent, f->slab) != 0)
        return -ENOMEM;
    f->at += length;
    f->frames++;
    return 0;
}

// Sends records from..to-1 of a run; ends[i] is where content i ends, and the run's first sequence is `first`. A full
// pipe is waited for as long as ZMQ_SNDTIMEO allows, and a load without room patience_ms in all; neither when that is 0.
// Returns how many were sent, or the error when none was.
int dafka_send_run(dafka_socket *socket, const char *header, size_t header_length, uint64_t first, const char *contents,
                   const uint32_t *ends, int from, int to, dafka_load *load, int patience_ms) {
    int flags = ZMQ_SNDMORE | (patience_ms > 0 ? 0 : ZMQ_DONTWAIT), rc = 0, i;
    filling f = {0};
    for (i = from; i < to; i++) {
        uint32_t start = i > 0 ? ends[i - 1] : 0;
        size_t length = ends[i] - start;
        size_t expected = (size_t)(to - i) * (header_length + 8) + (ends[to - 1] - start);
        int counted = load && length >= DAFKA_LARGE;
        if (counted && !await_room(load, length, &patience_ms)) {
            rc = -EAGAIN;
            break;
        }
        zmq_msg_t frame;
        if ((rc = fill_frame(&f, &frame, header_length + 8, expected)) < 0)
            break;
        unsigned char *data = zmq_msg_data(&frame);
        memcpy(data, header, header_length);
        data += header_length;
        uint64_t sequence = first + (uint64_t)i;
        for (int shift = 56; shift >= 0; shift -= 8)
            *data++ = (unsigned char)(sequence >> shift);
        if ((rc = send_frame(socket->zmq, &frame, flags)) < 0)
            break;
        if (counted) {
            rc = content_frame(&frame, contents + start, length, load);
        } else if ((rc = fill_frame(&f, &frame, length, expected)) == 0 && length > 0) {
            memcpy(zmq_msg_data(&frame), contents + start, length);
        }
        if (rc == 0)
            rc = send_frame(socket->zmq, &frame, 0);
        if (rc < 0) {
            fill_no_more(&f);
            return rc; // within a message: nothing goes on here
        }
    }
    fill_no_more(&f);
    return i > from ? i - from : rc;
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

void dafka_hang_up(int connection) {
    // Without an address it ends at once, with all that has arrived. After a shutdown Linux still takes what the peer goes
    // on sending.
    struct sockaddr nobody = {.sa_family = AF_UNSPEC};
    if (connect(connection, &nobody, sizeof nobody) != 0)
        shutdown(connection, SHUT_RDWR);
#ifdef __GLIBC__
    malloc_trim(0);
#endif
}
