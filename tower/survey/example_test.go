package survey_test

import (
	"context"
	"fmt"
	"time"

	"github.com/godafka/dafka/tower"
	"github.com/godafka/dafka/tower/survey"
)

// A program lists the topics of a cluster, and does not take an answer that may be incomplete for all of them.
func ExampleTake() {
	tw, err := tower.Open(tower.Config{Pub: "tcp://127.0.0.1:*", Sub: "tcp://127.0.0.1:*"})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer tw.Close()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()

	got, err := survey.Take(ctx, survey.Config{
		Node: tower.NodeConfig{
			Pub: []string{tw.Pub()}, Sub: []string{tw.Sub()}, Host: "127.0.0.1", Bind: "tcp://127.0.0.1:*",
		},
		Timeout: 2 * time.Second,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, topic := range got.Topics {
		fmt.Println(topic.Name, topic.Partitions, topic.Records)
	}
	for _, m := range got.Missing {
		fmt.Println("incomplete:", m.Reason)
	}
	// Output: incomplete: few_stores
}
