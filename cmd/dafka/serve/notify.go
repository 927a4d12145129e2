package serve

import (
	"net"
	"os"

	"github.com/godafka/dafka/cmd/dafka/terminal"
)

// What a service of systemd's Type=notify says. A node that joins a cluster is ready when it takes part: it needs no
// tower to be there yet.
const (
	ready    = "READY=1"
	stopping = "STOPPING=1"
)

// notify tells systemd, where that has started the program.
func notify(state string) {
	path := os.Getenv("NOTIFY_SOCKET")
	if path == "" {
		return
	}
	socket, err := net.Dial("unixgram", path)
	if err == nil {
		_, err = socket.Write([]byte(state))
		socket.Close()
	}
	if err != nil {
		terminal.Say("NOTIFY_SOCKET: systemd was not told %s: %v", state, err)
	}
}
