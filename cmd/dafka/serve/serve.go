package serve

import (
	"context"
	"errors"
	"io"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/store"
	"github.com/godafka/dafka/tower"
)

// Nodes are those that one process serves with until it is ended; nil where there is none.
type Nodes struct {
	Tower *tower.Tower
	Store *store.Store
}

// server is one of them.
type server interface {
	Wait(context.Context) error
	io.Closer
}

func (n Nodes) servers() (servers []server) {
	if n.Tower != nil {
		servers = append(servers, n.Tower)
	}
	if n.Store != nil {
		servers = append(servers, n.Store)
	}
	return servers
}

// Serve runs the nodes until ctx ends them, which is no error, or one of them fails: the others are of no use then.
// running is what the user is told about them, if anything.
func (n Nodes) Serve(ctx context.Context, config *settings.Config, running string) error {
	web, failure := n.listen(config)
	ctx, end := context.WithCancel(ctx)
	defer end()
	if failure != nil {
		end()
	} else {
		if running != "" {
			terminal.Say("%s", running)
		}
		notify(ready)
	}
	servers := n.servers()
	ended := make(chan error, len(servers))
	for _, s := range servers {
		go func() {
			failure := s.Wait(ctx)
			if ctx.Err() != nil {
				failure = nil
			}
			end()
			if err := s.Close(); err != nil {
				failure = err
			}
			ended <- failure
		}()
	}
	<-ctx.Done()
	notify(stopping)
	for range servers {
		failure = errors.Join(failure, <-ended)
	}
	if web != nil {
		web.Close()
	}
	return failure
}
