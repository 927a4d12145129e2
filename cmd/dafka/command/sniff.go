package command

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower/node"
	"github.com/godafka/dafka/tower/survey"
	"github.com/godafka/dafka/zmqwire"
)

// sniffCommand is `dafka sniff`: what nodes say to each other, as they say it.
func sniffCommand() *cli.Command {
	var names []string
	for _, kind := range zmqwire.Kinds() {
		names = append(names, kind.String())
	}
	return &cli.Command{
		Name:  "sniff",
		Usage: "print the messages that nodes send each other, decoded",
		Description: "A line for each message: when it came, the endpoint of its sender, its kind, and what it says. A content is cut\n" +
			"after 60 bytes. Publishers adapt to those who read slowly: in a busy cluster, ask for what you need.\n" +
			"Kinds:\n  " + strings.Join(names[:5], ", ") + "\n  " + strings.Join(names[5:], ", ") + "\n\n" +
			"Example: dafka sniff --kind fetch,direct-record --topic packages\n\n" +
			"Example: dafka sniff --peer 127.0.0.1:40123",
		Flags: settings.NodeFlags(
			&cli.StringSliceFlag{Name: "kind", Usage: "only messages of this `KIND`; for several a list with commas", DefaultText: "all"},
			&cli.StringFlag{Name: "topic", Usage: "only messages about this `TOPIC`", DefaultText: "all"},
			&cli.StringFlag{Name: "peer", Usage: "only messages from, to or about the node at this `ADDRESS` or endpoint", DefaultText: "all"},
		),
		Action: runSniff,
	}
}

// sniffed says which messages are wanted.
type sniffed struct {
	kinds []zmqwire.Kind
	topic string // empty for all
	peer  string // likewise
}

// parseKinds reads the names of kinds, in any case.
func parseKinds(names []string) ([]zmqwire.Kind, error) {
	if len(names) == 0 {
		return zmqwire.Kinds(), nil
	}
	var kinds []zmqwire.Kind
next:
	for _, name := range names {
		for _, kind := range zmqwire.Kinds() {
			if strings.EqualFold(kind.String(), name) {
				kinds = append(kinds, kind)
				continue next
			}
		}
		return nil, fmt.Errorf("unknown kind %q: want some of those that --help lists", name)
	}
	return kinds, nil
}

// prefixes are the subscriptions that bring what is wanted, and as little else as they can.
func (s *sniffed) prefixes() (prefixes []string) {
	for _, kind := range s.kinds {
		prefix := string(byte(kind))
		if kind == zmqwire.Record || kind == zmqwire.Head || kind == zmqwire.GetHeads {
			prefix += s.topic
		}
		prefixes = append(prefixes, prefix)
	}
	return prefixes
}

// wants says whether a message from the member is wanted. Hellos to nobody are not: they answer the sniffer's own
// subscription to all hellos.
func (s *sniffed) wants(from node.Member, m *zmqwire.Message) bool {
	if len(m.Routing) == 0 && (m.Kind == zmqwire.ConsumerHello || m.Kind == zmqwire.StoreHello) {
		return false
	}
	if s.topic != "" && string(m.Subject) != s.topic {
		about := m.Kind == zmqwire.GetHeads && string(m.Routing) == s.topic
		for _, topic := range m.Topics {
			about = about || string(topic) == s.topic
		}
		if !about {
			return false
		}
	}
	return s.peer == "" || s.isPeer(from) || s.peer == string(m.Address) || s.peer == string(m.Routing)
}

func (s *sniffed) isPeer(m node.Member) bool { return s.peer == m.Address || s.peer == hostPort(m) }

func runSniff(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	want := sniffed{topic: c.String("topic"), peer: strings.TrimPrefix(c.String("peer"), "tcp://")}
	var err error
	if want.kinds, err = parseKinds(c.StringSlice("kind")); err != nil {
		return settings.UsageErrorf(c, "--kind: %v", err)
	}
	config, err := settings.Read(c, "beacon") // it has no others
	if err != nil {
		return err
	}
	out := recordio.NewPrinter(os.Stdout)
	var message zmqwire.Message
	var printed atomic.Bool
	l, err := survey.Listen(config.Node(), want.prefixes(), func(from node.Member, frames [][]byte) {
		err := message.Decode(frames)
		switch {
		case err != nil && (want.peer == "" || want.isPeer(from)):
			printed.Store(true)
			printMalformed(out, time.Now(), from, err)
		case err == nil && want.wants(from, &message):
			printed.Store(true)
			printMessage(out, time.Now(), from, &message)
		}
	})
	if err != nil {
		return err
	}
	defer l.Close()
	defer terminal.SayWaiting(config.Node().Pub, l.Connected)()
	// A person who looks at nothing wants to know why.
	quiet := time.AfterFunc(sniffQuiet, func() {
		if !printed.Load() && l.Connected() > 0 && terminal.IsTerminal(os.Stderr) {
			terminal.Say("no node has sent a message of this kind yet; dafka topics and dafka peers list what there is")
		}
	})
	defer quiet.Stop()
	ctx, stop := recordio.UntilReaderGone(c.Context)
	defer stop()
	for err == nil && ctx.Err() == nil {
		if err = l.Turn(); err == nil {
			err = out.Flush()
		}
	}
	return errors.Join(err, out.Flush())
}

// sniffQuiet is how long nothing must have come for a person to be told so: every producer announces its heads once a
// second.
const sniffQuiet = 3 * time.Second

// mostContent is how much of a content is printed.
const mostContent = 60

// clock is how times are printed.
const clock = "15:04:05.000"

func printMessage(p *recordio.Printer, now time.Time, from node.Member, m *zmqwire.Message) {
	fmt.Fprintf(p, "%s %s %v", now.Format(clock), hostPort(from), m.Kind)
	has := fieldsOf(m.Kind)
	field := func(name string, value []byte) {
		fmt.Fprintf(p, " %s=%s", name, word(value))
	}
	switch m.Kind {
	case zmqwire.Record, zmqwire.Head:
		field("topic", m.Subject)
		field("partition", m.Address)
	case zmqwire.DirectRecord, zmqwire.DirectHead:
		field("to", m.Routing)
		field("topic", m.Subject)
		field("partition", m.Address)
	case zmqwire.Ack:
		field("topic", m.Subject)
		field("partition", m.Routing)
	case zmqwire.Fetch:
		field("by", m.Address)
		field("topic", m.Subject)
		field("partition", m.Routing)
	case zmqwire.GetHeads:
		field("by", m.Address)
		field("topic", m.Routing)
	case zmqwire.ConsumerHello, zmqwire.StoreHello:
		field("by", m.Address)
		field("to", m.Routing)
	}
	if has.sequence {
		fmt.Fprintf(p, " sequence=%d", m.Sequence)
	}
	if has.count {
		fmt.Fprintf(p, " count=%d", m.Count)
	}
	for _, topic := range m.Topics {
		field("topic", topic)
	}
	if has.content {
		fmt.Fprintf(p, " bytes=%d %s", len(m.Content), strconv.Quote(string(m.Content[:min(len(m.Content), mostContent)])))
	}
	p.WriteByte('\n')
	p.EndRecord()
}

func printMalformed(p *recordio.Printer, now time.Time, from node.Member, err error) {
	fmt.Fprintf(p, "%s %s malformed: %v\n", now.Format(clock), hostPort(from), err)
	p.EndRecord()
}

// word is a name as it is, or in quotes where it would not be one word.
func word(name []byte) string {
	if s := string(name); s == "" || strings.ContainsAny(s, ` "=`) || terminal.Printable(s, false) != s {
		return strconv.Quote(s)
	}
	return string(name)
}

// hostPort is where a member can be reached, as people name it.
func hostPort(m node.Member) string { return strings.TrimPrefix(m.Endpoint.String(), "tcp://") }
