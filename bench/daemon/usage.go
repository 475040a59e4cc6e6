package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// usage is what a process has used so far, all its threads.
type usage struct {
	user, system float64 // seconds of processor time
	written      float64 // bytes that it gave to sockets and files
}

func (p *process) usage() (u usage, err error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid()))
	if err == nil {
		u.user, u.system, err = parseStat(b)
	}
	if err != nil {
		return u, fmt.Errorf("cannot read what %s has used: %w", p.name, err)
	}
	if b, err = os.ReadFile(fmt.Sprintf("/proc/%d/io", p.pid())); err != nil {
		return u, fmt.Errorf("cannot read what %s has written: %w", p.name, err)
	}
	u.written, err = parseField(b, "wchar", "")
	return u, err
}

// ticks a second, in which Linux tells processor time to user space, on every architecture
// that Go runs on.
const ticks = 100

// parseStat reads user and system time in /proc/PID/stat. (proc_pid_stat(5): utime and stime
// are the fields 14 and 15; the second is the program's name, in parentheses, and may have
// spaces and parentheses in it.)
func parseStat(b []byte) (user, system float64, err error) {
	end := bytes.LastIndexByte(b, ')')
	fields := strings.Fields(string(b[end+1:])) // from the third on
	if end < 0 || len(fields) < 13 {
		return 0, 0, fmt.Errorf("cannot read the processor time in %q", b)
	}
	u, err1 := strconv.ParseUint(fields[11], 10, 64)
	s, err2 := strconv.ParseUint(fields[12], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, 0, fmt.Errorf("cannot read the processor time in %q: %w", b, err)
	}
	return float64(u) / ticks, float64(s) / ticks, nil
}

// peakMiB returns the most memory that the process has had resident.
func (p *process) peakMiB() (float64, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.pid()))
	if err != nil {
		return 0, fmt.Errorf("cannot read the memory of %s: %w", p.name, err)
	}
	kib, err := parseField(b, "VmHWM", " kB")
	return kib / 1024, err
}

// parseField reads a line of a file in /proc of the form "key: number unit".
func parseField(b []byte, key, unit string) (float64, error) {
	for line := range bytes.Lines(b) {
		if rest, ok := bytes.CutPrefix(line, []byte(key+":")); ok {
			value, ok := strings.CutSuffix(strings.TrimSpace(string(rest)), unit)
			n, err := strconv.ParseUint(value, 10, 64)
			if err != nil || !ok {
				return 0, fmt.Errorf("cannot read %s in %q", key, line)
			}
			return float64(n), nil
		}
	}
	return 0, fmt.Errorf("there is no %s in a file of /proc", key)
}
