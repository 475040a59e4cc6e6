//go:build linux

package faults

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail/seglog"
)

// A stored log is the directory of a daemon that has delivered nothing: one client has sent
// its spans one request after another, so that their numbers are in the log's order.
type stored struct {
	dir      string // of the plan
	spans    uint64
	segments []string // names, in order
	frames   []frame
}

// A frame is one request in the log.
type frame struct {
	file        int // of segments
	offset, end int64
	first, last uint64 // numbers of its spans
}

// Layout of a segment; seglog's documentation has it.
const (
	segmentHeader = 64
	frameHeader   = 48
	cursorOf      = "cursor-otlp_grpc%2fbackend"
)

const storedSpans, storedRequest = 1500, 25

// store makes a log of several segments.
func store(t *testing.T) *stored {
	t.Helper()
	s := &stored{dir: t.TempDir(), spans: storedSpans}
	d := serve(t, plan{dir: s.dir, logBytes: 1 << 20, grace: 50 * time.Millisecond,
		exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(newGate(t).addr)}})
	send(t, d.plan.grpc, "--spans", fmt.Sprint(storedSpans), "--request-spans", fmt.Sprint(storedRequest), "--connections", "1", "--in-flight", "1")
	if l, _ := d.finish(); l.exporters["otlp_grpc/backend"].inLog != storedSpans {
		t.Fatalf("%+v", l)
	}
	s.index(t)
	return s
}

// index finds out what lies where.
func (s *stored) index(t *testing.T) {
	t.Helper()
	logDir := s.logDir()
	i, err := seglog.Verify(logDir)
	if err != nil || len(i.Damage) > 0 {
		t.Fatal(err, i)
	}
	var bases []seglog.Position
	for _, seg := range i.Segments {
		if seg.Frames > 0 {
			s.segments, bases = append(s.segments, filepath.Base(seg.File)), append(bases, seg.Base)
		}
	}
	if len(s.segments) < 4 {
		t.Fatalf("only %d segments", len(s.segments))
	}
	next := uint64(1)
	for f, err := range seglog.Frames(logDir, 0) {
		if err != nil {
			t.Fatal(err)
		}
		file := len(bases) - 1
		for bases[file] > f.Position {
			file--
		}
		at := int64(f.Position-bases[file]) + segmentHeader
		s.frames = append(s.frames, frame{file, at, at + frameHeader + int64(len(f.Body)), next, next + uint64(f.Count) - 1})
		next += uint64(f.Count)
	}
}

func (s *stored) logDir() string { return filepath.Join(s.dir, "traces") }

// copy returns the log in another directory.
func (s *stored) copy(t *testing.T) *stored {
	t.Helper()
	c := *s
	c.dir = t.TempDir()
	if err := os.CopyFS(c.dir, os.DirFS(s.dir)); err != nil {
		t.Fatal(err)
	}
	return &c
}

func (s *stored) path(segment int) string { return filepath.Join(s.logDir(), s.segments[segment]) }

// change rewrites a file.
func change(t *testing.T, path string, f func([]byte) []byte) {
	t.Helper()
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, f(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// flip changes one bit of some bytes of a file.
func flip(t *testing.T, rng *rand.Rand, path string, at, n int64) {
	t.Helper()
	change(t, path, func(b []byte) []byte {
		b[at+rng.Int64N(n)] ^= 1 << rng.IntN(8)
		return b
	})
}

// numbersOf returns the numbers of all spans in frames for which a condition holds.
func (s *stored) numbersOf(cond func(f frame) bool) (all []uint64) {
	for _, f := range s.frames {
		for n := f.first; n <= f.last && cond(f); n++ {
			all = append(all, n)
		}
	}
	return all
}

// TestDamage damages the log between two runs, in one place at a time. What cannot be read is
// counted to the span, said with file and offset, and nothing else is lost.
func TestDamage(t *testing.T) {
	rng := random(t)
	whole := store(t)
	type damage struct {
		name string
		do   func(t *testing.T, s *stored, rng *rand.Rand) (lost []uint64, says []string)
	}
	var all []damage
	field := func(name string, at, n int64) damage {
		return damage{"frame " + name, func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			f := s.frames[rng.IntN(len(s.frames)-1)]
			flip(t, rng, s.path(f.file), f.offset+at, n)
			return s.numbersOf(func(g frame) bool { return g == f }), []string{"file=" + s.path(f.file), fmt.Sprintf("offset=%d ", f.offset)}
		}}
	}
	for _, f := range []struct {
		name  string
		at, n int64
	}{{"magic", 0, 4}, {"length", 4, 4}, {"position", 8, 8}, {"before", 16, 8}, {"time", 24, 8}, {"count", 32, 4}, {"id", 36, 4}, {"body sum", 40, 4}, {"sum", 44, 4}, {"body", frameHeader, 1000}} {
		all = append(all, field(f.name, f.at, f.n))
	}
	for _, f := range []struct {
		name  string
		at, n int64
	}{{"magic", 0, 8}, {"version", 8, 4}, {"id", 12, 4}, {"base", 16, 8}, {"count", 24, 8}, {"time", 32, 8}, {"sum", 60, 4}} {
		all = append(all, damage{"segment " + f.name, func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			i := rng.IntN(len(s.segments))
			flip(t, rng, s.path(i), f.at, f.n)
			return nil, []string{"file=" + s.path(i), "header is not readable"}
		}})
	}
	behind := func(s *stored, file int, at int64) []uint64 {
		return s.numbersOf(func(f frame) bool { return f.file == file && f.end > at })
	}
	for i := range 4 {
		all = append(all, damage{fmt.Sprintf("last segment cut %d", i), func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			last := len(s.segments) - 1
			var at int64
			change(t, s.path(last), func(b []byte) []byte {
				at = segmentHeader + rng.Int64N(int64(len(b))-segmentHeader)
				return b[:at]
			})
			return behind(s, last, at), []string{"file=" + s.path(last), "offset="}
		}})
	}
	all = append(all,
		damage{"last frame", func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			f := s.frames[len(s.frames)-1]
			flip(t, rng, s.path(f.file), f.offset, f.end-f.offset)
			return s.numbersOf(func(g frame) bool { return g == f }), []string{"file=" + s.path(f.file), fmt.Sprintf("offset=%d ", f.offset)}
		}},
		damage{"segment cut within its header", func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			change(t, s.path(1), func(b []byte) []byte { return b[:rng.IntN(segmentHeader)] })
			return behind(s, 1, 0), []string{"the end of this segment, or those behind it, are missing"}
		}},
		damage{"end of a segment in the middle", func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			change(t, s.path(1), func(b []byte) []byte { return b[:len(b)-1-rng.IntN(len(b)/2)] })
			info, _ := os.Stat(s.path(1))
			return behind(s, 1, info.Size()), []string{"file=" + s.path(1), "offset="}
		}},
		damage{"a write that was under way", func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			// The first bytes of a frame that was acknowledged to nobody.
			last := len(s.segments) - 1
			change(t, s.path(last), func(b []byte) []byte {
				f := s.frames[len(s.frames)-1]
				return append(b, b[f.offset:f.offset+1+rng.Int64N(f.end-f.offset-1)]...)
			})
			return nil, []string{"a crash has torn the end of the log", "file=" + s.path(last)}
		}},
		damage{"zeros behind the end", func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			change(t, s.path(len(s.segments)-1), func(b []byte) []byte { return append(b, make([]byte, 1+rng.IntN(10000))...) })
			return nil, nil
		}},
	)
	for _, c := range []struct {
		name string
		i    int
	}{{"first", 0}, {"second", 1}, {"last", len(whole.segments) - 1}} {
		i := c.i
		all = append(all, damage{c.name + " segment missing", func(t *testing.T, s *stored, _ *rand.Rand) ([]uint64, []string) {
			if err := os.Remove(s.path(i)); err != nil {
				t.Fatal(err)
			}
			return behind(s, i, 0), []string{"missing", "file=", "offset="}
		}}, damage{c.name + " segment overwritten", func(t *testing.T, s *stored, rng *rand.Rand) ([]uint64, []string) {
			change(t, s.path(i), func(b []byte) []byte {
				for j := range b {
					b[j] = byte(rng.Uint32())
				}
				return b
			})
			return behind(s, i, 0), []string{s.path(i)}
		}})
	}
	cursor := func(name string, says []string, f func(b []byte) []byte) damage {
		return damage{"cursor " + name, func(t *testing.T, s *stored, _ *rand.Rand) ([]uint64, []string) {
			change(t, filepath.Join(s.logDir(), cursorOf), f)
			return nil, says
		}}
	}
	lost := []string{"a cursor's file is damaged", "cursor=otlp_grpc/backend", "damaged-" + cursorOf}
	all = append(all,
		cursor("overwritten", lost, func(b []byte) []byte { return bytes.Repeat([]byte{0xa5}, len(b)) }),
		cursor("cut", lost, func(b []byte) []byte { return b[:20] }),
		cursor("empty", nil, func([]byte) []byte { return nil }),
		// Its two records are written in turn: one is enough.
		cursor("first record", nil, func(b []byte) []byte { b[20] ^= 4; return b }),
		cursor("second record", nil, func(b []byte) []byte { b[8<<10+20] ^= 4; return b }),
		damage{"cursor missing", func(t *testing.T, s *stored, _ *rand.Rand) ([]uint64, []string) {
			if err := os.Remove(filepath.Join(s.logDir(), cursorOf)); err != nil {
				t.Fatal(err)
			}
			return nil, nil
		}},
	)
	for _, c := range all {
		seed := rng.Uint64()
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := whole.copy(t)
			lost, says := c.do(t, s, rand.New(rand.NewPCG(seed, 0)))
			if len(says) > 0 && len(lost) > 0 && c.name != "first segment missing" {
				s.verify(t)
			}
			s.deliver(t, lost, says)
		})
	}
}

// verify has 'ringtail log verify' find damage, and change nothing.
func (s *stored) verify(t *testing.T) {
	t.Helper()
	before := s.sum(t)
	p := launch(t, "log", "verify", "--data-dir", s.logDir())
	if code := p.end(); code != 1 || !strings.Contains(p.stdout.String(), " at offset ") {
		t.Errorf("log verify: exit code %d: %s", code, p.stdout.String())
	}
	if s.sum(t) != before {
		t.Error("log verify has changed something")
	}
}

// deliver starts a daemon on the log and ends it again: it delivers all but what is lost. Then another
// one goes on with what that has left.
func (s *stored) deliver(t *testing.T, lost []uint64, says []string) {
	t.Helper()
	b := newBackend(t)
	to, _ := b.on("backend", nil)
	d := serve(t, plan{dir: s.dir, logBytes: 1 << 20, exporters: map[string]exporter{"otlp_grpc/backend": to}})
	l, code := d.finish()
	e := l.exporters["otlp_grpc/backend"]
	if missing := b.missing("backend", s.spans); !slices.Equal(missing, lost) {
		t.Errorf("%d spans are missing, want %d: %v, want %v", len(missing), len(lost), missing, lost)
	}
	if l.received != s.spans || e.delivered+e.before != s.spans-uint64(len(lost)) || e.reasons["damage"] != uint64(len(lost)) || e.inLog != 0 {
		t.Errorf("%d lost of %d, and the ledger says %+v of %d", len(lost), s.spans, e, l.received)
	}
	want := 0
	if len(lost) > 0 {
		want = 1
	}
	if code != want {
		t.Errorf("exit code %d, want %d", code, want)
	}
	for _, text := range says {
		if !strings.Contains(d.stderr.String(), text) {
			t.Errorf("it does not say %q", text)
		}
	}

	next := d.again()
	send(t, next.plan.grpc, "--spans", "100", "--request-spans", "25")
	more, code := next.finish()
	if n := more.exporters["otlp_grpc/backend"]; more.received != s.spans+100 || n.delivered != e.delivered+100 || n.lost != e.lost || n.inLog != 0 || code != 0 { // the loss was told by the first
		t.Errorf("after %+v of %d the next daemon has %+v of %d, exit code %d", e, l.received, n, more.received, code)
	}
	if strings.Contains(next.stderr.String(), "a crash has torn") {
		t.Error("what was torn was not repaired")
	}
}

// A file of a version that the program does not know is left alone, and so is the directory.
func TestUnknownVersion(t *testing.T) {
	t.Parallel()
	whole := store(t)
	crc := crc32.MakeTable(crc32.Castagnoli)
	for name, c := range map[string]struct {
		file    func(*stored) string
		version func(b []byte)
	}{
		"segment": {func(s *stored) string { return s.path(1) }, func(b []byte) {
			b[8]++
			binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], crc))
		}},
		"cursor": {func(s *stored) string { return filepath.Join(s.logDir(), cursorOf) }, func(b []byte) {
			for slot := 0; slot < len(b); slot += 8 << 10 {
				r := b[slot:]
				r[4]++
				state := binary.LittleEndian.Uint32(r[104:])
				binary.LittleEndian.PutUint32(r[124:], crc32.Update(crc32.Checksum(r[:124], crc), crc, r[128:128+state]))
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			s := whole.copy(t)
			path := c.file(s)
			change(t, path, func(b []byte) []byte { c.version(b); return b })
			before := s.sum(t)
			p := plan{dir: s.dir, exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(newGate(t).addr)}}
			d := launch(t, p.args(t)...)
			if code, text := d.end(), d.stderr.String(); code != 1 || !strings.Contains(text, path) || !strings.Contains(text, "version: 2, this program knows 1") {
				t.Errorf("exit code %d: %s", code, text)
			}
			if s.sum(t) != before {
				t.Error("the directory was changed")
			}
		})
	}
}

// sum is of all files but the lock.
func (s *stored) sum(t *testing.T) string {
	t.Helper()
	names, err := os.ReadDir(s.logDir())
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	for _, n := range names {
		if n.Name() == "lock" {
			continue
		}
		b, err := os.ReadFile(filepath.Join(s.logDir(), n.Name()))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d\n", n.Name(), len(b))
		h.Write(b)
	}
	return fmt.Sprintf("%x", h.Sum(nil))
}

// TestDirectoryRemoved removes the log's directory under the daemon: clients are told to come
// back, the daemon stays, and the next one begins anew.
func TestDirectoryRemoved(t *testing.T) {
	t.Parallel()
	d := serve(t, plan{exporters: map[string]exporter{"otlp_grpc/backend": toGRPC(newGate(t).addr)}, grace: 100 * time.Millisecond})
	send(t, d.plan.grpc, "--spans", "500")
	if err := os.RemoveAll(d.plan.dir); err != nil {
		t.Fatal(err)
	}
	r := sendTo(t, d.plan.grpc, "--no-retry", "--spans", "300").report()
	if r.Acknowledged != 0 || r.RefusedRetryable != r.Sent {
		t.Errorf("of %d spans %d were acknowledged, %d refused for the moment: %s", r.Sent, r.Acknowledged, r.RefusedRetryable, r.LastError)
	}
	d.await("the log's disk fails.*somebody has removed it")
	if l, code := d.finish(); l.received != 500 || code < 0 {
		t.Errorf("exit code %d, %+v", code, l)
	}
	if l, code := d.again().finish(); l.received != 0 || code != 0 {
		t.Errorf("the next one: exit code %d, %+v", code, l)
	}
}
