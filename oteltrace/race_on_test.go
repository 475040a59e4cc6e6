//go:build race

package oteltrace

// raceEnabled: the race detector allocates, and lets a sync.Pool forget at random.
const raceEnabled = true
