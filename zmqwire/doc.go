// Package zmqwire is the wire: the nine messages of Dafka and their bytes, beacons, subscriptions, addresses, endpoints, and
// runs of records. It is plain Go and opens no socket. Package zsock below it has the sockets, package flow the rules that
// more than one kind of node follows.
//
// The C programs (zeromq/dafka) are the authority for every byte; where they and RFC 46/DAFKA differ, they win.
// WIRE.md describes the messages, the subscriptions and the discovery.
//
// # Glossary
//
// The project uses these words, each for one thing:
//
//   - record: the unit that is published, content of 0 bytes to 1 GiB.
//   - topic: the name under which records are published, 1 to 255 bytes without NUL.
//   - partition: the records of one producer in one topic, in order. Its name is the producer's address.
//   - sequence: the number of a record in its partition, from 0.
//   - head: the last sequence of a partition, at its producer or at a store.
//   - run: consecutive records of a partition that are stored, or sent, together.
//   - node: a producer, a consumer, either half of a store, or a tower. A store has a writer and a reader.
//   - peer: another node of the cluster.
//   - address: the name of a node, 1 to 255 bytes, unique in the cluster.
//   - endpoint: where a node listens, such as tcp://192.0.2.1:49152.
//   - tower: the node that announces nodes to each other. It carries no records.
//   - announcement, beacon: the message by which a node, or a tower for it, makes its endpoint known.
//   - directory: what a node knows of its peers.
//   - online, offline: a peer is online from its first announcement until none came for the beacon timeout.
//   - send, receive: what a node does with a message.
//   - publish: to send a record, or a head, to all subscribers.
//   - FETCH, request: the message that asks for records by sequence; the requester is its sender.
//   - return: to send the records that a FETCH requests.
//   - deliver: to pass a record to the user of a consumer.
//   - ACK: the message of a store that it holds a partition up to a sequence.
//   - commit: one write of a store to its database, with one sync. ACKs follow it.
//   - gap: sequences that a node lacks, below one that it has or knows of.
//   - out of order: received while records before it are missing.
//   - caught up: a store has fetched what the nodes present at its start held.
//   - copy: what a store fetches from another store.
//   - damage: stored bytes that differ from those written. Repair replaces them.
//   - fault: the reason why a node dropped a message, a code in snake_case.
//   - limit: a bound on what peers can make a node use.
package zmqwire
