package zsock

import (
	"iter"
	"net/netip"
	"syscall"
)

// ScarceDescriptors reports whether less than an eighth of the process's file descriptors is left. The system gives the
// lowest that is free.
func ScarceDescriptors() bool {
	free, err := syscall.Open("/dev/null", syscall.O_RDONLY|syscall.O_CLOEXEC, 0)
	if err != nil {
		return err == syscall.EMFILE
	}
	syscall.Close(free)
	limit := descriptorLimit()
	return free >= limit-limit/8
}

func descriptorLimit() int {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) != nil {
		return 1 << 20
	}
	return int(min(limit.Cur, 1<<20))
}

// Visitors yields the connections that peers made to a port of this process, and their endpoints. It looks at each
// descriptor.
func Visitors(port int) iter.Seq2[int, netip.AddrPort] {
	return func(yield func(int, netip.AddrPort) bool) {
		for connection := range descriptorLimit() {
			here, err := syscall.Getsockname(connection)
			if err != nil {
				continue
			}
			bound := -1
			switch a := here.(type) {
			case *syscall.SockaddrInet4:
				bound = a.Port
			case *syscall.SockaddrInet6:
				bound = a.Port
			}
			if bound != port {
				continue
			}
			if peer, ok := PeerOf(connection); ok && !yield(connection, peer) {
				return
			}
		}
	}
}
