package collector

import (
	"testing"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// told is a stream that notes how it is ended.
type told struct {
	transportStream
	code codes.Code
	n    int
}

func (s *told) WriteStatus(st *status.Status) error { s.code, s.n = st.Code(), s.n+1; return nil }

func TestSweeperEndsWhatIsLate(t *testing.T) {
	s := &sweeper{limit: 2}
	var streams [5]told
	var requests [5]watched
	for i := range requests {
		s.watch(&requests[i], &streams[i])
		if i == 1 {
			s.sweep() // the others are younger
		}
	}
	for i, want := range []bool{false, false} { // first and middle of the list
		if late := s.came(&requests[2*i]); late != want {
			t.Errorf("request %d is late: %v", 2*i, late)
		}
	}
	s.sweep()
	if streams[1].n != 0 {
		t.Error("a request is ended before its time")
	}
	s.sweep()
	if streams[1].n != 1 || streams[1].code != codes.DeadlineExceeded || streams[3].n != 0 {
		t.Errorf("%+v", streams)
	}
	if !s.came(&requests[1]) || s.came(&requests[4]) { // the last
		t.Error("who is late?")
	}
	s.sweep()
	s.sweep()
	for i, want := range [...]int{0, 1, 0, 1, 0} {
		if streams[i].n != want {
			t.Errorf("request %d was ended %d times", i, streams[i].n)
		}
	}
	if !s.came(&requests[3]) || s.first != nil || s.last != nil {
		t.Error("something is left in the list")
	}
	s.watch(&requests[0], &streams[0])
	if s.came(&requests[0]) || s.first != nil || s.last != nil {
		t.Error("the only request")
	}
}
