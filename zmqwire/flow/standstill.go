package flow

import "time"

const (
	// standstillPatience is how long nothing is taken before some of it may be lost: longer than a slow requester's queue
	// is full.
	standstillPatience = 5 * time.Second
	// standstillLull is after how long without an offer the patience begins anew.
	standstillLull = time.Second
	// regardlessFor is for how long what was asked for is then sent without a look at who has room.
	regardlessFor = time.Second
)

// Standstill notices that nobody takes what was asked for. A peer that does not read, and has subscribed to what is
// others', fills a queue of which nobody takes anything: libzmq then refuses those others' answers, too. To send for a
// while without waiting for full queues costs requesters at most that they ask again. Its zero value is ready.
type Standstill struct {
	since   time.Time // when something was taken last, or first offered
	offered time.Time // when that was so last
	until   time.Time // of the while
}

// Offered notes that something was offered, and whether any of it was taken.
func (s *Standstill) Offered(taken bool, now time.Time) {
	if taken || now.Sub(s.offered) >= standstillLull {
		s.since = now
	}
	s.offered = now
	if now.Sub(s.since) >= standstillPatience {
		s.since, s.until = now, now.Add(regardlessFor)
	}
}

// Regardless says that full queues are not to be waited for now.
func (s *Standstill) Regardless(now time.Time) bool { return now.Before(s.until) }
