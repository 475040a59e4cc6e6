package otlp

import (
	"bytes"
	"math"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// TestCopyShort copies strings of every length, at every alignment, with guards on
// both sides of the destination, and a byte that is not ASCII in every place.
func TestCopyShort(t *testing.T) {
	const guard = 0xa5
	source := strings.Repeat("0123456789abcdefghijklmnopqrstuvwxyz", 3)
	for n := 0; n <= shortString; n++ {
		for offset := range 8 {
			s := source[offset : offset+n]
			for marked := -1; marked < n; marked++ {
				text := s
				if marked >= 0 {
					b := []byte(s)
					b[marked] |= 0x80
					text = string(b)
				}
				room := bytes.Repeat([]byte{guard}, 16+offset+n+16)
				at := 16 + offset
				or := copyShort(&room[at], text)
				if got := string(room[at : at+n]); got != text {
					t.Fatalf("%d bytes: %q, want %q", n, got, text)
				}
				if NonASCII(or) != (marked >= 0) {
					t.Fatalf("%d bytes, byte %d is not ASCII: NonASCII = %t", n, marked, NonASCII(or))
				}
				room = append(room[:at], room[at+n:]...)
				if len(bytes.Trim(room, string([]byte{guard}))) != 0 {
					t.Fatalf("%d bytes at offset %d: wrote outside of the destination", n, offset)
				}
			}
		}
	}
}

func TestVarint(t *testing.T) {
	for bit := range 65 {
		for d := -1; d <= 1; d++ {
			v := uint64(1)<<bit + uint64(d)
			want := protowire.AppendVarint([]byte("x"), v)
			if got := AppendVarint([]byte("x"), v); !bytes.Equal(got, want) || SizeVarint(v) != len(want)-1 {
				t.Errorf("%d: %x, want %x; size %d", v, got, want, SizeVarint(v))
			}
		}
	}
}

func TestAppendFields(t *testing.T) {
	var got, want []byte
	for _, field := range []int{1, 15, 16, 2047, 2048} {
		num := protowire.Number(field)
		got = AppendUint(got, field, 300)
		want = protowire.AppendVarint(protowire.AppendTag(want, num, protowire.VarintType), 300)
		got = AppendFixed64(got, field, 1<<63|5)
		want = protowire.AppendFixed64(protowire.AppendTag(want, num, protowire.Fixed64Type), 1<<63|5)
		got = AppendBytes(got, field, []byte{1, 2})
		want = protowire.AppendBytes(protowire.AppendTag(want, num, protowire.BytesType), []byte{1, 2})
		got = AppendString(got, field, "a\xff\xfeb")
		want = protowire.AppendString(protowire.AppendTag(want, num, protowire.BytesType), "a\uFFFDb")
	}
	if !bytes.Equal(got, want) {
		t.Errorf("\n got %x\nwant %x", got, want)
	}
}

func TestInsertLength(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 129, 16383, 16384, 1 << 21} {
		body := bytes.Repeat([]byte{7}, n)
		for _, room := range []int{0, 1, 100} {
			dst := make([]byte, 0, 2+n+room)
			dst = InsertLength(append(append(dst, "ab"...), body...), 2)
			if want := append(protowire.AppendVarint([]byte("ab"), uint64(n)), body...); !bytes.Equal(dst, want) {
				t.Errorf("%d bytes, %d to spare: %x…", n, room, dst[:min(len(dst), 10)])
			}
		}
	}
}

// TestAppendKeyValue encodes strings, numbers and bools with keys and values of
// every length that makes a difference, into slices with and without room.
func TestAppendKeyValue(t *testing.T) {
	lengths := []int{0, 1, 2, 3, 4, 7, 8, 9, 57, 58, 59, 60, 61, 62, 63, 64, 65, 114, 115, 116, 117, 118, 119, 120, 121,
		122, 123, 124, 125, 126, 127, 128, 129, 16370, 16383, 16384}
	for _, k := range lengths {
		key := strings.Repeat("k", k)
		for _, v := range lengths {
			checkKeyValue(t, attribute.String(key, strings.Repeat("v", v)), pbString(strings.Repeat("v", v)))
			checkKeyValue(t, attribute.String(key, strings.Repeat("é", v)), pbString(strings.Repeat("é", v)))
		}
		for _, i := range []int64{0, 1, 127, 128, -1, math.MaxInt64, math.MinInt64} {
			checkKeyValue(t, attribute.Int64(key, i), pbInt(i))
		}
		for _, f := range []float64{0, math.Copysign(0, -1), 1.5, math.Inf(1), math.NaN()} {
			checkKeyValue(t, attribute.Float64(key, f), pbDouble(f))
		}
		checkKeyValue(t, attribute.Bool(key, true), pbBool(true))
		checkKeyValue(t, attribute.Bool(key, false), pbBool(false))
		checkKeyValue(t, attribute.KeyValue{Key: attribute.Key(key)}, &commonpb.AnyValue{})
	}
	for _, test := range []struct {
		kv   attribute.KeyValue
		want *commonpb.AnyValue
	}{
		{attribute.ByteSlice("k", []byte{0xff, 0}), pbBytes([]byte{0xff, 0})},
		{attribute.ByteSlice("k", nil), pbBytes(nil)},
		{attribute.StringSlice("k", []string{"", "é", strings.Repeat("x", 200)}), pbArray(pbString(""), pbString("é"), pbString(strings.Repeat("x", 200)))},
		{attribute.BoolSlice("k", []bool{true, false}), pbArray(pbBool(true), pbBool(false))},
		{attribute.Int64Slice("k", []int64{-1, 0}), pbArray(pbInt(-1), pbInt(0))},
		{attribute.Float64Slice("k", []float64{2.5}), pbArray(pbDouble(2.5))},
		{attribute.StringSlice("k", nil), pbArray()},
		{attribute.Slice("k", attribute.Value{}, attribute.IntValue(1), attribute.SliceValue()), pbArray(&commonpb.AnyValue{}, pbInt(1), pbArray())},
		{attribute.Map("k", attribute.Int("a", 1), attribute.Map("b", attribute.String("c", "d"))), pbMap(pbKV("a", pbInt(1)), pbKV("b", pbMap(pbKV("c", pbString("d")))))},
		{attribute.Map("k"), pbMap()},
	} {
		checkKeyValue(t, test.kv, test.want)
	}
}

func checkKeyValue(t *testing.T, kv attribute.KeyValue, want *commonpb.AnyValue) {
	t.Helper()
	var first []byte
	for _, room := range []int{0, 1, 20, KeyValueRoom, 1 << 16} {
		dst := append(make([]byte, 0, 3+room), "pre"...)
		got := AppendKeyValue(dst, 9, kv)
		if string(got[:3]) != "pre" {
			t.Fatal("does not append")
		}
		if first == nil {
			first = got
		} else if !bytes.Equal(got, first) {
			t.Fatalf("%v: with %d bytes of room %x, without %x", kv, room, got, first)
		}
	}
	num, typ, n := protowire.ConsumeTag(first[3:])
	body, m := protowire.ConsumeBytes(first[3+n:])
	if num != 9 || typ != protowire.BytesType || 3+n+m != len(first) {
		t.Fatalf("field %d, type %d, %d of %d bytes", num, typ, 3+n+m, len(first))
	}
	got := new(commonpb.KeyValue)
	if err := proto.Unmarshal(body, got); err != nil {
		t.Fatal(err)
	}
	if !proto.Equal(got, pbKV(string(kv.Key), want)) {
		t.Fatalf("got %v, want %v %v", got, kv.Key, want)
	}
}

// TestKeyValueRoom: the room promised is enough, so that nothing is allocated.
func TestKeyValueRoom(t *testing.T) {
	for _, n := range []int{0, 8, 63, 64, 65, 126, 127, 128, 16383, 16384} {
		text := strings.Repeat("x", n)
		for _, kv := range []attribute.KeyValue{attribute.String(text, text), attribute.Int(text, -1), attribute.Bool(text, true),
			attribute.Float64(text, 1), {Key: attribute.Key(text)}} {
			room := KeyValueRoom + len(kv.Key) + len(kv.Value.AsString())
			buf := make([]byte, 0, room)
			if out := AppendKeyValue(buf, 9, kv); &out[0] != &buf[:1][0] {
				t.Errorf("%v with %d bytes: %d bytes of room are too few", kv.Value.Type(), n, room)
			}
			if got := testing.AllocsPerRun(100, func() { AppendKeyValue(buf, 9, kv) }); got != 0 {
				t.Errorf("%v with %d bytes: %v allocations", kv.Value.Type(), n, got)
			}
		}
	}
}

func TestRepair(t *testing.T) {
	bad := attribute.Map("k\xff", attribute.String("\xff", "a\x80\x80b"), attribute.Slice("s", attribute.StringSliceValue([]string{"ok", "\xc3"})))
	if ValidKeyValue(bad) {
		t.Fatal("valid")
	}
	got := RepairKeyValue(bad)
	want := attribute.Map("k\uFFFD", attribute.String("\uFFFD", "a\uFFFDb"), attribute.Slice("s", attribute.StringSliceValue([]string{"ok", "\uFFFD"})))
	if !ValidKeyValue(got) || got != want {
		t.Errorf("%v, want %v", got.Value.String(), want.Value.String())
	}
	if encoded := AppendKeyValue(nil, 1, bad); !utf8.Valid(encoded[20:]) || bytes.Contains(encoded, []byte("\xff")) {
		t.Errorf("%x", encoded)
	}
}

// TestViewOfValues compares reading values in place with the API's methods, and shows
// that the check of their layout can fail.
func TestViewOfValues(t *testing.T) {
	if !viewFits {
		t.Error("attribute.Value has another layout: encoding is slower than it need be; see valueView")
	}
	for _, v := range []attribute.Value{
		{},
		attribute.StringValue(""), attribute.StringValue("a"), attribute.StringValue(strings.Repeat("é", 100)),
		attribute.Int64Value(0), attribute.Int64Value(-1), attribute.Int64Value(math.MaxInt64),
		attribute.Float64Value(0), attribute.Float64Value(math.Inf(-1)), attribute.BoolValue(true), attribute.BoolValue(false),
		attribute.StringSliceValue([]string{"a", ""}), attribute.ByteSliceValue([]byte{1}), attribute.SliceValue(attribute.IntValue(1)),
		attribute.MapValue(attribute.Bool("b", true)),
	} {
		kv := attribute.KeyValue{Key: "key", Value: v}
		got, or := AppendRawKeyValue(nil, 0x4a, &kv)
		want, wantOr := appendRawKeyValueByAPI(nil, 0x4a, &kv)
		if !bytes.Equal(got, want) || or != wantOr {
			t.Errorf("%v: % x, want % x", v, got, want)
		}
	}
	swapped := reflect.TypeOf(struct {
		numeric  uint64
		vtype    attribute.Type
		stringly string
		slice    any
	}{})
	if fits(swapped, reflect.TypeFor[valueView]()) || fits(reflect.TypeFor[int](), reflect.TypeFor[valueView]()) {
		t.Error("another layout passes for the same")
	}
}

// BenchmarkCopyShort compares the copy that looks at the bytes on the way with a copy
// and a check.
func BenchmarkCopyShort(b *testing.B) {
	dst, s := make([]byte, 64), "/api/users/{id}/name" // 20 bytes
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			if NonASCII(copyShort(&dst[0], s)) {
				b.Fatal()
			}
		}
	})
	b.Run("two", func(b *testing.B) {
		for b.Loop() {
			if copy(dst, s); !utf8.ValidString(s) {
				b.Fatal()
			}
		}
	})
}
