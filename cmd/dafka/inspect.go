package main

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/goccy/go-yaml"
	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/zmqwire"
)

// view is one look at a cluster: rows for programs, and how people see them.
type view struct {
	rows  any
	table func(w io.Writer)
}

// inspectCommands are `dafka topics`, `partitions`, `peers` and `stores`: tables of what a running cluster has.
func inspectCommands() []*cli.Command {
	return []*cli.Command{
		inspectCommand("topics", "list the topics: their partitions, records, and when a producer was last heard",
			"Counts are of all that stores hold and producers say. LIVE is how many of the partitions have a producer that is there.",
			"dafka topics", topicsView),
		inspectCommand("partitions", "list partitions: the head at each store, and which stores lack what",
			"A head is the sequence of the newest record. A store lacks what was known to exist before it was asked.",
			"dafka partitions packages --watch", partitionsView),
		inspectCommand("peers", "list the nodes: their roles, and where they are",
			"A role is what a node's subscriptions tell. A store is two nodes, one that answers and one that writes. C is told\n"+
				"from Go by the form of the address that a node gives itself.",
			"dafka peers", peersView),
		inspectCommand("stores", "list the stores: what they hold, and how much they lack",
			"Stores in Go and in C are asked alike. LACKS counts records that another store or a producer has.",
			"dafka stores --format json", storesView),
	}
}

func inspectCommand(name, usage, description, example string, look func(*picture, string, time.Time) view) *cli.Command {
	command := &cli.Command{
		Name: name, Usage: usage,
		Description: description + "\nIt takes one to two seconds, in which every node can say what it has.\n\nExample: " + example,
		Flags: nodeFlags(
			&cli.StringFlag{Name: "format", Usage: "`FORMAT` of the output: text, json or yaml", Value: "text"},
			&cli.BoolFlag{Name: "watch", Usage: "look again every second until ended", DisableDefaultText: true},
		),
	}
	var arguments []string
	if name == "partitions" {
		command.ArgsUsage = "[TOPIC]"
		arguments = []string{"TOPIC"}
	}
	command.Action = func(c *cli.Context) error {
		if err := wantArgs(c, 0, arguments...); err != nil {
			return err
		}
		topic := c.Args().First()
		if c.Args().Present() {
			if err := zmqwire.CheckName("TOPIC", topic); err != nil {
				return wrong(c, "%v", err)
			}
		}
		return inspect(c, func(p *picture, now time.Time) view { return look(p, topic, now) })
	}
	return command
}

// inspect shows what it sees, once or again and again.
func inspect(c *cli.Context, look func(*picture, time.Time) view) error {
	format := c.String("format")
	if err := checkFormat(c, format); err != nil {
		return err
	}
	s, err := openSurvey(c, headFrame)
	if err != nil {
		return err
	}
	defer s.close()
	defer sayWaiting(s.config, s.node.Connected)()
	watch := c.Bool("watch")
	err = s.settle(c.Context)
	var unreached *statusError
	for watch && errors.As(err, &unreached) {
		err = s.settle(c.Context) // it may come
	}
	for again := false; err == nil; again = true {
		if err = s.refresh(c.Context); err != nil {
			break
		}
		if again && format == "text" {
			if isTerminal(os.Stdout) {
				fmt.Print(clearScreen)
			} else {
				fmt.Println()
			}
		}
		if err := show(os.Stdout, format, again, look(s.picture, time.Now())); err != nil {
			return err
		}
		if !watch {
			return nil
		}
		err = s.watch(c.Context, time.Second-answerQuiet)
	}
	if c.Context.Err() != nil {
		return nil
	}
	return err
}

// clearScreen brings a terminal back to the beginning of an empty screen.
const clearScreen = "\x1b[H\x1b[2J"

func checkFormat(c *cli.Context, format string) error {
	switch format {
	case "text", "json", "yaml":
		return nil
	}
	return wrong(c, "unknown format %q: want text, json or yaml", format)
}

// show prints a view: as a table, an array on a line, or a document, which others follow.
func show(out io.Writer, format string, again bool, v view) error {
	if format == "text" {
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
		v.table(w)
		return w.Flush()
	}
	text, err := json.Marshal(v.rows)
	if err != nil {
		return err
	}
	text = append(text, '\n')
	if format == "yaml" {
		if text, err = yaml.JSONToYAML(text); err != nil {
			return err
		}
		if again {
			text = append([]byte("---\n"), text...)
		}
	}
	_, err = out.Write(text)
	return err
}

func topicsView(p *picture, _ string, now time.Time) view {
	rows := p.topicRows(now)
	return view{rows, func(w io.Writer) {
		fmt.Fprintln(w, "TOPIC\tPARTITIONS\tLIVE\tRECORDS\tLAST HEARD")
		for _, r := range rows {
			heard := "-"
			if r.LastHeard != nil {
				heard = ago(*r.LastHeard)
			}
			fmt.Fprintf(w, "%s\t%d\t%d\t%d\t%s\n", printable(r.Topic, r.TopicBase64), r.Partitions, r.Producers, r.Records, heard)
		}
	}}
}

func partitionsView(p *picture, topic string, _ time.Time) view {
	rows := p.partitionRows(topic)
	return view{rows, func(w io.Writer) {
		fmt.Fprintln(w, "TOPIC\tPARTITION\tRECORDS\tPRODUCER\tHEADS\tLACKING")
		for _, r := range rows {
			var heads, lacking []string
			for _, s := range r.Stores {
				head := "none"
				if s.Head != nil {
					head = strconv.FormatUint(*s.Head, 10)
				}
				heads = append(heads, s.Endpoint+"="+head)
				if s.Lacks > 0 {
					lacking = append(lacking, fmt.Sprintf("%s lacks %d", s.Endpoint, s.Lacks))
				}
			}
			fmt.Fprintf(w, "%s\t%s\t%d\t%s\t%s\t%s\n", printable(r.Topic, r.TopicBase64), printable(r.Partition, r.PartitionBase64), r.Records, r.Producer,
				listOr(heads, "no store"), listOr(lacking, "-"))
		}
	}}
}

func peersView(p *picture, _ string, now time.Time) view {
	rows := p.peerRows(now)
	return view{rows, func(w io.Writer) {
		fmt.Fprintln(w, "ROLE\tADDRESS\tENDPOINT\tMADE IN\tLAST BEACON")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", r.Role, printable(r.Address, r.AddressBase64), r.Endpoint, made(r.Made), ago(r.Beacon))
		}
	}}
}

func storesView(p *picture, _ string, now time.Time) view {
	rows := p.storeRows(now)
	return view{rows, func(w io.Writer) {
		fmt.Fprintln(w, "ENDPOINT\tADDRESS\tMADE IN\tPARTITIONS\tRECORDS\tLACKS\tLAST BEACON")
		for _, r := range rows {
			fmt.Fprintf(w, "%s\t%s\t%s\t%d\t%d\t%d\t%s\n", r.Endpoint, printable(r.Address, r.AddressBase64), made(r.Made), r.Partitions, r.Records,
				r.Lacks, ago(r.Beacon))
		}
	}}
}

func ago(s seconds) string { return fmt.Sprintf("%.1f s ago", float64(s)) }

// made is how people write the language.
func made(in string) string { return strings.ToUpper(in[:1]) + in[1:] }

func listOr(list []string, none string) string {
	if len(list) == 0 {
		return none
	}
	return strings.Join(list, ", ")
}

// printable is a name as it is, unless it would upset a table or a terminal.
func printable(name string, isBase64 bool) string {
	if isBase64 {
		content, _ := base64.StdEncoding.DecodeString(name)
		name = string(content)
	}
	if utf8.ValidString(name) && strings.IndexFunc(name, func(r rune) bool { return !unicode.IsPrint(r) }) < 0 {
		return name
	}
	return strconv.Quote(name)
}
