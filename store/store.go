// Package store keeps what producers publish: every partition whole and in order in one Pebble database. It acks what
// is on disk, and answers those who ask for what it has.
//
// A store is two nodes of the cluster over one database: a writer, which records, and a reader, which answers, so that
// neither waits for the other. What of the database is damaged, a mender replaces.
//
// Package admin works on stores that do not run, and package cimport imports from C stores.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"sync"
	"time"

	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

// Reasons to drop a message.
const (
	ErrUnasked zmqwire.Fault = "unrequested_record"
	ErrClaims  zmqwire.Fault = "too_many_unverified_partitions"
	ErrTopics  zmqwire.Fault = "too_many_topics"
	// ErrContent: a live record has another content than the one that the store has under its number.
	ErrContent zmqwire.Fault = "other_content"
)

// ErrClosed is returned by calls that waited for something of a store when it was closed or failed.
var ErrClosed = errors.New("store is closed")

// ErrDamaged is wrapped by errors about stored bytes that are not what was written.
var ErrDamaged = partdb.ErrDamaged

// Config is what a store needs. Only Dir must be set.
type Config struct {
	// Dir holds the database; it is made when it is not there, and serves one store at a time. While the store runs, the
	// folder must stay where it is, and writable. Otherwise the store stops to ack and fails within 3 s. What Pebble then
	// still holds, the folder's lock included, may stay until the process ends.
	Dir string
	// NoSync acks records that the operating system has and the disk may not have yet, as C stores do: a power loss
	// then loses records that were acked.
	NoSync bool
	// Node says how the store joins the cluster, and in Logger where its log goes, the database's too. Address is the
	// writer's; the reader gets a random one. When Bind has a fixed port, the reader listens on it and the writer on the
	// next.
	Node tower.NodeConfig
}

// Store is a running store. All methods may be called from any goroutine.
type Store struct {
	db      *partdb.Database
	writer  *writer
	reader  *reader
	mender  *mender
	control *control // nil when it cannot be
	stats   counters

	running context.Context // ends when the store is to end
	end     context.CancelFunc
	closing sync.Once
	closed  chan struct{} // both nodes and the mender have ended
	failure error         // why, if not by Close; read after closed
	result  error         // of Close
}

// Open opens the database and starts the store's nodes. It does not wait for a tower. A folder that is in use, cannot
// be written or holds something else is an error.
func Open(config Config) (*Store, error) {
	if config.Dir == "" {
		return nil, errors.New("store: no folder for the database: set Dir")
	}
	if config.Node.Logger == nil {
		config.Node.Logger = slog.New(slog.DiscardHandler)
	}
	reading, writing, err := split(config.Node)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	db, err := partdb.Open(config.Dir, config.NoSync, config.Node.Logger)
	if err != nil {
		return nil, fmt.Errorf("store: %w", err)
	}
	s, err := build(db, reading, writing)
	if err != nil {
		return nil, fmt.Errorf("store: %w", errors.Join(err, db.Close()))
	}
	s.start()
	if s.control, err = listenControl(config.Dir, db); err != nil {
		config.Node.Logger.Warn("no backup can be made while this store runs", "error", err.Error())
	}
	return s, nil
}

// build makes a store's parts over a database; start starts them.
func build(db *partdb.Database, reading, writing tower.NodeConfig) (s *Store, err error) {
	s = &Store{db: db, closed: make(chan struct{})}
	if s.reader, err = newReader(reading, db, &s.stats); err != nil {
		return nil, err
	}
	if s.writer, err = newWriter(writing, db, &s.stats); err != nil {
		return nil, errors.Join(err, s.reader.node.Close())
	}
	s.reader.writer = s.writer.node.Address()
	s.mender = &mender{db: db, writer: s.writer, log: db.Log, tried: make(map[string]attempt)}
	s.running, s.end = context.WithCancel(context.Background())
	return s, nil
}

func (s *Store) start() {
	now := time.Now()
	s.stats.writing.Set(now)
	s.stats.reading.Set(now)
	go s.run()
}

// split makes of a store's configuration those of its two nodes.
func split(config tower.NodeConfig) (reading, writing tower.NodeConfig, err error) {
	reading, writing = config, config
	reading.Address = ""
	reading.Logger, writing.Logger = config.Logger.With("node", "reader"), config.Logger.With("node", "writer")
	endpoint, err := zmqwire.ParseListenEndpoint(config.Bind)
	if err != nil || endpoint.Port == 0 {
		return reading, writing, nil // what is wrong with it, joining says
	}
	if endpoint.Port == math.MaxUint16 {
		return reading, writing, fmt.Errorf("bind %s: a store listens on its port and on the next: want 1 to 65534", config.Bind)
	}
	endpoint.Port++
	writing.Bind = endpoint.String()
	return reading, writing, nil
}

// run runs both nodes. When one fails the other ends too: half a store would mislead everyone.
func (s *Store) run() {
	var parts sync.WaitGroup
	var writing, reading, standing error
	stopping := func() bool { return s.running.Err() != nil }
	parts.Go(func() {
		writing = s.writer.run(stopping)
		s.stop()
	})
	parts.Go(func() {
		reading = s.reader.run(stopping)
		s.stop()
	})
	parts.Go(func() {
		standing = s.db.Ground.Watch(s.running)
		s.stop()
	})
	parts.Go(func() { s.mender.run(s.running) })
	parts.Wait()
	err := errors.Join(writing, reading)
	if standing != nil {
		err = standing // the others are of it
	}
	if err != nil {
		s.failure = fmt.Errorf("store: %w", err)
	}
	close(s.closed)
}

func (s *Store) stop() {
	s.end()
	s.writer.node.Wake()
	s.reader.node.Wake()
}

// Wait returns when the store was closed (nil), when it failed (why), or when ctx ends (its error). A store that failed
// acks nothing any more; it must be closed all the same.
func (s *Store) Wait(ctx context.Context) error {
	select {
	case <-s.closed:
		return s.failure
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Close commits and acks what was received, ends the store and returns when it is gone. A second call waits for the
// first and returns the same.
func (s *Store) Close() error {
	s.closing.Do(func() {
		s.stop()
		<-s.closed
		if s.control != nil {
			s.control.close()
		}
		s.result = errors.Join(s.failure, s.writer.node.Close(), s.reader.node.Close())
		if err := s.db.Close(); err != nil && !errors.Is(s.failure, err) {
			s.result = errors.Join(s.result, err)
		}
	})
	return s.result
}

// Connected is the number of towers the store hears.
func (s *Store) Connected() int { return min(s.writer.node.Connected(), s.reader.node.Connected()) }

// WaitConnected returns nil when both nodes of the store have a tower connected, at once when they have already. If ctx
// ends first, the error wraps ctx's. If the store was closed or failed first, the error is ErrClosed.
func (s *Store) WaitConnected(ctx context.Context) error {
	for s.Connected() == 0 {
		for _, node := range []*node.Node{s.writer.node, s.reader.node} {
			if err := node.WaitConnected(ctx, s.closed, ErrClosed); err != nil {
				return err
			}
		}
	}
	return nil
}
