package zmqwire

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func frames(texts ...string) [][]byte {
	var f [][]byte
	for _, text := range texts {
		f = append(f, []byte(text))
	}
	return f
}

// hosts says of hosts whether a node may advertise them.
var hosts = []struct {
	host string
	ok   bool
}{
	{"127.0.0.1", true},
	{"10.1.2.3", true},
	{"255.0.0.1", true},
	{"::1", true},
	{"fe80::1", true},
	{"2001:db8::17", true},
	{"::ffff:10.1.2.3", true},
	{"localhost", true},
	{"store-1.example.org", true},
	{"under_score", true},
	{"1and1.com", true},
	{strings.Repeat("a", 63), true},
	{strings.Repeat("a.", 126) + "a", true},
	{"example.org.", true},
	{strings.Repeat("a.", 127), true},

	{"*", false},
	{"eth0;10.1.2.3", false},
	{"0.0.0.0", false},
	{"::", false},
	{"::ffff:0.0.0.0", false},
	{"224.0.0.1", false},
	{"ff02::1", false},
	{"::ffff:224.0.0.1", false},
	{"fe80::1%eth0", false},
	{"[::1]", false},
	{"1.2.3", false},
	{"1.2.3.4.5", false},
	{"256.1.1.1", false},
	{"01.2.3.4", false},
	{"2130706433", false},
	{".", false},
	{"example.org..", false},
	{"1.2.3.4.", false},
	{".example.org", false},
	{"a..b", false},
	{"a b", false},
	{"a/b", false},
	{"a\x00b", false},
	{"a\nb", false},
	{"a%b", false},
	{"name:80", false},
	{"@", false},
	{"räksmörgås", false},
	{strings.Repeat("a", 64), false},
	{strings.Repeat("a.", 126) + "aa", false},
	{strings.Repeat("a.", 100_000) + "a", false},
}

// ports says of ports whether they are any.
var ports = []struct {
	port   string
	number uint16 // 0: it is none
}{
	{"1", 1}, {"5556", 5556}, {"65535", 65535},
	{"", 0}, {"0", 0}, {"65536", 0}, {"4294967297", 0}, {"99999999999999999999", 0}, {"-1", 0}, {"+1", 0}, {"01", 0},
	{" 1", 0}, {"1 ", 0}, {"1\x00", 0}, {"0x10", 0}, {"1_000", 0}, {"1e3", 0}, {"*", 0}, {"!", 0}, {"http", 0}, {"٣", 0},
}

func TestParseBeacon(t *testing.T) {
	type test struct {
		frames [][]byte
		want   Beacon // zero: refused
	}
	name255 := strings.Repeat("n", 255)
	tests := []test{
		{frames("B", "A", "", "5000"), Beacon{"A", "", 5000}},
		{frames("B", name255, "", "5000"), Beacon{name255, "", 5000}},
		{frames("B", "\xff\xfe", "", "5000"), Beacon{"\xff\xfe", "", 5000}},

		{nil, Beacon{}},
		{frames(""), Beacon{}},
		{frames("B"), Beacon{}},
		{frames("B", "A", ""), Beacon{}},
		{frames("B", "A", "5000"), Beacon{}},
		{frames("B", "A", "", "5000", ""), Beacon{}},
		{frames("B", "A", "", "5000", "x"), Beacon{}},
		{frames("", "A", "", "5000"), Beacon{}},
		{frames("b", "A", "", "5000"), Beacon{}},
		{frames("W", "A", "", "5000"), Beacon{}},
		{frames("Bx", "A", "", "5000"), Beacon{}},
		{frames("B\x00", "A", "", "5000"), Beacon{}},
		{frames("B", "", "", "5000"), Beacon{}},
		{frames("B", "A\x00", "", "5000"), Beacon{}},
		{frames("B", name255+"n", "", "5000"), Beacon{}},
	}
	for _, h := range hosts {
		want := Beacon{}
		if h.ok {
			want = Beacon{"A", h.host, 5000}
		}
		tests = append(tests, test{frames("B", "A", h.host, "5000"), want})
	}
	for _, p := range ports {
		want := Beacon{}
		if p.number != 0 {
			want = Beacon{"A", "", p.number}
		}
		tests = append(tests, test{frames("B", "A", "", p.port), want})
	}
	for _, test := range tests {
		got, err := ParseBeacon(test.frames)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.300q (-want +got), error %v:\n%s", test.frames, err, diff)
		}
		var fault Fault
		switch errors.As(err, &fault); {
		case got == Beacon{} && fault != ErrBeacon:
			t.Errorf("%.300q: error %v, want one that is first of all %v", test.frames, err, ErrBeacon)
		case err == nil:
			if diff := cmp.Diff(test.frames, got.Frames()); diff != "" {
				t.Errorf("%.300q, written again (-want +got):\n%s", test.frames, diff)
			}
		}
	}
}

func TestParseAnnouncement(t *testing.T) {
	for _, test := range []struct {
		frames [][]byte
		want   Announcement // zero: refused
	}{
		{frames("B", "A", "tcp://10.0.0.1:5000"), Announcement{"A", Endpoint{"10.0.0.1", 5000}}},
		{frames("B", "A", "tcp://[::1]:5000"), Announcement{"A", Endpoint{"::1", 5000}}},

		{nil, Announcement{}},
		{frames("W"), Announcement{}},
		{frames("B"), Announcement{}},
		{frames("B", "A"), Announcement{}},
		{frames("B", "A", "tcp://10.0.0.1:5000", ""), Announcement{}},
		{frames("Bx", "A", "tcp://10.0.0.1:5000"), Announcement{}},
		{frames("W", "A", "tcp://10.0.0.1:5000"), Announcement{}},
		{frames("B", "", "tcp://10.0.0.1:5000"), Announcement{}},
		{frames("B", "A\x00", "tcp://10.0.0.1:5000"), Announcement{}},
		{frames("B", strings.Repeat("n", 256), "tcp://10.0.0.1:5000"), Announcement{}},
		{frames("B", "A", ""), Announcement{}},
		{frames("B", "A", "tcp://10.0.0.1:0"), Announcement{}},
		{frames("B", "A", "ipc:///run/x"), Announcement{}},
	} {
		got, err := ParseAnnouncement(test.frames)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.300q (-want +got), error %v:\n%s", test.frames, err, diff)
		}
		var fault Fault
		switch errors.As(err, &fault); {
		case got == Announcement{} && fault != ErrBeacon:
			t.Errorf("%.300q: error %v, want one that is first of all %v", test.frames, err, ErrBeacon)
		case err == nil:
			if diff := cmp.Diff(test.frames, got.Frames()); diff != "" {
				t.Errorf("%.300q, written again (-want +got):\n%s", test.frames, diff)
			}
		}
	}
}

func TestParseEndpoint(t *testing.T) {
	type test struct {
		text string
		want Endpoint // zero: refused
	}
	tests := []test{
		{"", Endpoint{}},
		{"tcp://", Endpoint{}},
		{"tcp://:5000", Endpoint{}},
		{"tcp://10.0.0.1", Endpoint{}},
		{"tcp://10.0.0.1:5000/", Endpoint{}},
		{"tcp://10.0.0.1:5000\n", Endpoint{}},
		{" tcp://10.0.0.1:5000", Endpoint{}},
		{"TCP://10.0.0.1:5000", Endpoint{}},
		{"tcp:10.0.0.1:5000", Endpoint{}},
		{"10.0.0.1:5000", Endpoint{}},
		{"udp://10.0.0.1:5000", Endpoint{}},
		{"inproc://stop", Endpoint{}},
		{"ipc:///tmp/x:5000", Endpoint{}},
		{"tcp://[10.0.0.1]:5000", Endpoint{}},
		{"tcp://[name]:5000", Endpoint{}},
		{"tcp://::1:5000", Endpoint{}},
		// libzmq would connect to the second from the first.
		{"tcp://10.0.0.2:0;10.0.0.1:5000", Endpoint{}},
		{"tcp://eth0:0;10.0.0.1:5000", Endpoint{}},
	}
	for _, h := range hosts {
		text, want := "tcp://"+h.host+":5000", Endpoint{}
		if strings.Contains(h.host, ":") {
			text = "tcp://[" + h.host + "]:5000"
		}
		if h.ok {
			want = Endpoint{h.host, 5000}
		}
		tests = append(tests, test{text, want})
	}
	for _, p := range ports {
		want := Endpoint{}
		if p.number != 0 {
			want = Endpoint{"10.0.0.1", p.number}
		}
		tests = append(tests, test{"tcp://10.0.0.1:" + p.port, want})
	}
	for _, test := range tests {
		got, err := ParseEndpoint(test.text)
		if diff := cmp.Diff(test.want, got); diff != "" {
			t.Errorf("%.300q (-want +got), error %v:\n%s", test.text, err, diff)
		}
		switch {
		case got == Endpoint{} && !errors.Is(err, ErrEndpoint):
			t.Errorf("%.300q: error %v, want one that is %v", test.text, err, ErrEndpoint)
		case err == nil && got.String() != test.text:
			t.Errorf("%.300q is written again as %q", test.text, got)
		}
	}
}

// What could never be listened at is refused; libzmq itself would listen somewhere else.
func TestParseListenEndpoint(t *testing.T) {
	for text, want := range map[string]Endpoint{
		"tcp://*:5557":                             {"*", 5557},
		"tcp://*:*":                                {"*", 0},
		"tcp://*:0":                                {"*", 0},
		"tcp://0.0.0.0:5557":                       {"0.0.0.0", 5557},
		"tcp://127.0.0.1:65535":                    {"127.0.0.1", 65535},
		"tcp://127.0.0.1:*":                        {"127.0.0.1", 0},
		"tcp://[::]:5557":                          {"::", 5557},
		"tcp://[::1]:0":                            {"::1", 0},
		"tcp://[fe80::1%eth0]:5557":                {"fe80::1%eth0", 5557},
		"tcp://eth0:5557":                          {"eth0", 5557},
		"tcp://eth0.100:5557":                      {"eth0.100", 5557},
		"tcp://br-0123456789ab:*":                  {"br-0123456789ab", 0},
		"tcp://127.0.0.1:108666":                   {},
		"tcp://127.0.0.1:43130abc":                 {},
		"tcp://127.0.0.1:-22406":                   {},
		"tcp://127.0.0.1:43130/":                   {},
		"tcp://127.0.0.1:+43130":                   {},
		"tcp://127.0.0.1: 43130":                   {},
		"tcp://127.0.0.1:043130":                   {},
		"tcp://127.0.0.1:00":                       {},
		"tcp://127.0.0.1:65536":                    {},
		"tcp://127.0.0.1:":                         {},
		"tcp://127.0.0.1:!":                        {},
		"tcp://127.0.0.1":                          {},
		"tcp://:5557":                              {},
		"tcp://[*]:5557":                           {},
		"tcp://[127.0.0.1]:5557":                   {},
		"tcp://::1:5557":                           {},
		"tcp://127.0.0.300:5557":                   {},
		"tcp://127.1:5557":                         {},
		"tcp://224.0.0.1:5557":                     {},
		"tcp://255.255.255.255:5557":               {},
		"tcp://[ff02::1]:5557":                     {},
		"tcp://eth0;10.0.0.1:5557":                 {},
		"tcp://eth 0:5557":                         {},
		"tcp://*:5557,tcp://*:5558":                {},
		"tcp://*:5557\n":                           {},
		" tcp://*:5557":                            {},
		"TCP://*:5557":                             {},
		"*:5557":                                   {},
		"ipc:///tmp/tower":                         {},
		"inproc://tower":                           {},
		"udp://*:5557":                             {},
		"":                                         {},
		"tcp://" + strings.Repeat("a", 254) + ":1": {},
	} {
		got, err := ParseListenEndpoint(text)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%.300q (-want +got), error %v:\n%s", text, err, diff)
		}
		if want == (Endpoint{}) && !errors.Is(err, ErrEndpoint) {
			t.Errorf("%.300q: error %v, want one that is %v", text, err, ErrEndpoint)
		}
		if err == nil {
			if again, err := ParseListenEndpoint(got.String()); again != got || err != nil {
				t.Errorf("%q is written again as %q, which is %v, error %v", text, got, again, err)
			}
		}
	}
}

// FuzzListenEndpoint: what is taken means one thing, however it is written.
func FuzzListenEndpoint(f *testing.F) {
	for _, h := range hosts {
		f.Add("tcp://" + h.host + ":5557")
	}
	for _, seed := range []string{"tcp://*:*", "tcp://[::]:0", "tcp://eth0.100:5557", "tcp://[fe80::1%eth0]:1"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		e, err := ParseListenEndpoint(text)
		if err != nil {
			return
		}
		if again, err := ParseListenEndpoint(e.String()); again != e || err != nil {
			t.Errorf("%q is %+v, written as %s: %+v, error %v", text, e, e, again, err)
		}
	})
}

func TestParseSubscription(t *testing.T) {
	for _, test := range []struct {
		frames [][]byte
		want   *Subscription // nil: refused
	}{
		{frames("\x01Mtopic"), &Subscription{Prefix: []byte("Mtopic")}},
		{frames("\x00Mtopic"), &Subscription{Prefix: []byte("Mtopic"), Ends: true}},
		{frames("\x01"), &Subscription{Prefix: []byte{}}},
		{frames("\x01\x00\x01"), &Subscription{Prefix: []byte("\x00\x01")}},
		{nil, nil},
		{frames(""), nil},
		{frames("\x02M"), nil},
		{frames("M"), nil},
		{frames("\x01M", ""), nil},
	} {
		got, err := ParseSubscription(test.frames)
		if test.want == nil {
			if !errors.Is(err, ErrSubscription) {
				t.Errorf("%q: %v, error %v, want %v", test.frames, got, err, ErrSubscription)
			}
			continue
		}
		if diff := cmp.Diff(*test.want, got); diff != "" || err != nil {
			t.Errorf("%q: error %v (-want +got):\n%s", test.frames, err, diff)
		}
		if diff := cmp.Diff(test.frames[0], got.Append(nil)); diff != "" {
			t.Errorf("%q, written again (-want +got):\n%s", test.frames, diff)
		}
	}
}

// FuzzBeacon takes a beacon's frames joined with newlines.
func FuzzBeacon(f *testing.F) {
	f.Add("B\nA\n\n5000")
	f.Add("B\nA\n127.0.0.1\n5000\n")
	for _, h := range hosts {
		f.Add("B\nA\n" + h.host + "\n65535")
	}
	for _, c := range readCapture(f) {
		f.Add(string(slices.Concat(plain(c.Frames)...)))
	}
	f.Fuzz(func(t *testing.T, joined string) {
		in := frames(strings.Split(joined, "\n")...)
		b, err := ParseBeacon(in)
		if err != nil {
			return
		}
		if diff := cmp.Diff(in, b.Frames()); diff != "" {
			t.Errorf("a beacon encodes to other bytes (-decoded +encoded):\n%s", diff)
		}
		// What a tower makes of it must pass at the nodes.
		if b.Host != "" {
			a := Announcement{b.Address, Endpoint{b.Host, b.Port}}
			again, err := ParseAnnouncement(a.Frames())
			if diff := cmp.Diff(a, again); diff != "" || err != nil {
				t.Errorf("a beacon's announcement: %v (-want +got):\n%s", err, diff)
			}
		}
	})
}

// FuzzAnnouncement takes an announcement's frames joined with newlines.
func FuzzAnnouncement(f *testing.F) {
	for _, c := range readCapture(f) {
		var texts []string
		for _, frame := range c.Frames {
			texts = append(texts, string(frame))
		}
		f.Add(strings.Join(texts, "\n"))
	}
	for _, h := range hosts {
		f.Add("B\nA\n" + Endpoint{h.host, 5000}.String())
	}
	f.Fuzz(func(t *testing.T, joined string) {
		in := frames(strings.Split(joined, "\n")...)
		a, err := ParseAnnouncement(in)
		if err != nil {
			return
		}
		if diff := cmp.Diff(in, a.Frames()); diff != "" {
			t.Errorf("an announcement encodes to other bytes (-decoded +encoded):\n%s", diff)
		}
	})
}

func FuzzSubscription(f *testing.F) {
	for _, c := range readCapture(f) {
		f.Add([]byte(c.Frames[0]), byte(len(c.Frames)))
	}
	f.Fuzz(func(t *testing.T, frame []byte, count byte) {
		in := [][]byte{frame, frame, frame}[:count%4]
		s, err := ParseSubscription(in)
		if err != nil {
			return
		}
		if diff := cmp.Diff(in, [][]byte{s.Append(nil)}); diff != "" {
			t.Errorf("a subscription encodes to other bytes (-decoded +encoded):\n%s", diff)
		}
	})
}
