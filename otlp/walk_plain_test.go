package otlp

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"google.golang.org/protobuf/encoding/protowire"
)

// TestValidateRowsOfAttributes puts together rows of attributes that are all laid out as encoders do,
// or nearly: values that end early or late within right lengths, text that is not ASCII or not UTF-8.
func TestValidateRowsOfAttributes(t *testing.T) {
	bytesField := func(num protowire.Number, body []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(nil, num, protowire.BytesType), body)
	}
	texts := [][]byte{
		nil, []byte("a"), []byte("http.request.method"), bytes.Repeat([]byte("x"), 100), bytes.Repeat([]byte("y"), 130),
		[]byte("é"), []byte("seven b\xc3\xa9"), {0xff}, []byte("cut \xc3"),
	}
	values := [][]byte{
		nil, {byte(tag(anyInt, VarintType)), 5}, {byte(tag(anyInt, VarintType)), 0x80, 1}, {byte(tag(anyInt, VarintType)), 0x80},
		{byte(tag(anyInt, VarintType))}, {byte(tag(anyBool, VarintType)), 1}, {byte(tag(anyBool, VarintType)), 1, 1},
		append([]byte{byte(tag(anyDouble, Fixed64Type))}, 0xff, 0xff, 0, 0, 0, 0, 0xf0, 0x3f),
		append([]byte{byte(tag(anyDouble, Fixed64Type))}, 1, 2, 3, 4, 5, 6, 7),
		append([]byte{byte(tag(anyDouble, Fixed64Type))}, 1, 2, 3, 4, 5, 6, 7, 8, 9),
		bytesField(7, []byte{0xff, 0xfe}), {byte(tag(1, BytesType)), 3, 'a', 'b'}, {byte(tag(1, BytesType)), 1, 'a', 'b'}, {0},
	}
	for _, text := range texts {
		values = append(values, bytesField(1, text))
	}
	seed := rand.Uint64()
	rng := rand.New(rand.NewPCG(seed, 0))
	accepted, rows := 0, 20_000
	for range rows {
		var span []byte
		for range 1 + rng.IntN(4) {
			var kv []byte
			// Most are good, or no row would be.
			text, value := texts[rng.IntN(4)], values[1+rng.IntN(2)]
			if rng.IntN(6) == 0 {
				text = texts[rng.IntN(len(texts))]
			}
			if rng.IntN(3) == 0 {
				value = values[rng.IntN(len(values))]
			}
			kv = append(kv, bytesField(1, text)...)
			kv = append(kv, bytesField(2, value)...)
			span = append(span, bytesField(9, kv)...)
		}
		if verdicts(t, bytesField(1, bytesField(2, bytesField(2, span)))) {
			accepted++
		}
		if t.Failed() {
			t.Fatalf("seed %d", seed)
		}
	}
	if accepted < rows/10 || accepted > rows*9/10 {
		t.Errorf("%d of %d accepted: the test shows little (seed %d)", accepted, rows, seed)
	}
}
