package numbers

import (
	"iter"
	"math/bits"
)

// Max is the highest number that a [Set] holds.
const Max = 1 << 32

// A page is the bits of pageNumbers numbers. One without a bit missing is not kept: full stands for it.
const (
	pageShift   = 16
	pageNumbers = 1 << pageShift
	pageBytes   = pageNumbers / 8
)

type page struct {
	missing int // bits that are not set
	bits    [pageNumbers / 64]uint64
}

var full = &page{}

func init() {
	for i := range full.bits {
		full.bits[i] = ^uint64(0)
	}
}

var empty = &page{missing: pageNumbers}

// A Set holds numbers from 1 to [Max], in one bit each while their page of 65 536 has gaps, and in
// next to nothing once it is complete. The zero value is an empty set. It is not safe for
// concurrent use.
type Set struct {
	pages   map[uint32]*page
	partial *int // counts pages with gaps, of several sets perhaps; nil: nobody counts
	len     uint64
	highest uint64

	last      *page // the page of the last Add; full is never here
	lastIndex uint32
}

// Len returns how many numbers are in the set, Highest the greatest of them.
func (s *Set) Len() uint64     { return s.len }
func (s *Set) Highest() uint64 { return s.highest }

// Add puts n, 1 to Max, into the set and reports whether it was not there before.
func (s *Set) Add(n uint64) bool {
	i := n - 1
	index, bit := uint32(i>>pageShift), i&(pageNumbers-1)
	p := s.last
	if p == nil || s.lastIndex != index {
		if p = s.page(index); p == full {
			return false
		}
	}
	if p.bits[bit/64]&(1<<(bit%64)) != 0 {
		return false
	}
	p.bits[bit/64] |= 1 << (bit % 64)
	s.len++
	s.highest = max(s.highest, n)
	if p.missing--; p.missing == 0 {
		s.complete(index)
	}
	return true
}

// page returns a page to write to, or full.
func (s *Set) page(index uint32) *page {
	p := s.pages[index]
	if p == full {
		return full
	}
	if p == nil {
		p = &page{missing: pageNumbers}
		s.put(index, p)
		s.count(1)
	}
	s.last, s.lastIndex = p, index
	return p
}

func (s *Set) put(index uint32, p *page) {
	if s.pages == nil {
		s.pages = make(map[uint32]*page)
	}
	s.pages[index] = p
}

func (s *Set) complete(index uint32) {
	s.put(index, full)
	s.last = nil
	s.count(-1)
}

func (s *Set) count(n int) {
	if s.partial != nil {
		*s.partial += n
	}
}

// has reports whether Add of n needs no more memory.
func (s *Set) has(n uint64) bool { return s.pages[uint32((n-1)>>pageShift)] != nil }

// AddRange adds all numbers of r, which are 1 to Max.
func (s *Set) AddRange(r Range) {
	for n := r.First; n <= r.Last; {
		index := uint32((n - 1) >> pageShift)
		end := (uint64(index) + 1) << pageShift // the page's last number
		if (n-1)%pageNumbers == 0 && end <= r.Last {
			if p := s.pages[index]; p != full {
				if p == nil {
					p = empty
					s.count(1)
				}
				s.len += uint64(p.missing)
				s.highest = max(s.highest, end)
				s.complete(index)
			}
			n = end + 1
			continue
		}
		for last := min(end, r.Last); n <= last; n++ {
			s.Add(n)
		}
	}
}

// A Range is the numbers from First to Last, both included.
type Range struct {
	First uint64 `json:"first"`
	Last  uint64 `json:"last"`
}

// Len returns how many numbers there are.
func (r Range) Len() uint64 { return r.Last - r.First + 1 }

// Without iterates over what is in s and not in other, in ranges as long as can be, in order. Neither
// may change meanwhile.
func (s *Set) Without(other *Set) iter.Seq[Range] {
	return func(yield func(Range) bool) {
		var run Range // not yet yielded; empty when First is 0
		flush := func() bool {
			if run.First == 0 {
				return true
			}
			ok := yield(run)
			run = Range{}
			return ok
		}
		for index := uint64(0); index<<pageShift < s.highest; index++ {
			mine, theirs := s.look(index), other.look(index)
			if mine == empty || theirs == full {
				if !flush() {
					return
				}
				continue
			}
			for w := range mine.bits {
				word := mine.bits[w] &^ theirs.bits[w]
				base := index<<pageShift + uint64(w)*64 + 1
				for at := 0; at < 64; {
					gap := min(bits.TrailingZeros64(word>>at), 64-at)
					if gap > 0 && !flush() {
						return
					}
					if at += gap; at == 64 {
						break
					}
					n := min(bits.TrailingZeros64(^(word >> at)), 64-at)
					if run.First == 0 {
						run.First = base + uint64(at)
					}
					at += n
					run.Last = base + uint64(at) - 1
				}
			}
		}
		flush()
	}
}

func (s *Set) look(index uint64) *page {
	if p := s.pages[uint32(index)]; p != nil {
		return p
	}
	return empty
}

// Missing iterates over the numbers up to the highest that are not in the set.
func (s *Set) Missing() iter.Seq[Range] {
	var all Set
	if s.highest > 0 {
		all.AddRange(Range{1, s.highest})
	}
	return all.Without(s)
}
