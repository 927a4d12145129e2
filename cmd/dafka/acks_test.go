package main

import (
	"testing"

	"github.com/godafka/dafka/producer"
)

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
