package partdb

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/cockroachdb/pebble/v2/record"
)

// A log is sound wherever its last commit ends: also where the block has no room for what follows.
func TestLogsEndAnywhere(t *testing.T) {
	const mark = 11 // bytes
	path := filepath.Join(t.TempDir(), "000007.log")
	for size := logBlock - 60; size < logBlock+10; size++ {
		for _, offsets := range []bool{false, true} {
			want := bytes.Repeat([]byte{byte(size)}, size)
			var log bytes.Buffer
			w := record.NewLogWriter(&log, 7, record.LogWriterConfig{WriteWALSyncOffsets: func() bool { return offsets }})
			if _, err := w.WriteRecord(want); err != nil {
				t.Fatal(err)
			}
			if err := w.Close(); err != nil {
				t.Fatal(err)
			}
			for _, test := range []struct {
				what   string
				log    []byte
				closed bool
			}{
				{"closed", log.Bytes(), true},
				{"killed", log.Bytes()[:log.Len()-mark], false},
				{"ended in the middle of a commit", append(bytes.Clone(log.Bytes()[:log.Len()-mark]), "something"...), false},
			} {
				if err := os.WriteFile(path, test.log, 0o600); err != nil {
					t.Fatal(err)
				}
				l, err := OpenLog(path)
				if err != nil {
					t.Fatal(err)
				}
				var got [][]byte
				r := l.Read(func(batch []byte) error {
					got = append(got, bytes.Clone(batch))
					return nil
				})
				if r.closed != test.closed || len(r.Faults) > 0 {
					t.Errorf("%d bytes, with offsets %v, %s: %+v, want closed %v", size, offsets, test.what, r, test.closed)
				}
				if len(got) != 1 || !bytes.Equal(got[0], want) {
					t.Errorf("%d bytes, with offsets %v, %s: %d commits, want the one", size, offsets, test.what, len(got))
				}
			}
		}
	}
}
