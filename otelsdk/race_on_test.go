//go:build race

package otelsdk

// raceEnabled: the race detector allocates, and lets a sync.Pool forget at random.
const raceEnabled = true
