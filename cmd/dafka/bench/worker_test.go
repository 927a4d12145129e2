package bench

import (
	"slices"
	"testing"
)

// What the bench would call a loss is one.
func TestCheckRecord(t *testing.T) {
	sealed := func(sequence uint64) []byte {
		record := slices.Repeat([]byte{'x'}, 100)
		sealRecord(record, sequence, 42)
		return record
	}
	flipped := sealed(7)
	flipped[60] ^= 1
	for _, test := range []struct {
		name   string
		record []byte
		good   bool
	}{
		{"the right one", sealed(7), true},
		{"another", sealed(8), false},
		{"damaged", flipped, false},
		{"cut", sealed(7)[:10], false},
	} {
		if err := checkRecord(test.record, 7); (err == nil) != test.good {
			t.Errorf("%s: %v", test.name, err)
		}
	}
}
