package zsock

import "github.com/godafka/dafka/zmqwire/wiretest"

var (
	frames     = wiretest.Frames
	encode     = wiretest.Encode
	runOf      = wiretest.NewRun
	contentsOf = wiretest.Contents
)
