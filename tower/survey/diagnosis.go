package survey

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/zmqwire"
)

// Level says how bad a finding is. Its texts are part of the JSON output.
type Level string

// A Note is no fault, a Warning works and may not go on to, an Error does not work.
const (
	Error   Level = "error"
	Warning Level = "warning"
	Note    Level = "note"
)

// rank is the order of findings.
func (l Level) rank() int { return slices.Index([]Level{Error, Warning, Note}, l) }

// Finding is one thing that is wrong with a cluster. What and Do are for people: they may change.
type Finding struct {
	Level Level  `json:"level"`
	What  string `json:"what"`
	Do    string `json:"do"`
}

// Diagnosis is what Diagnose finds.
type Diagnosis struct {
	Status     string    `json:"status"` // ok, warning or error: the worst finding, notes apart
	Towers     int       `json:"towers"`
	Stores     int       `json:"stores"`
	Peers      int       `json:"peers"`
	Topics     int       `json:"topics"`
	Partitions int       `json:"partitions"`
	Findings   []Finding `json:"findings"` // the worst first
}

const (
	// secondLook is how long after the first picture the second is drawn: what is on its way has arrived by then.
	secondLook = 2 * time.Second
	// silentBeacons is how many intervals without a beacon make a node silent. After the timeout it is taken to be gone.
	silentBeacons = 2.5
)

// Diagnose joins the cluster, looks for what is wrong with it, and leaves: see Survey.Diagnose.
func Diagnose(ctx context.Context, config Config, stores int) (*Diagnosis, error) {
	s, err := Open(config)
	if err != nil {
		return nil, err
	}
	defer s.Close()
	return s.Diagnose(ctx, stores)
}

// Diagnose looks at the cluster for some seconds and returns what is wrong with it. stores is how many stores the
// cluster should have; 0: unknown. It connects to every node for a moment, to see whether others can. That no tower is
// heard is a finding, and no error.
func (s *Survey) Diagnose(ctx context.Context, stores int) (*Diagnosis, error) {
	var err error
	before, snapshot := s.picture, &Snapshot{}
	if err = s.settle(ctx, surveyPatience); err == nil {
		before = s.clone()
		if err = s.pass(ctx, secondLook); err == nil {
			snapshot, err = s.look(ctx, s.config.Timeout)
		}
	}
	if err != nil && !errors.Is(err, ErrNoTower) {
		return nil, err
	}
	e := evidence{
		links: s.node.Links(), node: s.node.Config(), stores: stores, missing: snapshot.Missing, before: before,
		after: s.picture,
	}
	if err := s.probe(ctx, &e); err != nil {
		return nil, err
	}
	e.now = time.Now()
	s.meet(s.node.Members(), e.now)
	d := diagnose(&e)
	return &d, nil
}

// probe tries all that nodes are told to connect to. A node that cannot be reached may just be gone; so it waits until
// each of these has announced itself once more, or has been silent for too long.
func (s *Survey) probe(ctx context.Context, e *evidence) error {
	var places []string
	for _, endpoint := range slices.Concat(e.node.Pub, e.node.Sub) {
		places = append(places, strings.TrimPrefix(endpoint, "tcp://"))
	}
	for _, m := range s.members {
		places = append(places, hostPort(m))
	}
	slices.Sort(places)
	done := make(chan map[string]probed, 1)
	begun := time.Now()
	go func() {
		if e.node.Host != "" && net.ParseIP(e.node.Host) == nil {
			ctx, cancel := context.WithTimeout(ctx, probeTime)
			defer cancel()
			_, e.host = net.DefaultResolver.LookupNetIP(ctx, "ip", e.node.Host)
		}
		done <- probeAll(ctx, slices.Compact(places))
	}()
	for e.probed == nil {
		if err := s.pass(ctx, turnInterval); err != nil {
			return err
		}
		select {
		case e.probed = <-done:
		default:
		}
	}
	unsure := func(m node.Member) bool {
		return e.probed[hostPort(m)].err != nil && !m.Heard.After(begun) && !e.silent(m, time.Now())
	}
	for slices.ContainsFunc(s.members, unsure) {
		if err := s.pass(ctx, turnInterval); err != nil {
			return err
		}
	}
	return nil
}

// evidence is what a diagnosis is made from. It holds two pictures of the cluster, the later drawn from the earlier
// some seconds on: what is about to arrive is not missing, so only what lacked in the later though it was there in the
// earlier counts.
type evidence struct {
	links         []node.Link
	node          tower.NodeConfig // of the survey
	stores        int              // as many there should be; 0: unknown
	missing       []Missing
	probed        map[string]probed // by host:port
	host          error             // with which the host that the survey advertises was looked up
	before, after *picture
	now           time.Time
}

// silent says that no beacon has come from the member for longer than beacons take.
func (e *evidence) silent(m node.Member, now time.Time) bool {
	return now.Sub(m.Heard).Seconds() > silentBeacons*e.node.Interval.Seconds()
}

func diagnose(e *evidence) Diagnosis {
	d := Diagnosis{Findings: make([]Finding, 0)}
	topics := make(map[string]bool)
	for name := range e.after.partitions {
		topics[name.topic] = true
	}
	d.Stores, d.Peers = len(e.after.stores()), len(e.after.members)
	d.Topics, d.Partitions = len(topics), len(e.after.partitions)
	d.lookAtTowers(e)
	if d.Towers > 0 {
		d.lookAtMembers(e)
		d.lookAtStores(e)
		d.lookAtProducers(e.before, e.after)
		d.lookAtSenders(e.after)
	}
	slices.SortStableFunc(d.Findings, func(a, b Finding) int { return cmp.Compare(a.Level.rank(), b.Level.rank()) })
	d.Status = "ok"
	if len(d.Findings) > 0 && d.Findings[0].Level != Note {
		d.Status = string(d.Findings[0].Level)
	}
	return d
}

// found notes what is wrong, and what to do.
func (d *Diagnosis) found(level Level, what, do string) {
	d.Findings = append(d.Findings, Finding{level, what, do})
}

func (d *Diagnosis) lookAtTowers(e *evidence) {
	var deaf []string
	for _, l := range e.links {
		if l.Connected {
			d.Towers++
			if !l.Repeats {
				deaf = append(deaf, l.Endpoint.String())
			}
		}
	}
	// What listens at an endpoint is certain, so it comes first, and explains the rest.
	explained := false
	wrong := func(flag, other, at string, got probed) bool {
		level := Error
		if flag == "--pub" && d.Towers > 0 {
			level = Warning
		}
		here, there := "XPUB", "XSUB"
		if flag == "--sub" {
			here, there = there, here
		}
		switch {
		case got.err != nil && strings.Contains(got.err.Error(), "does not resolve"):
			d.found(level, fmt.Sprintf("no tower is heard at %s: %v", at, got.err),
				"write the name in "+flag+" as this machine knows it, or an IP address")
		case got.socket == there:
			d.found(level, fmt.Sprintf("no tower is heard at %s: it is what --%s is for", at, other), "swap --pub and --sub")
		case got.socket != "" && got.socket != here:
			d.found(level, fmt.Sprintf("no tower is heard at %s: another node listens there", at),
				"give the port of a tower in "+flag)
		case errors.Is(got.err, errNotZeroMQ):
			d.found(level, fmt.Sprintf("no tower is heard at %s: %v", at, got.err), "give the port of a tower in "+flag)
		default:
			return false
		}
		return true
	}
	for _, l := range e.links {
		at := l.Endpoint.String()
		got := e.probed[strings.TrimPrefix(at, "tcp://")]
		switch {
		case l.Connected:
		case wrong("--pub", "sub", at, got):
			explained = true
		default:
			why := ""
			if got.err != nil {
				why = ": " + got.err.Error()
			}
			if d.Towers == 0 {
				d.found(Error, "no tower is heard at "+at+why, "start one (dafka tower), or say where it is with --tower")
			} else {
				d.found(Warning, "no tower is heard at "+at+why, "start it again, or take it out of the list of towers")
			}
		}
	}
	for _, at := range e.node.Sub {
		got := e.probed[strings.TrimPrefix(at, "tcp://")]
		if got.err == nil && got.socket == "XSUB" || got.err == nil && got.socket == "" {
			continue
		}
		if wrong("--sub", "pub", at, got) {
			explained = true
		} else if len(deaf) > 0 {
			explained = true
			d.found(Error, fmt.Sprintf("nothing listens at %s, where nodes announce themselves: %v", at, got.err),
				"give the port of the tower in --sub")
		}
	}
	if len(deaf) > 0 && !explained {
		d.found(Error, fmt.Sprintf("the tower at %s does not announce nodes that announce themselves: "+
			"it does not listen at --sub", strings.Join(deaf, ", ")),
			"two towers share a port, or --pub and --sub belong to different towers: give each tower two ports of its own")
	}
}

// lookAtMembers finds nodes that others cannot reach, or that cannot reach others.
func (d *Diagnosis) lookAtMembers(e *evidence) {
	var apart []node.Member // that were there all the time, and have not connected
	members := slices.Clone(e.after.members)
	slices.SortStableFunc(members, func(a, b node.Member) int { return strings.Compare(hostPort(a), hostPort(b)) })
	for _, m := range members {
		role, got := e.after.role(m.Address), e.probed[hostPort(m)]
		level := Error
		if role == Observer || role == Unknown {
			level = Warning
		}
		switch {
		case e.silent(m, e.now):
			if role == Store || role == StoreWriter {
				d.found(Warning, fmt.Sprintf("the %s at %s has just left: it was last heard %.0f s ago", named(role), hostPort(m),
					e.now.Sub(m.Heard).Seconds()),
					"see whether it still runs, and start it again: dafka store --db DIR")
			}
			continue
		case got.err != nil:
			d.found(level, fmt.Sprintf("the %s at %s cannot be reached: %v", named(role), hostPort(m), got.err),
				"start it with an --address at which the other nodes reach it, and see that no firewall closes its port")
		case got.socket != "" && got.socket != "PUB" && got.socket != "XPUB":
			d.found(level,
				fmt.Sprintf("the %s at %s is not there: another program listens at this place", named(role), hostPort(m)),
				"start it with an --address at which the other nodes reach it")
		}
		if _, there := e.before.member(m.Address); there && role == Unknown {
			apart = append(apart, m)
		}
	}
	for _, m := range e.before.members {
		if _, there := e.after.member(m.Address); there {
			continue
		}
		if role := e.before.role(m.Address); role == Store {
			d.found(Warning, fmt.Sprintf("the %s at %s has just left", role, hostPort(m)),
				"see whether it was meant to, and else start it again: dafka store --db DIR")
		}
	}
	if e.host != nil {
		d.found(Warning, fmt.Sprintf("this command gives the others a name to reach it by, and %v", cause(e.host)),
			"give --address an IP address of this machine, or a name that all nodes know")
	}
	if len(apart) == 0 {
		return
	}
	own := "this command"
	for _, l := range e.links {
		if l.Own.Host != "" {
			own = "this command at " + l.Own.String()
		}
	}
	var places []string
	for _, m := range apart {
		places = append(places, hostPort(m))
	}
	if len(apart) == len(e.after.members) {
		d.found(Error, fmt.Sprintf("no node connects to %s: what they are and what they hold cannot be seen", own),
			"give --address an IP address of this machine at which the nodes reach it")
		return
	}
	d.found(Warning, fmt.Sprintf("%s not connect to %s: %s", count(uint64(len(apart)), "node does", "nodes do"), own,
		strings.Join(places, ", ")),
		"see whether they run, and reach this machine: they may be no nodes of Dafka")
}

// named is how a sentence names a role.
func named(r Role) string {
	if r == Unknown {
		return "node"
	}
	return string(r)
}

func (d *Diagnosis) lookAtStores(e *evidence) {
	before, after := e.before, e.after
	stores := after.stores()
	if e.stores > 0 && len(stores) < e.stores {
		d.found(Error, fmt.Sprintf("%s there, %d should be", count(uint64(len(stores)), "store is", "stores are"), e.stores),
			"see which does not run, and start it again: dafka store --db DIR")
	}
	silent := make(map[string]bool)
	for _, m := range e.missing {
		switch m.Reason {
		case Silent:
			silent[m.Endpoint] = true
			if e.probed[m.Endpoint].err == nil {
				d.found(Error, fmt.Sprintf("the store at %s does not answer", m.Endpoint),
					"see whether its process stands still or its disk is slow, and read its log")
			}
		case HalfAStore:
			d.found(Error, fmt.Sprintf("%s announced by the half that writes only: nobody can read there",
				count(uint64(m.Count), "store is", "stores are")), "see whether the store has just begun, and else start it again")
		}
	}
	if len(stores) == 0 {
		if len(after.having(Unknown)) == 0 && e.stores == 0 {
			d.found(Error, "no store is there: no record is kept, and producers wait for their ACKs",
				"start one: dafka store --db DIR")
		}
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
			if stored >= kept || stored == 0 && len(holders) < 2 || silent[hostPort(s)] {
				continue
			}
			if behind[s.Address] == nil {
				behind[s.Address] = &struct{ partitions, records uint64 }{}
			}
			behind[s.Address].partitions++
			behind[s.Address].records = sum(behind[s.Address].records, kept-stored)
		}
	}
	for _, s := range stores {
		if n := alone[s.Address]; n > 0 {
			level, do := Warning, "see which with dafka partitions; a store in Go copies them by itself, one in C only "+
				"while their producers are there"
			if len(stores) == 1 {
				// Whether that is meant, as it is for development, only --stores can tell.
				level = Note
				do = "where it matters, run a second store on another machine, and expect it with dafka doctor --stores 2"
			}
			if len(stores) == 1 && e.stores == 1 {
				continue
			}
			held := count(uint64(n), "partition is", "partitions are")
			d.found(level, fmt.Sprintf("%s held by one store only, %s", held, hostPort(s)), do)
		}
		if b := behind[s.Address]; b != nil {
			d.found(Warning, fmt.Sprintf("stores differ: %s lacks %s of %s that others hold", hostPort(s),
				count(b.records, "record", "records"), count(b.partitions, "partition", "partitions")),
				"see which with dafka partitions; if it stays so, look into that store's log, its disk and the network")
		}
	}
}

func (d *Diagnosis) lookAtProducers(before, after *picture) {
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
		d.found(Error, fmt.Sprintf("the producer of %s at %s has %s%s", quoted(name.topic), hostPort(m),
			count(now, "unacked record", "unacked records"), grown),
			"see that a store runs, has room on its disk and can reach the producer; when the producer ends, these records "+
				"are lost")
	}
}

func (d *Diagnosis) lookAtSenders(after *picture) {
	for _, address := range slices.Sorted(maps.Keys(after.faults)) {
		who := quoted(address)
		if m, ok := after.member(address); ok {
			who = fmt.Sprintf("%s %s at %s", after.role(address), who, hostPort(m))
		}
		faults := after.faults[address]
		var reasons []string
		for _, reason := range slices.Sorted(maps.Keys(faults)) {
			if reason != zmqwire.ErrVersion && reason != ErrOldAck {
				reasons = append(reasons, fmt.Sprintf("%s (%d)", reason.Error(), faults[reason]))
			}
		}
		if faults[zmqwire.ErrVersion] > 0 || faults[ErrOldAck] > 0 {
			d.found(Warning, fmt.Sprintf("%s speaks another version of the protocol", who),
				"bring it up to date: C programs from August 2020 on fit, Java ones (jdafka) do not")
		}
		if len(reasons) > 0 {
			d.found(Warning, fmt.Sprintf("%s sends malformed messages: %s", who, strings.Join(reasons, ", ")),
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

// quoted is a name as it is, or in quotes where it could not be read so.
func quoted(name string) string {
	if utf8.ValidString(name) && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return name
	}
	return strconv.Quote(name)
}
