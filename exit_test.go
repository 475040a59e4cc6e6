package ringtail

import (
	"errors"
	"os"
	"os/exec"
	"testing"
)

// TestExitWhileProducersRun starts this test in a process of its own, which
// ends in the middle of everything.
func TestExitWhileProducersRun(t *testing.T) {
	const child = "RINGTAIL_TEST_EXIT"
	if os.Getenv(child) != "" {
		behave, begun := hang(t)
		c := start(t, &backend{behave: behave}, LowLatency())
		for i := range 4 {
			go func() {
				p, err := c.Register()
				if err != nil {
					os.Exit(1)
				}
				for s := benchSpan(5); ; {
					if i%2 == 0 {
						_ = p.TrySubmit(s)
					} else {
						_ = p.Submit(t.Context(), s)
					}
				}
			}()
		}
		<-begun
		os.Exit(7)
	}
	self, err := os.Executable()
	if err != nil {
		t.Skip(err)
	}
	cmd := exec.CommandContext(within30s(t), self, "-test.run=^"+t.Name()+"$")
	cmd.Env = append(os.Environ(), child+"=1")
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() != 7 {
		t.Errorf("%v, want exit status 7; output:\n%s", err, out)
	}
}
