package numbers

// Traces says which spans of a run share a trace. Every request has Request spans with consecutive
// numbers: request r, from 0, has r·Request+1 to (r+1)·Request.
//
//	whole      a trace is Spans consecutive numbers of one request; the last of a request is
//	           shorter when Request is no multiple of Spans
//	scattered  Spans requests in a row share Request traces, and each has one span of each:
//	           the roots are all in the first
type Traces struct {
	Request   int // spans a request
	Spans     int // spans a trace
	Scattered bool
}

// A Place is where a span stands in its trace.
type Place struct {
	Trace uint64 // the trace's number, from 0
	Index int    // in the trace; 0 is the root
	Root  uint64 // the number of the root span
}

// Place returns the place of the span at a position, from 0, of a request.
func (t Traces) Place(request uint64, position int) Place {
	perRequest := uint64(t.Request)
	if !t.Scattered {
		traces := uint64((t.Request + t.Spans - 1) / t.Spans)
		index := position % t.Spans
		return Place{request*traces + uint64(position/t.Spans), index, request*perRequest + uint64(position-index) + 1}
	}
	first := request - request%uint64(t.Spans) // request of the roots
	return Place{first/uint64(t.Spans)*perRequest + uint64(position), int(request % uint64(t.Spans)),
		first*perRequest + uint64(position) + 1}
}
