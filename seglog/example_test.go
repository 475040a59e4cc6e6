package seglog_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ringtail-otel/ringtail/seglog"
)

func Example() {
	ctx := context.Background()
	l, err := seglog.NewMemory(seglog.Options{}) // or Open(dir, Options{})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	c, err := l.OpenCursor("backend")
	if err != nil {
		panic(err)
	}

	// The producer fills the log's memory and is told when that is safe.
	r, err := l.Reserve(len("two spans"))
	if errors.Is(err, seglog.ErrFull) {
		return // later there may be room
	}
	if err != nil {
		panic(err)
	}
	copy(r.Bytes(), "two spans")
	if _, err := r.Commit(ctx, 2); err != nil {
		panic(err)
	}

	// The consumer sends what it reads, and then says that it is done with it.
	run, err := c.Read(ctx, seglog.Want{MaxBytes: 1 << 20})
	if err != nil {
		panic(err)
	}
	for _, f := range run.Frames {
		fmt.Printf("%s, count %d\n", f.Body, f.Count)
	}
	run.Release()
	if err := c.Commit(run.End, nil); err != nil {
		panic(err)
	}
	st := c.Stats()
	fmt.Println("consumed", st.Consumed, "left", st.LagCount)
	// Output:
	// two spans, count 2
	// consumed 2 left 0
}

func ExampleVerify() {
	dir, err := os.MkdirTemp("", "log")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	l, err := seglog.Open(dir, seglog.Options{})
	if err != nil {
		panic(err)
	}
	defer l.Close()
	if _, err := l.Append(context.Background(), []byte("some spans"), 3); err != nil {
		panic(err)
	}
	in, err := seglog.Verify(dir) // while the log is open
	if err != nil {
		panic(err)
	}
	for _, s := range in.Segments {
		fmt.Println(filepath.Base(s.File), "frames", s.Frames, "count", s.Count)
	}
	fmt.Println("damaged places", len(in.Damage))
	// Output:
	// 00000000000000000000.seg frames 1 count 3
	// damaged places 0
}
