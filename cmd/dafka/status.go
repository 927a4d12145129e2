package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"syscall"
)

// program is its name, unless it is called by that of a C program.
const program = "dafka"

const (
	statusFailure   = 1
	statusUsage     = 2
	statusUnreached = 3
)

// exitStatus is one, as help shows it.
type exitStatus struct{ status, means string }

// exitStatuses are all that a user meets.
var exitStatuses = []exitStatus{
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

// newUsageError is a usageError of a command line that should look like usage.
func newUsageError(usage, format string, args ...any) error {
	return &usageError{fmt.Sprintf(format, args...), usage}
}

// statusError is a failure with an exit status of its own. Without an error there is nothing to report.
type statusError struct {
	status int
	error
}

// withStatus gives a failure an exit status of its own. Without an error there is nothing to report.
func withStatus(status int, err error) error { return &statusError{status, err} }

// readerGone says that err is of writing to a program that has read enough, as head does: no reason to complain.
func readerGone(err error) bool {
	var path *fs.PathError
	return errors.As(err, &path) && path.Path == os.Stdout.Name() && errors.Is(path, syscall.EPIPE)
}

// report says on stderr what went wrong with the program and gives the exit status.
func report(name string, err error) int {
	if err == nil || err == errEnded || readerGone(err) {
		return 0
	}
	var status *statusError
	if errors.As(err, &status) && status.error == nil {
		return status.status // stdout says why
	}
	message := strings.ReplaceAll(err.Error(), "\n", "; ")
	if jsonLog != nil {
		jsonLog.Error(message)
	} else {
		fmt.Fprintf(stderr, "%s: error: %s\n", name, message)
	}
	var usage *usageError
	if errors.As(err, &usage) {
		if jsonLog != nil {
			return statusUsage
		}
		line := "usage: %s (--help says more)\n"
		if name != program {
			line = "Usage: %s\n" // as C writes it; and there is no more
		}
		fmt.Fprintf(stderr, line, usage.usage)
		return statusUsage
	}
	if status != nil {
		return status.status
	}
	return statusFailure
}
