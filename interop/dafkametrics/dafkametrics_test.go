package dafkametrics_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/interop/dafkametrics"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// A program with every kind of node, two producers among them, shows what each has done.
func TestCollectors(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	must(err)
	defer tw.Close()
	node := tower.NodeConfig{Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}
	st, err := store.Open(store.Config{Dir: t.TempDir(), Node: node})
	must(err)
	defer st.Close()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(dafkametrics.Tower(tw, nil), dafkametrics.Store(st, nil))
	for i, topic := range []string{"one", "two"} {
		p, err := producer.Open(producer.Config{Topic: topic, Node: node})
		must(err)
		registry.MustRegister(dafkametrics.Producer(p, prometheus.Labels{"topic": topic}))
		for n := range 3 + i {
			_, err := p.Send(ctx, fmt.Appendf(nil, "%s %d", topic, n))
			must(err)
		}
		must(p.Flush(ctx))
		defer p.Close(ctx)
	}
	c, err := consumer.Open(consumer.Config{Topics: []string{"two"}, Reset: consumer.Earliest, Node: node})
	must(err)
	defer c.Close()
	registry.MustRegister(dafkametrics.Consumer(c, nil))
	for n := range 4 {
		r, err := c.Next(ctx)
		must(err)
		if want := fmt.Sprintf("two %d", n); string(r.Content) != want {
			t.Errorf("%q, want %q", r.Content, want)
		}
	}

	page := httptest.NewRecorder()
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{}).ServeHTTP(page, httptest.NewRequest("GET", "/metrics", nil))
	text := page.Body.String()
	for _, want := range []string{
		"dafka_consumer_records_total 4",
		`dafka_producer_records_acked_total{topic="one"} 3`, `dafka_producer_records_acked_total{topic="two"} 4`,
		`dafka_producer_records_sent_total{topic="one"} 3`, `dafka_producer_records_sent_total{topic="two"} 4`,
		"dafka_store_records_total 7", `dafka_tower_faults_total{reason="other"} 0`,
		`dafka_producer_faults_total{reason="other",topic="one"} 0`,
	} {
		if !strings.Contains(text, "\n"+want+"\n") {
			t.Errorf("no line %q", want)
		}
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	must(err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}
