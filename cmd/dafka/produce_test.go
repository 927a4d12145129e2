package main

import (
	"context"
	"testing"
	"time"
)

func TestPace(t *testing.T) {
	// As fast as it goes without a rate, and when late.
	for _, p := range []pace{{begin: time.Now()}, {rate: 10, begin: time.Now().Add(-time.Hour)}} {
		begin := time.Now()
		for range 1000 {
			p.wait(t.Context())
		}
		if took := time.Since(begin); took > time.Second {
			t.Errorf("rate %v: held up for %v", p.rate, took)
		}
	}
	p := pace{rate: 100, begin: time.Now()}
	for range 11 {
		p.wait(t.Context())
	}
	if took := time.Since(p.begin); took < 98*time.Millisecond {
		t.Errorf("record 10 was due after 100 ms and was not held up beyond %v", took)
	}
	ended, end := context.WithCancel(t.Context())
	end()
	p = pace{rate: 1e-9, begin: time.Now(), sent: 1}
	p.wait(ended) // or the test never ends
}
