// Package salvage reads the tables, logs and the manifest of a store's folder one by one, also where they are damaged.
//
// It is the one place that knows the formats of Pebble's tables and commits. It makes no compatibility promise.
package salvage
