package bench

import (
	"os/exec"
	"syscall"
)

// endWithParent has the kernel end the process when this one ends, were it by SIGKILL. The kernel watches the thread that
// starts it; those of Go last as long as the program, for it locks none.
func endWithParent(command *exec.Cmd) {
	command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
}
