package salvage

import (
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/cockroachdb/pebble/v2"
	"github.com/cockroachdb/pebble/v2/record"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/godafka/dafka/store/internal/partdb"
)

// CheckManifest reads the manifest of a folder to its end, and returns the file's name. Pebble takes the first thing
// wrong in it for its end, and forgets the tables that are named behind.
func CheckManifest(dir string) (name string, err error) {
	peeked, err := pebble.Peek(dir, vfs.Default)
	switch {
	case err != nil:
		return "manifest", err
	case !peeked.Exists:
		return "manifest", fmt.Errorf("%w: there is none", partdb.ErrDamaged)
	}
	name = filepath.Base(peeked.ManifestFilename)
	manifest, err := os.Open(peeked.ManifestFilename)
	if err != nil {
		return name, err
	}
	defer manifest.Close()
	for r := record.NewReader(manifest, 0); ; {
		edit, err := r.Next()
		if err == nil {
			_, err = io.Copy(io.Discard, edit)
		}
		if err == io.EOF {
			return name, nil
		}
		if err != nil {
			return name, fmt.Errorf("%w: %w", partdb.ErrDamaged, err)
		}
	}
}
