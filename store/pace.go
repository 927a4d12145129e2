package store

import "time"

const (
	// recordCost is what a record costs the machine besides its content, in bytes that it could have moved instead.
	recordCost = 600
	// While records are published a store copies so many costs a second, and one for so many of theirs.
	paceFloor = 24 << 20
	paceShare = 16
	// paceBurst is how much of that may be saved up, and is asked for at a time.
	paceBurst = 2 << 20
	// paceWait is how long to wait when there is none left.
	paceWait = 10 * time.Millisecond
	// paceMemory is for how long something published counts.
	paceMemory = time.Second
)

// pace is how fast a store copies what others have of partitions in which nothing is published: as fast as it can, but
// while it takes in what is published not at the cost of that. It decides nothing about partitions that are live, for
// those must be caught up with.
type pace struct {
	last      time.Time // when allow was asked
	published time.Time // when that was so last
	live      int       // costs of what was published since
	copied    int       // and of what was copied
	left      int       // costs that may be copied
}

func (p *pace) took(live bool, content int) {
	if live {
		p.live += content + recordCost
	} else {
		p.copied += content + recordCost
	}
}

// allow returns how many bytes may be on their way.
func (p *pace) allow(now time.Time) (budget int) {
	if now.Sub(p.published) >= paceMemory {
		p.left, p.copied = 0, 0 // it was at nobody's cost
	}
	if p.live > 0 {
		p.published = now
	}
	elapsed := min(now.Sub(p.last), paceMemory)
	p.left = min(p.left-p.copied+p.live/paceShare+int(elapsed*paceFloor/time.Second), paceBurst)
	p.last, p.live, p.copied = now, 0, 0
	switch {
	case now.Sub(p.published) >= paceMemory:
		return fetchBytes
	case p.left > 0:
		return paceBurst
	}
	return 0
}
