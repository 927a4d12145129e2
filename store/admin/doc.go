// Package admin works on the folder of a store that does not run: it verifies, repairs, restores, exports and imports.
// [Backup] also works while a store runs on the folder.
//
// Each call holds the folder's lock, so that no store starts on it. If a store runs there, the error wraps [ErrInUse].
// Calls block until they are done. When ctx ends, they return its error. They may be made from any goroutine; an
// [Importer] serves one goroutine at a time.
package admin

import "github.com/godafka/dafka/store/internal/partdb"

// ErrInUse is wrapped by errors about a folder on which a store is running.
var ErrInUse = partdb.ErrInUse

// ErrDamaged is wrapped by errors about stored bytes that are not what was written.
var ErrDamaged = partdb.ErrDamaged
