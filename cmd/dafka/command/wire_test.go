package command

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/recordio"
)

// golden gives the messages that the C codec encoded, an object a line as `dafka wire` reads and prints them.
func golden(t *testing.T) []string {
	t.Helper()
	file, err := os.ReadFile("testdata/c-dafka-messages.json")
	if err != nil {
		t.Fatal(err)
	}
	var objects []string
	for line := range strings.Lines(string(file)) {
		if line = strings.TrimRight(line, ",\n"); strings.HasPrefix(line, "{") {
			objects = append(objects, line)
		}
	}
	if len(objects) != 180 {
		t.Fatalf("%d messages, want 180", len(objects))
	}
	return objects
}

// framesOf cuts the frames out of an object as they stand there.
func framesOf(t *testing.T, object string) string {
	t.Helper()
	var o struct {
		Frames json.RawMessage `json:"frames_hex"`
	}
	if err := json.Unmarshal([]byte(object), &o); err != nil {
		t.Fatal(err)
	}
	return string(o.Frames)
}

func TestWireGoldens(t *testing.T) {
	objects := golden(t)
	var frames, encoded []string
	for _, object := range objects {
		frames = append(frames, framesOf(t, object))
		encoded = append(encoded, `{"frames_hex":`+framesOf(t, object)+"}")
	}
	lines := func(l []string) string { return strings.Join(l, "\n") + "\n" }

	translated := func(text string, become func([]byte) (any, error)) string {
		var out bytes.Buffer
		in := recordio.NewLines(t.Context(), strings.NewReader(text), mostWireLine)
		malformed, err := translateLines(in, recordio.NewPrinter(&out), become)
		if err != nil || malformed > 0 {
			t.Errorf("%d malformed lines, error %v", malformed, err)
		}
		return out.String()
	}
	decode := translated(lines(frames), decodeLine)
	if diff := cmp.Diff(lines(objects), decode); diff != "" {
		t.Errorf("decode (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(lines(encoded), translated(decode, encodeLine)); diff != "" {
		t.Errorf("encode (-want +got):\n%s", diff)
	}
}

func TestWireDecode(t *testing.T) {
	for _, test := range []struct{ name, line, want string }{
		{"upper case and spaces", `[ "4B50000104746573740000000000000007" ]`,
			`{"id":"K","topic_hex":"50","subject_hex":"74657374","sequence":"7","frames_hex":["4b50000104746573740000000000000007"]}`},
		{"no topics", `["5700010000000000"]`,
			`{"id":"W","topic_hex":"","address_hex":"","subjects_hex":[],"frames_hex":["5700010000000000"]}`},
		{"no content is a frame", `["4d000100000000000000000000",""]`,
			`{"id":"M","topic_hex":"","address_hex":"","subject_hex":"","sequence":"0","content_hex":"","frames_hex":["4d000100000000000000000000",""]}`},
		{"an ACK of before August 2020", `["4b500001014104746573740000000000000007"]`,
			`{"id":"K","topic_hex":"50","address_hex":"41","subject_hex":"74657374","sequence":"7","frames_hex":["4b500001014104746573740000000000000007"]}`},

		{"an empty line", ``, ""},
		{"no array", `{"id":"K"}`, ""},
		{"null", `null`, ""},
		{"no frames", `[]`, ""},
		{"a frame that is null", `["4d000100000000000000000000",null]`, ""},
		{"a frame that is a number", `[48]`, ""},
		{"half a byte", `["4b5"]`, ""},
		{"no hex", `["4g"]`, ""},
		{"more after the array", `["4b50000104746573740000000000000007"] []`, ""},
		{"a frame too many", `["4b50000104746573740000000000000007",""]`, ""},
		{"a frame missing", `["4d000100000000000000000000"]`, ""},
		{"truncated", `["4b500001047465737400000000000000"]`, ""},
	} {
		t.Run(test.name, func(t *testing.T) { checkTranslation(t, decodeLine, test.line, test.want) })
	}
}

func TestWireEncode(t *testing.T) {
	for _, test := range []struct{ name, line, want string }{
		{"frames are not looked at", `{"frames_hex":7,"id":"K","topic_hex":"50","subject_hex":"74657374","sequence":"7"}`,
			`{"frames_hex":["4b50000104746573740000000000000007"]}`},
		{"upper case", `{"id":"L","topic_hex":"AB","address_hex":"CD"}`, `{"frames_hex":["4cab000101cd"]}`},
		{"an ACK is written without address", `{"id":"K","topic_hex":"50","address_hex":"41","subject_hex":"74657374","sequence":"7"}`,
			`{"frames_hex":["4b50000104746573740000000000000007"]}`},

		{"an empty line", ``, ""},
		{"null", `null`, ""},
		{"no object", `[]`, ""},
		{"no id", `{"topic_hex":""}`, ""},
		{"unknown id", `{"id":"Z","topic_hex":""}`, ""},
		{"long id", `{"id":"LL","topic_hex":"","address_hex":""}`, ""},
		{"a field missing", `{"id":"L","topic_hex":""}`, ""},
		{"no topic", `{"id":"L","address_hex":""}`, ""},
		{"a field too many", `{"id":"L","topic_hex":"","address_hex":"","count":1}`, ""},
		{"an unknown field", `{"id":"L","topic_hex":"","address_hex":"","size":1}`, ""},
		{"a field that is null", `{"id":"L","topic_hex":"","address_hex":null}`, ""},
		{"no hex", `{"id":"L","topic_hex":"","address_hex":"xy"}`, ""},
		{"a sequence that is a number", `{"id":"K","topic_hex":"","subject_hex":"","sequence":7}`, ""},
		{"a sequence too large", `{"id":"K","topic_hex":"","subject_hex":"","sequence":"18446744073709551616"}`, ""},
		{"a negative sequence", `{"id":"K","topic_hex":"","subject_hex":"","sequence":"-1"}`, ""},
		{"a count too large", `{"id":"F","topic_hex":"","address_hex":"","subject_hex":"","sequence":"1","count":4294967296}`, ""},
		{"a topic that is null", `{"id":"W","topic_hex":"","address_hex":"","subjects_hex":[null]}`, ""},
		{"a name that cannot travel", `{"id":"L","topic_hex":"00","address_hex":""}`, ""},
		{"more after the object", `{"id":"L","topic_hex":"","address_hex":""}{}`, ""},
	} {
		t.Run(test.name, func(t *testing.T) { checkTranslation(t, encodeLine, test.line, test.want) })
	}
}

// checkTranslation wants what stands in want, or an error when that is empty.
func checkTranslation(t *testing.T, become func([]byte) (any, error), line, want string) {
	t.Helper()
	got, err := become([]byte(line))
	if want == "" {
		if err == nil {
			t.Errorf("got %v, want an error", got)
		}
		return
	}
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(got)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, string(text)); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// FuzzWire: what decodes encodes to the same frames.
func FuzzWire(f *testing.F) {
	file, err := os.ReadFile("testdata/c-dafka-messages.json")
	if err != nil {
		f.Fatal(err)
	}
	for object := range bytes.Lines(file) {
		if i := bytes.Index(object, []byte(`"frames_hex":`)); i > 0 {
			f.Add(bytes.TrimRight(object[i+len(`"frames_hex":`):], "},\n"))
		}
	}
	f.Fuzz(func(t *testing.T, line []byte) {
		decoded, err := decodeLine(line)
		if err != nil {
			return
		}
		if m := decoded.(*messageObject); m.ID == "K" && m.Address != nil {
			return // written in today's form
		}
		object, err := json.Marshal(decoded)
		if err != nil {
			t.Fatal(err)
		}
		encoded, err := encodeLine(object)
		if err != nil {
			t.Fatalf("%s: %v", object, err)
		}
		frames, err := json.Marshal(encoded)
		if err != nil {
			t.Fatal(err)
		}
		if want := `{"frames_hex":` + framesOf(t, string(object)) + "}"; want != string(frames) {
			t.Errorf("%s becomes %s", object, frames)
		}
	})
}
