// Package storetest has what tests of the store's packages share: databases with known contents, and readers of what a
// folder holds. The tests of partdb cannot use it, since it uses partdb.
package storetest
