package command

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/store/admin"
)

// storeBackupCommand is `dafka store backup`: a copy of a store, which goes on running.
func storeBackupCommand() *cli.Command {
	return &cli.Command{
		Name:      "backup",
		Usage:     "copy the database of a store, which may be running",
		ArgsUsage: "DEST",
		Description: "DEST is a folder that is not there yet, best on another disk. It has all that was acked before, and is verified\n" +
			"before it gets its name. Run this on the store's machine, as the store's user.\n\n" +
			"Example: dafka store backup --db /var/lib/dafka /mnt/backups/dafka-monday",
		Flags:  []cli.Flag{folderFlag()},
		Action: runStoreBackup,
	}
}

func runStoreBackup(c *cli.Context) error {
	if err := settings.WantArgs(c, 1, "DEST"); err != nil {
		return err
	}
	dir, err := storeFolder(c)
	if err != nil {
		return err
	}
	return runCopy(c, "backing up "+dir, "backed up in", c.Args().First(),
		func(ctx context.Context, progress admin.Progress) (*admin.Report, error) {
			return admin.Backup(ctx, dir, c.Args().First(), progress)
		})
}

// storeRestoreCommand is `dafka store restore`: a backup becomes a store's folder.
func storeRestoreCommand() *cli.Command {
	return &cli.Command{
		Name:      "restore",
		Usage:     "make a backup the database of a store",
		ArgsUsage: "BACKUP",
		Description: "DIR is not there yet, or empty. BACKUP is left as it is.\n\n" +
			"Example: dafka store restore --db /var/lib/dafka /mnt/backups/dafka-monday",
		Flags:  []cli.Flag{folderFlag()},
		Action: runStoreRestore,
	}
}

func runStoreRestore(c *cli.Context) error {
	if err := settings.WantArgs(c, 1, "BACKUP"); err != nil {
		return err
	}
	dir, err := storeFolder(c)
	if err != nil {
		return err
	}
	return runCopy(c, "restoring "+dir, "restored in", dir,
		func(ctx context.Context, progress admin.Progress) (*admin.Report, error) {
			return admin.Restore(ctx, c.Args().First(), dir, progress)
		})
}

// runCopy copies a database and says what was copied, or what is wrong with it.
func runCopy(c *cli.Context, doing, done, to string, work func(context.Context, admin.Progress) (*admin.Report, error)) error {
	var report *admin.Report
	err := offline(c, doing, func(ctx context.Context, progress admin.Progress) (err error) {
		report, err = work(ctx, progress)
		return err
	})
	if err != nil {
		if report != nil {
			printReport(report)
		}
		return err
	}
	fmt.Fprintf(terminal.Stderr, "%s %s: %s\n", done, to, sum(report))
	return nil
}
