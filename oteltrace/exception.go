package oteltrace

import (
	"reflect"
	"runtime"
	"slices"

	"go.opentelemetry.io/otel/attribute"
)

// Names of the semantic conventions for exceptions.
const (
	exceptionEvent      = "exception"
	exceptionType       = "exception.type"
	exceptionMessage    = "exception.message"
	exceptionStacktrace = "exception.stacktrace"
)

// maxStack bounds a stack trace, in bytes. The first part is what matters.
const maxStack = 64 << 10

// exception appends to attrs what describes v, an error or what was panicked with.
// What attrs says of it already stands. (Trace SDK and API, "Record Exception".)
func exception(attrs []attribute.KeyValue, v any, message string, stackTrace bool) []attribute.KeyValue {
	given := len(attrs)
	add := func(key attribute.Key, value func() string) {
		if !slices.ContainsFunc(attrs[:given], func(kv attribute.KeyValue) bool { return kv.Key == key }) {
			attrs = append(attrs, key.String(value()))
		}
	}
	add(exceptionType, func() string { return typeName(v) })
	add(exceptionMessage, func() string { return message })
	if stackTrace {
		add(exceptionStacktrace, stack)
	}
	return attrs
}

// typeName returns the type of v with the path of its package.
func typeName(v any) string {
	t := reflect.TypeOf(v)
	if t.PkgPath() == "" {
		return t.String()
	}
	return t.PkgPath() + "." + t.Name()
}

// stack returns the stack of the running goroutine.
func stack() string {
	for size := 4 << 10; ; size *= 2 {
		b := make([]byte, size)
		if n := runtime.Stack(b, false); n < size || size >= maxStack {
			return string(b[:n])
		}
	}
}
