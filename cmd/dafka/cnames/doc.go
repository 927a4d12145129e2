// Package cnames has the programs of C Dafka by their names: the same command lines, output and log lines.
package cnames
