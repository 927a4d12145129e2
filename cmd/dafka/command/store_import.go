package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
	"github.com/godafka/dafka/store/admin"
	"github.com/godafka/dafka/store/cimport"
	"github.com/godafka/dafka/zmqwire"
	"github.com/godafka/dafka/zmqwire/zsock"
)

// storeExportCommand is `dafka store export`: what a store holds of a topic becomes output.
func storeExportCommand() *cli.Command {
	return &cli.Command{
		Name:      "export",
		Usage:     "print all records of a topic that a store holds, which does not run",
		ArgsUsage: "TOPIC",
		Description: "Prints an object a line, as dafka consume --format json does, one partition after the other. Of a store that\n" +
			"runs, dafka consume TOPIC --from-beginning --until-end --format json prints the same.\n\n" +
			"Example: dafka store export packages --db /var/lib/dafka > packages.ndjson",
		Flags:  []cli.Flag{folderFlag()},
		Action: runStoreExport,
	}
}

func runStoreExport(c *cli.Context) error {
	if err := settings.WantArgs(c, 1, "TOPIC"); err != nil {
		return err
	}
	topic := c.Args().First()
	if err := zmqwire.CheckName("TOPIC", topic); err != nil {
		return settings.UsageErrorf(c, "%v", err)
	}
	dir, err := storeFolder(c)
	if err != nil {
		return err
	}
	out := recordio.NewPrinter(os.Stdout)
	err = offline(c, "exporting "+topic, func(ctx context.Context, progress admin.Progress) error {
		return admin.Export(ctx, dir, topic, func(r *admin.Record) error {
			return out.Print(recordio.PrintJSON,
				&consumer.Record{Topic: r.Topic, Partition: r.Partition, Sequence: r.Sequence, Content: r.Content})
		}, progress)
	})
	if errors.Is(err, admin.ErrInUse) {
		err = fmt.Errorf("%w, or use dafka consume", err)
	}
	return errors.Join(err, out.Flush())
}

// storeImportCommand is `dafka store import`: records from elsewhere become a store's.
func storeImportCommand() *cli.Command {
	return &cli.Command{
		Name:  "import",
		Usage: "bring records into the database of a store that does not run",
		Description: "--leveldb brings in all records of a C store that does not run, and then compares all contents. --ndjson brings\n" +
			"in what dafka store export or dafka consume --format json printed. Records that are there already must be the\n" +
			"same, so an import that was broken off can be repeated.\n\n" +
			"Example: dafka store import --leveldb /var/lib/dafka-c --db /var/lib/dafka",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "db", Usage: "`DIR` of the store's database, made when it is not there (required)"},
			&cli.StringFlag{Name: "leveldb", Usage: "`DIR` of a C store's database"},
			&cli.StringFlag{Name: "ndjson", Usage: "`FILE` of records, an object a line; - is stdin"},
		},
		Action: runStoreImport,
	}
}

func runStoreImport(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	dir, err := storeFolder(c)
	if err != nil {
		return err
	}
	leveldb, ndjson := c.String("leveldb"), c.String("ndjson")
	switch {
	case (leveldb == "") == (ndjson == ""):
		return settings.UsageErrorf(c, "where from? One of --leveldb DIR and --ndjson FILE says it")
	case leveldb != "":
		return importLevelDB(c, leveldb, dir)
	}
	return importLines(c, ndjson, dir)
}

func importLevelDB(c *cli.Context, from, dir string) error {
	var report *admin.Report
	err := offline(c, "importing "+from, func(ctx context.Context, progress admin.Progress) (err error) {
		report, err = cimport.Import(ctx, from, dir, progress)
		return err
	})
	if err != nil {
		return err
	}
	printReport(report)
	fmt.Fprintf(terminal.Stderr, "imported into %s and compared: %s\n", dir, sum(report))
	if !report.Sound() {
		return fmt.Errorf("not all of %s could be imported", from)
	}
	return nil
}

func importLines(c *cli.Context, file, dir string) error {
	in, err := terminal.OpenFile(c.Context, file)
	if err == terminal.ErrEnded {
		return errUndone
	}
	if err != nil {
		return err
	}
	defer in.Close()
	into, err := admin.OpenImporter(dir)
	if err != nil {
		return err
	}
	added, known := uint64(0), uint64(0)
	err = offline(c, "importing "+file, func(ctx context.Context, progress admin.Progress) error {
		info, err := in.Stat()
		if err != nil {
			return err
		}
		counted := &readCounter{Reader: in}
		from := recordio.NewObjects(ctx, counted, zsock.DefaultMaxFrame)
		for {
			o, err := from.Next()
			if err == io.EOF {
				return nil
			}
			if err == nil {
				err = o.Lacks("topic", "partition", "sequence", "content")
			}
			if err == nil {
				var isNew bool
				record := admin.Record{Topic: o.Topic, Partition: o.Partition, Sequence: o.Sequence, Content: o.Content}
				if isNew, err = into.Add(&record); isNew {
					added++
				} else {
					known++
				}
			}
			if err != nil {
				return fmt.Errorf("%s, line %d: %w", file, from.Line, err)
			}
			progress(counted.n.Load(), uint64(info.Size()))
		}
	})
	if err := errors.Join(err, into.Close()); err != nil {
		return err
	}
	fmt.Fprintf(terminal.Stderr, "imported into %s: %s, %d were there already\n", dir, terminal.Plural(added, "record"), known)
	return nil
}

// readCounter counts the bytes that were read.
type readCounter struct {
	io.Reader
	n atomic.Uint64
}

func (c *readCounter) Read(p []byte) (int, error) {
	n, err := c.Reader.Read(p)
	c.n.Add(uint64(n))
	return n, err
}
