//go:build !race

package oteltrace

const raceEnabled = false
