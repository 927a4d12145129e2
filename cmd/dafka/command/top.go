package command

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"
	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/settings"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/tower/survey"
)

// topCommand is `dafka top`: a cluster on the whole screen, as it lives.
func topCommand() *cli.Command {
	return &cli.Command{
		Name:  "top",
		Usage: "watch a cluster live: rates, lag, stores and nodes on the whole screen",
		Description: "RECORDS/S is the mean of the last five seconds. LAG counts records that producers have published and no store\n" +
			"is known to hold. Where not all tables fit, one is shown whole, and the others with their heading.\n\n" +
			"Keys: tab shows the next table; up, down, page up, page down, home and end scroll; s sorts by the next column, r\n" +
			"turns the order around; / takes a text that rows must have, enter ends it, esc takes it away; q ends.\n\n" +
			"Example: dafka top",
		Flags:  settings.NodeFlags(),
		Action: runTop,
	}
}

func runTop(c *cli.Context) error {
	if err := settings.WantArgs(c, 0); err != nil {
		return err
	}
	if !terminal.IsTerminal(os.Stdout) || !terminal.IsTerminal(os.Stdin) {
		return errors.New("top needs a terminal; elsewhere, use dafka topics --watch")
	}
	config, err := settings.Read(c, "beacon") // it has no others
	if err != nil {
		return err
	}
	node := config.Node()
	s, err := survey.Open(survey.Config{Node: node})
	if err != nil {
		return err
	}
	ctx, end := context.WithCancel(c.Context)
	program := tea.NewProgram(screen{}, tea.WithContext(ctx), tea.WithoutSignalHandler())
	drawn := make(chan error, 1)
	go func() {
		err := s.Watch(ctx, frameInterval, func(snapshot *survey.Snapshot) error {
			f := frame{snapshot: snapshot}
			if !snapshot.Connected() {
				f = frame{waiting: strings.Join(node.Pub, ", ")}
			}
			program.Send(f)
			return nil
		})
		if ctx.Err() != nil {
			err = nil
		}
		drawn <- errors.Join(err, s.Close())
		program.Quit() // when drawing failed
	}()
	_, err = program.Run()
	end()
	if errors.Is(err, tea.ErrProgramKilled) && c.Context.Err() != nil {
		err = nil // by a signal
	}
	return errors.Join(err, <-drawn)
}

// frameInterval is how often the screen changes: producers announce their heads no more often.
const frameInterval = time.Second

// frame is what the screen shows until the next one.
type frame struct {
	waiting  string // for a tower; then there is nothing else
	snapshot *survey.Snapshot
}

// screen is the program that bubbletea runs.
type screen struct {
	frame
	width, height int
	shown         int // the table that has the keys
	views         [3]tableView
	filtering     bool // what is typed goes to the filter
}

// tableView is how one table is looked at.
type tableView struct {
	first    int // the first row that is shown
	sorted   int // by this column, from 1 on; 0: as it comes
	reversed bool
	filter   string
}

func (s screen) Init() tea.Cmd { return nil }

func (s screen) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch m := message.(type) {
	case frame:
		s.frame = m
	case tea.WindowSizeMsg:
		s.width, s.height = m.Width, m.Height
	case tea.KeyPressMsg:
		if m.String() == "ctrl+c" {
			return s, tea.Quit
		}
		if s.filtering {
			return s.typed(m), nil
		}
		return s.pressed(m.String())
	}
	return s, nil
}

// typed takes a key that belongs to the filter.
func (s screen) typed(key tea.KeyPressMsg) screen {
	v := &s.views[s.shown]
	v.first = 0
	switch key.String() {
	case "enter":
		s.filtering = false
	case "esc":
		s.filtering, v.filter = false, ""
	case "backspace":
		if r := []rune(v.filter); len(r) > 0 {
			v.filter = string(r[:len(r)-1])
		}
	default:
		v.filter += key.Text
	}
	return s
}

// pressed takes a key that is a command.
func (s screen) pressed(key string) (tea.Model, tea.Cmd) {
	v := &s.views[s.shown]
	page := max(1, s.height-6)
	switch key {
	case "q":
		return s, tea.Quit
	case "esc":
		if v.filter == "" {
			return s, tea.Quit
		}
		v.filter = ""
	case "tab", "right", "l":
		s.shown = (s.shown + 1) % len(s.views)
	case "shift+tab", "left", "h":
		s.shown = (s.shown + len(s.views) - 1) % len(s.views)
	case "down", "j":
		v.first++
	case "up", "k":
		v.first--
	case "pgdown", "space":
		v.first += page
	case "pgup":
		v.first -= page
	case "home", "g":
		v.first = 0
	case "end", "G":
		v.first = 1 << 30
	case "s":
		v.sorted, v.first = v.sorted+1, 0
	case "r":
		v.reversed, v.first = !v.reversed, 0
	case "/":
		s.filtering = true
	}
	// What is shown has an end.
	if s.snapshot != nil {
		sheet := s.sheets()[s.shown]
		v.sorted %= len(sheet.Heading) + 1
		_, rooms := s.layout(s.sheets())
		v.first = min(v.first, len(sheet.Rows)-rooms[s.shown])
	}
	v.first = max(0, v.first)
	return s, nil
}

func (s screen) View() tea.View {
	v := tea.NewView(s.text())
	v.AltScreen = true
	v.WindowTitle = "dafka top"
	return v
}

// sheet is a table of the screen, sorted and filtered.
type sheet struct {
	terminal.Table
	all int // rows, with those that the filter hides
}

// sheets are the tables, in the order in which tab shows them.
func (s screen) sheets() []sheet {
	now := s.snapshot.At
	topics := terminal.Table{Heading: []string{"TOPIC", "PARTITIONS", "LIVE", "RECORDS", "RECORDS/S", "LAG"}, Names: 1}
	for _, t := range s.snapshot.Topics {
		topics.Add(terminal.Printable(t.Name, false), strconv.Itoa(t.Partitions), strconv.Itoa(t.Producers), number(t.Records),
			fmt.Sprintf("%.0f", t.Rate), number(t.Unacked))
	}
	stores := terminal.Table{Heading: []string{"STORE", "MADE IN", "PARTITIONS", "RECORDS", "LACKS", "LAST BEACON"}}
	for _, t := range s.snapshot.Stores {
		doubt := ""
		if t.Silent {
			doubt = "?"
		}
		stores.Add(t.Endpoint, made(madeIn(t.MadeInC)), strconv.Itoa(t.Partitions)+doubt, number(t.Records)+doubt,
			number(t.Lacks)+doubt, ago(since(t.LastBeacon, now)))
	}
	nodes := terminal.Table{Heading: []string{"NODE", "TOPICS", "ENDPOINT", "MADE IN", "LAST BEACON", "ADDRESS"}}
	for _, row := range peerRows(s.snapshot) {
		nodes.Add(string(row.Role), ansi.Truncate(topicList(row.Topics), terminal.LeastName, "…"), row.Endpoint, made(row.Made),
			ago(row.Beacon), terminal.Printable(row.Address, row.AddressBase64))
	}
	sheets := []sheet{{Table: topics}, {Table: stores}, {Table: nodes}}
	for i := range sheets {
		sheets[i].look(s.views[i])
	}
	return sheets
}

// look sorts and filters the table.
func (t *sheet) look(v tableView) {
	t.all = len(t.Rows)
	if v.filter != "" {
		wanted := strings.ToLower(v.filter)
		t.Rows = slices.DeleteFunc(t.Rows, func(row []string) bool {
			return !strings.Contains(strings.ToLower(strings.Join(row, " ")), wanted)
		})
	}
	if v.sorted > 0 {
		column := v.sorted - 1
		slices.SortStableFunc(t.Rows, func(a, b []string) int {
			x, isNumber := leadingNumber(a[column])
			y, both := leadingNumber(b[column])
			if isNumber && both {
				return cmp.Compare(y, x) // the largest first
			}
			return cmp.Compare(a[column], b[column])
		})
		t.Heading = slices.Clone(t.Heading)
		t.Heading[column] += "*"
	}
	if v.reversed {
		slices.Reverse(t.Rows)
	}
}

// leadingNumber is the number that a cell is, or begins with before a space or a question mark.
func leadingNumber(cell string) (float64, bool) {
	text, _, _ := strings.Cut(strings.TrimSuffix(cell, "?"), " ")
	n, err := strconv.ParseFloat(text, 64)
	return n, err == nil
}

// layout says whether all tables fit below each other, and how many rows each has room for. Beside its rows a table has
// an empty line and its heading.
func (s screen) layout(sheets []sheet) (all bool, rooms []int) {
	const head, foot = 1, 2 // with the empty line before the keys
	lines := head + foot
	rooms = make([]int, len(sheets))
	for i, t := range sheets {
		rooms[i] = len(t.Rows)
		if lines += 2 + len(t.Rows); len(t.Rows) < t.all {
			lines++ // with how many the filter hides
		}
	}
	if lines <= s.height {
		return true, rooms
	}
	// The shown one has an empty line, its heading and a line that counts its rows; the others have a line each.
	for i := range rooms {
		rooms[i] = 0
	}
	rooms[s.shown] = max(0, min(len(sheets[s.shown].Rows), s.height-head-foot-3-(len(sheets)-1)))
	return false, rooms
}

// text is the screen's content.
func (s screen) text() string {
	switch {
	case s.waiting != "":
		return "waiting for tower at " + s.waiting + "\n\nq ends"
	case s.snapshot == nil:
		return "joining the cluster ...\n\nq ends"
	}
	towers, partitions, total := 0, len(s.snapshot.Partitions), 0.
	for _, l := range s.snapshot.Towers {
		if l.Connected {
			towers++
		}
	}
	for _, t := range s.snapshot.Topics {
		total += t.Rate
	}
	n := func(n int, one string) string { return terminal.Plural(uint64(n), one) }
	lines := []string{bold("dafka top") + fmt.Sprintf("  %s/s  %s, %s, %s, %s, %s",
		terminal.Plural(uint64(math.Round(total)), "record"), n(towers, "tower"),
		n(len(s.snapshot.Stores), "store"), n(len(s.snapshot.Peers), "node"), n(len(s.snapshot.Topics), "topic"),
		n(partitions, "partition"))}
	sheets := s.sheets()
	all, rooms := s.layout(sheets)
	for i, t := range sheets {
		v := s.views[i]
		if !all && i != s.shown {
			lines = append(lines, bold(t.Heading[0])+fmt.Sprintf("  %d", t.all))
			continue
		}
		first := max(0, min(v.first, len(t.Rows)-rooms[i]))
		text := t.Lines(s.width)
		text = append(text[:1:1], text[1+first:1+first+rooms[i]]...)
		text[0] = bold(text[0])
		lines = append(append(lines, ""), text...)
		switch {
		case len(t.Rows) < t.all:
			lines = append(lines, fmt.Sprintf("%d to %d of the %d that have %q, of %d", min(first+1, len(t.Rows)),
				first+rooms[i], len(t.Rows), v.filter, t.all))
		case !all:
			lines = append(lines, fmt.Sprintf("%d to %d of %d", min(first+1, t.all), first+rooms[i], t.all))
		}
	}
	lines = append(lines, "", s.keys())
	for i, line := range lines {
		lines[i] = ansi.Truncate(line, s.width, "…")
	}
	return strings.Join(lines[:min(len(lines), max(1, s.height))], "\n")
}

// keys is the help line, in the longest form that fits.
func (s screen) keys() string {
	if s.filtering {
		return "filter: " + s.views[s.shown].filter + "_  (enter keeps it, esc takes it away)"
	}
	for _, keys := range []string{
		"q ends  tab: next table  up/down/page: scroll  s: sort  r: reverse  /: filter",
		"q ends  tab  up/down  s: sort  r  /: filter",
	} {
		if len(keys) <= s.width {
			return keys
		}
	}
	return "q ends"
}

func bold(text string) string { return "\x1b[1m" + text + "\x1b[0m" }
