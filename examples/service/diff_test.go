package main

import (
	"fmt"
	"strings"
)

// diff returns what has to be done to the lines of a to get those of b, with some lines
// about each change, and "" if they are the same.
func diff(a, b string) string {
	if a == b {
		return ""
	}
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	begin := 0
	for begin < min(len(x), len(y)) && x[begin] == y[begin] {
		begin++
	}
	end := 0
	for end < min(len(x), len(y))-begin && x[len(x)-1-end] == y[len(y)-1-end] {
		end++
	}
	marked := changes(x[begin:len(x)-end], y[begin:len(y)-end])
	marked = append(keep(x[:begin]), append(marked, keep(x[len(x)-end:])...)...)

	var out strings.Builder
	const about = 3
	last := -1 // the last line printed
	for i, line := range marked {
		near := false
		for j := max(0, i-about); j <= min(len(marked)-1, i+about); j++ {
			near = near || marked[j][0] != ' '
		}
		if !near {
			continue
		}
		if i > last+1 {
			fmt.Fprintf(&out, "  … line %d\n", i+1)
		}
		out.WriteString(line + "\n")
		last = i
	}
	return out.String()
}

func keep(lines []string) (marked []string) {
	for _, l := range lines {
		marked = append(marked, "  "+l)
	}
	return marked
}

// changes is diff for what differs, by a longest common subsequence.
func changes(x, y []string) (marked []string) {
	common := make([][]int32, len(x)+1) // of x[i:] and y[j:]
	for i := range common {
		common[i] = make([]int32, len(y)+1)
	}
	for i := len(x) - 1; i >= 0; i-- {
		for j := len(y) - 1; j >= 0; j-- {
			if x[i] == y[j] {
				common[i][j] = common[i+1][j+1] + 1
			} else {
				common[i][j] = max(common[i+1][j], common[i][j+1])
			}
		}
	}
	i, j := 0, 0
	for i < len(x) || j < len(y) {
		switch {
		case i < len(x) && j < len(y) && x[i] == y[j]:
			marked = append(marked, "  "+x[i])
			i, j = i+1, j+1
		case j == len(y) || i < len(x) && common[i+1][j] >= common[i][j+1]:
			marked = append(marked, "- "+x[i])
			i++
		default:
			marked = append(marked, "+ "+y[j])
			j++
		}
	}
	return marked
}
