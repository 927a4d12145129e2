package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/urfave/cli/v2"
)

// topCommand is `dafka top`: a cluster on the whole screen, as it lives.
func topCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "watch a cluster live: rates, lag, stores and nodes on the whole screen",
		Description: "RECORDS/S is the mean of the last five seconds. LAG counts records that producers have published and no store\n" +
			"is known to hold. q ends it.\n\n" +
			"Example: dafka top",
		Flags:  nodeFlags(),
		Action: runTop,
	}
}

func runTop(c *cli.Context) error {
	if err := wantArgs(c, 0); err != nil {
		return err
	}
	if !isTerminal(os.Stdout) || !isTerminal(os.Stdin) {
		return errors.New("top wants a terminal; elsewhere, dafka topics --watch shows what there is")
	}
	s, err := openSurvey(c, headFrame)
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(c.Context)
	program := tea.NewProgram(screen{}, tea.WithContext(ctx), tea.WithoutSignalHandler())
	drawn := make(chan error, 1)
	go func() {
		defer s.close()
		drawn <- draw(ctx, s, func(f frame) { program.Send(f) })
		program.Quit() // when drawing failed
	}()
	_, err = program.Run()
	end()
	if errors.Is(err, tea.ErrProgramKilled) && c.Context.Err() != nil {
		err = nil // by a signal
	}
	return errors.Join(err, <-drawn)
}

// frame is what the screen shows until the next one.
type frame struct {
	waiting string // for a tower; then there is nothing else
	towers  int
	topics  []topicRow
	rates   map[string]float64 // by topic
	lags    map[string]uint64
	stores  []storeRow
	peers   []peerRow
	total   float64 // records a second
}

// frameInterval is how often the screen changes: producers tell their heads no more often.
const frameInterval = time.Second

// draw makes frames until ctx ends.
func draw(ctx context.Context, s *survey, show func(frame)) error {
	var history rates
	for {
		err := errors.Join(s.watch(ctx, frameInterval-answerQuiet), s.refresh(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil {
			return err
		}
		if s.node.Connected() == 0 {
			show(frame{waiting: strings.Join(s.config.Pub, ", ")})
			continue
		}
		show(newFrame(s.picture, s.node.Connected(), &history, time.Now()))
	}
}

func newFrame(p *picture, towers int, history *rates, now time.Time) frame {
	f := frame{
		towers: towers, topics: p.topicRows(now), stores: p.storeRows(now), peers: p.peerRows(now), lags: make(map[string]uint64),
	}
	records := make(map[string]uint64)
	for _, row := range f.topics {
		records[row.Topic] = row.Records
	}
	f.rates = history.add(now, records)
	for _, rate := range f.rates {
		f.total += rate
	}
	for name, q := range p.partitions {
		topic, _ := textOrBase64(name.topic)
		f.lags[topic] += q.published - min(q.published, max(q.acked, p.kept(q)))
	}
	return f
}

// rates are how fast topics grow.
type rates struct {
	samples []sample // of the last rateWindow, and one older
}

type sample struct {
	at      time.Time
	records map[string]uint64
}

const rateWindow = 5 * time.Second

// add notes how many records there are and gives each topic's rate. A topic that was not known before has none: its
// records may be old.
func (r *rates) add(now time.Time, records map[string]uint64) map[string]float64 {
	r.samples = append(r.samples, sample{now, records})
	for len(r.samples) > 2 && now.Sub(r.samples[1].at) >= rateWindow {
		r.samples = r.samples[1:]
	}
	rates := make(map[string]float64)
	for topic, n := range records {
		for _, s := range r.samples[:len(r.samples)-1] {
			if was, ok := s.records[topic]; ok {
				rates[topic] = float64(n-min(n, was)) / now.Sub(s.at).Seconds()
				break
			}
		}
	}
	return rates
}

// screen is the program that bubbletea runs.
type screen struct {
	frame
	any           bool // frame has something
	width, height int
}

func (s screen) Init() tea.Cmd { return nil }

func (s screen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case frame:
		s.frame, s.any = m, true
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case tea.KeyPressMsg:
		switch m.String() {
		case "q", "esc", "ctrl+c":
			return s, tea.Quit
		}
	}
	return s, nil
}

func (s screen) View() tea.View {
	v := tea.NewView(s.text())
	v.AltScreen = true
	v.WindowTitle = "dafka top"
	return v
}

// text is the screen's content. The three tables share its height.
func (s screen) text() string {
	switch {
	case !s.any:
		return "joining the cluster ...\n\nq ends"
	case s.waiting != "":
		return "waiting for tower at " + s.waiting + "\n\nq ends"
	}
	partitions := 0
	for _, t := range s.topics {
		partitions += t.Partitions
	}
	n := func(n int, one, many string) string { return count(uint64(n), one, many) }
	lines := []string{
		fmt.Sprintf("%s  %s, %s, %s, %s, %s  %.0f records/s  q ends", bold("dafka top"), n(s.towers, "tower", "towers"),
			n(len(s.stores), "store", "stores"), n(len(s.peers), "node", "nodes"), n(len(s.topics), "topic", "topics"),
			n(partitions, "partition", "partitions"), s.total),
	}
	// Each table has an empty line, its heading and perhaps a line that tells of more.
	lengths := []int{len(s.topics), len(s.stores), len(s.peers)}
	room := share(s.height-len(lines)-3*len(lengths), lengths)
	table := func(i int, heading string, row func(i int) string) {
		var b strings.Builder
		w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
		fmt.Fprintln(w, heading)
		for j := range room[i] {
			fmt.Fprintln(w, row(j))
		}
		w.Flush()
		text := strings.Split(strings.TrimSuffix(b.String(), "\n"), "\n")
		text[0] = bold(text[0])
		if more := lengths[i] - room[i]; more > 0 {
			text = append(text, fmt.Sprintf("... %d more", more))
		}
		lines = append(append(lines, ""), text...)
	}
	table(0, "TOPIC\tPARTITIONS\tLIVE\tRECORDS\tRECORDS/S\tLAG", func(i int) string {
		t := s.topics[i]
		return fmt.Sprintf("%s\t%d\t%d\t%d\t%.0f\t%d", printable(t.Topic, t.TopicBase64), t.Partitions, t.Producers, t.Records,
			s.rates[t.Topic], s.lags[t.Topic])
	})
	table(1, "STORE\tMADE IN\tPARTITIONS\tRECORDS\tLACKS\tLAST BEACON", func(i int) string {
		t := s.stores[i]
		return fmt.Sprintf("%s\t%s\t%d\t%d\t%d\t%s", t.Endpoint, made(t.Made), t.Partitions, t.Records, t.Lacks, ago(t.Beacon))
	})
	table(2, "NODE\tENDPOINT\tADDRESS\tMADE IN\tLAST BEACON", func(i int) string {
		p := s.peers[i]
		return fmt.Sprintf("%s\t%s\t%s\t%s\t%s", p.Role, p.Endpoint, printable(p.Address, p.AddressBase64), made(p.Made), ago(p.Beacon))
	})
	return strings.Join(lines, "\n")
}

// share divides rows of the screen among tables of these lengths, as evenly as they can use them.
func share(rows int, lengths []int) []int {
	shares := make([]int, len(lengths))
	for given := true; given && rows > 0; {
		given = false
		for i, length := range lengths {
			if shares[i] < length && rows > 0 {
				shares[i]++
				rows--
				given = true
			}
		}
	}
	return shares
}

func bold(text string) string { return "\x1b[1m" + text + "\x1b[0m" }
