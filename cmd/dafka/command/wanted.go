package command

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/urfave/cli/v2"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
)

// wanted is what a consume command asks for, and what the cluster has of it.
type wanted struct {
	consumer   *consumer.Consumer
	prefix     bool
	asked      bool     // the stores are asked for what there is
	partitions []string // empty: all
	excluded   []string // patterns of topics

	mu      sync.Mutex
	found   map[string]bool // of partitions
	begin   uint64          // the sequence of -o, 0 without
	longest uint64          // records in the longest partition, where there is a begin
}

// filter is consumer.Config.Filter.
func (w *wanted) filter(topic, partition string) bool {
	if slices.ContainsFunc(w.excluded, func(pattern string) bool { return matches(pattern, topic) }) {
		return false
	}
	if len(w.partitions) == 0 {
		return true
	}
	if !slices.Contains(w.partitions, partition) {
		return false
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.found[partition] = true
	return true
}

// matches reports whether text is what the pattern says, in which each * stands for any text.
func matches(pattern, text string) bool {
	parts := strings.Split(pattern, "*")
	first, last := parts[0], parts[len(parts)-1]
	if len(parts) == 1 || len(text) < len(first)+len(last) || !strings.HasPrefix(text, first) || !strings.HasSuffix(text, last) {
		return text == pattern
	}
	text = text[len(first) : len(text)-len(last)]
	for _, part := range parts[1 : len(parts)-1] {
		i := strings.Index(text, part)
		if i < 0 {
			return false
		}
		text = text[i+len(part):]
	}
	return true
}

// beginAt sets where partitions begin.
func (w *wanted) beginAt(where string, config *consumer.Config) error {
	switch where {
	case "end":
		config.Reset = consumer.Latest
		return nil
	case "start":
		config.Reset = consumer.Earliest
		return nil
	}
	digits, newest := strings.CutPrefix(where, "-")
	n, err := strconv.ParseUint(digits, 10, 64)
	if err != nil {
		return fmt.Errorf("%q: want start, end, a sequence such as 1000, or -10 for the newest 10", where)
	}
	if newest {
		config.Start = func(_, _ string, head uint64) uint64 { return head + 1 - min(n, head+1) }
		return nil
	}
	w.begin = n
	config.Start = func(_, _ string, head uint64) uint64 {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.longest = max(w.longest, head+1)
		return n
	}
	return nil
}

// missing says what the command asks for and no node has, as far as is known.
func (w *wanted) missing() (missing []string) {
	unknown := w.consumer.Unknown()
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, topic := range unknown {
		switch {
		case len(w.partitions) > 0:
		case topic == "":
			missing = append(missing, "no node knows a topic")
		case w.prefix:
			missing = append(missing, fmt.Sprintf("no node knows a topic that begins with %s", terminal.Printable(recordio.TextOrBase64(topic))))
		default:
			missing = append(missing, fmt.Sprintf("no node knows topic %s", terminal.Printable(recordio.TextOrBase64(topic))))
		}
	}
	for _, partition := range w.partitions {
		if !w.found[partition] {
			missing = append(missing, fmt.Sprintf("no node knows partition %s of what is read", terminal.Printable(recordio.TextOrBase64(partition))))
		}
	}
	if len(missing) == 0 && w.begin > w.longest {
		missing = append(missing, fmt.Sprintf("no partition has a record %d, where -o begins: the longest has %s",
			w.begin, terminal.Plural(w.longest, "record")))
	}
	return missing
}

// sayMissing says after a moment with a tower, once, what is waited for.
func (w *wanted) sayMissing() (stop func()) {
	ended := make(chan struct{})
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		for seconds := 0; seconds < 2; {
			select {
			case <-ended:
				return
			case <-tick.C:
				if w.consumer.Connected() > 0 {
					seconds++
				}
			}
		}
		for _, missing := range w.missing() {
			if !w.asked {
				missing = strings.Replace(missing, "no node knows", "no producer announces", 1)
			}
			terminal.Say("%s; waiting", missing)
		}
	}()
	return func() { close(ended) }
}

// list is the value of a flag that may be repeated.
type list []string

func (l *list) Set(value string) error {
	*l = append(*l, value)
	return nil
}

func (l *list) String() string { return strings.Join(*l, ", ") }

func listOf(c *cli.Context, flag string) []string { return *c.Generic(flag).(*list) }
