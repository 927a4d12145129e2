package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/pprof"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// Over HTTP an operator sees how the nodes of this process are doing: /metrics, /healthz, /readyz and /debug/pprof. All
// of it comes from their Stats.

func httpFlag() cli.Flag {
	return &cli.StringFlag{
		Name:        "http",
		Usage:       "serve /metrics, /healthz, /readyz and /debug/pprof at `[HOST:]PORT`; without HOST for this machine only",
		DefaultText: "not served",
	}
}

func checkHTTP(text string) error {
	if text == "" {
		return nil
	}
	_, err := httpAddress(text)
	return err
}

// httpAddress is where to listen: on loopback unless a host is told, which is * for all interfaces.
func httpAddress(text string) (string, error) {
	where := text
	if i := strings.LastIndexByte(text, ':'); i <= 0 {
		where = "127.0.0.1:" + text[i+1:]
	}
	endpoint, err := zmqwire.ParseListenEndpoint("tcp://" + where)
	if err != nil {
		return "", fmt.Errorf("%q: want PORT or HOST:PORT, such as 9090, or *:9090 for all interfaces", text)
	}
	host := endpoint.Host
	if host == "*" {
		host = ""
	}
	return net.JoinHostPort(host, strconv.Itoa(int(endpoint.Port))), nil
}

// listen serves HTTP where the settings want it, until it is closed. It gives nil where they do not.
func (n nodes) listen(config *config) (io.Closer, error) {
	key := config.role + "/http"
	where := config.text(key)
	if where == "" {
		return nil, nil
	}
	address, err := httpAddress(where)
	if err != nil {
		return nil, err
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", config.values[key].place(key), err)
	}
	log := config.logger()
	server := newHTTPServer(n.handler(), log)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			log.Error("HTTP is served no more", "error", err.Error())
		}
	}()
	say("metrics are at http://%s/metrics", listener.Addr())
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

func (n nodes) handler() http.Handler {
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), n)
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
func (n nodes) ill() (reasons []string) {
	check := func(node string, round time.Time) {
		if since := time.Since(round); since > stuckAfter {
			reasons = append(reasons, fmt.Sprintf("the %s has been stuck for %.0f s", node, since.Seconds()))
		}
	}
	if n.tower != nil {
		check("tower", n.tower.Stats().LastRound)
	}
	if n.store != nil {
		check("store", n.store.Stats().LastRound)
	}
	return reasons
}

// unready says why the nodes cannot do yet what they are there for. A tower can at once.
func (n nodes) unready() []string {
	reasons := n.ill()
	if n.store != nil {
		reasons = append(reasons, lacks(n.store.Stats())...)
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
		reasons = append(reasons, fmt.Sprintf("the store is catching up: %s behind", plural(uint64(s.Behind), "partition")))
	default:
		reasons = append(reasons, "the store is finding out what it lacks")
	}
	return reasons
}

// metric is one number of the Stats of a node.
type metric[S any] struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(S) float64
}

func counter[S any](name, help string, value func(S) uint64) metric[S] {
	return metric[S]{desc(name, help), prometheus.CounterValue, func(s S) float64 { return float64(value(s)) }}
}

func gauge[S any](name, help string, value func(S) float64) metric[S] {
	return metric[S]{desc(name, help), prometheus.GaugeValue, value}
}

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("dafka_"+name, help, labels, nil)
}

var (
	buildInfo = desc("build_info", "The versions of this program and of libzmq; always 1.", "version", "libzmq")

	towerFaults  = desc("tower_faults_total", "Beacons dropped, by reason.", "reason")
	towerMetrics = []metric[tower.Stats]{
		counter("tower_beacons_received_total", "Beacons that came from nodes.", func(s tower.Stats) uint64 { return s.Received }),
		counter("tower_beacons_forwarded_total", "Beacons passed on to all nodes.", func(s tower.Stats) uint64 { return s.Forwarded }),
		gauge("tower_nodes", "Nodes heard in the last 10 to 20 seconds; a store is two.", func(s tower.Stats) float64 { return float64(s.Nodes) }),
	}

	storeFaults  = desc("store_faults_total", "Messages dropped, by reason.", "reason")
	storeCommits = desc("store_commit_duration_seconds", "How long commits took, until the disk had them.")
	storeMetrics = []metric[store.Stats]{
		counter("store_records_total", "Records stored and acked.", func(s store.Stats) uint64 { return s.Records }),
		counter("store_content_bytes_total", "Bytes of the contents of records stored and acked.", func(s store.Stats) uint64 { return s.Bytes }),
		counter("store_duplicate_records_total", "Records received again.", func(s store.Stats) uint64 { return s.Duplicates }),
		counter("store_fetches_total", "Requests for records.", func(s store.Stats) uint64 { return s.Fetches }),
		counter("store_answered_records_total", "Records sent to those who asked.", func(s store.Stats) uint64 { return s.Answered }),
		counter("store_damaged_total", "Reads of runs and heads that were damaged.", func(s store.Stats) uint64 { return s.Damaged }),
		counter("store_mended_records_total", "Records that other stores gave again, in the place of damaged ones.", func(s store.Stats) uint64 { return s.Mended }),
		gauge("store_pending_bytes", "Received and waiting for a commit; at 8 MiB producers wait.", func(s store.Stats) float64 { return float64(s.PendingBytes) }),
		gauge("store_early_bytes", "Received before their turn, because records before them are missing.", func(s store.Stats) float64 { return float64(s.EarlyBytes) }),
		gauge("store_behind_partitions", "Partitions of which records are missing that may still come.", func(s store.Stats) float64 { return float64(s.Behind) }),
		gauge("store_unanswered_partitions", "Partitions of which records are missing that nobody gave for some seconds.", func(s store.Stats) float64 { return float64(s.Unanswered) }),
		gauge("store_caught_up", "1 when nothing is missing that somebody has.", func(s store.Stats) float64 { return oneIf(s.CaughtUp) }),
		gauge("store_towers", "Towers heard.", func(s store.Stats) float64 { return float64(s.Towers) }),
		gauge("store_peers", "Other nodes known.", func(s store.Stats) float64 { return float64(s.Peers) }),
		gauge("store_database_bytes", "What the database takes of the disk.", func(s store.Stats) float64 { return float64(s.Disk.Used) }),
		gauge("store_database_log_bytes", "What is in the database's log, and not yet in its tables.", func(s store.Stats) float64 { return float64(s.Disk.Log) }),
		gauge("store_compaction_debt_bytes", "What the database has yet to rewrite.", func(s store.Stats) float64 { return float64(s.Disk.Debt) }),
		gauge("store_disk_free_bytes", "Room left on the disk.", func(s store.Stats) float64 { return float64(s.Disk.Free) }),
		gauge("store_disk_full", "1 when the disk has no room: nothing is stored and acked.", func(s store.Stats) float64 { return oneIf(s.Disk.Full) }),
		gauge("store_disk_size_bytes", "Size of the disk.", func(s store.Stats) float64 { return float64(s.Disk.All) }),
	}
)

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// Describe makes of nodes, with Collect, a prometheus.Collector.
func (n nodes) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(n, to) }

// Collect gives all metrics of all nodes.
func (n nodes) Collect(to chan<- prometheus.Metric) {
	to <- prometheus.MustNewConstMetric(buildInfo, prometheus.GaugeValue, 1, version(), zmqwire.LibraryVersion())
	if n.tower != nil {
		s := n.tower.Stats()
		collect(to, s, towerMetrics)
		collectFaults(to, towerFaults, s.Faults)
	}
	if n.store != nil {
		s := n.store.Stats()
		collect(to, s, storeMetrics)
		collectFaults(to, storeFaults, s.Faults)
		within := make(map[float64]uint64, len(s.Commits.Within))
		for took, count := range s.Commits.Within {
			within[took.Seconds()] = count
		}
		to <- prometheus.MustNewConstHistogram(storeCommits, s.Commits.Count, s.Commits.Sum.Seconds(), within)
	}
}

func collect[S any](to chan<- prometheus.Metric, s S, metrics []metric[S]) {
	for _, m := range metrics {
		to <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(s))
	}
}

// collectFaults gives a zero too, so that the first fault is seen to come.
func collectFaults(to chan<- prometheus.Metric, desc *prometheus.Desc, faults map[zmqwire.Fault]uint64) {
	if _, ok := faults[zmqwire.OtherFault]; !ok {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, 0, string(zmqwire.OtherFault))
	}
	for reason, count := range faults {
		to <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(count), string(reason))
	}
}
