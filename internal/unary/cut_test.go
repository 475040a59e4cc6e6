package unary

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/http2"
)

// conversationOf is a long conversation without a mistake, and what comes of it: the bytes of
// each call that ends.
func conversationOf(random *rand.Rand) (*talk, map[string]string) {
	w := newTalk()
	w.AllowIllegalWrites = false
	took := map[string]string{}
	type call struct {
		id   uint32
		path string
		sent string
	}
	var open []*call
	next, later := uint32(1), 0
	content := func(most int) string {
		p := make([]byte, random.IntN(most))
		for i := range p {
			p[i] = byte(random.Uint32())
		}
		return string(p)
	}
	begin := func(id uint32, path string, end bool) {
		block := w.block(path, "x", strings.Repeat("x", random.IntN(300)))
		p := http2.HeadersFrameParam{StreamID: id, BlockFragment: block, EndHeaders: true, EndStream: end}
		if random.IntN(3) == 0 {
			p.PadLength = uint8(random.Uint32())
		}
		if random.IntN(3) == 0 {
			p.Priority = http2.PriorityParam{StreamDep: id + 2, Weight: 9}
		}
		if random.IntN(3) == 0 {
			n := random.IntN(len(block))
			p.BlockFragment, p.EndHeaders = block[:n], false
			w.WriteHeaders(p)
			w.WriteContinuation(id, false, block[n:n+(len(block)-n)/2])
			w.WriteContinuation(id, true, block[n+(len(block)-n)/2:])
			return
		}
		w.WriteHeaders(p)
	}
	for range 300 {
		if len(open) > 0 && random.IntN(3) > 0 {
			i := random.IntN(len(open))
			c := open[i]
			end := random.IntN(4) == 0
			switch random.IntN(5) {
			case 0:
				p := content(200)
				c.sent += p
				w.WriteDataPadded(c.id, end, []byte(p), make([]byte, random.IntN(256)))
			case 1:
				if end {
					begin(c.id, c.path, true) // a trailer
				}
			default:
				p := content(1 << random.IntN(14))
				c.sent += p
				w.data(c.id, end, p)
			}
			if end {
				if !strings.Contains(c.path, "data") || c.sent == "" {
					took[c.path] = c.sent
				}
				open = slices.Delete(open, i, i+1)
			}
			continue
		}
		switch random.IntN(9) {
		case 0:
			w.WritePing(false, [8]byte([]byte("12345678")))
		case 1:
			w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(random.IntN(8))})
		case 2:
			w.WriteRawFrame(77, http2.Flags(random.Uint32()), random.Uint32()>>1, []byte(content(99)))
		case 3:
			w.WritePriority(uint32(1+random.IntN(99)), http2.PriorityParam{StreamDep: 0, Weight: 1})
		case 4:
			w.WriteWindowUpdate(0, 1)
		case 5:
			if len(open) > 0 {
				w.WriteRSTStream(open[0].id, http2.ErrCodeCancel)
				open = open[1:]
			}
		default:
			if len(open) == 5 {
				continue
			}
			what := []string{"/a", "/fail", "/refuse", "/data", "/later"}[random.IntN(5)]
			if what == "/later" {
				if later++; later > 3 { // so that there is room for all
					what = "/a"
				}
			}
			path := fmt.Sprint(what, next)
			end := random.IntN(9) == 0
			begin(next, path, end)
			switch {
			case what == "/refuse":
			case end:
				took[path] = ""
			default:
				open = append(open, &call{id: next, path: path})
			}
			next += 2 * uint32(1+random.IntN(2))
		}
	}
	w.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1 << 16})
	return w, took
}

// However a conversation is cut, the calls get the same bytes, and the client the same ones.
func TestCutsDoNotMatter(t *testing.T) {
	random := seeded(t)
	for range 10 {
		w, want := conversationOf(random)
		var first []byte
		for _, most := range []int{1 << 20, 1, 2, 9, 100, 5000, 1 << 16} {
			x := newExchange()
			cfg := config(x)
			cfg.MaxCalls = 100
			var steps []any
			for rest := bytes.Clone(w.Bytes()); len(rest) > 0; {
				n := min(1+random.IntN(most), len(rest))
				steps = append(steps, rest[:n])
				rest = rest[n:]
			}
			steps = append(steps, func(c *conn) {
				x.answerAll()
				c.flushing.Wait()
			})
			out := converse(New(cfg), steps...)
			if !maps.Equal(x.took, want) {
				for path := range want {
					if x.took[path] != want[path] {
						t.Errorf("cut by %d: %s took %d bytes, want %d", most, path, len(x.took[path]), len(want[path]))
					}
				}
				t.Fatalf("cut by %d: %d calls ended, want %d", most, len(x.took), len(want))
			}
			x.check(t)
			if first == nil {
				first = out
			} else if !bytes.Equal(out, first) {
				t.Fatalf("cut by %d it answers %q\nuncut %q", most, out, first)
			}
		}
	}
}
