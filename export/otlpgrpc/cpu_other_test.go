//go:build !unix

package otlpgrpc

import "time"

func cpuTime() time.Duration { return 0 }
