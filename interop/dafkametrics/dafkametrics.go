// Package dafkametrics gives Prometheus what the nodes of a program count: their Stats as collectors. The command dafka
// serves the same metrics of its towers and stores (--http).
//
// Each collector is for one node. Several nodes of one kind in a program need labels that tell them apart:
//
//	registry.MustRegister(dafkametrics.Producer(p, prometheus.Labels{"topic": "hello"}))
//
// A collector reads the Stats when it is scraped, and costs nothing otherwise. It may be used after its node was closed.
package dafkametrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// Producer returns a collector of the metrics dafka_producer_*. labels, if any, are on all of them.
func Producer(p *producer.Producer, labels prometheus.Labels) prometheus.Collector {
	return newCollector(p.Stats, "producer", "Messages dropped, by reason.", producerMetrics,
		func(s producer.Stats) map[zmqwire.Fault]uint64 { return s.Faults }, labels)
}

// Consumer returns a collector of the metrics dafka_consumer_*.
func Consumer(c *consumer.Consumer, labels prometheus.Labels) prometheus.Collector {
	return newCollector(c.Stats, "consumer", "Messages dropped, by reason.", consumerMetrics,
		func(s consumer.Stats) map[zmqwire.Fault]uint64 { return s.Faults }, labels)
}

// Store returns a collector of the metrics dafka_store_*.
func Store(s *store.Store, labels prometheus.Labels) prometheus.Collector {
	c := newCollector(s.Stats, "store", "Messages dropped, by reason.", storeMetrics,
		func(s store.Stats) map[zmqwire.Fault]uint64 { return s.Faults }, labels)
	commits := prometheus.NewDesc("dafka_store_commit_duration_seconds", "How long commits took, until the disk had them.", nil, labels)
	c.more = func(to chan<- prometheus.Metric, s store.Stats) {
		within := make(map[float64]uint64, len(s.Commits.Within))
		for took, count := range s.Commits.Within {
			within[took.Seconds()] = count
		}
		to <- prometheus.MustNewConstHistogram(commits, s.Commits.Count, s.Commits.Sum.Seconds(), within)
	}
	return c
}

// Tower returns a collector of the metrics dafka_tower_*.
func Tower(t *tower.Tower, labels prometheus.Labels) prometheus.Collector {
	return newCollector(t.Stats, "tower", "Beacons dropped, by reason.", towerMetrics,
		func(s tower.Stats) map[zmqwire.Fault]uint64 { return s.Faults }, labels)
}

// metric is one number of the Stats of a node.
type metric[S any] struct {
	name, help string
	kind       prometheus.ValueType
	value      func(S) float64
}

func counter[S any](name, help string, value func(S) uint64) metric[S] {
	return metric[S]{name, help, prometheus.CounterValue, func(s S) float64 { return float64(value(s)) }}
}

func gauge[S any](name, help string, value func(S) float64) metric[S] {
	return metric[S]{name, help, prometheus.GaugeValue, value}
}

var producerMetrics = []metric[producer.Stats]{
	counter("producer_records_sent_total", "Records taken to be published.", func(s producer.Stats) uint64 { return s.Sent }),
	counter("producer_records_acked_total", "Records acked by stores.", func(s producer.Stats) uint64 { return s.Acked }),
	gauge("producer_unacked_bytes", "Memory that records without an ACK take.",
		func(s producer.Stats) float64 { return float64(s.UnackedBytes) }),
	gauge("producer_towers", "Towers heard.", func(s producer.Stats) float64 { return float64(s.Towers) }),
	gauge("producer_peers", "Other nodes known.", func(s producer.Stats) float64 { return float64(s.Peers) }),
}

var consumerMetrics = []metric[consumer.Stats]{
	counter("consumer_records_total", "Records delivered.", func(s consumer.Stats) uint64 { return s.Delivered }),
	counter("consumer_duplicate_records_total", "Records received again.",
		func(s consumer.Stats) uint64 { return s.Duplicates }),
	counter("consumer_skipped_records_total", "Records that were given up.", func(s consumer.Stats) uint64 { return s.Skipped }),
	gauge("consumer_buffered_bytes", "Memory that records take which are not delivered yet.",
		func(s consumer.Stats) float64 { return float64(s.BufferedBytes) }),
	gauge("consumer_towers", "Towers heard.", func(s consumer.Stats) float64 { return float64(s.Towers) }),
	gauge("consumer_peers", "Other nodes known.", func(s consumer.Stats) float64 { return float64(s.Peers) }),
}

var towerMetrics = []metric[tower.Stats]{
	counter("tower_beacons_received_total", "Beacons that came from nodes.",
		func(s tower.Stats) uint64 { return s.Received }),
	counter("tower_beacons_forwarded_total", "Beacons passed on to all nodes.",
		func(s tower.Stats) uint64 { return s.Forwarded }),
	gauge("tower_nodes", "Nodes heard in the last 10 to 20 seconds; a store is two.",
		func(s tower.Stats) float64 { return float64(s.Nodes) }),
}

var storeMetrics = []metric[store.Stats]{
	counter("store_records_total", "Records stored and acked.", func(s store.Stats) uint64 { return s.Records }),
	counter("store_content_bytes_total", "Bytes of the contents of records stored and acked.",
		func(s store.Stats) uint64 { return s.Bytes }),
	counter("store_duplicate_records_total", "Records received again.",
		func(s store.Stats) uint64 { return s.Duplicates }),
	counter("store_fetches_total", "Requests for records.", func(s store.Stats) uint64 { return s.Fetches }),
	counter("store_answered_records_total", "Records sent to those who asked.",
		func(s store.Stats) uint64 { return s.Answered }),
	counter("store_damaged_total", "Reads of runs and heads that were damaged.",
		func(s store.Stats) uint64 { return s.Damaged }),
	counter("store_mended_records_total", "Records that other stores gave again, in the place of damaged ones.",
		func(s store.Stats) uint64 { return s.Mended }),
	gauge("store_pending_bytes", "Received and waiting for a commit; at 8 MiB producers wait.",
		func(s store.Stats) float64 { return float64(s.PendingBytes) }),
	gauge("store_early_bytes", "Received before their turn, because records before them are missing.",
		func(s store.Stats) float64 { return float64(s.EarlyBytes) }),
	gauge("store_behind_partitions", "Partitions of which records are missing that may still come.",
		func(s store.Stats) float64 { return float64(s.Behind) }),
	gauge("store_unanswered_partitions", "Partitions of which records are missing that nobody gave for some seconds.",
		func(s store.Stats) float64 { return float64(s.Unanswered) }),
	gauge("store_caught_up", "1 when nothing is missing that somebody has.",
		func(s store.Stats) float64 { return oneIf(s.CaughtUp) }),
	gauge("store_towers", "Towers heard.", func(s store.Stats) float64 { return float64(s.Towers) }),
	gauge("store_peers", "Other nodes known.", func(s store.Stats) float64 { return float64(s.Peers) }),
	gauge("store_database_bytes", "What the database takes of the disk.",
		func(s store.Stats) float64 { return float64(s.Disk.Used) }),
	gauge("store_database_log_bytes", "What is in the database's log, and not yet in its tables.",
		func(s store.Stats) float64 { return float64(s.Disk.Log) }),
	gauge("store_compaction_debt_bytes", "What the database has yet to rewrite.",
		func(s store.Stats) float64 { return float64(s.Disk.Debt) }),
	gauge("store_disk_free_bytes", "Room left on the disk.",
		func(s store.Stats) float64 { return float64(s.Disk.Free) }),
	gauge("store_disk_full", "1 when the disk has no room: nothing is stored and acked.",
		func(s store.Stats) float64 { return oneIf(s.Disk.Full) }),
	gauge("store_disk_size_bytes", "Size of the disk.",
		func(s store.Stats) float64 { return float64(s.Disk.All) }),
}

func oneIf(yes bool) float64 {
	if yes {
		return 1
	}
	return 0
}

// collector is a prometheus.Collector of the Stats of one node.
type collector[S any] struct {
	stats   func() S
	metrics []metric[S]
	descs   []*prometheus.Desc // of metrics
	faults  func(S) map[zmqwire.Fault]uint64
	fault   *prometheus.Desc
	more    func(chan<- prometheus.Metric, S) // what is no plain number, if anything
}

func newCollector[S any](
	stats func() S, node, faultHelp string, metrics []metric[S], faults func(S) map[zmqwire.Fault]uint64, labels prometheus.Labels,
) *collector[S] {
	c := &collector[S]{stats: stats, metrics: metrics, faults: faults}
	for _, m := range metrics {
		c.descs = append(c.descs, prometheus.NewDesc("dafka_"+m.name, m.help, nil, labels))
	}
	c.fault = prometheus.NewDesc("dafka_"+node+"_faults_total", faultHelp, []string{"reason"}, labels)
	return c
}

func (c *collector[S]) Describe(to chan<- *prometheus.Desc) { prometheus.DescribeByCollect(c, to) }

func (c *collector[S]) Collect(to chan<- prometheus.Metric) {
	s := c.stats()
	for i, m := range c.metrics {
		to <- prometheus.MustNewConstMetric(c.descs[i], m.kind, m.value(s))
	}
	// A zero too, so that the first fault is seen to come.
	faults := c.faults(s)
	if _, ok := faults[zmqwire.OtherFault]; !ok {
		to <- prometheus.MustNewConstMetric(c.fault, prometheus.CounterValue, 0, string(zmqwire.OtherFault))
	}
	for reason, count := range faults {
		to <- prometheus.MustNewConstMetric(c.fault, prometheus.CounterValue, float64(count), string(reason))
	}
	if c.more != nil {
		c.more(to, s)
	}
}
