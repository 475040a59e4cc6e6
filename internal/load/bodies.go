package load

import "sync"

// freeBodies is a list of bodies that may be written over. As a gRPC buffer pool it gets them back
// once they are on the wire. It holds at most as many as were in use at a time; sync.Pool would give
// them to the garbage collector, and each is a copy to make again.
type freeBodies struct {
	mu     sync.Mutex
	bodies []*[]byte
}

// get returns nil when there is none.
func (f *freeBodies) get() *[]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.bodies)
	if n == 0 {
		return nil
	}
	b := f.bodies[n-1]
	f.bodies = f.bodies[:n-1]
	return b
}

// Put takes a body back.
func (f *freeBodies) Put(b *[]byte) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bodies = append(f.bodies, b)
}

// Get is there for gRPC's interface. Bodies are rendered, never asked for by length.
func (f *freeBodies) Get(length int) *[]byte {
	b := make([]byte, length)
	return &b
}
