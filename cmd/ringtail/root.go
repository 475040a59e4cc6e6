package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/ringtail-otel/ringtail"
)

// Exit codes, as every command's help says.
const (
	exitOK    = 0
	exitLost  = 1 // spans were lost, or something failed
	exitUsage = 2
)

// A usageError is a mistake in the command line.
type usageError struct{ err error }

func (e usageError) Error() string { return e.err.Error() }
func (e usageError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// run executes a command line and returns the exit code. Results go to stdout;
// progress, logs and errors to stderr.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRoot()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "ringtail: %s\n", strings.TrimPrefix(err.Error(), "ringtail: "))
	var usage usageError
	if errors.As(err, &usage) {
		fmt.Fprintf(stderr, "Try '%s --help'.\n", cmd.CommandPath())
		return exitUsage
	}
	return exitLost
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "ringtail",
		Short: "An OpenTelemetry span collector",
		Long: `Ringtail collects OpenTelemetry spans, and every one either arrives or is counted
as dropped, with the reason.

Without a command it serves: it receives OTLP on 127.0.0.1, ports 4317 and 4318, and
shows what arrives. 'ringtail serve --help' says what else it can do.`,
		Example: `  ringtail                                         receive OTLP, and show what arrives
  ringtail demo --export otlp-grpc=127.0.0.1:4317  send it some, from elsewhere
  ringtail serve --export otlp-grpc=backend:4317   pass it on
  ringtail demo                                    watch spans being collected in a process
  ringtail stress                                  see how fast it goes`,
		Version:       versionLine(),
		Args:          cobra.NoArgs,
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetVersionTemplate("{{.Version}}\n")
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return flagError(err) })
	serve := newServe()
	root.RunE = func(cmd *cobra.Command, _ []string) error {
		serve.SetContext(cmd.Context())
		return serve.RunE(serve, nil)
	}
	root.AddCommand(serve, newLog(), newLoad(), newSink(), newDemo(), newStress(), newVersion())
	for _, c := range append(root.Commands(), root) {
		c.DisableFlagsInUseLine = true
		if args := c.Args; args != nil {
			c.Args = func(cmd *cobra.Command, given []string) error {
				if len(given) > 0 {
					return usagef("unknown command or argument %q", given[0])
				}
				return nil
			}
		}
	}
	return root
}

// flagError says in words what a flag's value should have been.
func flagError(err error) error {
	var invalid *pflag.InvalidValueError
	if !errors.As(err, &invalid) {
		return usageError{err}
	}
	flag := invalid.GetFlag()
	want := map[string]string{
		"int": "a whole number", "uint64": "a whole number, 0 or more", "float64": "a number",
		"duration": "a time, as 500ms, 10s or 2m", "bytes": "a size: bytes, or as 512KiB, 64MiB, 1GiB",
	}[flag.Value.Type()]
	if want == "" {
		return usageError{err}
	}
	return usagef("--%s is %q: want %s", flag.Name, invalid.GetValue(), want)
}

func versionLine() string {
	return fmt.Sprintf("ringtail %s (%s, %s/%s)", ringtail.Version, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}

func newVersion() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		Run: func(cmd *cobra.Command, _ []string) {
			fmt.Fprintln(cmd.OutOrStdout(), versionLine())
		},
	}
}

// sameSignal is how long signals count as one: what runs a program often sends it
// the signal that its process group gets as well.
const sameSignal = 500 * time.Millisecond

// interrupted returns two contexts: polite ends with the first SIGINT or SIGTERM, and
// asks to finish; force with the second, and asks to leave.
func interrupted(parent context.Context) (polite, force context.Context, stop func()) {
	polite, endPolite := context.WithCancel(parent)
	force, endForce := context.WithCancel(parent)
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	done := make(chan struct{})
	go func() {
		var first time.Time
		for {
			select {
			case <-signals:
			case <-done:
				return
			}
			endPolite()
			if second(&first, time.Now()) {
				endForce()
			}
		}
	}()
	return polite, force, func() {
		signal.Stop(signals)
		close(done)
		endPolite()
		endForce()
	}
}

// second says whether a signal that comes now is another one than the first, which
// it notes.
func second(first *time.Time, now time.Time) bool {
	if first.IsZero() {
		*first = now
	}
	return now.Sub(*first) >= sameSignal
}
