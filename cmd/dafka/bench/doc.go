// Package bench is the command dafka bench: it measures the speed of this machine with processes of its own, beside libzmq
// alone and, where DAFKA_C_BIN names them, the C programs.
package bench
