//go:build !(linux && amd64)

package oteltrace

// readCounter is not used where counterUsable is false.
func readCounter() uint64 { return 0 }

// counterUsable reports that there is no counter known here.
func counterUsable() bool { return false }

func counterTrusted() bool { return false }
