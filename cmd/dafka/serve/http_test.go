package serve

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// TestHTTPConnections: whoever keeps connections open, before, within or after a request, keeps nobody else out.
func TestHTTPConnections(t *testing.T) {
	t.Parallel()
	const clients = 4 * maxHTTPConnections
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	defer tw.Close()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := newHTTPServer(Nodes{Tower: tw}.handler(), slog.New(slog.DiscardHandler))
	go s.Serve(listener)
	defer s.Close()
	address := listener.Addr().String()
	url := "http://" + address
	for _, request := range []string{"", "GET /healthz HTTP/1.1\r\nHost: x\r\n", "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"} {
		var held []net.Conn
		for range clients {
			c, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			if _, err := io.WriteString(c, request); err != nil && !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
				t.Fatal(err)
			}
			if strings.HasSuffix(request, "\r\n\r\n") {
				if _, err := c.Read(make([]byte, 1)); err != nil {
					t.Fatalf("%q is not answered: %v", request, err)
				}
			}
			held = append(held, c)
		}
		if status, body := get(t, url+"/healthz"); status != 200 || body != "ok\n" {
			t.Errorf("%d clients that sent %q: %d %q", clients, request, status, body)
		}
		// Which ones are closed depends on when the server sees that a connection waits, not on when the client was answered.
		ended := make(chan struct{}, clients)
		for _, c := range held {
			c.SetReadDeadline(time.Now().Add(20 * time.Second))
			go func() {
				if _, err := io.Copy(io.Discard, c); !errors.Is(err, os.ErrDeadlineExceeded) {
					ended <- struct{}{}
				}
			}()
		}
		for n := range clients - maxHTTPConnections {
			select {
			case <-ended:
			case <-time.After(20 * time.Second):
				t.Fatalf("of %d clients that sent %q, %d are disconnected, want %d", clients, request, n, clients-maxHTTPConnections)
			}
		}
	}
	// Those that are left are given up as well.
	if profileTime <= requestTime {
		t.Error("no time for a profile, which takes longer than other requests may")
	}
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.IdleTimeout <= 0 {
		t.Errorf("times without a limit: %v, %v, %v", s.ReadHeaderTimeout, s.ReadTimeout, s.IdleTimeout)
	}
	request, err := http.NewRequest(http.MethodGet, url+"/healthz", nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("X", strings.Repeat("x", 4*headerBytes))
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	answer.Body.Close()
	if answer.StatusCode != http.StatusRequestHeaderFieldsTooLarge {
		t.Errorf("a header of %d bytes: %s", 4*headerBytes, answer.Status)
	}
}

func TestLacks(t *testing.T) {
	for _, test := range []struct {
		stats store.Stats
		want  []string
	}{
		{store.Stats{Towers: 1, CaughtUp: true}, nil},
		{store.Stats{Towers: 1, CaughtUp: true, Behind: 3, Unanswered: 4}, nil}, // for a moment
		{store.Stats{CaughtUp: true}, []string{"the store hears no tower"}},
		{
			store.Stats{Towers: 1, CaughtUp: true, Disk: store.Disk{Full: true, Free: 5 << 20}},
			[]string{"the store's disk is full, 5 MiB are left: nothing is stored until there is room"},
		},
		{store.Stats{Towers: 2, Behind: 1}, []string{"the store is catching up: 1 partition behind"}},
		{store.Stats{Towers: 2}, []string{"the store is finding out what it lacks"}},
	} {
		if diff := cmp.Diff(test.want, lacks(test.stats)); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.stats, diff)
		}
	}
}

// TestIll: nodes whose goroutines have ended go round no more.
func TestIll(t *testing.T) {
	t.Parallel()
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Config{Dir: t.TempDir(), Node: tower.NodeConfig{Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Bind: "tcp://127.0.0.1:*"}})
	if err != nil {
		t.Fatal(err)
	}
	n := Nodes{Tower: tw, Store: s}
	if got := n.ill(); len(got) > 0 {
		t.Errorf("nodes at work: %q", got)
	}
	s.Close()
	tw.Close()
	for end := time.Now().Add(2 * stuckAfter); len(n.ill()) < 2; time.Sleep(100 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("nodes that ended: %q", n.ill())
		}
	}
	for i, want := range []string{"the tower has been stuck for 1", "the store has been stuck for 1"} {
		if got := n.ill()[i]; !strings.HasPrefix(got, want) {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// get gets a page.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: 20 * time.Second}
	answer, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}
