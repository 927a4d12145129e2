package node

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/zmqwire"
)

// began is when the tests with a clock of their own begin.
var began = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)

func endpoint(host string) zmqwire.Endpoint { return zmqwire.Endpoint{Host: host, Port: 1} }

func TestDirectory(t *testing.T) {
	const most, timeout = 3, 4 * time.Second
	// What happens is "A=x", A is heard at x; "expire"; or "believe". What follows is "+x", connect, or "-x", disconnect;
	// "new", the peer is; or "full".
	type step struct {
		at      time.Duration
		happens string
		follows string
	}
	for _, test := range []struct {
		name  string
		steps []step
	}{
		{"a peer comes, stays and goes", []step{
			{0, "A=x", "+x new"},
			{3 * time.Second, "A=x", ""},
			{7 * time.Second, "expire", ""},
			{7*time.Second + 1, "expire", "-x"},
			{8 * time.Second, "expire", ""},
			{9 * time.Second, "A=x", "+x new"},
		}},
		{"peers are apart", []step{
			{0, "A=x", "+x new"},
			{3 * time.Second, "B=y", "+y new"},
			{5 * time.Second, "expire", "-x"},
			{8 * time.Second, "expire", "-y"},
		}},
		{"a peer moves", []step{
			{0, "A=x", "+x new"},
			{1, "A=y", "-x +y new"},
			{2, "A=y", ""},
			{5 * time.Second, "expire", "-y"},
		}},
		{"a peer moves and comes back", []step{
			{0, "A=x", "+x new"},
			{1, "A=y", "-x +y new"},
			{moveGap, "A=x", "often"},
			{1 + moveGap, "A=x", "-y +x new"},
			{2 + moveGap, "A=x", ""},
		}},
		{"a successor at the same endpoint", []step{
			{0, "A=x", "+x new"},
			{3 * time.Second, "B=x", "new"},
			{5 * time.Second, "expire", ""},
			{8 * time.Second, "expire", "-x"},
		}},
		{"one of two at an endpoint moves", []step{
			{0, "A=x", "+x new"},
			{1, "B=x", "new"},
			{2, "A=y", "+y new"},
			{3, "B=y", "-x new"},
		}},
		{"two change places", []step{
			{0, "A=x", "+x new"},
			{1, "B=y", "+y new"},
			{2, "A=y", "-x new"},
			{3, "B=x", "+x new"},
		}},
		{"no more than allowed", []step{
			{0, "A=x", "+x new"},
			{1 * time.Second, "B=y", "+y new"},
			{1 * time.Second, "C=y", "new"},
			{1 * time.Second, "D=z", "full"},
			// Those that are known may still move, and stay known.
			{2 * time.Second, "C=z", "+z new"},
			{2 * time.Second, "D=z", "full"},
			{5 * time.Second, "expire", "-x"},
			{5 * time.Second, "D=z", "new"},
		}},
		{"silence of a tower is no silence of peers", []step{
			{0, "A=x", "+x new"},
			{100 * time.Second, "believe", ""},
			{104 * time.Second, "expire", ""},
			{104*time.Second + 1, "expire", "-x"},
		}},
	} {
		d := newDirectory(most, timeout)
		for i, step := range test.steps {
			now := began.Add(step.at)
			var changes []change
			var follows []string
			var news bool
			var err error
			switch step.happens {
			case "expire":
				changes = d.expire(now, nil)
			case "believe":
				d.believe(now)
			default:
				address, at, _ := strings.Cut(step.happens, "=")
				changes, news, err = d.heard(zmqwire.Announcement{Address: address, Endpoint: endpoint(at)}, now, nil)
			}
			for _, c := range changes {
				sign := "-"
				if c.connect {
					sign = "+"
				}
				follows = append(follows, sign+c.endpoint.Host)
			}
			if news {
				follows = append(follows, "new")
			}
			if errors.Is(err, ErrPeers) {
				follows = append(follows, "full")
			}
			if errors.Is(err, ErrMoves) {
				follows = append(follows, "often")
			}
			if diff := cmp.Diff(step.follows, strings.Join(follows, " ")); diff != "" {
				t.Errorf("%s, step %d, %s (-want +got):\n%s", test.name, i, step.happens, diff)
			}
		}
	}
}
