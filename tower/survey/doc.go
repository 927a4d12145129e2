// Package survey reports what a running cluster has: its topics, partitions, heads, stores and peers, and what is wrong
// with it. The commands dafka topics, partitions, peers, stores, compare, doctor and top print what it returns.
//
// A survey joins the cluster as a node that only looks on. It asks the stores for the heads of all partitions and reads
// the heads and ACKs that nodes publish anyway; no record passes through it, but for Compare, which fetches records.
//
// Take looks once. Open and Watch look again and again. Diagnose looks for faults. Each result says whether it is
// complete: see Snapshot.Missing.
package survey
