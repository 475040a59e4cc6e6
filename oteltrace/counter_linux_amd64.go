package oteltrace

import (
	"os"
	"strings"
	"sync"
	"testing"
)

// readCounter reads the processor's time stamp counter, without waiting for what comes
// before or after: 8 ns, where the kernel's clocks take 20.
//
//go:noescape
func readCounter() uint64

// counterInvariant reports whether the counter has the same rate in all states of the
// processor, as CPUID says.
func counterInvariant() bool

// counterUsable reports whether the kernel itself makes its clocks of the counter: it
// does after it has found it constant, never stopped and the same on all processors, and
// watches it. Then it is read and multiplied here exactly as there, without the call.
//
// In tests it is not used: the clock of a testing/synctest bubble is not made of it,
// and one who is in a bubble can not be told from one who is not.
var counterUsable = sync.OnceValue(func() bool { return !testing.Testing() && counterTrusted() })

func counterTrusted() bool {
	source, err := os.ReadFile("/sys/devices/system/clocksource/clocksource0/current_clocksource")
	return err == nil && strings.TrimSpace(string(source)) == "tsc" && counterInvariant()
}
