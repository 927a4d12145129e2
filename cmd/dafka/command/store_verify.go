package command

import (
	"context"
	"fmt"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/store/admin"
)

// storeVerifyCommand is `dafka store verify`: is everything there, and as it was written?
func storeVerifyCommand() *cli.Command {
	return &cli.Command{
		Name:  "verify",
		Usage: "check the whole database of a store that does not run",
		Description: "Reads every record, and says how many each topic has and what is wrong. Changes nothing. The exit status is 1\n" +
			"when anything is wrong.\n\n" +
			"Example: dafka store verify --db /var/lib/dafka",
		Flags:  []cli.Flag{folderFlag()},
		Action: runStoreVerify,
	}
}

// folderFlag names the folder of a store that is not run but worked on.
func folderFlag() cli.Flag {
	return &cli.StringFlag{Name: "db", Usage: "`DIR` of the store's database (required)"}
}

// storeFolder is what folderFlag says.
func storeFolder(c *cli.Context) (string, error) {
	dir := c.String("db")
	if dir == "" {
		return "", settings.UsageErrorf(c, "which store? --db DIR says it")
	}
	return dir, nil
}

func runStoreVerify(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	dir, err := storeFolder(c)
	if err != nil {
		return err
	}
	var report *admin.Report
	err = offline(c, "verifying "+dir, func(ctx context.Context, progress admin.Progress) (err error) {
		report, err = admin.Verify(ctx, dir, progress)
		return err
	})
	if err != nil {
		return err
	}
	printReport(report)
	if !report.Sound() {
		return fmt.Errorf("%s is damaged: make what can be read a sound database with: dafka store repair --db %s", dir, dir)
	}
	fmt.Fprintf(terminal.Stderr, "%s is sound: %s\n", dir, sum(report))
	return nil
}

// printReport says what was found: what is wrong, and how much there is of each topic.
func printReport(r *admin.Report) {
	for _, fault := range r.Faults {
		fmt.Fprintf(terminal.Stderr, "damaged: %s\n", fault)
	}
	if r.Killed {
		fmt.Fprintln(terminal.Stderr, "the store was killed, or the power failed: a commit that was under way may be missing")
	}
	for i := 0; i < len(r.Partitions); {
		topic := r.Partitions[i].Topic
		partitions, records := 0, uint64(0)
		for ; i < len(r.Partitions) && r.Partitions[i].Topic == topic; i++ {
			p := &r.Partitions[i]
			partitions++
			records += p.Records
			if p.Fault != "" {
				fmt.Fprintf(terminal.Stderr, "damaged: topic %s, partition %s: %s sound, %d lost: %s\n",
					terminal.Printable(p.Topic, false), terminal.Printable(p.Partition, false), terminal.Plural(p.Records, "record"),
					p.Lost, p.Fault)
			}
		}
		fmt.Fprintf(terminal.Stderr, "topic %s: %s in %s\n", terminal.Printable(topic, false), terminal.Plural(records, "record"),
			terminal.Plural(uint64(partitions), "partition"))
	}
}

// sum says how much there is altogether.
func sum(r *admin.Report) string {
	topics, records := uint64(0), uint64(0)
	for i, p := range r.Partitions {
		if i == 0 || p.Topic != r.Partitions[i-1].Topic {
			topics++
		}
		records += p.Records
	}
	partitions := uint64(len(r.Partitions))
	return fmt.Sprintf("%s, %s, %s", terminal.Plural(topics, "topic"), terminal.Plural(partitions, "partition"),
		terminal.Plural(records, "record"))
}
