package interop

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/godafka/dafka/zmqwire"
)

// The matrix: each scenario with Go and C in every role. DAFKA_C_BIN names the folder of the C programs; without it Go
// plays all roles.

// scenario is one thing that a cluster must do, whoever plays which role.
type scenario struct {
	name string
	// test shows the same with Go in all roles and runs with all tests; the matrix then need not, unless a table is
	// asked for.
	test string
	// fits says for which assignments there is something to see; none: for all.
	fits func(roles) bool
	// untapped keeps the tap away from what is measured in megabytes.
	untapped bool
	// opensTowers says that the scenario itself starts the towers.
	opensTowers bool
	// run gives the known fault of C that was seen, if any. Records that differ fail it.
	run func(*cast) (known string)
}

var scenarios = []scenario{
	{name: "as in the capture of C", run: asCaptured},
	{name: "live", test: "TestConsumerBeforeProducer", run: live},
	{name: "late consumer", test: "TestSeveralConsumers", run: lateConsumer},
	{name: "late store", test: "TestStoreAfterProducer", run: lateStore},
	{name: "late store, 1000 records", fits: func(r roles) bool { return r.producer == cPlayer }, run: lateStoreOfMany},
	{name: "producer gone", test: "TestConsumerAfterProducer", run: producerGone},
	{name: "250000 records replayed", test: "TestReplayOf500000Records", untapped: true, run: replay},
	{name: "interleaved producers", run: interleaved},
	{name: "empty and 1 MiB records", test: "TestEmptyAndLargeRecords", untapped: true, run: emptyAndLarge},
	{name: "prefix topics", test: "TestPrefixTopics", run: prefixTopics},
	{name: "store killed, restarted", test: "TestStoreRestarted", run: storeRestarted},
	{name: "tower restarted", test: "TestTowerRestarted", opensTowers: true, run: towerRestarted},
	{name: "consumer leaves, rejoins", run: rejoining},
	{name: "two stores, one dies", test: "TestTwoStores", run: twoStores},
	{name: "Go store copies a C store", fits: func(r roles) bool { return r.store == cPlayer }, run: copyStore},
	{name: "two towers, one dies", test: "TestTwoTowers", opensTowers: true, run: twoTowers},
}

func TestMatrix(t *testing.T) {
	folder, err := cFolder()
	if err != nil {
		t.Fatal(err)
	}
	if folder == "" {
		t.Parallel()
	}
	assignments := everyRoles()
	if folder == "" {
		assignments = assignments[:1]
		t.Log("DAFKA_C_BIN is not set: Go plays all roles")
	}
	wanted := scores.wanted()
	for _, s := range scenarios {
		for _, r := range assignments {
			if s.fits != nil && !s.fits(r) || folder == "" && !wanted && s.test != "" {
				continue
			}
			t.Run(s.name+" "+r.String(), func(t *testing.T) {
				// C nodes all take the lowest port that is free from 49152 on. Where clusters with C run side by side,
				// a node that comes takes the port of one that has gone, and hears those who still look for that one.
				if folder == "" {
					t.Parallel()
				}
				scores.keep(t, s.name, r, func(t *trial) (string, func() map[string]int) {
					m := &cast{cluster: meetingPoint(t), plays: r, t: t}
					if !s.opensTowers {
						m.openTower()
					}
					counts := func() map[string]int { return nil }
					if !s.untapped {
						m.heard = m.tap()
						counts = m.heard.counts
					}
					return cmp.Or(s.run(m), m.fault), counts
				})
			})
		}
	}
}

// mustPrint waits until a consumer has as many records as were published, ends it, and compares.
func (m *cast) mustPrint(what string, who player, p *process, want partitions) {
	m.t.Helper()
	n := 0
	for _, contents := range want {
		n += len(contents)
	}
	p.waitForLines(n)
	m.stop(who, p)
	m.same(what, want, p.printed())
}

// same compares what came with what was published. C producers answer those that missed something with records of the
// partition under wrong numbers: where nothing else is wrong, that known fault is noted.
func (m *cast) same(what string, want, got partitions) {
	m.t.Helper()
	wrong, other := 0, len(want) != len(got)
	for name, contents := range got {
		if len(contents) != len(want[name]) {
			other = true
			continue
		}
		for i := range contents {
			if contents[i] != want[name][i] {
				wrong++
				other = other || !slices.Contains(want[name], contents[i])
			}
		}
	}
	if wrong == 0 || other || m.plays.producer == goPlayer {
		equal(m.t, what, want, got)
		return
	}
	m.fault = fmt.Sprintf("%s: %d records of a C producer have wrong contents", what, wrong)
}

// lateConsumerGets starts a consumer, which must get all.
func (m *cast) lateConsumerGets(what string, want partitions) {
	m.t.Helper()
	m.mustPrint(what, m.plays.consumer, m.openConsumer(m.plays.consumer, "hello"), want)
}

// A C consumer that lacks something asks for it when it hears of the partition, and no timer makes it ask again. So
// scenarios wait for those that listen live before they let a producer go.

func live(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	p := m.openProducer("hello")
	got := m.liveConsumer("hello")
	want := lines("a", 3000)
	p.publish(want...)
	got.waitForLines(3000)
	p.done()
	m.mustPrint("live", m.plays.consumer, got, partitions{"hello/a": want})
	return ""
}

func lateConsumer(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := lines("a", 3000)
	p := m.openProducer("hello")
	p.publish(want[:2000]...)
	m.awaitHeads("hello", 1, 1, 2000)
	got := m.liveConsumer("hello")
	got.waitForLines(2000)
	p.publish(want[2000:]...)
	got.waitForLines(3000)
	p.done()
	m.mustPrint("late consumer", m.plays.consumer, got, partitions{"hello/a": want})
	return ""
}

// awaitUnacked closes a producer's input and waits until all that it has published waits for a store.
func (m *cast) awaitUnacked(f *source, records int) {
	m.t.Helper()
	f.in.Close()
	if f.who == goPlayer {
		f.waitFor(fmt.Sprintf("%d records wait for a store", records))
		return
	}
	eventually(m.t, "records of a producer without a store", func() bool { return m.heard.count(zmqwire.Record) >= records })
}

// C producers give wrong contents of what is behind their first 256 records; see lateStoreOfMany.
func lateStore(m *cast) string {
	records := 5000
	if m.plays.producer == cPlayer {
		records = 200
	}
	want := lines("a", records)
	p := m.openProducer("hello")
	p.publish(want...)
	m.awaitUnacked(p, records)
	m.openStore(m.plays.store, m.t.TempDir())
	p.acked()
	m.lateConsumerGets("from the store", partitions{"hello/a": want})
	return ""
}

func lateStoreOfMany(m *cast) string {
	want := lines("a", 1000)
	p := m.openProducer("hello")
	p.publish(want...)
	m.awaitUnacked(p, len(want))
	m.openStore(m.plays.store, m.t.TempDir())
	p.acked()
	consumer := m.openConsumer(m.plays.consumer, "hello")
	consumer.waitForLines(len(want))
	m.stop(m.plays.consumer, consumer)
	m.same("from the store", partitions{"hello/a": want}, consumer.printed())
	return ""
}

func producerGone(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := lines("a", 5000)
	p := m.openProducer("hello")
	p.publish(want...)
	p.done()
	m.lateConsumerGets("from the store", partitions{"hello/a": want})
	return ""
}

// replay is more than the 100,001 records that a C consumer asks a C store for.
func replay(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := partitions{"hello/a": lines("a", 250_000)}
	p := m.openProducer("hello")
	p.publish(want["hello/a"]...)
	p.done()
	if m.plays.store == goPlayer || m.plays.consumer == goPlayer {
		m.lateConsumerGets("from the store", want)
		return ""
	}
	const end = 100_001
	stopped := m.openConsumer(cPlayer, "hello")
	stopped.waitForLines(end)
	// Meanwhile another gets all, so it is not the store that is slow.
	m.mustPrint("by Go from the store", goPlayer, m.openConsumer(goPlayer, "hello"), want)
	m.stop(cPlayer, stopped)
	got := stopped.printed()["hello/a"]
	equal(m.t, "by C from the store", partitions{"hello/a": want["hello/a"][:len(got)]}, partitions{"hello/a": got})
	if len(got) == len(want["hello/a"]) {
		return ""
	}
	return fmt.Sprintf("the C consumer stopped after %d of 250000 records of a C store", len(got))
}

func interleaved(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := partitions{}
	producers := make(map[string]*source)
	for _, name := range []string{"a", "b", "c"} {
		want["hello/"+name] = lines(name, 1000)
		producers[name] = m.openProducer("hello")
	}
	got := m.liveConsumer("hello")
	for i := 0; i < 1000; i += 50 {
		for name, p := range producers {
			p.publish(want["hello/"+name][i : i+50]...)
		}
	}
	got.waitForLines(3000)
	for _, p := range producers {
		p.done()
	}
	m.mustPrint("live", m.plays.consumer, got, want)
	m.lateConsumerGets("from the store", want)
	return ""
}

func emptyAndLarge(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := []string{"a 0"}
	for i := range 10 {
		want = append(want, "", strings.Repeat(fmt.Sprint(i), 1<<20), "", fmt.Sprint("a ", i))
	}
	p := m.openProducer("hello")
	p.publish(want...)
	p.done()
	m.lateConsumerGets("from the store", partitions{"hello/a": want})
	return ""
}

// C consumers subscribe to all topics that begin with theirs.
func prefixTopics(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := partitions{"hello/a": lines("a", 500)}
	more, p := m.openProducer("hello2"), m.openProducer("hello")
	got := m.liveConsumer("hello")
	more.publish(lines("b", 500)...)
	more.done()
	p.publish(want["hello/a"]...)
	eventually(m.t, "all records of the topic", func() bool { return len(got.printed()["hello/a"]) >= 500 })
	p.done()
	m.stop(m.plays.consumer, got)
	printed := got.printed()
	surplus := len(printed["hello2/b"])
	if m.plays.consumer == cPlayer {
		delete(printed, "hello2/b")
	}
	m.same("live", want, printed)
	if surplus == 0 {
		return ""
	}
	return fmt.Sprintf("the C consumer of hello gave %d records of hello2", surplus)
}

// In the midst of a producer only where it is Go: C producers give wrong contents of what a store missed.
func storeRestarted(m *cast) string {
	dir := m.t.TempDir()
	store := m.openStore(m.plays.store, dir)
	got := m.liveConsumer("hello")
	want := partitions{"hello/a": lines("a", 3000)}
	a := m.openProducer("hello")
	a.publish(want["hello/a"]...)
	got.waitForLines(3000)
	a.done()
	store.kill()
	store = m.openStore(m.plays.store, dir)
	m.lateConsumerGets("after a restart", want)

	want["hello/b"] = lines("b", 9000)
	b := m.openProducer("hello")
	b.publish(want["hello/b"][:3000]...)
	if m.plays.producer == goPlayer {
		got.waitForLines(3100)
		store.kill()
		b.publish(want["hello/b"][3000:6000]...)
		m.openStore(m.plays.store, dir)
	} else {
		b.publish(want["hello/b"][3000:6000]...)
	}
	b.publish(want["hello/b"][6000:]...)
	got.waitForLines(12_000)
	b.done()
	m.lateConsumerGets("from the store", want)
	m.mustPrint("live", m.plays.consumer, got, want)
	return ""
}

// The newcomers after the restart publish few records, so that C producers give the right ones to whom they met late.
func towerRestarted(m *cast) string {
	tower := m.openTower()
	m.openStore(m.plays.store, m.t.TempDir())
	got := m.liveConsumer("hello")
	want := partitions{"hello/a": lines("a", 3000), "hello/b": lines("b", 200)}
	a := m.openProducer("hello")
	a.publish(want["hello/a"][:1000]...)
	got.waitForLines(1000)
	tower.kill()
	a.publish(want["hello/a"][1000:2000]...)
	got.waitForLines(2000)
	m.openTower()
	b := m.openProducer("hello")
	b.publish(want["hello/b"]...)
	a.publish(want["hello/a"][2000:]...)
	got.waitForLines(3200)
	b.done()
	a.done()
	m.lateConsumerGets("by one that came after the restart", want)
	m.mustPrint("by one that was there before", m.plays.consumer, got, want)
	return ""
}

func rejoining(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	want := lines("a", 2500)
	p := m.openProducer("hello")
	first := m.liveConsumer("hello")
	p.publish(want[:1000]...)
	m.mustPrint("before it left", m.plays.consumer, first, partitions{"hello/a": want[:1000]})
	p.publish(want[1000:2000]...)
	m.awaitHeads("hello", 1, 1, 2000)
	again := m.liveConsumer("hello")
	again.waitForLines(2000)
	p.publish(want[2000:]...)
	again.waitForLines(2500)
	p.done()
	m.mustPrint("after it came back", m.plays.consumer, again, partitions{"hello/a": want})
	return ""
}

// twoStores runs a store of each kind; that of the assignment is the one that stays.
func twoStores(m *cast) string {
	m.openStore(m.plays.store, m.t.TempDir())
	dying := m.openStore(m.plays.store.other(), m.t.TempDir())
	return m.oneDies(dying)
}

func (m *cast) oneDies(dying *process) string {
	m.t.Helper()
	got := m.liveConsumer("hello")
	want := partitions{"hello/a": lines("a", 5000)}
	a := m.openProducer("hello")
	a.publish(want["hello/a"]...)
	m.awaitHeads("hello", 2, 1, 5000)
	got.waitForLines(5000)
	a.done()
	dying.kill()
	m.lateConsumerGets("from the other store", want)
	want["hello/b"] = lines("b", 200)
	b := m.openProducer("hello")
	b.publish(want["hello/b"]...)
	got.waitForLines(5200)
	b.done()
	m.lateConsumerGets("from the other store, later", want)
	m.mustPrint("live", m.plays.consumer, got, want)
	return ""
}

func copyStore(m *cast) string {
	old := m.openStore(cPlayer, m.t.TempDir())
	want := partitions{"hello/a": lines("a", 3000), "hello/b": lines("b", 300)}
	for name, contents := range want {
		topic, _, _ := strings.Cut(name, "/")
		p := m.openProducer(topic)
		p.publish(contents...)
		p.done()
	}
	m.openStore(goPlayer, m.t.TempDir())
	m.awaitHeads("hello", 2, 1, 3000)
	m.awaitHeads("hello", 2, 1, 300)
	old.kill()
	m.lateConsumerGets("from the Go store", want)
	return ""
}

// twoTowers runs a tower of each kind; that of the assignment is the one that stays.
func twoTowers(m *cast) string {
	m.openTower()
	other := &cast{cluster: meetingPoint(m.t), plays: m.plays, t: m.t}
	other.plays.tower = m.plays.tower.other()
	dying := other.openTower()
	m.cluster = m.cluster.and(other.cluster)
	m.openStore(m.plays.store, m.t.TempDir())
	got := m.liveConsumer("hello")
	want := partitions{"hello/a": lines("a", 2000)}
	a := m.openProducer("hello")
	a.publish(want["hello/a"]...)
	got.waitForLines(2000)
	a.done()
	dying.kill()
	want["hello/b"] = lines("b", 200)
	b := m.openProducer("hello")
	b.publish(want["hello/b"]...)
	got.waitForLines(2200)
	b.done()
	m.lateConsumerGets("by one that came when a tower was dead", want)
	m.mustPrint("live", m.plays.consumer, got, want)
	return ""
}

// TestScenariosNameTests proves that what the matrix leaves to other tests is there.
func TestScenariosNameTests(t *testing.T) {
	var text []byte
	for _, file := range []string{"join_test.go", "restart_test.go", "contents_test.go"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		text = slices.Concat(text, b)
	}
	for _, s := range scenarios {
		if s.test != "" && !bytes.Contains(text, []byte("func "+s.test+"(")) {
			t.Errorf("scenario %q: there is no test %s: leave the name away, so that the matrix runs it", s.name, s.test)
		}
	}
}
