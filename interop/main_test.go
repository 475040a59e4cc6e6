// Package interop has tests against software that was not written here: a real
// OpenTelemetry Collector, the official SDKs of Go, JavaScript and Python, and
// telemetrygen. README.md says what they prove.
package interop

import (
	"fmt"
	"os"
	"testing"
	"text/tabwriter"
)

func TestMain(m *testing.M) {
	var err error
	if programDir, err = os.MkdirTemp("", "ringtail-interop-"); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	code := m.Run()
	if testing.Verbose() {
		matrix.print()
	}
	os.RemoveAll(programDir)
	os.Exit(code)
}

// route is one way that spans took: a row of the matrix.
type route struct {
	from, over, compression, to string
}

// run runs a test of the route, which returns what it has found for the matrix.
func (r route) run(t *testing.T, test func(t *testing.T) string) {
	t.Run(r.from+" "+r.over+" "+r.compression, func(t *testing.T) {
		result := "FAILED"
		defer func() { matrix.add(r, result) }()
		found := test(t)
		if !t.Failed() {
			result = found
		}
	})
}

// matrix gathers what the tests have found, for a person to read at the end.
var matrix table

type table []string

func (m *table) add(r route, result string) {
	*m = append(*m, fmt.Sprintf("%s\t%s\t%s\t%s\t%s", r.from, r.over, r.compression, r.to, result))
}

func (m table) print() {
	if len(m) == 0 {
		return
	}
	fmt.Println("\nWhat interoperates:")
	w := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "FROM\tOVER\tCOMPRESSION\tTO\tRESULT")
	for _, row := range m {
		fmt.Fprintln(w, row)
	}
	w.Flush()
}

// exact is what a row says when every span arrived once, with everything it had.
func exact(n int) string { return fmt.Sprintf("%d spans, all equal", n) }

func skipIfShort(t *testing.T) {
	t.Helper()
	if testing.Short() {
		t.Skip("needs a Collector to be built, and takes a minute")
	}
}
