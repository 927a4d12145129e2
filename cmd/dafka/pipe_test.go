package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/command"
	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// TestFileThatIsNotWrittenTo: a signal ends a command while it opens a named pipe that no program writes to, and while it
// reads one to which nothing is written.
func TestFileThatIsNotWrittenTo(t *testing.T) {
	for _, test := range []struct {
		args   []string
		status int
	}{
		{append([]string{"produce", "topic", "PIPE"}, noTower...), 0},
		{append([]string{"produce", "topic", "PIPE", "--whole"}, noTower...), 0},
		{append([]string{"produce", "topic", "-c", "PIPE"}, noTower...), 0},
		{append([]string{"consume", "topic", "-c", "PIPE"}, noTower...), 0},
		{append([]string{"tower", "-c", "PIPE"}, anyTower...), 0},
		{[]string{"wire", "decode", "PIPE"}, 0},
		{[]string{"wire", "encode", "PIPE"}, 0},
		{[]string{"store", "import", "--db", "DB", "--ndjson", "PIPE"}, 1},
	} {
		for _, isOpened := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, opened %v", strings.Join(test.args[:2], " "), isOpened), func(t *testing.T) {
				pipe := filepath.Join(t.TempDir(), "pipe")
				if err := syscall.Mkfifo(pipe, 0o600); err != nil {
					t.Fatal(err)
				}
				args := append([]string{terminal.Program}, test.args...)
				for i, arg := range args {
					args[i] = strings.NewReplacer("PIPE", pipe, "DB", pipe+".db").Replace(arg)
				}
				ctx, end := context.WithCancel(t.Context())
				app := command.New()
				app.ExitErrHandler = func(*cli.Context, error) {}
				args, err := command.FlagsFirst(app, args)
				if err != nil {
					t.Fatal(err)
				}
				status := make(chan int, 1)
				go func() { status <- terminal.Report(terminal.Program, app.RunContext(ctx, args)) }()
				waitForStack(t, "terminal.OpenFile.func1")
				write := func() {
					w, err := os.OpenFile(pipe, os.O_RDWR, 0)
					if err != nil {
						t.Error(err)
					}
					t.Cleanup(func() { w.Close() })
				}
				if isOpened {
					write()
					waitForStack(t, "(*input).Read.func1")
				} else {
					defer write() // or the call that was left behind never ends
				}
				end()
				select {
				case got := <-status:
					if got != test.status {
						t.Errorf("exit status %d, want %d", got, test.status)
					}
				case <-time.After(soon):
					t.Fatal("it does not end")
				}
			})
		}
	}
}

// waitForStack waits until a goroutine is in the function.
func waitForStack(t *testing.T, function string) {
	t.Helper()
	stacks := make([]byte, 1<<20)
	for deadline := time.Now().Add(atMost); !bytes.Contains(stacks[:runtime.Stack(stacks, true)], []byte(function+"(")); {
		if time.Now().After(deadline) {
			t.Fatalf("no goroutine is in %s", function)
		}
		time.Sleep(time.Millisecond)
	}
}
