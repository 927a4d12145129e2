package command

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFlagsFirst(t *testing.T) {
	line := func(words ...string) []string { return words }
	for _, test := range []struct {
		name string
		args []string
		want []string
	}{
		{"nothing", line(), line()},
		{"in order", line("produce", "--verbose", "topic", "file"), line("produce", "--verbose", "--", "topic", "file")},
		{"after the topic", line("produce", "topic", "--pub", "tcp://a:1", "file"),
			line("produce", "--pub", "tcp://a:1", "--", "topic", "file")},
		{"a boolean swallows nothing", line("consume", "--from-beginning", "a", "-e", "b", "--verbose", "c"),
			line("consume", "--from-beginning", "-e", "--verbose", "--", "a", "b", "c")},
		{"with =", line("consume", "a", "--format=json", "-n=3", "--verbose=false", "b"),
			line("consume", "--format=json", "-n=3", "--verbose=false", "--", "a", "b")},
		{"an empty value", line("consume", "a", "--address", "", "b"), line("consume", "--address", "", "--", "a", "b")},
		{"a value that looks like a flag", line("consume", "--format", "-e", "a"), line("consume", "--format", "-e", "--", "a")},
		{"one dash or two", line("consume", "a", "-verbose", "--n", "3"), line("consume", "-verbose", "--n", "3", "--", "a")},
		{"-- ends the flags", line("consume", "-e", "--", "-n", "--", "--verbose"), line("consume", "-e", "--", "-n", "--", "--verbose")},
		{"- is an argument", line("produce", "a", "-", "--verbose"), line("produce", "--verbose", "--", "a", "-")},
		{"an empty argument", line("produce", "", "--verbose"), line("produce", "--verbose", "--", "")},
		{"a flag again", line("consume", "--pub", "tcp://a:1", "a", "--pub", "tcp://b:1"),
			line("consume", "--pub", "tcp://a:1", "--pub", "tcp://b:1", "--", "a")},
		{"another place", line("consume", "--address", "a", "--bind", "1", "t", "--address", "b", "--bind", "2"),
			line("consume", "--address", "a", "--bind", "1", "--address", "b", "--bind", "2", "--", "t")},
		{"the same again", line("consume", "-n", "3", "-e", "a", "--n=3", "-e"), line("consume", "-n", "3", "-e", "--n=3", "-e", "--", "a")},
		{"a topic that is a command's name", line("produce", "consume", "--verbose"), line("produce", "--verbose", "--", "consume")},
		{"a topic named help", line("consume", "help"), line("consume", "--", "help")},
		{"bytes that are no text", line("consume", "\xff\xfe", "-e"), line("consume", "-e", "--", "\xff\xfe")},
		{"a command of a group", line("wire", "decode", "file"), line("wire", "decode", "--", "file")},
		{"no such command", line("produec", "topic"), line("--", "produec", "topic")},
		{"help wins", line("produce", "--pub", "tcp://a:1", "topic", "-h", "--nope"), line("produce", "--help")},
		{"help in front", line("help", "wire", "encode"), line("wire", "encode", "--help")},
		{"help alone", line("help"), line("--help")},
		{"help as a value", line("consume", "a", "--format", "--help"), line("consume", "--format", "--help", "--", "a")},
		{"version", line("--version"), line("--version")},
	} {
		t.Run(test.name, func(t *testing.T) {
			got, err := FlagsFirst(New(), append([]string{"/bin/dafka"}, test.args...))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(append(line("dafka"), test.want...), got); diff != "" {
				t.Errorf("arguments (-want +got):\n%s", diff)
			}
		})
	}
}

func TestFlagsFirstWrong(t *testing.T) {
	for _, args := range []string{
		"produce topic --nope", "produce --nope=1 topic", "consume -1", "tower --db x", "wire --verbose decode", "--verbose tower",
		"produce topic --version", "consume topic -n", "tower --pub tcp://*:1 --pub tcp://*:2", "consume a -n 3 --n=4",
		"consume a --verbose --verbose=false",
	} {
		if got, err := FlagsFirst(New(), strings.Fields("dafka "+args)); err == nil {
			t.Errorf("%s: got %q, want an error", args, got)
		}
	}
}
