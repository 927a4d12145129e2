package flow

import "net/netip"

// Shares bounds the things that peers make a node hold, so that what one of them makes up leaves room for the others. A
// peer may have most of them. All together have twice as many at most, and the more of that is used, the less of it one
// peer may have: never more than is left. The peer whose connection is not known has the zero endpoint.
type Shares struct {
	most  int // 0 is no bound
	total int
	of    map[netip.AddrPort]int
}

// NewShares returns shares of which one peer may have most; 0 is any number.
func NewShares(most int) Shares { return Shares{most: most, of: make(map[netip.AddrPort]int)} }

// Take counts one more thing of a peer, and reports whether it may be held.
func (s *Shares) Take(from netip.AddrPort) bool {
	if has := s.of[from]; s.most > 0 && (has >= s.most || has >= 2*s.most-s.total) {
		return false
	}
	s.of[from]++
	s.total++
	return true
}

// Return takes one Take back.
func (s *Shares) Return(from netip.AddrPort) {
	s.total--
	if s.of[from]--; s.of[from] == 0 {
		delete(s.of, from)
	}
}

// Total is how many things all peers have.
func (s *Shares) Total() int { return s.total }

// Most is how many things one peer may have.
func (s *Shares) Most() int { return s.most }
