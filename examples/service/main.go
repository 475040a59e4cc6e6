// Command service is a small shop, instrumented as any OpenTelemetry program: HTTP by
// otelhttp, gRPC by otelgrpc, SQL by otelsql, and spans of its own. README.md says how
// to run it.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	provider := flag.String("provider", "ringtail", "whose spans: ringtail, sdk (the official one) or none")
	address := flag.String("http", "127.0.0.1:8080", "serve HTTP at `HOST:PORT`")
	rounds := flag.Int("n", 0, "make every kind of request `N` times, and exit; 0 serves until Ctrl-C")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Stdout, *provider, *address, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "service:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer, provider, address string, rounds int) (err error) {
	tracing, err := newTracing(ctx, provider)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if lost := tracing.shutdown(ctx); lost != nil {
			err = errors.Join(err, lost, errors.New("is an OTLP receiver running? OTEL_TRACES_EXPORTER=console does without one"))
		}
		fmt.Fprintf(out, "\n%s\n", tracing.ledger())
	}()
	if rounds > 0 {
		address = "127.0.0.1:0"
	}
	s, err := start(ctx, address, tracing.telemetry)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		err = errors.Join(err, s.stop(ctx))
	}()
	if rounds == 0 {
		fmt.Fprintf(out, "serving on %s; try  curl %s/books/1\n", s.url, s.url)
		<-ctx.Done()
		return nil
	}
	for i := range rounds {
		drive(ctx, s, tracing.telemetry, fmt.Sprint("session-", i), func(line string) { fmt.Fprintln(out, line) })
	}
	return nil
}

// drive makes every visit once, one after the other.
func drive(ctx context.Context, s *service, tel telemetry, session string, print func(line string)) {
	c := newCustomer(session, s, tel)
	defer c.closeIdle()
	for _, v := range visits {
		if ctx.Err() == nil {
			print(c.visit(ctx, v))
		}
	}
}
