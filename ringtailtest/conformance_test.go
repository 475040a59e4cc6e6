package ringtailtest_test

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

// faulty exporters, each with what the suite must say of it. A fault that only the
// race detector sees, or that makes the suite wait until its patience ends, is not here.
var faulty = map[string]struct {
	exporter func() ringtail.Exporter
	says     string
}{
	"changes the batch":      {func() ringtail.Exporter { return &fault{export: func(b *ringtail.Batch) { clear(b.Bytes()) }} }, "Export changed the batch"},
	"goes on after shutdown": {func() ringtail.Exporter { return &fault{} }, "Export after Shutdown: <nil>"},
	"panics when empty":      {func() ringtail.Exporter { return &fault{export: func(b *ringtail.Batch) { _ = b.Bytes()[0] }} }, "index out of range"},
	"closes twice": {func() ringtail.Exporter {
		c := make(chan struct{})
		return &fault{shutdown: func() { close(c) }}
	}, "close of closed channel"},
	"returns nothing": {func() ringtail.Exporter { return nil }, "open returned no exporter"},
}

type fault struct {
	export   func(*ringtail.Batch)
	shutdown func()
}

func (f *fault) Export(_ context.Context, b *ringtail.Batch) error {
	if f.export != nil {
		f.export(b)
	}
	return nil
}

func (f *fault) Shutdown(context.Context) error {
	if f.shutdown != nil {
		f.shutdown()
	}
	return nil
}

// The suite runs on faulty exporters in a process of its own, where it may fail.
func TestSuiteFindsFaults(t *testing.T) {
	const variable = "RINGTAILTEST_FAULT"
	if name := os.Getenv(variable); name != "" {
		ringtailtest.TestExporter(t, faulty[name].exporter)
		return
	}
	for name, f := range faulty {
		t.Run(name, func(t *testing.T) {
			cmd := exec.Command(os.Args[0], "-test.run=^TestSuiteFindsFaults$")
			cmd.Env = append(os.Environ(), variable+"="+name)
			out, err := cmd.CombinedOutput()
			if err == nil || !strings.Contains(string(out), f.says) {
				t.Errorf("%v, want a failure that says %q:\n%s", err, f.says, out)
			}
		})
	}
}
