package main

import (
	"net"
	"path/filepath"
	"syscall"
	"testing"
	"time"
)

func TestNotify(t *testing.T) {
	path := filepath.Join(t.TempDir(), "notify")
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	told := func(want string) {
		t.Helper()
		message := make([]byte, 100)
		socket.SetReadDeadline(time.Now().Add(atMost))
		n, err := socket.Read(message)
		if got := string(message[:n]); err != nil || got != want {
			t.Fatalf("systemd was told %q, error %v; want %q", got, err, want)
		}
	}
	for _, args := range [][]string{
		{"tower", "--pub", "tcp://127.0.0.1:*", "--sub", "tcp://127.0.0.1:*"},
		append([]string{"store", "--db", filepath.Join(t.TempDir(), "db"), "--bind", "127.0.0.1"}, noTower...),
	} {
		s := start(t, "program", args...)
		told("READY=1")
		s.signal(syscall.SIGTERM)
		told("STOPPING=1")
		if status := s.endsSoon(); status != 0 {
			t.Errorf("%q: exit status %d, want 0; stderr %q", args, status, s.seen)
		}
	}
}
