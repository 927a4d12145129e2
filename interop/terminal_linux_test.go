package interop

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"unsafe"
)

// openTerminal gives both ends of a terminal: a program that writes to one says how far it is.
func openTerminal(t testing.TB) (near, far *os.File) {
	t.Helper()
	near, err := os.OpenFile("/dev/ptmx", os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	var number, unlocked int32
	for request, at := range map[uintptr]*int32{syscall.TIOCGPTN: &number, syscall.TIOCSPTLCK: &unlocked} {
		if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, near.Fd(), request, uintptr(unsafe.Pointer(at))); errno != 0 {
			t.Fatal(errno)
		}
	}
	far, err = os.OpenFile(fmt.Sprint("/dev/pts/", number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	return near, far
}

// startOnTerminal starts a node that has a terminal for its stderr.
func (c *cluster) startOnTerminal(stdin *os.File, args ...string) *process {
	c.t.Helper()
	near, far := openTerminal(c.t)
	cmd := exec.Command(program, c.args(args...)...)
	cmd.Stderr = far
	p := run(c.t, stdin, cmd)
	far.Close()
	go p.copyTerminal(near)
	return p
}

// copyTerminal takes what a process says to its terminal, until nobody has the other end.
func (p *process) copyTerminal(near *os.File) {
	io.Copy(&p.stderr, near)
	near.Close()
}
