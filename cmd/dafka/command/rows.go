package command

import (
	"time"

	"github.com/godafka/dafka/cmd/dafka/recordio"
	"github.com/godafka/dafka/tower/survey"
)

// The rows of the tables. Their names in JSON and YAML are part of what programs rely on.

type topicRow struct {
	Topic       string   `json:"topic"`
	TopicBase64 bool     `json:"topic_base64,omitempty"`
	Partitions  int      `json:"partitions"`
	Producers   int      `json:"producers"` // of the partitions, those whose producer is there
	Records     uint64   `json:"records"`
	LastHeard   *seconds `json:"last_heard_seconds"` // since a producer last announced a head; null: none has
}

type partitionRow struct {
	Topic           string      `json:"topic"`
	TopicBase64     bool        `json:"topic_base64,omitempty"`
	Partition       string      `json:"partition"`
	PartitionBase64 bool        `json:"partition_base64,omitempty"`
	Began           *time.Time  `json:"began"` // when its producer was opened, by its address; null: that does not tell
	Records         uint64      `json:"records"`
	Producer        string      `json:"producer"` // alive or gone
	Stores          []storeHead `json:"stores"`
}

type storeHead struct {
	Endpoint string  `json:"endpoint"`
	Head     *uint64 `json:"head"` // the newest record's sequence; null: it has none
	Lacks    uint64  `json:"lacks"`
	Silent   bool    `json:"silent,omitempty"` // it has not answered: head and lacks are not certain
}

type peerRow struct {
	Role          survey.Role `json:"role"`
	Address       string      `json:"address"`
	AddressBase64 bool        `json:"address_base64,omitempty"`
	Endpoint      string      `json:"endpoint"`
	Made          string      `json:"made_in"` // go or c
	Beacon        seconds     `json:"last_beacon_seconds"`
	Topics        []topicName `json:"topics,omitempty"` // that it publishes or subscribes to
}

type topicName struct {
	Topic       string `json:"topic"`
	TopicBase64 bool   `json:"topic_base64,omitempty"`
}

type storeRow struct {
	Endpoint      string  `json:"endpoint"`
	Address       string  `json:"address"`
	AddressBase64 bool    `json:"address_base64,omitempty"`
	Made          string  `json:"made_in"`
	Partitions    int     `json:"partitions"`
	Records       uint64  `json:"records"`
	Lacks         uint64  `json:"lacks"` // records that exist elsewhere
	Beacon        seconds `json:"last_beacon_seconds"`
	Silent        bool    `json:"silent,omitempty"` // it has not answered: the counts are not certain
}

// seconds are how long ago something was, to a tenth.
type seconds float64

func since(then, now time.Time) seconds {
	return seconds(max(0, now.Sub(then)).Round(100 * time.Millisecond).Seconds())
}

func madeIn(c bool) string {
	if c {
		return "c"
	}
	return "go"
}

func topicRows(s *survey.Snapshot) []topicRow {
	rows := make([]topicRow, 0, len(s.Topics))
	for _, t := range s.Topics {
		row := topicRow{Partitions: t.Partitions, Producers: t.Producers, Records: t.Records}
		row.Topic, row.TopicBase64 = recordio.TextOrBase64(t.Name)
		if !t.LastHead.IsZero() {
			age := since(t.LastHead, s.At)
			row.LastHeard = &age
		}
		rows = append(rows, row)
	}
	return rows
}

// partitionRows are those of one topic, or of all when it is empty.
func partitionRows(s *survey.Snapshot, topic string) []partitionRow {
	rows := make([]partitionRow, 0)
	for _, p := range s.Partitions {
		if topic != "" && p.Topic != topic {
			continue
		}
		row := partitionRow{Records: p.Records, Producer: "gone", Stores: make([]storeHead, 0, len(p.Heads))}
		row.Topic, row.TopicBase64 = recordio.TextOrBase64(p.Topic)
		row.Partition, row.PartitionBase64 = recordio.TextOrBase64(p.Address)
		if !p.Began.IsZero() {
			row.Began = &p.Began
		}
		if p.Alive {
			row.Producer = "alive"
		}
		for _, h := range p.Heads {
			at := storeHead{Endpoint: h.Endpoint, Lacks: h.Lacks, Silent: h.Silent}
			if h.Records > 0 {
				head := h.Records - 1
				at.Head = &head
			}
			row.Stores = append(row.Stores, at)
		}
		rows = append(rows, row)
	}
	return rows
}

func peerRows(s *survey.Snapshot) []peerRow {
	rows := make([]peerRow, 0, len(s.Peers))
	for _, p := range s.Peers {
		row := peerRow{Role: p.Role, Endpoint: p.Endpoint, Made: madeIn(p.MadeInC), Beacon: since(p.LastBeacon, s.At)}
		row.Address, row.AddressBase64 = recordio.TextOrBase64(p.Address)
		for _, topic := range p.Topics {
			name, isBase64 := recordio.TextOrBase64(topic)
			row.Topics = append(row.Topics, topicName{name, isBase64})
		}
		rows = append(rows, row)
	}
	return rows
}

func storeRows(s *survey.Snapshot) []storeRow {
	rows := make([]storeRow, 0, len(s.Stores))
	for _, t := range s.Stores {
		row := storeRow{
			Endpoint: t.Endpoint, Made: madeIn(t.MadeInC), Partitions: t.Partitions, Records: t.Records, Lacks: t.Lacks,
			Beacon: since(t.LastBeacon, s.At), Silent: t.Silent,
		}
		row.Address, row.AddressBase64 = recordio.TextOrBase64(t.Address)
		rows = append(rows, row)
	}
	return rows
}
