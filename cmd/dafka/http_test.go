package main

import (
	"encoding/json"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/godafka/dafka/tower"
)

// serving starts a command that serves HTTP on loopback, and gives where.
func serving(t *testing.T, args ...string) (s *started, url string) {
	t.Helper()
	s = start(t, "program", append(args, "--http", "127.0.0.1:0")...)
	s.says("metrics are at http://127.0.0.1:")
	_, url, _ = strings.Cut(s.seen[len(s.seen)-1], "metrics are at ")
	return s, strings.TrimSuffix(url, "/metrics")
}

// get gets a page.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	client := http.Client{Timeout: atMost}
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

// becomes waits until a page is as wanted.
func becomes(t *testing.T, url string, status int, body string) {
	t.Helper()
	got, text := get(t, url)
	for end := time.Now().Add(atMost); got != status || text != body; got, text = get(t, url) {
		if time.Now().After(end) {
			t.Fatalf("%s: %d %q, want %d %q", url, got, text, status, body)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// names are the metrics that one page tells of, by what may stand in a query.
func names(page string) map[string]bool {
	names := make(map[string]bool)
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) (\S+)$`).FindAllStringSubmatch(page, -1) {
		names[m[1]] = true
		if m[2] == "histogram" {
			names[m[1]+"_bucket"], names[m[1]+"_sum"], names[m[1]+"_count"] = true, true, true
		}
	}
	return names
}

// TestMetrics looks at all that a tower and a store serve: the numbers of records that were published, names as
// Prometheus wants them, and that the dashboard and the alarms ask for nothing else.
func TestMetrics(t *testing.T) {
	t.Parallel()
	s, url := serving(t, append([]string{"dev", "--db", filepath.Join(t.TempDir(), "db")}, anyTower...)...)
	s.says("tower and store are running")
	_, join, _ := strings.Cut(s.seen[len(s.seen)-1], "nodes join with ")
	produce := append([]string{"produce", "hello", "--bind", "127.0.0.1", "--address", "127.0.0.1"}, strings.Fields(join)...)
	if got := runProgram(t, "one\ntwo\nthree\n", produce...); got.Status != 0 {
		t.Fatalf("produce: %+v", got)
	}
	becomes(t, url+"/readyz", 200, "ok\n")
	becomes(t, url+"/healthz", 200, "ok\n")

	status, page := get(t, url+"/metrics")
	if status != 200 {
		t.Fatalf("%d %s", status, page)
	}
	for _, want := range []string{
		"dafka_store_records_total 3", "dafka_store_content_bytes_total 11", "dafka_store_caught_up 1", "dafka_store_towers 1",
		"dafka_store_damaged_total 0", "dafka_store_mended_records_total 0", `dafka_store_faults_total{reason="other"} 0`, `dafka_tower_faults_total{reason="other"} 0`,
		"dafka_tower_nodes 3", "dafka_store_behind_partitions 0", "dafka_store_unanswered_partitions 0",
	} {
		if !strings.Contains(page, "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil {
		t.Error(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}

	exported := names(page)
	exported["up"] = true // Prometheus's own
	asked := make(map[string]bool)
	for file, queries := range map[string][]string{
		"grafana-dashboard.json": dashboardQueries(t), "alarms.yml": alarmQueries(t),
	} {
		if len(queries) == 0 {
			t.Errorf("%s asks for nothing", file)
		}
		for _, query := range queries {
			for _, name := range queried(query) {
				asked[name] = true
				if !exported[name] {
					t.Errorf("%s: %s: there is no %s", file, query, name)
				}
			}
		}
	}
	for name := range exported {
		plain := strings.HasPrefix(name, "dafka_store_") && !strings.HasPrefix(name, "dafka_store_commit_") && name != "dafka_store_faults_total"
		if plain && !asked[name] && name != "dafka_store_towers" && !strings.HasSuffix(name, "_size_bytes") {
			t.Errorf("neither the dashboard nor the alarms ask for %s", name)
		}
	}

	if status, profile := get(t, url+"/debug/pprof/goroutine?debug=1"); status != 200 || !strings.Contains(profile, "goroutine profile") {
		t.Errorf("/debug/pprof/goroutine: %d %.100q", status, profile)
	}
	// A profile under way holds nothing up.
	profiling := make(chan struct{})
	go func() {
		defer close(profiling)
		if answer, err := http.Get(url + "/debug/pprof/profile?seconds=30"); err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
	}()
	s.signal(syscall.SIGTERM)
	if status := s.endsSoon(); status != 0 {
		t.Errorf("exit status %d, want 0; stderr %q", status, s.seen)
	}
	<-profiling
}

// TestHTTPPages: the first page names the others, and so does one that does not exist.
func TestHTTPPages(t *testing.T) {
	t.Parallel()
	_, url := serving(t, append([]string{"tower"}, anyTower...)...)
	for path, want := range map[string]int{"/": 200, "/metrics": 200, "/nothing": 404} {
		status, body := get(t, url+path)
		if status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
		for _, page := range []string{"/metrics", "/healthz", "/readyz", "/debug/pprof/"} {
			if path != "/metrics" && !strings.Contains(body, page+" ") {
				t.Errorf("%s does not name %s: %q", path, page, body)
			}
		}
	}
}

// queried are the metrics in a query: words that are no function, keyword, label or string.
func queried(query string) (names []string) {
	query = regexp.MustCompile(`"[^"]*"|\[[^\]]*\]|\{[^}]*\}|\b(?:by|without) \([^)]*\)`).ReplaceAllString(query, " ")
	for _, m := range regexp.MustCompile(`([a-zA-Z_:][a-zA-Z0-9_:]*)\s*(\(?)`).FindAllStringSubmatch(query, -1) {
		if m[2] == "" && m[1] != "or" && m[1] != "and" && m[1] != "unless" {
			names = append(names, m[1])
		}
	}
	return names
}

func TestQueried(t *testing.T) {
	got := queried(`histogram_quantile(0.99, sum by (le, a) (rate(x_bucket{b="c", d!="e"}[$__rate_interval]))) > 24 * y or up == 0`)
	if diff := cmp.Diff([]string{"x_bucket", "y", "up"}, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func dashboardQueries(t *testing.T) (queries []string) {
	t.Helper()
	text, err := os.ReadFile("../../docker/grafana-dashboard.json")
	if err != nil {
		t.Fatal(err)
	}
	var dashboard struct {
		Panels []struct{ Targets []struct{ Expr string } }
	}
	if err := json.Unmarshal(text, &dashboard); err != nil {
		t.Fatal(err)
	}
	for _, panel := range dashboard.Panels {
		for _, target := range panel.Targets {
			queries = append(queries, target.Expr)
		}
	}
	return queries
}

func alarmQueries(t *testing.T) (queries []string) {
	t.Helper()
	var alarms struct {
		Groups []struct{ Rules []struct{ Expr string } }
	}
	readYAML(t, "../../docker/alarms.yml", &alarms)
	for _, group := range alarms.Groups {
		for _, rule := range group.Rules {
			queries = append(queries, rule.Expr)
		}
	}
	return queries
}

func readYAML(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", file, err)
	}
}

// TestComposeServesMetrics: Prometheus looks for them where the containers serve them, and every file that they are
// given is there.
func TestComposeServesMetrics(t *testing.T) {
	var compose struct {
		Services map[string]struct{ Command, Volumes []string }
	}
	readYAML(t, "../../docker/compose.yaml", &compose)
	var prometheus struct {
		ScrapeConfigs []struct {
			StaticConfigs []struct{ Targets []string } `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	readYAML(t, "../../docker/prometheus.yml", &prometheus)
	var want, got []string
	for _, name := range []string{"tower", "store-a", "store-b"} {
		want = append(want, name+":9090")
		if command := strings.Join(compose.Services[name].Command, " "); !strings.Contains(command, "--http *:9090") {
			t.Errorf("%s: %q serves no metrics at port 9090", name, command)
		}
	}
	for _, scrape := range prometheus.ScrapeConfigs {
		for _, static := range scrape.StaticConfigs {
			got = append(got, static.Targets...)
		}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("targets (-want +got):\n%s", diff)
	}
	for _, name := range []string{"prometheus", "grafana"} {
		if len(compose.Services[name].Volumes) == 0 {
			t.Errorf("%s has no configuration", name)
		}
		for _, volume := range compose.Services[name].Volumes {
			file, _, _ := strings.Cut(volume, ":")
			if _, err := os.Stat(filepath.Join("../../docker", file)); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// TestComposeStores: each store has a volume of its own, and a name, so that no second container gets that volume too. In
// every container a command finds the tower.
func TestComposeStores(t *testing.T) {
	var compose struct {
		Services map[string]struct {
			Image                string
			Name                 string `yaml:"container_name"`
			Environment, Volumes []string
		}
	}
	readYAML(t, "../../docker/compose.yaml", &compose)
	users := make(map[string]string)
	for name, service := range compose.Services {
		if service.Image != "dafka" {
			continue
		}
		if !slices.Contains(service.Environment, "DAFKA_TOWER=tower") {
			t.Errorf("%s: environment %q", name, service.Environment)
		}
		for _, volume := range service.Volumes {
			if other := users[volume]; other != "" || service.Name == "" {
				t.Errorf("%s, container %q: volume %s is also that of %q", name, service.Name, volume, other)
			}
			users[volume] = name
		}
	}
	if len(users) != 2 {
		t.Errorf("volumes %v, want those of two stores", users)
	}
}

// TestReadiness: a store without a tower lives and is not ready, and then it is.
func TestReadiness(t *testing.T) {
	t.Parallel()
	// Its ports are known to be free: a tower had them.
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		t.Fatal(err)
	}
	where := tower.Config{Pub: tw.Pub(), Sub: tw.Sub()}
	tw.Close()
	s, url := serving(t, "store", "--db", filepath.Join(t.TempDir(), "db"), "--bind", "127.0.0.1", "--address", "127.0.0.1",
		"--pub", where.Pub, "--sub", where.Sub)
	if status, body := get(t, url+"/healthz"); status != 200 || body != "ok\n" {
		t.Errorf("/healthz: %d %q", status, body)
	}
	if status, body := get(t, url+"/readyz"); status != 503 || body != "the store hears no tower\nthe store is finding out what it lacks\n" {
		t.Errorf("/readyz: %d %q", status, body)
	}
	if tw, err = tower.Open(where); err != nil {
		t.Fatal(err)
	}
	becomes(t, url+"/readyz", 200, "ok\n")
	tw.Close()
	becomes(t, url+"/readyz", 503, "the store hears no tower\n")
	s.signal(syscall.SIGTERM)
	if status := s.endsSoon(); status != 0 {
		t.Errorf("exit status %d, want 0; stderr %q", status, s.seen)
	}
}

// TestCProgramServesMetrics: the programs with C's names have the setting too, though no flag.
func TestCProgramServesMetrics(t *testing.T) {
	t.Parallel()
	c := commandNamed(t, append([]string{"dafka_towerd"}, anyTower...)...)
	c.Env = append(c.Env, "DAFKA_TOWER_HTTP=:0")
	s := startCommand(t, c)
	s.says("metrics are at http://127.0.0.1:")
	_, url, _ := strings.Cut(s.seen[len(s.seen)-1], "metrics are at ")
	if status, page := get(t, url); status != 200 || !names(page)["dafka_tower_nodes"] || names(page)["dafka_store_records_total"] {
		t.Errorf("%d %s", status, page)
	}
	s.signal(syscall.SIGTERM)
	if status := s.endsSoon(); status != 0 {
		t.Errorf("exit status %d, want 0; stderr %q", status, s.seen)
	}
}
