package interop

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// The transcripts of the documents: a command after "$ ", and its output. Each is run, and its output compared, numbers
// and addresses apart.

// documented is one command of a document.
type documented struct {
	command string
	output  []string
}

var transcriptBlock = regexp.MustCompile("(?ms)^```\n(\\$ .*?)^```")

// transcriptsOf returns the transcripts of a document in order.
func transcriptsOf(text string) (found []documented) {
	for _, block := range transcriptBlock.FindAllStringSubmatch(text, -1) {
		for line := range strings.Lines(block[1]) {
			line = strings.TrimSuffix(line, "\n")
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				found = append(found, documented{command: command})
			} else {
				last := &found[len(found)-1]
				last.output = append(last.output, line)
			}
		}
	}
	return found
}

// TestReadmeTranscripts runs every transcript of every document.
func TestReadmeTranscripts(t *testing.T) {
	t.Parallel()
	plays := map[string]func(*stage, []documented){
		"README.md":           (*stage).quickStart,
		"cmd/dafka/README.md": (*stage).lookInto,
		"store/README.md":     (*stage).operate,
	}
	for file, text := range documents(t) {
		script := transcriptsOf(text)
		play, ok := plays[file]
		if ok != (len(script) > 0) {
			t.Errorf("%s has %d transcripts; is there a function that runs them: %v", file, len(script), ok)
		}
		if !ok || len(script) == 0 {
			continue
		}
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			play(newStage(t), script)
		})
	}
}

// stage is where the transcripts of one document run: a folder, and the ports of a tower.
type stage struct {
	t     testing.TB
	dir   string
	env   []string
	nodes []*process // towers and stores that run
}

func newStage(t testing.TB) *stage {
	s := &stage{t: t, dir: t.TempDir()}
	bin := filepath.Join(s.dir, "bin")
	if err := os.Mkdir(bin, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(program, filepath.Join(bin, "dafka")); err != nil {
		t.Fatal(err)
	}
	c := meetingPoint(t)
	s.env = append(os.Environ(), "PATH="+bin+":"+os.Getenv("PATH"),
		"DAFKA_TOWER_PUB_ADDRESS="+c.pub[0], "DAFKA_BEACON_PUB_ADDRESS="+c.pub[0],
		"DAFKA_TOWER_SUB_ADDRESS="+c.sub[0], "DAFKA_BEACON_SUB_ADDRESS="+c.sub[0],
		"DAFKA_BEACON_ADDRESS=127.0.0.1", "DAFKA_BEACON_BIND=127.0.0.1")
	return s
}

// cmd returns a command of a transcript. Files below /tmp lie in the stage's folder.
func (s *stage) cmd(command string) *exec.Cmd {
	cmd := exec.Command("bash", "-c", "exec "+strings.ReplaceAll(command, " /tmp/", " "+s.dir+"/"))
	if strings.ContainsAny(command, "|>") {
		cmd.Args[2] = strings.TrimPrefix(cmd.Args[2], "exec ")
	}
	cmd.Dir, cmd.Env = s.dir, s.env
	return cmd
}

// node starts a tower or a store, and waits for what it prints.
func (s *stage) node(tr documented) *process {
	s.t.Helper()
	p := run(s.t, nil, s.cmd(tr.command))
	eventually(s.t, tr.command, func() bool { return strings.Contains(p.stderr.String(), "running") })
	if tr.output != nil {
		s.compare(tr, p.stderr.String())
	}
	s.nodes = append(s.nodes, p)
	return p
}

// end ends all nodes.
func (s *stage) end() {
	s.t.Helper()
	for _, p := range s.nodes {
		p.end(syscall.SIGTERM, 0)
	}
	s.nodes = nil
}

// run runs a command to its end, and returns its output.
func (s *stage) run(command string) string {
	cmd := s.cmd(command)
	var output bytes.Buffer
	cmd.Stdout, cmd.Stderr = &output, &output
	cmd.Run() // verify fails where it is to find damage; the output is compared
	return output.String()
}

// same reports whether a command printed what the transcript shows.
func (s *stage) same(tr documented, output string) bool { return s.difference(tr, output) == "" }

func (s *stage) compare(tr documented, output string) {
	s.t.Helper()
	if diff := s.difference(tr, output); diff != "" {
		s.t.Errorf("$ %s\n(-document +program):\n%s\nThe program printed:\n%s", tr.command, diff, output)
	}
}

func (s *stage) difference(tr documented, output string) string {
	output = strings.ReplaceAll(output, s.dir+"/", "/tmp/")
	return cmp.Diff(abstract(tr.output...), abstract(strings.Split(strings.TrimRight(output, "\n"), "\n")...))
}

var (
	anAddress = regexp.MustCompile(`\b[0-9A-F]{32}\b`)
	aChecksum = regexp.MustCompile(`\b[0-9a-f]{8}\b`)
	aNumber   = regexp.MustCompile(`\d+(\.\d+)?`)
	spaces    = regexp.MustCompile(` +`)
)

// abstract returns lines without what differs from run to run. They are sorted, since tables are by addresses.
func abstract(lines ...string) []string {
	got := []string{}
	for _, line := range lines {
		line = anAddress.ReplaceAllString(line, "ADDRESS")
		line = aChecksum.ReplaceAllString(line, "N") // or a number of eight digits
		line = aNumber.ReplaceAllString(line, "N")
		if line = strings.TrimSpace(spaces.ReplaceAllString(line, " ")); line != "" {
			got = append(got, line)
		}
	}
	slices.Sort(got)
	return got
}

// awaited runs a command again until it prints what the transcript shows: a table of a cluster changes.
func (s *stage) awaited(tr documented) {
	s.t.Helper()
	output := ""
	for end := time.Now().Add(waitAtMost); ; {
		if output = s.run(tr.command); s.same(tr, output) {
			return
		}
		if time.Now().After(end) {
			s.compare(tr, output)
			return
		}
	}
}

// quickStart runs those of README.md.
func (s *stage) quickStart(script []documented) {
	for _, tr := range script {
		switch words := strings.Fields(tr.command); words[1] {
		case "dev":
			s.end()
			s.node(tr)
		case "tower", "store":
			s.node(tr)
		case "produce":
			s.compare(tr, s.typed(tr))
		default:
			s.compare(tr, s.run(tr.command))
		}
	}
	s.end()
}

// typed runs a command on a terminal. The lines of the transcript between the first and the last are typed after the
// first was printed, then Ctrl-D. It returns the screen.
func (s *stage) typed(tr documented) string {
	s.t.Helper()
	near, far := openTerminal(s.t)
	defer near.Close()
	cmd := s.cmd(tr.command)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = far, far, far
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	far.Close()
	var screen output
	copied := make(chan struct{})
	go func() {
		io.Copy(&screen, near)
		close(copied)
	}()
	eventually(s.t, tr.output[0], func() bool { return strings.Contains(screen.String(), tr.output[0]) })
	fmt.Fprintf(near, "%s\n\x04", strings.Join(tr.output[1:len(tr.output)-1], "\n"))
	if err := cmd.Wait(); err != nil {
		s.t.Errorf("$ %s: %v", tr.command, err)
	}
	<-copied
	var lines []string
	for line := range strings.Lines(screen.String()) {
		// A line of progress is written over.
		line = strings.TrimRight(line, "\r\n")
		line = line[strings.LastIndex(line, "\r")+1:]
		lines = append(lines, regexp.MustCompile(`\x1b\[[0-9;?]*[A-Za-z]`).ReplaceAllString(line, ""))
	}
	return strings.Join(lines, "\n")
}

// publish publishes lines as one partition.
func (s *stage) publish(topic, format string, from, to int) {
	s.t.Helper()
	cmd := s.cmd(fmt.Sprintf("seq -f '%s' %d %d | dafka produce %s", format, from, to, topic))
	if output, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("produce %s: %v\n%s", topic, err, output)
	}
}

// lookInto runs those of cmd/dafka/README.md: first on an idle cluster, then on one where a producer publishes.
func (s *stage) lookInto(script []documented) {
	s.node(documented{command: "dafka tower"})
	s.node(documented{command: "dafka store --db a"})
	s.publish("hello", "%.0f", 1, 3)
	s.publish("packages", "%.0f", 1, 878)
	live := slices.IndexFunc(script, func(tr documented) bool { return strings.HasPrefix(tr.command, "dafka topics") })
	for _, tr := range script[:live] {
		s.compare(tr, s.run(tr.command))
	}
	s.end()
	if err := os.RemoveAll(filepath.Join(s.dir, "a")); err != nil {
		s.t.Fatal(err)
	}

	s.node(documented{command: "dafka tower"})
	s.node(documented{command: "dafka store --db a"})
	s.node(documented{command: "dafka store --db b"})
	s.publish("hello", "%.0f", 1, 3)
	s.publish("packages", "%.0f", 1, 878)
	in, out := io.Pipe()
	producer := run(s.t, in, s.cmd("dafka produce packages"))
	go func() {
		for i := 0; ; i++ {
			if _, err := fmt.Fprintln(out, i); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond) // the rate of the document
		}
	}()
	for _, tr := range script[live:] {
		if strings.Contains(tr.command, "sniff") {
			s.sniff(tr)
			continue
		}
		s.awaited(tr)
	}
	out.Close()
	in.Close()
	producer.mustEnd(0)
	s.end()
}

// sniff runs a command that prints until it is ended, until it has printed each line of the transcript.
func (s *stage) sniff(tr documented) {
	s.t.Helper()
	p := run(s.t, nil, s.cmd(tr.command))
	want := slices.Compact(abstract(tr.output...))
	eventually(s.t, tr.command, func() bool {
		got := abstract(strings.Split(p.stdout.String(), "\n")...)
		return !slices.ContainsFunc(want, func(line string) bool { return !slices.Contains(got, line) })
	})
	p.end(syscall.SIGTERM, 0)
}

// operate runs those of store/README.md. The second import opens the database again, which puts all records into tables.
func (s *stage) operate(script []documented) {
	var lines strings.Builder
	record := func(topic, partition string, sequence int, content string) {
		fmt.Fprintf(&lines, `{"topic":%q,"partition":%q,"sequence":%d,"content":%q}`+"\n", topic, partition, sequence, content)
	}
	for i := range 3 {
		record("hello", strings.Repeat("1F", 16), i, fmt.Sprint("record ", i))
	}
	for _, partition := range []string{"0C", "5E", "7C"} {
		for i := range 100_000 {
			record("packages", strings.Repeat(partition, 16), i, fmt.Sprint("record ", i, strings.Repeat(" of many", 12)))
		}
	}
	if err := os.WriteFile(filepath.Join(s.dir, "records"), []byte(lines.String()), 0o644); err != nil {
		s.t.Fatal(err)
	}
	s.run("dafka store import --db db --ndjson records")
	s.run("dafka store import --db db --ndjson /dev/null")
	for _, tr := range script {
		switch {
		case strings.Contains(tr.command, "--leveldb"):
			// A C store's database is imported in TestImportLevelDB of store.
			continue
		case tr.command == "bin/dafka store verify --db monday":
			s.damage("monday")
		}
		s.compare(tr, s.run(tr.command))
	}
}

// damage changes a byte in the middle of a database's largest table.
func (s *stage) damage(folder string) {
	s.t.Helper()
	tables, _ := filepath.Glob(filepath.Join(s.dir, folder, "*.sst"))
	largest, size := "", int64(0)
	for _, table := range tables {
		if info, err := os.Stat(table); err == nil && info.Size() > size {
			largest, size = table, info.Size()
		}
	}
	if largest == "" {
		s.t.Fatalf("no table in %s", folder)
	}
	table, err := os.ReadFile(largest)
	if err != nil {
		s.t.Fatal(err)
	}
	table[size/2] ^= 1
	if err := os.WriteFile(largest, table, 0o644); err != nil {
		s.t.Fatal(err)
	}
}
