package recordio

import (
	"context"
	"testing"
	"time"

	"github.com/godafka/dafka/producer"
)

func TestPace(t *testing.T) {
	took := func(p *Pace, records int) time.Duration {
		begin := time.Now()
		for range records {
			p.wait(t.Context())
		}
		return time.Since(begin)
	}
	if took := took(&Pace{}, 1000); took > time.Second {
		t.Errorf("without a rate: held up for %v", took)
	}
	// After a pause as without one: the first record is due at once, the others at the rate.
	for _, pause := range []time.Duration{0, time.Hour} {
		p := Pace{Rate: 100}
		if pause > 0 {
			p.next = time.Now().Add(-pause)
		}
		if took := took(&p, 11); took < 98*time.Millisecond {
			t.Errorf("after a pause of %v: 11 records at 100 a second in %v, want 100 ms", pause, took)
		}
	}
	// Rates beyond what timers can do hold too.
	if took := took(&Pace{Rate: 100_000}, 10_000); took < 70*time.Millisecond {
		t.Errorf("10000 records at 100000 a second in %v, want 100 ms", took)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	p := Pace{Rate: 1e-300}
	p.wait(ended)
	p.wait(ended) // or the test never ends
}

// What is said of too few ACKs names the stores, and what to do.
func TestStoresHave(t *testing.T) {
	a, b := producer.StoreAcks{Endpoint: "h:1", Acked: 5}, producer.StoreAcks{Endpoint: "h:2", Acked: 3}
	for _, test := range []struct {
		sent    uint64
		minAcks int
		stores  []producer.StoreAcks
		want    string
	}{
		{5, 2, nil, "no store is known to have any of them; publish them again when stores run (dafka store)"},
		{5, 5, []producer.StoreAcks{a, b}, "2 stores acked: h:1 has 5 records, h:2 has 3 records; do not publish them again, but run 5 stores, or say --min-acks 2"},
		{5, 2, []producer.StoreAcks{a, b}, "2 stores acked: h:1 has 5 records, h:2 has 3 records; do not publish them again: " +
			"the other stores get them from those that have them"},
		{7, 2, []producer.StoreAcks{a}, "1 store acked: h:1 has 5 records; publish the last 2 again, which no store is known to have"},
	} {
		if got := storesHave(producer.Stats{Sent: test.sent, MinAcks: test.minAcks, Stores: test.stores}); got != test.want {
			t.Errorf("%d sent, %d stores wanted:\n got %s\nwant %s", test.sent, test.minAcks, got, test.want)
		}
	}
}
