package main

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWireGoesOn: a malformed line is answered in its place, and the lines after it too.
func TestWireGoesOn(t *testing.T) {
	got := runProgram(t, "[]\n[\"4cab000101cd\"]\nnonsense", "wire", "decode")
	want := result{
		Status: 1,
		Stdout: `{"error":"message ends within a field: no frame"}
{"id":"L","topic_hex":"ab","address_hex":"cd","frames_hex":["4cab000101cd"]}
{"error":"not a JSON array of frames in hexadecimal: invalid character 'o' in literal null (expecting 'u')"}
`,
		Stderr: "dafka: error: malformed lines: 2 (see the \"error\" objects)\n",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}
