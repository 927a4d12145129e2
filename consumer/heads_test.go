package consumer

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// A store may get a producer's last records when the producer is gone and the store has told the consumer all it had:
// nobody tells of them but a store that is asked again.
func TestHeadsAreAskedForAgain(t *testing.T) {
	c := still(t, Config{Reset: Earliest, MaxBufferedBytes: 1 << 20})
	now := time.Now()
	c.since = map[string]time.Time{"hello": now, "world": now}
	c.nextHeads = now.Add(headsEvery)
	for _, step := range []struct {
		after time.Duration
		want  []string
	}{
		{0, nil},
		{headsEvery - 1, nil},
		{1, []string{"hello", "world"}},
		{0, nil},
		{headsEvery, []string{"hello", "world"}},
	} {
		now = now.Add(step.after)
		c.out.Reset()
		c.askHeadsAgain(now)
		var asked []string
		for frames := c.out.Next(); frames != nil; frames = c.out.Next() {
			var m zmqwire.Message
			if err := m.Decode(frames); err != nil {
				t.Fatal(err)
			}
			if m.Kind != zmqwire.GetHeads || string(m.Address) != c.Address() {
				t.Errorf("%v from %s", m.Kind, m.Address)
			}
			asked = append(asked, string(m.Routing))
		}
		slices.Sort(asked)
		if diff := cmp.Diff(step.want, asked); diff != "" {
			t.Errorf("after another %v (-want +asked for):\n%s", step.after, diff)
		}
	}
}
