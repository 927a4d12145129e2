// Package cimport imports the records of a C store, which keeps them in LevelDB.
//
// It is the only package that links goleveldb: a program that does not import from C stores does not carry it.
package cimport
