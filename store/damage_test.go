package store

import (
	"bytes"
	stdcmp "cmp"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/store/admin"
	"github.com/godafka/dafka/store/internal/partdb"
	"github.com/godafka/dafka/store/internal/storetest"
)

var (
	rounds = flag.Int("rounds", 0, "how many times the tests of damage damage a store; 0: TestRandomDamage 300 times or what 30 seconds allow, "+
		"or five times for each round of DAFKA_TORTURE")
	seed = flag.Uint64("seed", 0, "what they throw their dice with; 0: as chance has it")
)

// serveStore opens a copy of a folder as a store does, and reads through it. The error is of opening it.
func serveStore(t testing.TB, dir string) (got storetest.Kept, err error) {
	t.Helper()
	copied := filepath.Join(t.TempDir(), "db")
	storetest.CopyFiles(t, dir, copied)
	db, err := partdb.Open(copied, false, partdb.Quiet)
	if err != nil {
		return nil, err
	}
	got, _ = storetest.ReadDatabase(t, db)
	if err := db.Pebble.Close(); err != nil {
		t.Fatal(err)
	}
	return got, os.RemoveAll(copied)
}

// damage changes one file of a folder and says what it did.
func damage(t testing.TB, dice *rand.Rand, dir string) string {
	t.Helper()
	files := storetest.FilesIn(t, dir)
	names := slices.DeleteFunc(slices.Sorted(maps.Keys(files)), func(name string) bool { return len(files[name]) == 0 })
	name := names[dice.IntN(len(names))]
	data := []byte(files[name])
	path := filepath.Join(dir, name)
	var what, where string
	lastCommit := 0 // of the newest log
	if newest, _, commits := newestLog(t, dir); name == newest {
		lastCommit = commits[len(commits)-1]
	}
	switch kind := dice.IntN(10); {
	case kind < 5:
		bit := dice.IntN(8 * len(data))
		if bit/8 < lastCommit {
			where = beforeEnd
		}
		data[bit/8] ^= 1 << (bit % 8)
		what = fmt.Sprintf("bit %d of byte %d flipped", bit%8, bit/8)
	case kind < 8:
		at := dice.IntN(len(data))
		data = data[:at]
		what = fmt.Sprintf("cut to %d bytes", at)
	case kind < 9:
		at := dice.IntN(len(data)) &^ 511
		clear(data[at:min(at+512, len(data))])
		if at+512 <= lastCommit {
			where = beforeEnd
		}
		what = fmt.Sprintf("512 bytes from %d are zero", at)
	default:
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		return name + ": removed"
	}
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return name + ": " + what + where
}

// beforeEnd is said of damage before the last commit of the newest log.
const beforeEnd = ", before the last commit"

// Damage in the middle of a killed store's log shows by the commits behind it. Pebble would take it for the end of the log.
func TestDamagedLogOfKilledStore(t *testing.T) {
	t.Parallel()
	killed := filepath.Join(t.TempDir(), "killed")
	closed := filepath.Join(t.TempDir(), "closed")
	want := storetest.MakeStore(t, closed, 2<<20, func() { storetest.CopyFiles(t, closed, killed) })
	log, data, commits := newestLog(t, killed)
	dice := rand.New(rand.NewPCG(3, 4))
	for round := range 6 {
		// The last commit may be one that was under way.
		at, what := dice.IntN(commits[len(commits)-1]), "bit flipped"
		damaged := bytes.Clone(data)
		switch {
		case round < 2: // close to the end, in the last block
			at = commits[len(commits)-2-round] + dice.IntN(20)
			damaged[at] ^= 1 << dice.IntN(8)
		case round < 4:
			damaged[at] ^= 1 << dice.IntN(8)
		default:
			clear(damaged[at : at+1+dice.IntN(commits[len(commits)-1]-at)])
			what = "zero"
		}
		if bytes.Equal(damaged, data) {
			continue
		}
		dir := filepath.Join(t.TempDir(), "db")
		storetest.CopyFiles(t, killed, dir)
		if err := os.WriteFile(filepath.Join(dir, log), damaged, 0o600); err != nil {
			t.Fatal(err)
		}
		what = fmt.Sprintf("%s from %d of %d on: %s", log, at, len(data), what)
		if report, err := admin.Verify(t.Context(), dir, nil); err != nil || report.Sound() {
			t.Errorf("%s: Verify: %v, %v, want damage", what, report, err)
		}
		remedy := "repair it with: dafka store repair --db " + dir
		if _, err := partdb.Open(dir, false, partdb.Quiet); err == nil || !strings.Contains(err.Error(), remedy) {
			t.Errorf("%s: a store starts: %v, want %q", what, err, remedy)
		}
		if _, err := admin.Repair(t.Context(), dir, nil); err != nil {
			t.Errorf("%s: Repair: %v", what, err)
		}
		got, err := serveStore(t, dir)
		if err := errors.Join(err, storetest.Prefixes(want, got)); err != nil {
			t.Errorf("%s: after Repair: %v", what, err)
		}
	}
}

// newestLog is the log in which a killed store's folder ends, and where its commits begin.
func newestLog(t testing.TB, dir string) (name string, data []byte, commits []int) {
	t.Helper()
	logs, err := (&partdb.Folder{Dir: dir}).Files(partdb.IsLog)
	if err != nil || len(logs) == 0 {
		t.Fatal(logs, err)
	}
	path := logs[len(logs)-1]
	l, err := partdb.OpenLog(path)
	if err != nil {
		t.Fatal(err)
	}
	for at := 0; ; {
		p, ok := l.Piece(l.Pad(at))
		if !ok {
			break
		}
		if p.Kind <= partdb.FirstPiece {
			commits = append(commits, l.Pad(at))
		}
		at = p.End
	}
	if len(commits) < 10 {
		t.Fatalf("%s has %d commits, want at least 10", path, len(commits))
	}
	return filepath.Base(path), l.Data, commits
}

// Damage of all kinds at random places of a store's folder: what is read is right or an error, Verify tells when
// anything is missing, and what Repair leaves is right and sound.
func TestRandomDamage(t *testing.T) {
	t.Parallel()
	closed, killed := filepath.Join(t.TempDir(), "closed"), filepath.Join(t.TempDir(), "killed")
	want := storetest.MakeStore(t, closed, 2<<20, func() { storetest.CopyFiles(t, closed, killed) })
	for _, dir := range []string{closed, killed} {
		got, failures := storetest.ReadStore(t, dir)
		if err := errors.Join(append(failures, storetest.Prefixes(want, got))...); err != nil || !storetest.Same(want, got) {
			t.Fatalf("%s before any damage: %v", dir, err)
		}
		report, err := admin.Verify(t.Context(), dir, nil)
		if err != nil || !report.Sound() || report.Killed != (dir == killed) {
			t.Fatalf("%s before any damage: %+v, %v", dir, report, err)
		}
	}
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	torture, _ := strconv.Atoi(os.Getenv("DAFKA_TORTURE"))
	all := stdcmp.Or(*rounds, 5*torture, 300)
	t.Logf("to repeat: go test ./store -run TestRandomDamage -rounds %d -seed %d", all, *seed)
	began, count := time.Now(), make(map[string]int)
	for round := range all {
		if *rounds == 0 && torture == 0 && time.Since(began) > 30*time.Second {
			t.Logf("ended after %d rounds: the machine is busy", round)
			break
		}
		dice := rand.New(rand.NewPCG(*seed, uint64(round)))
		base := closed
		if dice.IntN(2) == 0 {
			base = killed
		}
		dir := filepath.Join(t.TempDir(), "db")
		storetest.CopyFiles(t, base, dir)
		what := filepath.Base(base) + ", " + damage(t, dice, dir)
		for _, outcome := range checkDamaged(t, dir, what, want, base == killed) {
			count[outcome]++
		}
		if t.Failed() {
			t.Fatalf("round %d of seed %d", round, *seed)
		}
		os.RemoveAll(filepath.Dir(dir))
	}
	for _, outcome := range slices.Sorted(maps.Keys(count)) {
		t.Logf("%6d rounds: %s", count[outcome], outcome)
	}
}

// With a second store at hand, a damaged one that was repaired gets back all that it lost: each is compared, content by
// content, with what it had.
func TestDamageIsRepairedFromAnotherStore(t *testing.T) {
	t.Parallel()
	const atOnce = 10
	sound := filepath.Join(t.TempDir(), "sound")
	want := storetest.MakeStore(t, sound, 2<<20, nil)
	lost := uint64(0)
	damaged := inBatches(t, atOnce, func(t *testing.T, dice *rand.Rand) {
		lost += repairFromAnotherStore(t, dice, sound, want, atOnce)
	})
	t.Logf("%d stores damaged, repaired, and whole again; %d records came from another store", damaged, lost)
}

// inBatches runs a test as often as -rounds says, so many rounds at once, and ends when a batch fails. It returns how many
// rounds these were.
func inBatches(t *testing.T, atOnce int, test func(t *testing.T, dice *rand.Rand)) int {
	t.Helper()
	if *seed == 0 {
		*seed = rand.Uint64()
	}
	batches := max(1, *rounds/atOnce)
	t.Logf("to repeat: go test ./store -run %s -rounds %d -seed %d", t.Name(), batches*atOnce, *seed)
	for batch := range batches {
		whole := t.Run(fmt.Sprint(batch), func(t *testing.T) { test(t, rand.New(rand.NewPCG(*seed, uint64(batch)))) })
		if !whole {
			t.FailNow()
		}
	}
	return batches * atOnce
}

// repairFromAnotherStore damages some copies of a sound store, repairs them, and lets them copy from one that is whole.
// It returns how many records the damage cost them.
func repairFromAnotherStore(t *testing.T, dice *rand.Rand, sound string, want storetest.Kept, copies int) (lost uint64) {
	tw := openTower(t)
	whole := filepath.Join(t.TempDir(), "whole")
	storetest.CopyFiles(t, sound, whole)
	openStore(t, tw, whole)
	dirs, whats, stores := make([]string, copies), make([]string, copies), make([]*Store, copies)
	for i := range copies {
		dirs[i] = filepath.Join(t.TempDir(), "db")
		storetest.CopyFiles(t, sound, dirs[i])
		whats[i] = damage(t, dice, dirs[i])
		repaired, err := admin.Repair(t.Context(), dirs[i], nil)
		if err != nil {
			t.Fatalf("%s: Repair: %v", whats[i], err)
		}
		for _, p := range repaired.Partitions {
			lost += p.Lost
		}
		stores[i] = openStore(t, tw, dirs[i])
	}
	for i, s := range stores {
		for name, contents := range want {
			eventually(t, fmt.Sprintf("%s: all of %q is back", whats[i], name), func() bool {
				records, err := s.db.Records(name[0], name[1])
				return err == nil && records == uint64(len(contents))
			})
		}
	}
	for i, s := range stores {
		if err := s.Close(); err != nil {
			t.Errorf("%s: Close: %v", whats[i], err)
		}
		got, failures := storetest.ReadStore(t, dirs[i])
		if err := errors.Join(append(failures, storetest.Prefixes(want, got))...); err != nil || !storetest.Same(want, got) {
			t.Errorf("%s: after Repair and copying from another store: %v", whats[i], err)
		}
	}
	return lost
}

func checkDamaged(t *testing.T, dir, what string, want storetest.Kept, killed bool) (outcomes []string) {
	got, failures := storetest.ReadStore(t, dir)
	if err := storetest.Prefixes(want, got); err != nil {
		t.Errorf("%s: what is read is wrong: %v", what, err)
	}
	lost := len(failures) > 0 || !storetest.Same(want, got)
	if len(failures) == 0 && lost && !killed && partdb.CheckWhole(dir) == nil {
		t.Errorf("%s: records are missing, and a store would not notice", what)
	}
	served, refused := serveStore(t, dir)
	if err := storetest.Prefixes(want, served); err != nil {
		t.Errorf("%s: what a store serves is wrong: %v", what, err)
	}
	before := storetest.FilesIn(t, dir)
	report, err := admin.Verify(t.Context(), dir, nil)
	if err != nil {
		t.Errorf("%s: Verify: %v", what, err)
		return nil
	}
	if diff := cmp.Diff(before, storetest.FilesIn(t, dir)); diff != "" {
		t.Errorf("%s: Verify changed the folder", what)
	}
	sound := report.Sound()
	// The end of a killed store's log is lost as in a power failure, and nobody can tell: but for damage with commits behind.
	tail := killed && len(failures) == 0 && strings.Contains(what, ".log: ") && !strings.Contains(what, beforeEnd)
	if sound && lost && !tail {
		t.Errorf("%s: Verify finds nothing wrong; reading says %v", what, failures)
	} else if tail && sound && lost {
		outcomes = append(outcomes, "the end of a killed store's log is gone: not to be told from a crash")
	}
	switch {
	case !lost && sound:
		outcomes = append(outcomes, "nothing is lost, and Verify finds nothing wrong")
	case !lost:
		outcomes = append(outcomes, "nothing is lost, and Verify reports the damage")
	case got == nil:
		outcomes = append(outcomes, "the database cannot be opened, and Verify reports the damage")
	case sound:
	case len(failures) == 0:
		outcomes = append(outcomes, "records are missing, Pebble would not notice, and Verify reports the damage")
	default:
		outcomes = append(outcomes, "records cannot be read, and Verify reports the damage")
	}

	repaired, err := admin.Repair(t.Context(), dir, nil)
	if err != nil {
		t.Errorf("%s: Repair: %v", what, err)
		return outcomes
	}
	if refused != nil {
		if want := "dafka store repair --db " + dir; sound || !strings.Contains(refused.Error(), "dafka store repair --db ") {
			t.Errorf("%s: sound: %v; a store does not start: %v, want %q", what, sound, refused, want)
		}
		if _, err := serveStore(t, dir); err != nil {
			t.Errorf("%s: a store says %v, and after Repair %v", what, refused, err)
		}
	}
	if (repaired.Old == "") != sound {
		t.Errorf("%s: sound: %v, but Repair left %q", what, sound, repaired.Old)
	}
	after, failures := storetest.ReadStore(t, dir)
	if err := errors.Join(append(failures, storetest.Prefixes(want, after))...); err != nil {
		t.Errorf("%s: after Repair: %v", what, err)
	}
	report, err = admin.Verify(t.Context(), dir, nil)
	if err != nil || !report.Sound() {
		t.Errorf("%s: after Repair Verify says %+v, %v", what, report, err)
	}
	if repaired.Old == "" {
		return outcomes
	}
	// All that could be read before is there, and the report is true.
	for name := range want {
		if before := max(len(got[name]), len(served[name])); len(after[name]) < before {
			t.Errorf("%s: Repair left %d records of %q, %d could be read before", what, len(after[name]), name, before)
		}
	}
	told, lostRecords := make(map[[2]string]int), uint64(0)
	for _, p := range repaired.Partitions {
		if p.Records > 0 {
			told[[2]string{p.Topic, p.Partition}] = int(p.Records)
		}
		lostRecords += p.Lost
	}
	found, records := make(map[[2]string]int), 0
	for name, contents := range after {
		found[name] = len(contents)
		records += len(contents)
	}
	if diff := cmp.Diff(found, told); diff != "" {
		t.Errorf("%s: Repair tells something else (+) than it left (-):\n%s", what, diff)
	}
	if diff := cmp.Diff(before, storetest.FilesIn(t, repaired.Old)); diff != "" {
		t.Errorf("%s: Repair changed the old folder", what)
	}
	all := 0
	for _, contents := range want {
		all += len(contents)
	}
	switch {
	case records == all:
		outcomes = append(outcomes, "repaired, nothing lost")
	case records == 0:
		outcomes = append(outcomes, "repaired, nothing left")
	default:
		outcomes = append(outcomes, "repaired, something lost")
	}
	return outcomes
}
