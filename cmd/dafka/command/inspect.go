package command

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower/survey"
	"github.com/godafka/dafka/zmqwire"
)

// topicsCommand, partitionsCommand, peersCommand and storesCommand are tables of what a running cluster has.
func topicsCommand() *cli.Command {
	return inspectCommand("topics", "list the topics: their partitions, records, and when a producer was last heard",
		"Counts are of all that stores hold and producers say. LIVE is how many of the partitions have a producer that is there.",
		"dafka topics", topicsView)
}

func partitionsCommand() *cli.Command {
	return inspectCommand("partitions", "list partitions: the head at each store, and which stores lack what",
		"A head is the sequence of the newest record. A store lacks what was known to exist before it was asked.",
		"dafka partitions packages --watch", partitionsView)
}

func peersCommand() *cli.Command {
	return inspectCommand("peers", "list the nodes: their roles, and where they are",
		"A role is what a node's subscriptions tell. A store is two nodes, one that answers and one that writes. C is told\n"+
			"from Go by the form of the address that a node gives itself.",
		"dafka peers", peersView)
}

func storesCommand() *cli.Command {
	return inspectCommand("stores", "list the stores: what they hold, and how much they lack",
		"Stores in Go and in C are asked alike. LACKS counts records that another store or a producer has.",
		"dafka stores --format json", storesView)
}

func inspectCommand(name, usage, description, example string, look func(*survey.Snapshot, string) terminal.View) *cli.Command {
	command := &cli.Command{
		Name: name, Usage: usage,
		Description: description + "\nIt takes about two seconds, in which every node can announce what it has.\n\n" +
			completeHelp + "\n\nExample: " + example,
		Flags: surveyFlags(
			&cli.BoolFlag{Name: "watch", Usage: "look again every second until ended", DisableDefaultText: true},
		),
	}
	var arguments []string
	if name == "partitions" {
		command.ArgsUsage = "[TOPIC]"
		arguments = []string{"TOPIC"}
	}
	command.Action = func(c *cli.Context) error {
		if err := settings.WantArgs(c, 0, arguments...); err != nil {
			return err
		}
		topic := c.Args().First()
		if c.Args().Present() {
			if err := zmqwire.CheckName("TOPIC", topic); err != nil {
				return settings.UsageErrorf(c, "%v", err)
			}
		}
		config, err := surveyConfig(c)
		if err != nil {
			return err
		}
		if name == "peers" && !c.IsSet("min-stores") {
			config.MinStores = -1 // a list of nodes needs no store
		}
		return inspect(c, config, topic, func(s *survey.Snapshot) terminal.View { return look(s, topic) })
	}
	return command
}

// completeHelp says in help texts when an answer is complete.
const completeHelp = "When a store does not answer within --timeout, or fewer than --min-stores are known, what is known is printed,\n" +
	"stderr has what may be missing, and the exit status is 3."

// surveyFlags are those of the commands that report what a cluster has, after the command's own.
func surveyFlags(own ...cli.Flag) []cli.Flag {
	return settings.NodeFlags(append([]cli.Flag{
		&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json or yaml", Value: "text"},
		&cli.DurationFlag{
			Name: "timeout", Value: 5 * time.Second,
			Usage: "how long to wait for a tower and for the answers of stores: `TIME` such as 5s",
		},
		&cli.IntFlag{Name: "min-stores", Usage: "how many stores must answer: `N`", DefaultText: "1"},
	}, own...)...)
}

// surveyConfig reads these flags.
func surveyConfig(c *cli.Context) (survey.Config, error) {
	config := survey.Config{MinStores: c.Int("min-stores"), Timeout: c.Duration("timeout")}
	if config.Timeout <= 0 {
		return config, settings.UsageErrorf(c, "--timeout %v: want more than 0", config.Timeout)
	}
	if c.IsSet("min-stores") && config.MinStores < 0 {
		return config, settings.UsageErrorf(c, "--min-stores %d: want 0 or more", config.MinStores)
	}
	if c.IsSet("min-stores") && config.MinStores == 0 {
		config.MinStores = -1
	}
	if err := checkFormat(c, c.String("format")); err != nil {
		return config, err
	}
	found, err := settings.Read(c, "beacon") // it has no others
	if err == nil {
		config.Node = found.Node()
	}
	return config, err
}

// inspect shows what it sees of the topic, or of all when it is empty, once or again and again.
func inspect(c *cli.Context, config survey.Config, topic string, look func(*survey.Snapshot) terminal.View) error {
	s, err := survey.Open(config)
	if err != nil {
		return err
	}
	defer s.Close()
	defer terminal.SayWaiting(config.Node.Pub, s.Connected)()
	ctx, stop := recordio.UntilReaderGone(c.Context)
	defer stop()
	format := c.String("format")
	if c.Bool("watch") {
		err = watch(ctx, s, config, format, look)
	} else {
		var snapshot *survey.Snapshot
		if snapshot, err = s.Take(ctx); err == nil {
			err = terminal.Show(os.Stdout, format, false, look(snapshot))
			err = errors.Join(err, incomplete(snapshot, config), known(snapshot, topic))
		}
	}
	if ctx.Err() != nil {
		return nil
	}
	return surveyError(err)
}

// watch shows what it sees again and again.
func watch(
	ctx context.Context, s *survey.Survey, config survey.Config, format string, look func(*survey.Snapshot) terminal.View,
) error {
	again, told := false, ""
	return s.Watch(ctx, time.Second, func(snapshot *survey.Snapshot) error {
		if !snapshot.Connected() {
			return nil // it may come
		}
		if again && format == "text" {
			if terminal.IsTerminal(os.Stdout) {
				fmt.Print(terminal.ClearScreen)
			} else {
				fmt.Println()
			}
		}
		err := terminal.Show(os.Stdout, format, again, look(snapshot))
		again = true
		doubt := ""
		if err := incomplete(snapshot, config); err != nil {
			doubt = err.Error()
		}
		if doubt != "" && (doubt != told || terminal.IsTerminal(os.Stdout)) {
			terminal.Say("%s", doubt)
		}
		told = doubt
		return err
	})
}

// surveyError is the error of a survey as the program reports it.
func surveyError(err error) error {
	if errors.Is(err, survey.ErrNoTower) {
		return terminal.WithStatus(terminal.StatusUnreached, fmt.Errorf("%w; is one running? start one with dafka tower", err))
	}
	return err
}

// incomplete is an error with the status of an uncertain answer when something may be missing.
func incomplete(s *survey.Snapshot, config survey.Config) error {
	if s.Complete() {
		return nil
	}
	var reasons []string
	for _, m := range s.Missing {
		switch m.Reason {
		case survey.NoTower:
			reasons = append(reasons, "no tower is heard")
		case survey.FewStores:
			reasons = append(reasons, fmt.Sprintf("%s known, %d wanted", terminal.Plural(uint64(m.Count), "store"), config.MinStores))
			if config.MinStores <= 1 {
				reasons[len(reasons)-1] = "no store is known"
			}
		case survey.Silent:
			reasons = append(reasons, fmt.Sprintf("the store at %s does not answer within %v", m.Endpoint, config.Timeout))
		case survey.Left:
			reasons = append(reasons, fmt.Sprintf("the store at %s left before it answered", m.Endpoint))
		case survey.Unconnected:
			reasons = append(reasons, fmt.Sprintf("the node at %s has not connected, and may be a store", m.Endpoint))
		case survey.HalfAStore:
			reasons = append(reasons, fmt.Sprintf("%s announced by the half that writes only", terminal.Plural(uint64(m.Count), "store")))
		}
	}
	return terminal.WithStatus(terminal.StatusUnreached, fmt.Errorf("incomplete: %s; "+
		"what only these nodes have is missing here, dafka doctor tells more", strings.Join(reasons, ", ")))
}

// known is an error when the topic was named and no node knows it.
func known(s *survey.Snapshot, topic string) error {
	if topic == "" || !s.Complete() {
		return nil
	}
	for _, t := range s.Topics {
		if t.Name == topic {
			return nil
		}
	}
	return fmt.Errorf("no node knows the topic %s; dafka topics lists those that are known", terminal.Printable(topic, false))
}

func checkFormat(c *cli.Context, format string) error {
	switch format {
	case "text", "json", "yaml":
		return nil
	}
	return settings.UsageErrorf(c, "unknown format %q: want text, json or yaml", format)
}

func topicsView(s *survey.Snapshot, _ string) terminal.View {
	rows := topicRows(s)
	return terminal.View{Data: rows, Text: func(w io.Writer, columns int) error {
		t := terminal.Table{Heading: []string{"TOPIC", "PARTITIONS", "LIVE", "RECORDS", "LAST HEARD"}, Names: 1}
		for _, r := range rows {
			heard := "-"
			if r.LastHeard != nil {
				heard = ago(*r.LastHeard)
			}
			t.Add(terminal.Printable(r.Topic, r.TopicBase64), strconv.Itoa(r.Partitions), strconv.Itoa(r.Producers),
				number(r.Records), heard)
		}
		return t.Print(w, columns)
	}}
}

func partitionsView(s *survey.Snapshot, topic string) terminal.View {
	rows := partitionRows(s, topic)
	return terminal.View{Data: rows, Text: func(w io.Writer, columns int) error {
		t := terminal.Table{Heading: []string{"TOPIC", "PARTITION", "BEGAN", "RECORDS", "PRODUCER", "HEADS", "LACKING"}, Names: 2}
		for _, r := range rows {
			var heads, lacking []string
			for _, s := range r.Stores {
				head := "none"
				if s.Head != nil {
					head = number(*s.Head)
				}
				if s.Silent {
					head += "?"
				}
				heads = append(heads, s.Endpoint+"="+head)
				if s.Lacks > 0 && !s.Silent {
					lacking = append(lacking, fmt.Sprintf("%s lacks %d", s.Endpoint, s.Lacks))
				}
			}
			began := "-"
			if r.Began != nil {
				began = r.Began.Local().Format(time.DateTime)
			}
			t.Add(terminal.Printable(r.Topic, r.TopicBase64), terminal.Printable(r.Partition, r.PartitionBase64), began,
				number(r.Records), r.Producer, listOr(heads, "no store"), listOr(lacking, "-"))
		}
		return t.Print(w, columns)
	}}
}

func peersView(s *survey.Snapshot, _ string) terminal.View {
	rows := peerRows(s)
	return terminal.View{Data: rows, Text: func(w io.Writer, columns int) error {
		t := terminal.Table{Heading: []string{"ROLE", "ADDRESS", "ENDPOINT", "MADE IN", "LAST BEACON", "TOPICS"}}
		for _, r := range rows {
			t.Add(string(r.Role), terminal.Printable(r.Address, r.AddressBase64), r.Endpoint, made(r.Made), ago(r.Beacon),
				topicList(r.Topics))
		}
		return t.Print(w, columns)
	}}
}

func storesView(s *survey.Snapshot, _ string) terminal.View {
	rows := storeRows(s)
	return terminal.View{Data: rows, Text: func(w io.Writer, columns int) error {
		t := terminal.Table{Heading: []string{"ENDPOINT", "ADDRESS", "MADE IN", "PARTITIONS", "RECORDS", "LACKS", "LAST BEACON"}}
		for _, r := range rows {
			doubt := ""
			if r.Silent {
				doubt = "?"
			}
			t.Add(r.Endpoint, terminal.Printable(r.Address, r.AddressBase64), made(r.Made), strconv.Itoa(r.Partitions)+doubt,
				number(r.Records)+doubt, number(r.Lacks)+doubt, ago(r.Beacon))
		}
		return t.Print(w, columns)
	}}
}

func number(n uint64) string { return strconv.FormatUint(n, 10) }

func ago(s seconds) string { return fmt.Sprintf("%.1f s ago", float64(s)) }

// made is how people write the language.
func made(in string) string { return strings.ToUpper(in[:1]) + in[1:] }

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// topicList is a cell with the first of many topics.
func topicList(topics []topicName) string {
	const most = 3
	var names []string
	for _, t := range topics[:min(most, len(topics))] {
		if t.Topic == "" {
			t.Topic = "all topics"
		}
		names = append(names, terminal.Printable(t.Topic, t.TopicBase64))
	}
	if more := len(topics) - most; more > 0 {
		names = append(names, fmt.Sprintf("%d more", more))
	}
	return listOr(names, "-")
}
