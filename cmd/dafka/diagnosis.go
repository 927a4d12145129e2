package main

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/zmqwire"
)

// level says how bad a finding is.
type level string

const (
	warning level = "warning" // works, and may not go on to
	broken  level = "error"   // does not work
)

// finding is one thing that is wrong with a cluster.
type finding struct {
	Level level  `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

// diagnosis is what a doctor finds.
type diagnosis struct {
	Status     string    `json:"status"` // ok, warning or error
	Towers     int       `json:"towers"`
	Stores     int       `json:"stores"`
	Peers      int       `json:"peers"`
	Topics     int       `json:"topics"`
	Partitions int       `json:"partitions"`
	Findings   []finding `json:"findings"`
}

// diagnose compares two pictures of a cluster, the later drawn from the earlier some seconds on: what is about to arrive
// is not missing, so only what lacked in the later though it was there in the earlier counts.
func diagnose(links []tower.Link, before, after *picture) diagnosis {
	d := diagnosis{Findings: make([]finding, 0)}
	d.Stores, d.Peers, d.Topics, d.Partitions =
		len(after.stores()), len(after.members), len(after.topicRows(after.news)), len(after.partitions)
	d.lookAtTowers(links)
	if d.Towers > 0 {
		d.lookAtStores(before, after)
		d.lookAtProducers(before, after)
		d.lookAtSenders(after)
	}
	slices.SortStableFunc(d.Findings, func(a, b finding) int { return cmp.Compare(a.Level, b.Level) }) // errors first
	d.Status = "ok"
	if len(d.Findings) > 0 {
		d.Status = string(d.Findings[0].Level)
	}
	return d
}

// found notes what is wrong, and what to do.
func (d *diagnosis) found(level level, what, do string) {
	d.Findings = append(d.Findings, finding{level, what, do})
}

func (d *diagnosis) lookAtTowers(links []tower.Link) {
	var silent, deaf []string
	for _, l := range links {
		switch at := l.Endpoint.String(); {
		case !l.Connected:
			silent = append(silent, at)
		case !l.Repeats:
			d.Towers++
			deaf = append(deaf, at)
		default:
			d.Towers++
		}
	}
	switch {
	case d.Towers == 0:
		d.found(broken, "no tower is heard at "+strings.Join(silent, ", "),
			"start one (dafka tower), or say where it is with --pub and --sub")
	case len(silent) > 0:
		d.found(warning, "no tower is heard at "+strings.Join(silent, ", "), "start it again, or take it out of --pub and --sub")
	}
	if len(deaf) > 0 {
		d.found(broken, fmt.Sprintf("the tower at %s does not announce nodes that announce themselves: it does not listen at --sub",
			strings.Join(deaf, ", ")),
			"two towers share a port, or --pub and --sub belong to different towers: give each tower two ports of its own")
	}
}

func (d *diagnosis) lookAtStores(before, after *picture) {
	stores := after.stores()
	if len(stores) == 0 {
		d.found(broken, "no store is there: no record is kept, and producers wait for their ACKs", "start one: dafka store --db DIR")
		return
	}
	alone := make(map[string]int) // by store, partitions that no other has
	behind := make(map[string]*struct{ partitions, records uint64 })
	for name, q := range before.partitions {
		kept, now := before.kept(q), after.partitions[name]
		if kept == 0 || now == nil {
			continue
		}
		var holders []string
		for _, s := range stores {
			if now.stored[s.Address] > 0 {
				holders = append(holders, s.Address)
			}
		}
		if len(holders) == 1 {
			alone[holders[0]]++
		}
		for _, s := range stores {
			stored := now.stored[s.Address]
			if stored >= kept || stored == 0 && len(holders) < 2 {
				continue
			}
			if behind[s.Address] == nil {
				behind[s.Address] = &struct{ partitions, records uint64 }{}
			}
			behind[s.Address].partitions++
			behind[s.Address].records += kept - stored
		}
	}
	for _, s := range stores {
		if n := alone[s.Address]; n > 0 {
			do := "run a second store, best on another machine: dafka store --db DIR"
			if len(stores) > 1 {
				do = "see which with dafka partitions; a store in Go copies them by itself, one in C only while their producers are there"
			}
			d.found(warning, fmt.Sprintf("%s held by one store only, %s", count(uint64(n), "partition is", "partitions are"), hostPort(s)), do)
		}
		if b := behind[s.Address]; b != nil {
			d.found(warning, fmt.Sprintf("stores differ: %s lacks %s of %s that others hold", hostPort(s),
				count(b.records, "record", "records"), count(b.partitions, "partition", "partitions")),
				"see which with dafka partitions; if it stays so, look into that store's log, its disk and the network")
		}
	}
}

func (d *diagnosis) lookAtProducers(before, after *picture) {
	for _, name := range after.names() {
		q, then := after.partitions[name], before.partitions[name]
		m, alive := after.member(name.address)
		if !alive || then == nil {
			continue
		}
		unacked := func(p *picture, q *partition) uint64 {
			return q.published - min(q.published, max(q.acked, p.kept(q)))
		}
		// What was published long ago should be stored by now.
		if then.published <= max(q.acked, after.kept(q)) {
			continue
		}
		now, grown := unacked(after, q), ""
		if was := unacked(before, then); now > was {
			grown = fmt.Sprintf(", %d more than a moment ago", now-was)
		}
		d.found(broken, fmt.Sprintf("the producer of %s at %s has %s%s", printable(name.topic, false), hostPort(m),
			count(now, "unacked record", "unacked records"), grown),
			"see that a store runs, has room on its disk and can reach the producer; when the producer ends, these records are lost")
	}
}

func (d *diagnosis) lookAtSenders(after *picture) {
	for _, address := range slices.Sorted(maps.Keys(after.faults)) {
		who := printable(address, false)
		if m, ok := after.member(address); ok {
			who = fmt.Sprintf("%s %s at %s", after.role(address), who, hostPort(m))
		}
		faults := after.faults[address]
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(faults)) {
			if reason != zmqwire.ErrVersion && reason != ErrOldAck {
				reasons = append(reasons, fmt.Sprintf("%s (%d)", reason, faults[reason]))
			}
		}
		if faults[zmqwire.ErrVersion] > 0 || faults[ErrOldAck] > 0 {
			d.found(warning, fmt.Sprintf("%s speaks another version of the protocol", who),
				"bring it up to date: C programs from August 2020 on fit, Java ones (jdafka) do not")
		}
		if len(reasons) > 0 {
			d.found(warning, fmt.Sprintf("%s sends malformed messages: %s", who, strings.Join(reasons, ", ")),
				"find out what runs there: nodes drop what it sends; dafka sniff --peer shows it")
		}
	}
}

// count is a number with what it counts.
func count(n uint64, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
