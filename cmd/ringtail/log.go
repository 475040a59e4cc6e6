package main

import (
	"bufio"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/ringtail-otel/ringtail"
	"github.com/ringtail-otel/ringtail/export"
	"github.com/ringtail-otel/ringtail/otlp"
	"github.com/ringtail-otel/ringtail/seglog"
)

// newLog is for looking into a directory that the daemon keeps its log in.
func newLog() *cobra.Command {
	var dir string
	cmd := &cobra.Command{
		Use:   "log",
		Short: "Look into a log directory of the daemon",
		Long: `Log looks into a directory in which 'ringtail serve' keeps its log: what is in it,
how far each exporter is, and whether the disk has kept it well.

All but forget may be used beside the daemon that has the log open.`,
		Example: `  ringtail log ls                         segments, and how far each exporter is
  ringtail log verify                     read and check every byte
  ringtail log cat | head -1              the spans, as OTLP JSON, a line a request
  ringtail log cat --tree                 … as trace trees
  ringtail log forget otlp-grpc=old:4317  let go what waits for an exporter that is no more`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.PersistentFlags().StringVar(&dir, "data-dir", defaultDataDir(), "the log is in `DIR`")
	cmd.AddCommand(
		&cobra.Command{
			Use: "ls", Short: "List segments and cursors", Args: noArgs,
			Example: "  ringtail log ls --data-dir /var/lib/ringtail/traces",
			RunE: func(cmd *cobra.Command, _ []string) error {
				i, err := seglog.Inspect(dir)
				if err == nil {
					printInspection(newPage(cmd.OutOrStdout()), dir, i)
				}
				return err
			},
		},
		newLogCat(&dir),
		&cobra.Command{
			Use: "verify", Short: "Read and check everything", Args: noArgs,
			Long:    "Verify reads every byte of the log and checks it. What is damaged is listed with\nfile and offset, and makes the exit code 1.",
			Example: "  ringtail log verify --data-dir /var/lib/ringtail/traces",
			RunE: func(cmd *cobra.Command, _ []string) error {
				i, err := seglog.Verify(dir)
				if err != nil {
					return err
				}
				p := newPage(cmd.OutOrStdout())
				printInspection(p, dir, i)
				if n := len(i.Damage); n > 0 {
					return fmt.Errorf("the log in %s is damaged in %s", dir, plural(n, "place"))
				}
				fmt.Fprintln(p, p.green("✓ every byte is as it was written"))
				return nil
			},
		},
		&cobra.Command{
			Use: "forget CURSOR", Short: "Delete a cursor whose exporter is no more",
			Long: `Forget deletes a cursor, by the name that 'ringtail log ls' shows, and lets go the
spans that only its exporter has not had. The daemon must not be running.`,
			Example: "  ringtail log forget otlp-grpc=old:4317",
			Args: func(_ *cobra.Command, args []string) error {
				if len(args) != 1 {
					return usagef("want the name of one cursor; 'ringtail log ls' lists them")
				}
				return nil
			},
			RunE: func(cmd *cobra.Command, args []string) error { return forget(newPage(cmd.OutOrStdout()), dir, args[0]) },
		})
	for _, c := range cmd.Commands() {
		c.DisableFlagsInUseLine = true
	}
	return cmd
}

func noArgs(_ *cobra.Command, args []string) error {
	if len(args) > 0 {
		return usagef("unknown argument %q; the directory is given by --data-dir", args[0])
	}
	return nil
}

func forget(p page, dir, name string) error {
	if _, err := seglog.Inspect(dir); err != nil {
		return err // Open would make the directory
	}
	log, err := seglog.Open(dir, seglog.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return fmt.Errorf("cannot open the log in %s: %w", dir, err)
	}
	defer log.Close()
	for _, c := range log.Cursors() {
		if c.Name != name {
			continue
		}
		if err := log.DeleteCursor(name); err != nil {
			return err
		}
		fmt.Fprintf(p, "Forgotten: %s, for which %s waited.\n", name, plural(c.LagCount, "span"))
		return nil
	}
	return fmt.Errorf("there is no cursor %q in %s; 'ringtail log ls' lists them", name, dir)
}

func newLogCat(dir *string) *cobra.Command {
	var tree bool
	var from uint64
	var cursor string
	cmd := &cobra.Command{
		Use: "cat", Short: "Print the spans", Args: noArgs,
		Long: "Cat prints the requests of the log as OTLP JSON, one a line, from the oldest on.",
		Example: `  ringtail log cat > spans.jsonl
  ringtail log cat --tree --cursor otlp-grpc=backend:4317   what that exporter has not had`,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cursor != "" {
				i, err := seglog.Inspect(*dir)
				if err != nil {
					return err
				}
				if from, err = positionOf(i, cursor); err != nil {
					return err
				}
			}
			out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
			defer out.Flush()
			e := export.NewWriter(out)
			var line []byte
			for f, err := range seglog.Frames(*dir, seglog.Position(from)) {
				if err != nil {
					return err
				}
				if tree {
					if err := e.Export(cmd.Context(), ringtail.JoinBatch([][]byte{f.Body}, f.Count)); err != nil {
						return err
					}
					continue
				}
				if line, err = otlp.AppendJSON(line[:0], f.Body); err != nil {
					return fmt.Errorf("the request at position %d: %w", f.Position, err)
				}
				if _, err := out.Write(append(line, '\n')); err != nil {
					return err
				}
			}
			if tree {
				return e.Shutdown(cmd.Context())
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&tree, "tree", false, "print trace trees, for people")
	cmd.Flags().Uint64Var(&from, "from", 0, "begin at `POSITION`")
	cmd.Flags().StringVar(&cursor, "cursor", "", "begin where the cursor `NAME` is")
	return cmd
}

func positionOf(i *seglog.Inspection, cursor string) (uint64, error) {
	for _, c := range i.Cursors {
		if c.Name == cursor {
			return uint64(c.Position), nil
		}
	}
	return 0, fmt.Errorf("there is no cursor %q; 'ringtail log ls' lists them", cursor)
}

func printInspection(p page, dir string, i *seglog.Inspection) {
	fmt.Fprintln(p, p.bold(dir))
	if len(i.Segments) > 0 {
		fmt.Fprintln(p, p.dim(fmt.Sprintf("  %-28s %12s %10s %12s  %s", "segment", "bytes", "requests", "spans", "appended")))
	}
	for _, s := range i.Segments {
		when := ""
		if !s.First.IsZero() {
			when = s.First.Format(time.DateTime) + " to " + s.Last.Format(time.TimeOnly)
		}
		fmt.Fprintf(p, "  %-28s %12s %10s %12s  %s\n", s.File, count(s.Bytes), count(s.Frames), count(s.Count), when)
	}
	fmt.Fprintf(p, "  %s were ever appended\n", plural(i.Count, "span"))
	for _, c := range i.Cursors {
		fmt.Fprintf(p, "  %s\n", cursorLine(p, &c))
	}
	for _, d := range i.Damage {
		fmt.Fprintln(p, p.red("  ✗ "+d.String()))
	}
	for _, f := range i.Aside {
		fmt.Fprintf(p, "  moved aside by a repair: %s\n", f)
	}
}

func cursorLine(p page, c *seglog.CursorInfo) string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: at %d, ", p.bold(c.Name), c.Position)
	if c.LagCount == 0 {
		b.WriteString(p.green("nothing waits"))
	} else {
		fmt.Fprintf(&b, "%s wait, %s", plural(c.LagCount, "span"), size(c.LagBytes))
	}
	if len(c.State) > 0 {
		b.WriteString("  " + p.dim(string(c.State))) // the ledger, as it is kept
	}
	for r, n := range c.Skipped {
		if n > 0 {
			b.WriteString(p.red(fmt.Sprintf(", %s skipped (%s)", count(n), seglog.Skipped(r))))
		}
	}
	return b.String()
}
