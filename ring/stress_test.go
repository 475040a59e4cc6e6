package ring

import (
	"bytes"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// rounds is how often a stress test starts anew.
func rounds(t *testing.T, n int) int {
	if testing.Short() {
		return n / 10
	}
	t.Helper()
	return n
}

// seeded returns a source of random numbers and prints how to get it again.
func seeded(t *testing.T) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

func fork(random *rand.Rand) *rand.Rand { return rand.New(rand.NewPCG(random.Uint64(), 1)) }

// stressRecord fills b with the producer's id, the sequence number, noise, and
// a checksum of it all.
func stressRecord(b []byte, id, sequence uint32, random *rand.Rand) {
	binary.LittleEndian.PutUint32(b, id)
	binary.LittleEndian.PutUint32(b[4:], sequence)
	for i := 8; i < len(b)-4; i++ {
		b[i] = byte(random.Uint32())
	}
	binary.LittleEndian.PutUint32(b[len(b)-4:], crc32.ChecksumIEEE(b[:len(b)-4]))
}

// TestBytesStress: one ring, one life after the other. In each, a producer
// writes as fast as it can until it is refused, and one of three parties closes
// at a random moment. What Commit accepted, all of it and nothing else, must
// come out, in order.
func TestBytesStress(t *testing.T) {
	random := seeded(t)
	for _, capacity := range []int{1 << 10, 1 << 14} {
		p, c := newBytesAt(capacity, 1<<64-1<<18)
		for life := range uint32(rounds(t, 300)) {
			accepted := make(chan uint32, 1)
			closeAfter, who := random.IntN(4000), random.IntN(3)
			var others sync.WaitGroup
			producers := fork(random)
			others.Go(func() {
				accepted <- stressBytesProducer(t, p, life, producers, who == 0, uint32(closeAfter))
			})
			received := uint32(0)
			releaseEvery := 1 + random.IntN(10)
			for n := 0; !c.Done(); n++ {
				if n == closeAfter && who != 0 {
					if who == 1 {
						c.Close()
					} else {
						others.Go(c.Close)
					}
				}
				if n%100 == 0 && c.Pending() == 0 {
					runtime.Gosched()
				}
				record, tag, ok := c.Next()
				if ok {
					checkStressRecord(t, record, tag, life, received)
					received++
				}
				if !ok || n%releaseEvery == 0 {
					c.Release()
				}
			}
			others.Wait()
			if want := <-accepted; received != want {
				t.Fatalf("life %d: %d records accepted, %d received", life, want, received)
			}
			if p = c.Reopen(); p == nil {
				t.Fatal("not reopened")
			}
		}
	}
}

// stressBytesProducer writes until it is refused and returns how many records
// were accepted.
func stressBytesProducer(t *testing.T, p *BytesProducer, life uint32, random *rand.Rand, closes bool, after uint32) uint32 {
	for accepted := uint32(0); ; {
		if closes && accepted == after {
			p.Close()
		}
		n := 12 + random.IntN(200)
		if random.IntN(50) == 0 {
			n = p.MaxRecord()
		}
		b := p.Reserve(n)
		if b == nil {
			if p.Closed() {
				return accepted
			}
			if p.Backlog() == 0 {
				t.Error("nothing in the ring, and it is full")
				return accepted
			}
			runtime.Gosched()
			continue
		}
		n = 12 + random.IntN(n-11)
		stressRecord(b[:n], life, accepted, random)
		if !p.Commit(n, accepted) {
			return accepted
		}
		accepted++
	}
}

func checkStressRecord(t *testing.T, record []byte, tag, life, sequence uint32) {
	t.Helper()
	if len(record) < 12 || crc32.ChecksumIEEE(record[:len(record)-4]) != binary.LittleEndian.Uint32(record[len(record)-4:]) {
		t.Fatalf("damaged record %x", record)
	}
	if gotLife, got := binary.LittleEndian.Uint32(record), binary.LittleEndian.Uint32(record[4:]); gotLife != life || got != sequence || tag != sequence {
		t.Fatalf("record %d (tag %d) of life %d, want %d of %d", got, tag, gotLife, sequence, life)
	}
}

// TestBytesSnapshot: the region of a ring whose two sides stopped anywhere is
// valid, and holds what was committed and not released.
func TestBytesSnapshot(t *testing.T) {
	random := seeded(t)
	for life := range uint32(rounds(t, 200)) {
		p, c := NewBytes(1 << 12)
		accepted := make(chan uint32, 1)
		stop := random.IntN(2000)
		producers := fork(random)
		go func() { accepted <- stressBytesProducer(t, p, life, producers, true, uint32(stop)) }()
		received, released := uint32(0), uint32(0)
		for n := random.IntN(stop + 1); received < uint32(n) && !c.Done(); {
			record, tag, ok := c.Next()
			if ok {
				checkStressRecord(t, record, tag, life, received)
				received++
			}
			if !ok || random.IntN(4) == 0 {
				c.Release()
				released = received
				runtime.Gosched()
			}
		}
		c.Close()
		total := <-accepted
		region := alignedBytes(len(c.Region()))
		copy(region, c.Region())
		again, err := OpenBytes(region)
		if err != nil {
			t.Fatal(err)
		}
		if n := again.Pending(); uint32(n) != total-released {
			t.Fatalf("%d records, want %d", n, total-released)
		}
		for ; released < total; released++ {
			record, tag, _ := again.Next()
			checkStressRecord(t, record, tag, life, released)
		}
		if !again.Done() || !bytes.Equal(region[:tailAt], c.Region()[:tailAt]) {
			t.Fatal("not done")
		}
	}
}

// stressValue knows whose it is, which, and whether it is whole.
type stressValue struct {
	id, sequence uint64
	noise        [3]uint64
	sum          uint64
	self         *uint64 // refers to sequence: the collector looks at slots, too
}

func newStressValue(id, sequence uint64, random *rand.Rand) stressValue {
	v := stressValue{id: id, sequence: sequence, noise: [3]uint64{random.Uint64(), random.Uint64(), random.Uint64()}}
	v.sum = v.checksum()
	v.self = &sequence
	return v
}

func (v *stressValue) checksum() uint64 {
	return v.id ^ v.sequence*0x9e3779b97f4a7c15 ^ v.noise[0]*3 ^ v.noise[1]*5 ^ v.noise[2]*7
}

// send pushes n values, or until refused for good, singly and in batches, and
// returns how many were accepted.
func send(p *Producer[stressValue], id uint64, n uint64, random *rand.Rand) uint64 {
	for sent := uint64(0); sent < n; {
		if random.IntN(2) == 0 {
			if p.Push(newStressValue(id, sent, random)) {
				sent++
				continue
			}
		} else if slots := p.Reserve(1 + random.IntN(int(min(20, n-sent)))); slots != nil {
			use := random.IntN(len(slots) + 1)
			for i := range slots[:use] {
				slots[i] = newStressValue(id, sent+uint64(i), random)
			}
			if p.Commit(use) {
				sent += uint64(use)
				continue
			}
		}
		if p.Closed() {
			return sent
		}
		runtime.Gosched()
	}
	return n
}

// ledger follows what arrives from each producer.
type ledger map[uint64]uint64

func (l ledger) receive(t *testing.T, batch []stressValue) {
	for i := range batch {
		v := &batch[i]
		if v.sum != v.checksum() || v.self == nil || *v.self != v.sequence {
			t.Fatalf("damaged value %+v", v)
		}
		if v.sequence != l[v.id] {
			t.Fatalf("producer %d: value %d, want %d", v.id, v.sequence, l[v.id])
		}
		l[v.id]++
	}
}

// TestSPSCStress is TestBytesStress for the typed ring.
func TestSPSCStress(t *testing.T) {
	random := seeded(t)
	for _, capacity := range []int{1, 2, 64, 1024} {
		p, c := newSPSCAt[stressValue](capacity, 1<<64-1<<12)
		for life := range uint64(rounds(t, 150)) {
			accepted := make(chan uint64, 1)
			var others sync.WaitGroup
			want, producers := uint64(random.IntN(4000)), fork(random)
			others.Go(func() {
				n := send(p, life, want, producers)
				p.Close()
				accepted <- n
			})
			closeAfter := random.IntN(4000)
			received := ledger{}
			for n := 0; !c.Done(); n++ {
				if n == closeAfter {
					others.Go(c.Close)
				}
				switch random.IntN(3) {
				case 0:
					if v, ok := c.Pop(); ok {
						received.receive(t, []stressValue{v})
					}
				case 1:
					batch := c.Read(1 + random.IntN(50))
					received.receive(t, batch)
					c.Release(len(batch))
				case 2:
					if c.ConsumeUpTo(1+random.IntN(50), func(batch []stressValue) { received.receive(t, batch) }) == 0 {
						runtime.Gosched()
					}
				}
			}
			others.Wait()
			if n := <-accepted; received[life] != n {
				t.Fatalf("life %d: %d values accepted, %d received", life, n, received[life])
			}
			p = c.Reopen()
		}
	}
}

// TestMPSCStress lets more goroutines than there are slots register, send and
// unregister, until the channel is closed under them.
func TestMPSCStress(t *testing.T) {
	random := seeded(t)
	for range rounds(t, 40) {
		m := NewMPSC[stressValue](Config{Capacity: 1 << random.IntN(8), MaxProducers: 1 + random.IntN(5), Metrics: random.IntN(2) == 0})
		var mu sync.Mutex
		accepted := ledger{}
		var ids atomic.Uint64
		var producers sync.WaitGroup
		for range 6 {
			random := fork(random)
			producers.Go(func() {
				for {
					p, err := m.Register()
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						runtime.Gosched()
						continue
					}
					id := ids.Add(1)
					n := send(p, id, uint64(random.IntN(500)), random)
					p.Close()
					mu.Lock()
					accepted[id] = n
					mu.Unlock()
				}
			})
		}
		received := ledger{}
		current := map[int]uint64{} // by producer number
		closeAfter, total := 1000+random.IntN(20000), 0
		for !m.Done() {
			limit := 1 + random.IntN(300)
			n := m.ConsumeUpTo(limit, func(producer int, batch []stressValue) {
				received.receive(t, batch)
				for i := range batch {
					if batch[i].sequence != 0 && current[producer] != batch[i].id {
						t.Fatalf("producer %d mixes %d and %d", producer, current[producer], batch[i].id)
					}
					current[producer] = batch[i].id
				}
			})
			if n > limit {
				t.Fatalf("ConsumeUpTo(%d) = %d", limit, n)
			}
			if n == 0 {
				runtime.Gosched()
			}
			if s := m.Stats(); s.Received > s.Sent {
				t.Fatalf("%+v", s)
			}
			if total += n; total >= closeAfter {
				producers.Go(m.Close)
				closeAfter = math.MaxInt
			}
		}
		producers.Wait()
		sum := uint64(0)
		for id, n := range accepted {
			if received[id] != n {
				t.Fatalf("producer %d: %d values accepted, %d received", id, n, received[id])
			}
			sum += n
		}
		if s := m.Stats(); s.Sent != sum || s.Received != sum || uint64(total) != sum {
			t.Fatalf("%+v with %d accepted, %d received", s, sum, total)
		}
	}
}
