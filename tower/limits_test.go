package tower

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLimits(t *testing.T) {
	byDefault := Limits{Peers: 1024, Frame: 1 << 30, Topics: 1024, Requests: 16384, PeerBytes: 16 << 20, Bytes: 256 << 20, Subscriptions: 1 << 20}
	for _, test := range []struct{ given, want Limits }{
		{Limits{}, byDefault},
		{byDefault, byDefault},
		{Limits{1, 1024, 1, 1, 1, 1, 1024}, Limits{1, 1024, 1, 1, 1, 1, 1024}},
		{Limits{Bytes: 1 << 40}, Limits{1024, 1 << 30, 1024, 16384, 16 << 20, 1 << 40, 1 << 20}},
	} {
		got, err := test.given.WithDefaults()
		must(t, err)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%+v (-want +got):\n%s", test.given, diff)
		}
	}
}
