package command

import (
	"context"
	"errors"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/store/admin"
)

// errUndone says that a signal ended a piece of work that has no use unless it is complete.
var errUndone = errors.New("ended by a signal")

// offline does a long piece of work on a store that does not run.
func offline(c *cli.Context, doing string, work func(context.Context, admin.Progress) error) error {
	m := terminal.StartMeter(doing)
	err := work(c.Context, m.Progress)
	m.End()
	if err != nil && c.Context.Err() != nil {
		return errUndone
	}
	return err
}
