package interop

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// state is what the kernel says a process does: R and S when it runs, T when it is stopped.
func (p *process) state() byte {
	p.t.Helper()
	return usageOf(p.t, p.cmd.Process.Pid).state
}

// usage is what a process takes of the machine.
type usage struct {
	state                byte
	resident             int // bytes
	threads              int
	descriptors, sockets int
}

func usageOf(t testing.TB, pid int) usage {
	t.Helper()
	dir := fmt.Sprint("/proc/", pid)
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		t.Fatal(err)
	}
	// The name, in brackets, may hold anything.
	fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
	u := usage{state: fields[0][0]}
	number := func(i int) int {
		n, err := strconv.Atoi(fields[i])
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	u.threads, u.resident = number(17), number(21)*os.Getpagesize()
	files, err := os.ReadDir(filepath.Join(dir, "fd"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		u.descriptors++
		if to, err := os.Readlink(filepath.Join(dir, "fd", file.Name())); err == nil && strings.HasPrefix(to, "socket:") {
			u.sockets++
		}
	}
	return u
}

func (u usage) String() string {
	return fmt.Sprintf("%d MiB, %d threads, %d descriptors, %d sockets", u.resident>>20, u.threads, u.descriptors, u.sockets)
}
