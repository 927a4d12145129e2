// Package partdb is the database of a store: every partition whole and in order, in one Pebble database.
//
// format.go describes keys and values. A store that runs opens a [Database]. Work on a store that does not run holds its
// [Folder], so that no store starts on it. [Commits] writes, [Finder] reads, and [Filler] appends without a store. Under
// Pebble lies the [Ground], which ends the database when its folder is lost. [LogFile] reads a log by itself, since
// Pebble takes damage in a log for its end.
//
// The package knows nothing of the store's nodes. It makes no compatibility promise.
package partdb
