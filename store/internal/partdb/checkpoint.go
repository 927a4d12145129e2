package partdb

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
)

const (
	// ControlFile is a socket in the folder of a running store. Who may open it may as well change the database.
	ControlFile = "control"
	// CheckpointFolder holds what a running store gives to one who makes a backup.
	CheckpointFolder = "checkpoint.tmp"
)

// AskCheckpoint has the store that runs on a folder make a checkpoint, which stays until the connection is closed.
func AskCheckpoint(ctx context.Context, dir string) (folder string, hold net.Conn, err error) {
	var dialer net.Dialer
	hold, err = dialer.DialContext(ctx, "unix", filepath.Join(dir, ControlFile))
	if err != nil {
		return "", nil, fmt.Errorf("the store that runs on %s cannot be asked: %w: stop it first", dir, err)
	}
	defer context.AfterFunc(ctx, func() { hold.Close() })()
	answer, err := bufio.NewReader(hold).ReadString('\n')
	if answer == "ok\n" {
		return filepath.Join(dir, CheckpointFolder), hold, nil
	}
	hold.Close()
	if err == nil {
		err = errors.New(strings.TrimSpace(string(answer)))
	}
	return "", nil, fmt.Errorf("the store that runs on %s makes no checkpoint: %w", dir, err)
}
