package interop_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/producer"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// Example_cluster is what the README shows of the library.
func Example_cluster() {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	dir, err := os.MkdirTemp("", "dafka-")
	check(err)
	defer os.RemoveAll(dir)

	// A whole cluster in one process, on loopback. "*" is any free port.
	t, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	check(err)
	defer t.Close()
	node := tower.NodeConfig{Pub: []string{t.Pub()}, Sub: []string{t.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*"}

	s, err := store.Open(store.Config{Dir: filepath.Join(dir, "db"), Node: node})
	check(err)
	defer s.Close()

	p, err := producer.Open(producer.Config{Topic: "hello", Node: node})
	check(err)
	for i := range 3 {
		_, err := p.Send(ctx, fmt.Appendf(nil, "record number %d", i))
		check(err)
	}
	check(p.Close(ctx)) // waits until the store has all of them on disk

	// The producer is gone. Its records are not.
	c, err := consumer.Open(consumer.Config{Topics: []string{"hello"}, Reset: consumer.Earliest, Node: node})
	check(err)
	defer c.Close()
	for record, err := range c.Records(ctx) {
		check(err)
		fmt.Printf("%s %d: %s\n", record.Topic, record.Sequence, record.Content)
		if record.Sequence == 2 {
			break
		}
	}

	// Output:
	// hello 0: record number 0
	// hello 1: record number 1
	// hello 2: record number 2
}

// Example_start reads the last two records of each partition. Start runs on the consumer's own goroutine: while it works,
// the consumer receives nothing, and a call of the consumer's methods in it never returns. So it only computes, from its
// arguments and from what was prepared before Open, here the positions that an earlier run may have kept. What it
// shares with other goroutines needs a lock, as with any goroutine.
func Example_start() {
	kept := map[string]uint64{"ANOTHER PARTITION": 17} // read before Open, not within Start
	start := func(topic, partition string, head uint64) uint64 {
		if next, ok := kept[partition]; ok {
			return next
		}
		return max(head, 1) - 1 // head is the last record known
	}
	_ = consumer.Config{Topics: []string{"hello"}, Start: start}
	fmt.Println(start("hello", "ANOTHER PARTITION", 100), start("hello", "A PARTITION", 4), start("hello", "A PARTITION", 0))

	// Output:
	// 17 3 0
}

// TestReadmeExample keeps the README's Go code and the body of Example_cluster the same.
func TestReadmeExample(t *testing.T) {
	var shown []string
	for _, block := range regexp.MustCompile("(?s)```go\n(.*?)```").FindAllStringSubmatch(read(t, "../README.md"), -1) {
		shown = append(shown, block[1])
	}
	_, body, _ := strings.Cut(read(t, "example_test.go"), "func Example_cluster() {\n")
	body, _, _ = strings.Cut(body, "\n\t// Output:")
	body = strings.TrimPrefix(strings.ReplaceAll(body, "\n\t", "\n"), "\t")
	if diff := cmp.Diff([]string{body}, shown); diff != "" {
		t.Errorf("README.md does not show Example_cluster (-example +README):\n%s", diff)
	}
}

// TestReadmeNames finds every function that the README names as `file: name`, and every test as `folder: name`.
func TestReadmeNames(t *testing.T) {
	names := regexp.MustCompile("`([a-z]+(?:/[a-z_.]+)*): ([A-Za-z_]\\w+)`").FindAllStringSubmatch(read(t, "../README.md"), -1)
	if len(names) < 20 {
		t.Errorf("README.md names %d functions and tests: either it was cut down, or this test cannot read it any more", len(names))
	}
	for _, name := range names {
		files := []string{"../" + name[1]}
		if filepath.Ext(name[1]) == "" {
			files, _ = filepath.Glob("../" + name[1] + "/*_test.go")
		}
		declared := regexp.MustCompile(`(?m)^(func (\([^)]*\) )?|\w[\w ]*[ *])` + name[2] + `[(\[]`)
		found := false
		for _, file := range files {
			found = found || declared.MatchString(read(t, file))
		}
		if !found {
			t.Errorf("README.md names %s, which is not there", name[0])
		}
	}
}

func read(t *testing.T, file string) string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
