// The C side of zmqwire: libzmq called many times for one call from Go.
#ifndef DAFKA_SOCKET_H
#define DAFKA_SOCKET_H

#include <stddef.h>
#include <stdint.h>
#include <zmq.h>

enum {
    DAFKA_FRAMES = 4,   // frames of a message that are kept; no message of the protocol has more
    DAFKA_POLLED = 16,  // sockets of one poller
    DAFKA_LARGE = 1024, // the least size of a content that a load counts
    DAFKA_KNOWN = 16,   // connections of which a socket remembers where it has seen them
};

// A message in a batch: how many frames it has, and the lengths of those that are kept. Their bytes stand one after
// another in the batch's buffer.
typedef struct {
    uint32_t frames;
    uint32_t length[DAFKA_FRAMES];
    int32_t source; // the file descriptor of the connection it came by, when the socket has sources
} dafka_shape;

// A message that was received, with its frames but for those beyond DAFKA_FRAMES.
typedef struct dafka_message {
    int frames; // 0: there is none
    zmq_msg_t frame[DAFKA_FRAMES];
    struct dafka_message *next;
} dafka_message;

// A connection, known by the description that all its messages share. The witness is one of them: while it is there, no
// other connection's description can be at the same place.
typedef struct {
    void *description; // NULL: none is known here
    zmq_msg_t witness;
    int32_t source;
} dafka_connection;

// A socket, and what it received that was not read yet.
typedef struct {
    void *zmq;
    int sources;           // whether to tell by which connection messages come
    int peers;             // whether to take one message at a time, and keep its sender's IP address in peer
    char peer[64];         // empty: not known
    unsigned looked;       // how often that was looked for
    dafka_connection known[DAFKA_KNOWN];
    dafka_message held;    // it did not fit into the buffer at hand
    dafka_message *behind; // they were taken so that connections could be ended; they come next
} dafka_socket;

dafka_socket *dafka_socket_new(void *context, int type);
int dafka_socket_close(dafka_socket *socket);

// Counts the bytes of large contents that libzmq holds until every peer has been sent them.
typedef struct dafka_load dafka_load;

// What a load with a parent counts, that counts too.
dafka_load *dafka_load_new(size_t most, dafka_load *parent);
void dafka_load_free(dafka_load *load); // what is under way may outlive it
size_t dafka_load_bytes(dafka_load *load);

// As zmq_disconnect.
int dafka_disconnect(dafka_socket *socket, const char *endpoint);

// All of these return a negated errno on failure.
int dafka_drain(dafka_socket *socket, char *bytes, size_t capacity, dafka_shape *shapes, int most, size_t *needed);
int dafka_send(dafka_socket *socket, const char *bytes, const dafka_shape *shapes, int count);
int dafka_send_run(dafka_socket *socket, const char *header, size_t header_length, uint64_t first, const char *contents,
                   const uint32_t *ends, int from, int to, dafka_load *load, int patience_ms);

// A poller: some sockets, and a file descriptor that another thread writes to in order to wake it.
typedef struct {
    int count;
    int wake_read, wake_write;
    zmq_pollitem_t item[DAFKA_POLLED + 1];
} dafka_poller;

dafka_poller *dafka_poller_new(void);
void dafka_poller_free(dafka_poller *poller);
int dafka_poller_add(dafka_poller *poller, dafka_socket *socket);
int dafka_poll(dafka_poller *poller, long timeout_ms);
int dafka_wake(int wake_write);

// Ends a connection that libzmq has, and gives free memory back to the system.
void dafka_hang_up(int connection);

#endif
