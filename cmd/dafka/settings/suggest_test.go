package settings

import "testing"

func TestNearest(t *testing.T) {
	known := []string{"produce", "consume", "tower", "store", "topics", "top", "partitions", "e"}
	for name, want := range map[string]string{
		"produec": "produce", "prodce": "produce", "consumer": "consume", "producer": "produce", "towr": "tower", "stor": "store",
		"sotre": "store", "topic": "topics", "STORE": "store", "partition": "partitions", "tpo": "top",
		"publish": "", "x": "", "e": "e", "": "", "a-long-name-of-something": "",
	} {
		if got := nearest(name, known); got != want {
			t.Errorf("%q: %q, want %q", name, got, want)
		}
	}
}
