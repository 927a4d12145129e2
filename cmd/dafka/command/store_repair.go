package command

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/store/admin"
)

// storeRepairCommand is `dafka store repair`: what can be read becomes a sound database.
func storeRepairCommand() *cli.Command {
	return &cli.Command{
		Name:  "repair",
		Usage: "make a sound database of what can be read of a damaged one",
		Description: "Keeps of each partition the records from the first up to one that is damaged or missing, and says what was kept\n" +
			"and what was lost. The damaged folder stays beside it, as DIR.damaged. Needs as much room again on the same\n" +
			"disk. A database that is sound is left alone.\n\n" +
			"Example: dafka store repair --db /var/lib/dafka",
		Flags:  []cli.Flag{folderFlag()},
		Action: runStoreRepair,
	}
}

func runStoreRepair(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	dir, err := storeFolder(c)
	if err != nil {
		return err
	}
	var repaired *admin.Repaired
	err = offline(c, "repairing "+dir, func(ctx context.Context, progress admin.Progress) (err error) {
		repaired, err = admin.Repair(ctx, dir, progress)
		return err
	})
	if err != nil {
		return err
	}
	printReport(&repaired.Report)
	if repaired.Old == "" {
		fmt.Fprintf(terminal.Stderr, "%s is sound, there is nothing to repair: %s\n", dir, sum(&repaired.Report))
		return nil
	}
	lost := uint64(0)
	for _, p := range repaired.Partitions {
		lost += p.Lost
	}
	fmt.Fprintf(terminal.Stderr, "%s is repaired: kept %s; lost %s that are known of\n", dir,
		sum(&repaired.Report), terminal.Plural(lost, "record"))
	fmt.Fprintf(terminal.Stderr, "the damaged folder is %s: remove it when the store has what it needs\n", repaired.Old)
	return nil
}
