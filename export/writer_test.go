package export_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/otlp"
	"github.com/ringtail-otel/ringtail/ringtailtest"
)

func TestWriterJSON(t *testing.T) {
	var out bytes.Buffer
	e := export.NewWriter(&out, export.AsJSON())
	a, b := batch(t, 3), batch(t, 30)
	for _, b := range []*ringtail.Batch{a, b} {
		if err := e.Export(t.Context(), b); err != nil {
			t.Fatal(err)
		}
	}
	lines := strings.Split(out.String(), "\n")
	if len(lines) != 3 || lines[2] != "" {
		t.Fatalf("%d lines", len(lines)-1)
	}
	for i, n := range []int{3, 30} {
		request, err := otlp.AppendFromJSON(nil, []byte(lines[i]))
		if err != nil || otlp.Count(request) != n {
			t.Errorf("line %d: %d spans, %v", i, otlp.Count(request), err)
		}
	}
}

func TestWriterTree(t *testing.T) {
	var out bytes.Buffer
	o := export.TreeOptions{Location: time.UTC, Width: 100}
	e := export.NewWriter(&out, export.AsTree(o))
	b, err := ringtailtest.NewBatch(checkout()...)
	if err != nil {
		t.Fatal(err)
	}
	if err := e.Export(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	expect(t, out.String(), tree(t, o, checkout()...))
}

// A write that was cut short loses its batch, and the next begins on a line of its own.
func TestWriterCutShort(t *testing.T) {
	for _, boom := range []error{errBoom, nil} {
		b := batch(t, 3)
		line, _ := otlp.AppendJSON(nil, b.Bytes())
		w := &shortWriter{room: 100, err: boom}
		e := export.NewWriter(w, export.AsJSON())
		for _, room := range []int{100, 0, 0, 10} {
			w.room = room
			err := e.Export(t.Context(), b)
			loses(t, err, b, ringtail.ReasonExport)
			if boom != nil && !errors.Is(err, boom) || boom == nil && !errors.Is(err, io.ErrShortWrite) {
				t.Error(err)
			}
		}
		w.room = 1 << 20
		for range 2 {
			if err := e.Export(t.Context(), b); err != nil {
				t.Error(err)
			}
		}
		want := string(line[:100]) + "\n" + string(line[:9]) + "\n" + string(line) + "\n" + string(line) + "\n"
		if w.String() != want {
			t.Errorf("got\n%s\nwant\n%s", w.String(), want)
		}
	}
}

func TestWriterBrokenPipe(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer w.Close()
	r.Close()
	b := batch(t, 3)
	err = export.NewWriter(w, export.AsJSON()).Export(t.Context(), b)
	loses(t, err, b, ringtail.ReasonExport)
	if !errors.Is(err, syscall.EPIPE) {
		t.Error(err)
	}
}

// A reader that does not read keeps nobody beyond his context.
func TestWriterHangs(t *testing.T) {
	r, w := io.Pipe()
	e := export.NewWriter(w, export.AsJSON())
	b := batch(t, 3)
	var writing, reading sync.WaitGroup
	writing.Go(func() {
		if err := e.Export(t.Context(), b); err != nil {
			t.Error(err)
		}
	})
	first := make([]byte, 1)
	if _, err := r.Read(first); err != nil { // now the write is under way
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), ms)
	defer cancel()
	if err := e.Export(ctx, b); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Export: %v", err)
	}
	if err := e.Shutdown(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Shutdown: %v", err)
	}
	loses(t, e.Export(t.Context(), b), b, ringtail.ReasonClosed)
	reading.Go(func() { io.Copy(io.Discard, r) })
	writing.Wait()
	w.Close()
	reading.Wait()
}
