package ring

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestModel checks model/ring.pml exhaustively with Spin, and that each of its
// broken variants is found out by the assertion it is meant for. It needs spin
// and a C compiler; without spin it is skipped, unless
// RINGTAIL_REQUIRE_SPIN=1 says that it is there.
func TestModel(t *testing.T) {
	for _, tool := range []string{"spin", "cc"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("RINGTAIL_REQUIRE_SPIN") == "1" {
				t.Fatalf("RINGTAIL_REQUIRE_SPIN is set: %v", err)
			}
			t.Skipf("the protocol's model was NOT checked: %v (Debian: apt-get install spin gcc)", err)
		}
	}
	for _, test := range []struct {
		name    string
		defines []string
		want    string // what Spin prints
	}{
		{"protocol", []string{"-DCAP=4", "-DRECORDS=8"}, "errors: 0"},
		{"longer records", []string{"-DCAP=8", "-DRECORDS=4"}, "errors: 0"},
		{"headers only", []string{"-DCAP=2", "-DRECORDS=8"}, "errors: 0"},
		{"broken commit", []string{"-DBROKEN_COMMIT"}, "assertion violated (accepted==drained)"},
		{"broken release", []string{"-DBROKEN_RELEASE"}, "assertion violated  !(in_use"},
		{"broken room", []string{"-DBROKEN_ROOM"}, "assertion violated  !(in_use"},
		{"not vacuous", []string{"-DREACHABLE"}, "assertion violated  !((((accepted==7)&&(drained==7))&&padded))"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			out := checkModel(t, test.defines)
			if !strings.Contains(out, test.want) {
				t.Errorf("%q is not in:\n%s", test.want, out)
			}
			for _, incomplete := range []string{"max search depth too small", "out of memory", "Search not completed"} {
				if strings.Contains(out, incomplete) && test.want == "errors: 0" {
					t.Errorf("%q: the search was not exhaustive:\n%s", incomplete, out)
				}
			}
			for line := range strings.Lines(out) {
				if strings.Contains(line, "states, stored") {
					t.Log(strings.TrimSpace(line))
				}
			}
		})
	}
}

// checkModel generates, compiles and runs the verifier.
func checkModel(t *testing.T, defines []string) string {
	t.Helper()
	model, err := filepath.Abs("model/ring.pml")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	run := func(name string, args ...string) string {
		cmd := exec.CommandContext(t.Context(), name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
		}
		return string(out)
	}
	run("spin", append(defines, "-a", model)...)
	run("cc", "-O2", "-DSAFETY", "-w", "-o", "pan", "pan.c")
	return run("./pan", "-m100000", "-w20")
}
