package terminal

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// Program is its name, unless it is called by that of a C program.
const Program = "dafka"

const (
	StatusFailure   = 1
	statusUsage     = 2
	StatusUnreached = 3
)

// ExitStatus is one, as help shows it.
type ExitStatus struct{ Status, Means string }

// ExitStatuses are all that a user meets.
var ExitStatuses = []ExitStatus{
	{"0", "the work is done, or one signal ended it"},
	{"1", "a failure; for produce also records without an ACK"},
	{"2", "the command line, a variable or the configuration file is wrong"},
	{"3", "no tower or store was reached in the time given, or the end of the records is not certain"},
	{"128+N", "a second signal, of number N, ended it at once"},
}

// usageError is a command line that cannot be carried out.
type usageError struct {
	message string
	usage   string // what it should look like
}

func (e *usageError) Error() string { return e.message }

// NewUsageError is the error of a command line that should look like usage.
func NewUsageError(usage, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), usage}
}

// StatusError is a failure with an exit status of its own. Without an error there is nothing to report.
type StatusError struct {
	status int
	error
}

// WithStatus gives a failure an exit status of its own. Without an error there is nothing to report.
func WithStatus(status int, err error) error { return &StatusError{status, err} }

// readerGone says that err is of writing to a program that has read enough, as head does: no reason to complain.
func readerGone(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Path == os.Stdout.Name() && errors.Is(path, syscall.EPIPE)
}

// Report says on stderr what went wrong with the program and gives the exit status.
func Report(name string, err error) int {
	if err == nil || err == ErrEnded || readerGone(err) {
		return 0
	}
	var status *StatusError
	if errors.As(err, &status) && status.error == nil {
		return status.status // stdout says why
	}
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	if jsonLog != nil {
		jsonLog.Error(message)
	} else {
		fmt.Fprintf(Stderr, "%s: error: %s\n", name, message)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		if jsonLog != nil {
			return statusUsage
		}
		line := "usage: %s (--help says more)\n"
		if name != Program {
			line = "Usage: %s\n" // as C writes it; and there is no more
		}
		fmt.Fprintf(Stderr, line, usage.usage)
		return statusUsage
	}
	if status != nil {
		return status.status
	}
	return StatusFailure
}
