package main

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"slices"
)

// record is a line of `dafka consume --format json`.
type record struct {
	Topic     string `json:"topic"`
	Partition string `json:"partition"`
	Sequence  uint64 `json:"sequence"`
	Content   string `json:"content"`
	Base64    bool   `json:"content_base64"`
}

func parseRecords(output []byte) ([]record, error) {
	lines := json.NewDecoder(bytes.NewReader(output))
	var records []record
	for {
		var r record
		err := lines.Decode(&r)
		if err == io.EOF {
			return records, nil
		}
		if err == nil && r.Base64 {
			var content []byte
			content, err = base64.StdEncoding.DecodeString(r.Content)
			r.Content = string(content)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d of the consumer's output: %w", len(records)+1, err)
		}
		records = append(records, r)
	}
}

// compare says how the records differ from what was published: each input, whole and in order, must be exactly one
// partition. Which one is not known from outside.
func compare(inputs [][]string, records []record) error {
	partitions := make(map[string][]string)
	var order []string
	for _, r := range records {
		contents, known := partitions[r.Partition]
		if !known {
			order = append(order, r.Partition)
		}
		if r.Topic != topic || r.Sequence != uint64(len(contents)) {
			return fmt.Errorf("partition %s: record %d of topic %q where record %d of %q should be",
				r.Partition, r.Sequence, r.Topic, len(contents), topic)
		}
		partitions[r.Partition] = append(contents, r.Content)
	}
	if len(order) != len(inputs) {
		return fmt.Errorf("%d partitions came out where %d went in", len(order), len(inputs))
	}
	left := slices.Clone(inputs)
	for _, partition := range order {
		contents := partitions[partition]
		i := slices.IndexFunc(left, func(input []string) bool { return slices.Equal(input, contents) })
		if i < 0 {
			return fmt.Errorf("partition %s: %s", partition, difference(left, contents))
		}
		left = slices.Delete(left, i, i+1)
	}
	return nil
}

// difference describes contents against the input that they follow longest.
func difference(inputs [][]string, contents []string) string {
	var input []string
	same := -1
	for _, candidate := range inputs {
		n := 0
		for n < min(len(candidate), len(contents)) && candidate[n] == contents[n] {
			n++
		}
		if n > same {
			input, same = candidate, n
		}
	}
	if same == len(contents) || same == len(input) {
		return fmt.Sprintf("%d records came out where %d went in; the first %d are the same", len(contents), len(input), same)
	}
	return fmt.Sprintf("record %d is %.200q and should be %.200q", same, contents[same], input[same])
}
