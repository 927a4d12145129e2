package store

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"

	"github.com/godafka/dafka/store/internal/partdb"
)

// control lets other processes of this machine have a backup of a running store: its log grows and its tables come and
// go, so that only the store itself can say which files make a whole.
//
// Who connects is given a checkpoint, a folder within the store's own, where tables are hard links: that takes no time
// and no room. It hears "ok", copies the files wherever it wants, and hangs up; then the checkpoint is removed. So a
// store never writes outside its folder, never waits for another disk, and keeps nothing for one who died.
type control struct {
	db       *partdb.Database
	dir      string
	listener net.Listener
	ended    chan struct{}

	mu     sync.Mutex
	guest  net.Conn // who is being served
	closed bool
}

func listenControl(dir string, db *partdb.Database) (*control, error) {
	c := &control{db: db, dir: dir, ended: make(chan struct{})}
	path := filepath.Join(dir, partdb.ControlFile)
	// The database's lock is held: what is there was left by a store that was killed.
	err := errors.Join(os.RemoveAll(path), os.RemoveAll(c.checkpoint()))
	if err != nil {
		return nil, err
	}
	if c.listener, err = net.Listen("unix", path); err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		c.listener.Close()
		return nil, err
	}
	go c.run()
	return c, nil
}

func (c *control) checkpoint() string { return filepath.Join(c.dir, partdb.CheckpointFolder) }

// run serves one guest after the other.
func (c *control) run() {
	defer close(c.ended)
	for {
		guest, err := c.listener.Accept()
		if err != nil {
			return
		}
		c.mu.Lock()
		closed := c.closed
		c.guest = guest
		c.mu.Unlock()
		if !closed {
			c.serve(guest)
		}
		guest.Close()
	}
}

func (c *control) serve(guest net.Conn) {
	defer c.db.Ground.RemoveAll(c.checkpoint())
	answer := "ok"
	if err := c.db.Checkpoint(c.checkpoint()); err != nil {
		answer = partdb.OneLine(err)
	}
	if _, err := fmt.Fprintln(guest, answer); err == nil {
		io.Copy(io.Discard, guest) // until it hangs up
	}
}

// close returns when nobody is served any more.
func (c *control) close() {
	c.mu.Lock()
	c.closed = true
	if c.guest != nil {
		c.guest.Close()
	}
	c.mu.Unlock()
	if socket, ok := c.listener.(*net.UnixListener); ok && c.db.Ground.Stands() != nil {
		socket.SetUnlinkOnClose(false) // the path may lead to another store's
	}
	c.listener.Close()
	<-c.ended
}
