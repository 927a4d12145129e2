package storetest

import (
	"os"
	"runtime"
	"syscall"
	"testing"
)

// AsNobody runs what opens files as a user to whom nothing belongs.
func AsNobody(t *testing.T, run func()) {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("to open files as another user takes root")
	}
	done := make(chan bool)
	go func() {
		defer close(done)
		runtime.LockOSThread()
		syscall.RawSyscall(syscall.SYS_SETFSUID, 65534, 0, 0)
		run()
	}()
	<-done
}
