package recordio

import (
	"context"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// UntilReaderGone returns a context that ends with ctx, and when the program that reads stdout goes away, as head does
// once it has read enough. A write would report that, but the next record may never come.
func UntilReaderGone(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, end := context.WithCancel(ctx)
	if info, err := os.Stdout.Stat(); err == nil && !info.Mode().IsRegular() {
		// No call ends a poll that waits. It is left behind.
		go func() {
			if pollReaderGone(syscall.Stdout) {
				end()
			}
		}()
	}
	return ctx, end
}

// pollReaderGone blocks until nothing that is written to the file can be read any more. It returns false when that
// cannot be found out.
func pollReaderGone(file int) bool {
	for {
		polled := []unix.PollFd{{Fd: int32(file)}} // POLLERR and POLLHUP need not be asked for
		if _, err := unix.Poll(polled, -1); err != nil {
			if err == unix.EINTR {
				continue
			}
			return false
		}
		return polled[0].Revents&(unix.POLLERR|unix.POLLHUP) != 0
	}
}
