package serve

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/interop/dafkametrics"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// Over HTTP an operator sees how the nodes of this process are doing: /metrics, /healthz, /readyz and /debug/pprof. All
// of it comes from their Stats.

// listen serves HTTP where the settings want it, until it is closed. It gives nil where they do not.
func (n Nodes) listen(config *settings.Config) (io.Closer, error) {
	key := config.Role + "/http"
	where := config.Text(key)
	if where == "" {
		return nil, nil
	}
	address, err := settings.HTTPAddress(where)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.Place(key), err)
	}
	log := config.Logger()
	server := newHTTPServer(n.handler(), log)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP is served no more", "error", err.Error())
		}
	}()
	terminal.Say("metrics are at http://%s/metrics", listener.Addr())
	return server, nil
}

const (
	// maxHTTPConnections bounds the descriptors that HTTP takes: the nodes of the process need the others.
	maxHTTPConnections = 32
	// A request takes milliseconds, but for a profile.
	requestTime = 10 * time.Second
	idleTime    = 30 * time.Second
	profileTime = 5 * time.Minute
	headerBytes = 16 << 10
	bodyBytes   = 1 << 20
)

// newHTTPServer makes a server in which no client can hold a connection for long, nor many of them.
func newHTTPServer(handler http.Handler, log *slog.Logger) *http.Server {
	clients := clients{idle: make(map[net.Conn]time.Time)}
	return &http.Server{
		Handler:           http.MaxBytesHandler(handler, bodyBytes),
		ReadHeaderTimeout: requestTime / 2, ReadTimeout: requestTime, IdleTimeout: idleTime, MaxHeaderBytes: headerBytes,
		ConnState: clients.note,
		ErrorLog:  slog.NewLogLogger(log.Handler(), slog.LevelWarn),
	}
}

// clients are the connections of an HTTP server. When there is one too many, the one is closed that has waited for a
// request for longest; so whoever asks anew, such as a health check, is answered.
type clients struct {
	mu   sync.Mutex
	idle map[net.Conn]time.Time // since when; zero during a request
}

func (c *clients) note(conn net.Conn, state http.ConnState) {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch state {
	case http.StateNew, http.StateIdle:
		c.idle[conn] = time.Now()
	case http.StateActive:
		c.idle[conn] = time.Time{}
	default:
		delete(c.idle, conn)
	}
	if len(c.idle) <= maxHTTPConnections {
		return
	}
	longest := conn
	for other, since := range c.idle {
		if !since.IsZero() && since.Before(c.idle[longest]) {
			longest = other
		}
	}
	delete(c.idle, longest)
	longest.Close()
}

// page is what is served at a path.
type page struct {
	path, about string
	serve       http.HandlerFunc
}

func (n Nodes) handler() http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	metrics.MustRegister(n.collectors()...)
	pages := []page{
		{"/metrics", "numbers for Prometheus", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}).ServeHTTP},
		{"/healthz", "200 while the nodes work", answer(n.ill)},
		{"/readyz", "200 when they are ready: a store has what the other stores have", answer(n.unready)},
		{"/debug/pprof/", "profiles for go tool pprof", pprof.Index},
	}
	var list strings.Builder
	mux := http.NewServeMux()
	for _, p := range pages {
		fmt.Fprintf(&list, "%-14s %s\n", p.path, p.about)
		mux.HandleFunc(p.path, within(requestTime, p.serve))
	}
	mux.HandleFunc("/debug/pprof/cmdline", within(requestTime, pprof.Cmdline))
	mux.HandleFunc("/debug/pprof/profile", within(profileTime, pprof.Profile))
	mux.HandleFunc("/debug/pprof/symbol", within(requestTime, pprof.Symbol))
	mux.HandleFunc("/debug/pprof/trace", within(profileTime, pprof.Trace))
	mux.HandleFunc("/", within(requestTime, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		if r.URL.Path != "/" {
			w.WriteHeader(http.StatusNotFound)
		}
		fmt.Fprint(w, list.String())
	}))
	return mux
}

// within lets an answer take so long at most: a client that does not read holds its connection no longer.
func within(limit time.Duration, serve http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		end := time.Now().Add(limit)
		connection := http.NewResponseController(w)
		connection.SetReadDeadline(end) // else the server ends what takes longer than a request may
		connection.SetWriteDeadline(end)
		serve(w, r)
	}
}

// answer says ok, or what is wrong.
func answer(wrong func() []string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		reasons := wrong()
		if len(reasons) > 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
		} else {
			reasons = []string{"ok"}
		}
		fmt.Fprintln(w, strings.Join(reasons, "\n"))
	}
}

// stuckAfter is how long a node that works never takes to go round.
const stuckAfter = 10 * time.Second

// ill says which nodes do not work any more.
func (n Nodes) ill() (reasons []string) {
	check := func(node string, round time.Time) {
		if since := time.Since(round); since > stuckAfter {
			reasons = append(reasons, fmt.Sprintf("the %s has been stuck for %.0f s", node, since.Seconds()))
		}
	}
	if n.Tower != nil {
		check("tower", n.Tower.Stats().LastRound)
	}
	if n.Store != nil {
		check("store", n.Store.Stats().LastRound)
	}
	return reasons
}

// unready says why the nodes cannot do yet what they are there for. A tower can at once.
func (n Nodes) unready() []string {
	reasons := n.ill()
	if n.Store != nil {
		reasons = append(reasons, lacks(n.Store.Stats())...)
	}
	return reasons
}

// lacks says what a store waits for.
func lacks(s store.Stats) (reasons []string) {
	if s.Towers == 0 {
		reasons = append(reasons, "the store hears no tower")
	}
	if s.Disk.Full {
		reasons = append(reasons, fmt.Sprintf("the store's disk is full, %d MiB are left: nothing is stored until there is room", s.Disk.Free>>20))
	}
	switch {
	case s.CaughtUp:
	case s.Behind > 0:
		reasons = append(reasons, fmt.Sprintf("the store is catching up: %s behind", terminal.Plural(uint64(s.Behind), "partition")))
	default:
		reasons = append(reasons, "the store is finding out what it lacks")
	}
	return reasons
}

// collectors are those of the program and of its nodes.
func (n Nodes) collectors() []prometheus.Collector {
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "dafka_build_info", Help: "The versions of this program and of libzmq; always 1.",
		ConstLabels: prometheus.Labels{"version": terminal.BuildVersion(), "libzmq": zsock.LibraryVersion()},
	})
	build.Set(1)
	all := []prometheus.Collector{build}
	if n.Tower != nil {
		all = append(all, dafkametrics.Tower(n.Tower, nil))
	}
	if n.Store != nil {
		all = append(all, dafkametrics.Store(n.Store, nil))
	}
	return all
}
