package otelsdk

import (
	"context"
	"reflect"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/oteltrace"
)

// TestAllMethods calls every method that the SDK's interfaces have in the release that is
// in use. The types embed a nil ReadOnlySpan, so that one which they do not
// define panics here, and not in a user's program.
func TestAllMethods(t *testing.T) {
	provider := oteltrace.NewTracerProvider(nil, WithReadableSpans())
	started := func() trace.Span {
		_, s := provider.Tracer("t").Start(context.Background(), "s")
		return s
	}
	ended := started()
	ended.End()
	readOnly := reflect.TypeFor[sdktrace.ReadOnlySpan]()
	readWrite := reflect.TypeFor[sdktrace.ReadWriteSpan]()
	for _, test := range []struct {
		name string
		span any
		as   reflect.Type
	}{
		{"decoded", newReadOnlySpan(&ringtail.Span{}, newResource(nil), newScope(nil)), readOnly},
		{"live", started(), readWrite},
		{"ended", ended, readWrite},
		{"snapshot", ended.(*liveSpan).now(), readOnly},
	} {
		t.Run(test.name, func(t *testing.T) {
			v := reflect.ValueOf(test.span)
			if !v.Type().Implements(test.as) {
				t.Fatalf("%T is not a %v", test.span, test.as)
			}
			called := 0
			for i := range test.as.NumMethod() {
				m := test.as.Method(i)
				if !m.IsExported() {
					continue
				}
				var in []reflect.Value
				for j := range m.Type.NumIn() {
					if j == m.Type.NumIn()-1 && m.Type.IsVariadic() {
						break
					}
					in = append(in, reflect.Zero(m.Type.In(j)))
				}
				func() {
					defer func() {
						if p := recover(); p != nil {
							t.Errorf("%s is not implemented: %v", m.Name, p)
						}
					}()
					v.MethodByName(m.Name).Call(in)
				}()
				called++
			}
			if called < 17 {
				t.Errorf("only %d methods", called)
			}
		})
	}
}
