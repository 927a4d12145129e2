//go:build race

package store

func init() { powerCuts = 150 }
