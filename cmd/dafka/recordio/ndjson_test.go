package recordio

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"github.com/godafka/dafka/cmd/dafka/terminal"
	"github.com/godafka/dafka/consumer"
)

// readObjects reads all objects of a text up to the first error, which it returns unless it is io.EOF.
func readObjects(r io.Reader, most int64) (records []consumer.Record, err error) {
	in := &Objects{r: bufio.NewReader(r), most: most}
	for {
		o, err := in.Next()
		if err == io.EOF {
			return records, nil
		}
		if err == nil {
			err = o.Lacks("topic", "partition", "sequence", "content")
		}
		if err != nil {
			return records, err
		}
		records = append(records, consumer.Record{
			Topic: o.Topic, Partition: o.Partition, Sequence: o.Sequence, Content: bytes.Clone(o.Content),
		})
	}
}

func TestObjects(t *testing.T) {
	record := func(sequence uint64, content string) consumer.Record {
		return consumer.Record{Topic: "t", Partition: "P", Sequence: sequence, Content: []byte(content)}
	}
	const (
		a    = `{"topic":"t","partition":"P","sequence":0,"content":"a"}`
		b    = `{"topic":"t","partition":"P","sequence":1,"content":"b"}`
		mark = "\ufeff"
	)
	both := []consumer.Record{record(0, "a"), record(1, "b")}
	for _, test := range []struct {
		name, text string
		want       []consumer.Record
	}{
		{"nothing", "", nil},
		{"blank lines alone", "\n \r\n\t\n", nil},
		{"lines", a + "\n" + b + "\n", both},
		{"no line ending at the end", a + "\n" + b, both},
		{"blank lines", "\n" + a + "\n\n \n" + b + "\n\n", both},
		{"CRLF", a + "\r\n" + b + "\r\n", both},
		{"a byte order mark", mark + a + "\n" + b + "\n", both},
		{"files one after the other, each with its mark", mark + a + "\n" + mark + b + "\n", both},
		{"an object over several lines", "{\n  \"topic\": \"t\",\n  \"partition\": \"P\",\n  \"sequence\": 0,\n  \"content\": \"a\"\n}\n" + b, both},
		{"spaces, and another order of keys", ` { "content" : "a" , "sequence" : 0 , "partition":"P","topic":"t" } ` + "\n" + b, both},
		{"records that were skipped", `{"topic":"t","partition":"P","sequence":0,"content":"a","skipped":7}` + "\n" + b, both},
		{"escapes", `{"t\u006fpic":"\u0074","partition":"P","sequence":0,"content":"\"\\\/\b\f\n\r\t\u00e9\u20ac\ud83d\ude00\u0000"}`,
			[]consumer.Record{record(0, "\"\\/\b\f\n\r\té€😀\x00")}},
		{"base64", `{"topic":"dA==","topic_base64":true,"partition_base64":true,"partition":"UA==","sequence":18446744073709551615,` +
			`"content_base64":true,"content":"AAr/"}`, []consumer.Record{record(1<<64-1, "\x00\n\xff")}},
		{"no base64", `{"topic":"t","partition":"P","sequence":0,"content":"AAr/","content_base64":false}`, []consumer.Record{record(0, "AAr/")}},
	} {
		for kind, r := range map[string]io.Reader{
			"whole":        strings.NewReader(test.text),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.text)),
		} {
			got, err := readObjects(r, largest)
			if err != nil {
				t.Errorf("%s, read %s: %v", test.name, kind, err)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("%s, read %s (-want +got):\n%s", test.name, kind, diff)
			}
		}
	}
}

// TestObjectsRefused: what could become another record than was meant is an error in plain words.
func TestObjectsRefused(t *testing.T) {
	object := func(rest string) string { return `{"topic":"t","partition":"P",` + rest + `}` }
	content := func(text string) string { return object(`"sequence":0,"content":"` + text + `"`) }
	sequence := func(text string) string { return object(`"content":"","sequence":` + text) }
	for _, test := range []struct{ text, says string }{
		{"hello\n", `it begins with 'h': want an object`},
		{"[" + content("a") + "]\n", "it begins an array: want an object on each line"},
		{"\xff\xfe{\x00", "UTF-16"},
		{"\xef\xbbx", `it begins with`},
		{"null", "it begins with 'n'"},
		{"{}", "topic is missing"},
		{`{"topic":"t"}`, "partition is missing"},
		{content("a") + " x", `'x' follows the object`},
		{content("a") + content("b"), `'{' follows the object`},
		{content("a") + ",\n", `',' follows the object`},
		{content(`before \ud83d after`), `content: \ud83d is half of a character`},
		{content(`\ud83d`), `half of a character`},
		{content(`\ude00`), `half of a character`},
		{content(`\ude00\ud83d`), `half of a character`},
		{content(`\ud83d\ud83d`), `half of a character`},
		{content(`\ud83d\n`), `half of a character`},
		{`{"topic":"\udc00"`, `topic: \udc00 is half of a character`},
		{content("\xff"), "content: it is not UTF-8"},
		{content("\xed\xa0\xbd"), "content: it is not UTF-8"}, // half a pair as bytes
		{content("a\tb"), `content: it has the character '\t' as it is`},
		{content("a\nb"), `content: it has the character '\n' as it is`},
		{content(`\x41`), `it has \x`},
		{content(`\u12x4`), "want four hexadecimal digits"},
		{content(`\u+123`), "want four hexadecimal digits"},
		{object(`"sequence":0,"content":"?","content_base64":true`), "content: illegal base64"},
		{object(`"sequence":0,"content":"AA=","content_base64":true`), "content: illegal base64"},
		{object(`"sequence":0,"content":"YQ==","content_base64":"true"`), "content_base64: it is a string: want true or false"},
		{object(`"sequence":0,"content":"YQ==","content_base64":1`), `content_base64: it is "1": want true or false`},
		{object(`"sequence":0,"content":null`), "content: it is null: want a string"},
		{object(`"sequence":0,"content":17`), "content: it is a number: want a string"},
		{object(`"sequence":0,"content":{"a":1}`), "content: it is an object: want a string"},
		{object(`"sequence":0,"content":["a"]`), "content: it is an array: want a string"},
		{sequence("-1"), `sequence: it is "-1": want a whole number from 0 to 18446744073709551615`},
		{sequence("-0"), `sequence: it is "-0"`},
		{sequence("1.5"), `sequence: it is "1.5"`},
		{sequence("1.0"), `sequence: it is "1.0"`},
		{sequence("1e3"), `sequence: it is "1e3"`},
		{sequence("01"), `sequence: it is "01"`},
		{sequence("+1"), `sequence: it is "+1"`},
		{sequence("18446744073709551616"), `sequence: it is "18446744073709551616"`},
		{sequence(`"7"`), "sequence: it is a string: want a whole number"},
		{sequence("null"), `sequence: it is "null"`},
		{object(`"sequence":0,"sequence":1,"content":"a"`), `key "sequence" is there twice`},
		{object(`"sequence":0,"content":"a","Content":"b"`), `key "Content" is unknown`},
		{object(`"sequence":0,"content":"a","key":"b"`), `key "key" is unknown`},
		{object(`"sequence":0,"content":"a",`), `'}' is where a key should begin`},
		{object(`"sequence":0 "content":"a"`), `'"' follows the value of sequence`},
		{object(`"sequence" 0`), `'0' follows the key sequence`},
		{`{"topic":"t","partition":"P","sequence":0,"content":"a`, "the input ends within an object"},
		{`{"topic":"t","partition":"P","sequence":1`, "the input ends within an object"},
		{`{`, "the input ends within an object"},
	} {
		for kind, r := range map[string]io.Reader{
			"whole":        strings.NewReader(test.text),
			"byte by byte": iotest.OneByteReader(strings.NewReader(test.text)),
		} {
			if got, err := readObjects(r, largest); err == nil || !strings.Contains(err.Error(), test.says) || len(got) > 0 {
				t.Errorf("%q, read %s: %d records, error %v; want none, and %q", test.text, kind, len(got), err, test.says)
			}
		}
	}
}

// TestObjectsReadWhatIsPrinted: names and contents of any bytes and sizes.
func TestObjectsReadWhatIsPrinted(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	anyBytes := func(size int, text bool) []byte {
		b := make([]byte, size)
		for i := range b {
			b[i] = byte(random.Uint32())
			if text {
				b[i] &= 0x7f
			}
		}
		return b
	}
	var want []consumer.Record
	var out bytes.Buffer
	p := NewPrinter(&out)
	for i := range 2_000 {
		size := random.IntN(100)
		if i%500 == 0 {
			size = 3 * terminal.InputBuffer
		}
		isText := i%2 == 0
		r := consumer.Record{
			Topic: string(anyBytes(1+random.IntN(20), isText)), Partition: string(anyBytes(1+random.IntN(20), isText)),
			Sequence: random.Uint64(), Content: anyBytes(size, isText),
		}
		want = append(want, r)
		if err := p.Print(PrintJSON, &r); err != nil {
			t.Fatal(err)
		}
	}
	p.Flush()
	got, err := readObjects(&out, 3*terminal.InputBuffer)
	if err != nil {
		t.Error(err)
	}
	if len(got) != len(want) {
		t.Fatalf("%d records were read, want %d", len(got), len(want))
	}
	for i, want := range want { // cmp is slow with large contents
		if got := got[i]; got.Topic != want.Topic || got.Partition != want.Partition || got.Sequence != want.Sequence ||
			!bytes.Equal(got.Content, want.Content) {
			t.Errorf("record %d is not what was printed", i)
		}
	}
}

// FuzzObjects compares with encoding/json: what is taken is taken by it too, and is the same there.
func FuzzObjects(f *testing.F) {
	for _, seed := range []string{
		`{"topic":"t","partition":"P","sequence":0,"content":"a\ud83d\ude00\n"}`,
		`{"topic":"dA==","topic_base64":true,"partition":"P","sequence":7,"content":"AAr/","content_base64":true,"skipped":3}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		in := &Objects{r: bufio.NewReader(bytes.NewReader(text)), most: 1 << 10}
		o, err := in.Next()
		if err != nil {
			return
		}
		if _, err := in.Next(); err != io.EOF {
			return
		}
		var want struct {
			Topic, Partition, Content string
			Sequence                  uint64
			TopicBase64               bool `json:"topic_base64"`
			PartitionBase64           bool `json:"partition_base64"`
			ContentBase64             bool `json:"content_base64"`
		}
		if err := json.Unmarshal(bytes.ReplaceAll(text, []byte("\ufeff"), nil), &want); err != nil {
			if bytes.Contains(text, []byte("\ufeff")) {
				return // one within a string was cut out
			}
			t.Fatalf("%q was taken, and is no JSON: %v", text, err)
		}
		if bytes.Contains(text, []byte("\ufeff")) {
			return
		}
		same := func(got, want string, isBase64 bool) {
			if isBase64 {
				b, err := base64.StdEncoding.DecodeString(want)
				if err != nil {
					t.Fatalf("%q was taken: %v", text, err)
				}
				want = string(b)
			}
			if got != want {
				t.Errorf("%q: got %q, want %q", text, got, want)
			}
		}
		same(o.Topic, want.Topic, want.TopicBase64)
		same(o.Partition, want.Partition, want.PartitionBase64)
		same(string(o.Content), want.Content, want.ContentBase64)
		if o.has("sequence") && o.Sequence != want.Sequence {
			t.Errorf("%q: sequence %d, want %d", text, o.Sequence, want.Sequence)
		}
	})
}
